"""`manage.py who_has SUBJECT`: every recipient of somebody's data, and every file."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.db.models import Q

from registry.audit import actions as audit
from registry.releases import queries
from registry.subjects.models import Participant


class Command(BaseCommand):
    help = "List every recipient and file of a participant, named by their id, code or label. Looking is recorded first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("subject", help="id, code or label of the participant")

    def handle(self, *args: Any, subject: str, **options: Any) -> None:
        people = list(found(subject))
        if not people:
            raise CommandError("Nobody has this id, code or label.")
        gathered = [(person, queries.who_has(person)) for person in people]
        with transaction.atomic():  # before the first word: what cannot be recorded is not told
            for person, told in gathered:
                audit.write("system:who_has", "participant.who_has", f"participant:{person.pk}", dataset=person.dataset, packages=len(told))
        for person, told in gathered:
            self.stdout.write(f"participant {person.label} of {person.dataset.slug}, {person.state}: {len(told)} package(s)")
            for row in told:
                when = row.downloaded_at.isoformat(timespec="seconds") if row.downloaded_at else "not yet downloaded"
                self.stdout.write(f"{row.recipient} has release {row.version}, package {row.package} ({row.state}), first given out: {when}")
                for file in row.files:
                    self.stdout.write(f"  {file['sha256']}  {file['path']}")


def found(subject: str) -> Any:
    """The participants so named: a label is one person's in a dataset, and may be another's in another."""
    named = Q(code=subject) | Q(label=subject.removeprefix("sub-"))
    try:
        named |= Q(pk=UUID(subject))
    except ValueError:
        pass
    return Participant.objects.filter(named).select_related("dataset")
