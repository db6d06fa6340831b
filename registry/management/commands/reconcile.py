"""`manage.py reconcile`: takes back runs whose runner is gone, and announces what lies ready."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from registry.runs import actions


class Command(BaseCommand):
    help = "Take back runs whose heartbeat is stale and announce ready ones again. Idempotent."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps(actions.reconcile()))
