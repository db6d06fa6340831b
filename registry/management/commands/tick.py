"""`manage.py tick`: does what is due once; for cron, where no worker runs on this host."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from registry.runs.ticking import tick


class Command(BaseCommand):
    help = "Do what is due: take back lost runs, send mail, remind, expire, wipe. Idempotent; several at once do each thing once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--force", action="store_true", help="do everything now, due or not")

    def handle(self, *args: Any, **options: Any) -> None:
        told = tick(force=options["force"])
        self.stdout.write(json.dumps(told, indent=1, default=str, sort_keys=True))
        if any(isinstance(one, dict) and "error" in one for one in told.values()):
            raise SystemExit(1)
