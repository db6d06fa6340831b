"""`manage.py reconcile`: takes back runs whose runner is gone, announces what lies ready, and finishes either half of a registration or a departure."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.rules import Conflict
from registry.runs import actions
from registry.subjects import actions as subjects


class Command(BaseCommand):
    help = "Take back runs whose heartbeat is stale, announce ready ones again, and finish what lies half in the vault and half in the registry. Idempotent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--erase-orphans", action="store_true", help="erase vault rows that the registry does not know, however many they are")

    def handle(self, *args: Any, erase_orphans: bool = False, **options: Any) -> None:
        runs = actions.reconcile()
        try:
            self.stdout.write(json.dumps({**runs, "vault": subjects.finish_forgetting(erase_orphans=erase_orphans)}))
        except Conflict as refused:
            raise CommandError(f"{refused} {refused.advice}") from None
