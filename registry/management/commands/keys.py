"""`manage.py keys`: makes the key files that are missing; existing ones stay."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from registry import keyfiles


class Command(BaseCommand):
    help = "Make the missing key files of the registry (audit, vault, accounts) in the keys folder. Existing keys stay as they are."

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("audit", "vault", "accounts"):
            path = settings.MYELIN_KEYS / name
            there = path.exists()
            keyfiles.make(path)
            self.stdout.write(f"{'kept' if there else 'made'} {path}")
