"""`manage.py audit verify`: is the log whole?"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from registry.audit import anchor, append_only, queries
from registry.audit.models import Head, Line
from registry.audit.seal import Sealer

SHOWN = 50


class Command(BaseCommand):
    help = "Verify the audit chain against its key, its head and the anchor outside the database; show the present anchor; or grant a role its rights."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("verb", choices=["verify", "anchor", "grants"])
        parser.add_argument("role", nargs="?", help="grants: the role of PostgreSQL under which web and worker run")

    def handle(self, *args: Any, verb: str, role: str | None, **options: Any) -> None:
        if verb == "grants":
            self._grants(role)
            return
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

    def _grants(self, role: str | None) -> None:
        """Give a role what web and worker need, and no way to change the log. The owner of the tables runs this, after every migration."""
        if connection.vendor != "postgresql" or not role:
            raise CommandError("Grants are PostgreSQL's: give DATABASE_URL of the owner, and the name of the other role.")
        kept = [apps.get_model(app, model)._meta.db_table for app, model in append_only.MODELS]
        try:
            append_only.run(connection, append_only.grants(role, kept, Head._meta.db_table))
        except ValueError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{role} may read and add to {', '.join(kept)}, and change or remove nothing there")
