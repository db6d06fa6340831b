"""Nothing to look at here: participants are shown by the policy's own pages and API alone, whoever runs the registry."""
