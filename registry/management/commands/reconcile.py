"""`manage.py reconcile`: takes back runs whose runner is gone, announces what lies ready, and finishes either half of a registration or a departure."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from registry.runs import actions
from registry.subjects import actions as subjects


class Command(BaseCommand):
    help = "Take back runs whose heartbeat is stale, announce ready ones again, and finish what lies half in the vault and half in the registry. Idempotent."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps({**actions.reconcile(), "vault": subjects.finish_forgetting()}))
