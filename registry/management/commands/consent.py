"""`manage.py consent rebuild`: computes afresh what holds for everybody, from the events."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from registry.consent import actions


class Command(BaseCommand):
    help = "Project every participant's consent afresh from the events, and tell how many rows were not as they should have been."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=["rebuild"])

    def handle(self, *args: Any, **options: Any) -> None:
        told = actions.rebuild()
        self.stdout.write(f"{told['participants']} participants, {told['changed']} changed")
