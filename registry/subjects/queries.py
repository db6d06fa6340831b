"""Plain reads of people and visits that take no asker."""

from __future__ import annotations

from registry.accounts.models import Dataset
from registry.subjects import vault
from registry.subjects.models import Participant, Visit


def match(dataset: Dataset, code: str) -> Participant | None:
    """Whose code this is in this dataset, withdrawn or not; None when nobody's."""
    return Participant.objects.filter(dataset=dataset, code=code).select_related("site").first()


def visit_on(participant: Participant, day_code: str) -> Visit | None:
    """The participant's visit on the day with this code."""
    return Visit.objects.filter(participant=participant, day_code=day_code).first()


def same_person(participant: Participant) -> list[Participant]:
    """The participations of the same person in other datasets: a link that only the vault's key can make. Empty for who was forgotten."""
    return list(Participant.objects.filter(link__in=vault.same_person(participant.link)).select_related("dataset", "site"))
