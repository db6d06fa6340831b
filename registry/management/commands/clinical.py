"""`manage.py clinical`: a site's clinical tables at the registry's own machine: save a mapping, try or take a table, write tables out, weigh privacy."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.accounts.models import Dataset, Site, User
from registry.clinical import actions, dictionary, privacy
from registry.clinical.models import Mapping
from registry.intake import importing
from registry.releases import exporting
from registry.rules import Invalid, Refusal


class Command(BaseCommand):
    help = "Save a mapping, try or take a site's table, export tables, weigh privacy. Each act is done as an account, with what its roles allow."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verbs.add_parser("dictionary", help="print the data dictionary")

        def verb(name: str, words: str) -> CommandParser:
            sub: CommandParser = verbs.add_parser(name, help=words)
            sub.add_argument("dataset")
            sub.add_argument("--as", dest="email", required=True, metavar="EMAIL", help="the account that does it")
            return sub

        save, take = verb("map", "save how a site's table reads"), verb("import", "try a table; with --apply, take it: all or none")
        for sub in (save, take):
            sub.add_argument("site")
            sub.add_argument("name", help="of the mapping")
            sub.add_argument("file", type=Path)
        take.add_argument("--apply", action="store_true", help="write; without, it is a dry run")
        verb("export", "write participants, sessions and phenotype").add_argument("folder", type=Path)
        verb("privacy", "how far clinical fields single people out")

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        try:
            getattr(self, f"_{verb}")(**options)
        except Refusal as refused:
            for error in getattr(refused, "errors", ()):
                advice = error.get("advice", "")
                self.stderr.write(f"{error['field']}: {error['reason']}. {advice}".strip())
            raise CommandError(f"{refused.reason} {refused.advice}") from None
        except (User.DoesNotExist, Site.DoesNotExist, Dataset.DoesNotExist, Mapping.DoesNotExist) as missing:
            raise CommandError(str(missing)) from None

    def _dictionary(self, **_: Any) -> None:
        json.dump(dictionary.load(), sys.stdout, indent=1, ensure_ascii=False)

    def _map(self, dataset: str, site: str, name: str, file: Path, email: str, **_: Any) -> None:
        try:
            spec = json.loads(_text(file))
        except ValueError:
            raise CommandError("The mapping is not JSON.") from None
        saved = actions.save_mapping(_user(email), Dataset.objects.get(slug=dataset), Site.objects.get(code=site), name, spec)
        self.stdout.write(str(saved))

    def _import(self, dataset: str, site: str, name: str, file: Path, email: str, apply: bool, **_: Any) -> None:
        saved = Mapping.objects.filter(dataset__slug=dataset, site__code=site, name=name).order_by("-number").first()
        if saved is None:
            raise CommandError("This site has no mapping of this name in this dataset.")
        act = importing.take_table if apply else importing.try_table
        report = act(_user(email), saved, _text(file))
        for fault in report.faults:
            self.stderr.write(f"row {fault.row}, {fault.column} ({fault.rule}): {fault.reason}. {fault.advice}")
        self.stdout.write(json.dumps({"rows": report.rows, "applied": report.applied, "faulty": report.faulty, "changes": report.counts}))
        if report.faulty:
            raise CommandError(f"{report.faulty} thing(s) may not stand; nothing was written.")

    def _export(self, dataset: str, folder: Path, email: str, **_: Any) -> None:
        entries = exporting.clinical(_user(email), Dataset.objects.get(slug=dataset))
        for entry in entries:
            target = folder / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(entry.text or b"")
        self.stdout.write(f"{len(entries)} files in {folder}")

    def _privacy(self, dataset: str, email: str, **_: Any) -> None:
        self.stdout.write(json.dumps(privacy.report(_user(email), Dataset.objects.get(slug=dataset)), indent=1))


def _user(email: str) -> User:
    return User.objects.get(email=email.lower())


def _text(file: Path) -> str:
    """The file as text. Raises Invalid for what is not UTF-8."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("not_utf8", "The file is not text in UTF-8.", "Export it as UTF-8.") from None
    except OSError:
        raise CommandError("The file cannot be read.") from None
