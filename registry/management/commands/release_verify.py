"""`manage.py release_verify DATASET VERSION`: is a release still what it was when it was closed?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from registry.releases import verifying
from registry.releases.models import Release


class Command(BaseCommand):
    help = (
        "Compute every hash of a release anew, from the store; tell what has left (tombstones) apart from what is missing or changed. Ends with 1 if damaged."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("dataset", help="the dataset's short name")
        parser.add_argument("version", help="as in 1.2.0")

    def handle(self, *args: Any, dataset: str, version: str, **options: Any) -> None:
        release = Release.objects.filter(dataset__slug=dataset, version=version, state__in=verifying.CLOSED).select_related("dataset").first()
        if release is None:
            raise CommandError("There is no closed release of that name and version.")
        told = verifying.verify(release)
        for name in ("remade", "missing", "changed"):
            for path in told[name]:
                self.stdout.write(f"{name}\t{path}")
        for name, words in (("list", "the list of files"), ("account", "the account")):
            if not told[name]:
                self.stdout.write(f"changed\t{words}")
        counts = ", ".join(f"{len(told[name])} {name}" for name in ("remade", "missing", "changed"))
        self.stdout.write(f"{told['files']} files: {told['tombstones']} tombstones, {counts}")
        if not told["ok"]:
            raise CommandError("The release is damaged.")
