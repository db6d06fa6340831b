"""`manage.py audit verify`: is the log whole?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from registry.audit import anchor, queries
from registry.audit.models import Line
from registry.audit.seal import Sealer

SHOWN = 50


class Command(BaseCommand):
    help = "Verify the audit chain against its key, its head and the anchor outside the database; or show the present anchor."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=["verify", "anchor"])

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        if verb == "anchor":
            known = anchor.read(Sealer())
            self.stdout.write(known if isinstance(known, str) else f"{known.count} {known.last}")
            return
        count = 0
        for finding in queries.verify():
            count += 1
            if count <= SHOWN:
                self.stdout.write(f"{finding.code} at line {finding.seq}" if finding.seq else finding.code)
        lines = Line.objects.count()
        self.stdout.write(f"{lines} lines, {count} signs of tampering" if count else f"{lines} lines: the chain is whole")
        if count:
            raise SystemExit(1)
