"""`manage.py export_open`: writes the newest release of a dataset as a plain BIDS tree for open sharing (CC0), if every consent in it allows that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.accounts.models import Dataset, User
from registry.releases import opening
from registry.releases.models import Release
from registry.rules import Refusal


class Command(BaseCommand):
    help = "Write the newest validated release of a dataset as a BIDS tree that anybody may have (CC0); refused while any consent forbids it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset")
        parser.add_argument("target", type=Path, help="a folder that is not there yet")
        parser.add_argument("--as", dest="email", required=True, metavar="EMAIL", help="the steward who does it")

    def handle(self, *args: Any, dataset: str, target: Path, email: str, **options: Any) -> None:
        try:
            source, actor = Dataset.objects.get(slug=dataset), User.objects.get(email=email.lower())
            release = Release.objects.filter(dataset=source, state=Release.State.VALIDATED).order_by("-number").first()
            if release is None:
                raise CommandError("This dataset has no validated release yet.")
            people = opening.export_open(actor, source, release, target)
        except Refusal as refused:
            raise CommandError(f"{refused.code}: {refused.reason} {getattr(refused, 'advice', '')}".strip()) from None
        except (Dataset.DoesNotExist, User.DoesNotExist) as missing:
            raise CommandError(str(missing)) from None
        self.stdout.write(f"{people} participants of {dataset} {release.version} in {target}")
