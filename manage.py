#!/usr/bin/env python
"""Django's command line for Myelin: `manage.py bootstrap`, `worker`, `tick`, `audit verify`, `runserver`."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
