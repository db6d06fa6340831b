"""`manage.py person_report`: what is held of a person, why, and who had it, written for the site that asks on their behalf."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.accounts.models import Dataset, Site, User
from registry.releases import reporting
from registry.rules import Refusal


class Command(BaseCommand):
    help = "Write all that is held of a person as report.json and report.html, for their site alone. Asking is recorded."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("patient_id", help="the site's identifier, or - to read it from standard input (nobody sees it among the processes then)")
        parser.add_argument("--dataset", required=True)
        parser.add_argument("--site", required=True)
        parser.add_argument("--issuer", default="")
        parser.add_argument("--as", dest="email", required=True, help="address of somebody who hands in for the site")
        parser.add_argument("--out", type=Path, default=Path(), help="folder; the files are readable by their owner alone")

    def handle(self, *args: Any, patient_id: str, dataset: str, site: str, issuer: str, email: str, out: Path, **options: Any) -> None:
        actor, among, place = User.objects.filter(email=email).first(), Dataset.objects.filter(slug=dataset).first(), Site.objects.filter(code=site).first()
        if actor is None or among is None or place is None:
            raise CommandError("This account, dataset or site is not there.")
        name = sys.stdin.readline().strip() if patient_id == "-" else patient_id
        try:
            told = reporting.person_report(actor, among, place, name, issuer)
        except Refusal as error:
            raise CommandError(f"{error.code}: {error.reason}") from None
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write(out / "report.json", json.dumps(reporting.plain(told), indent=1, ensure_ascii=False) + "\n")
        self._write(out / "report.html", reporting.page(told))
        self.stdout.write(f"report.json and report.html: {len(told['participations'])} participation(s)")

    def _write(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
