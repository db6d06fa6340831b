"""Commands of `manage.py`: the shell around the registry."""
