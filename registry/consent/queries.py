"""What holds now: the fold of a participant's events, computed, never stored as truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from datetime import date, timedelta
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from registry.consent.models import GRANTING, ConsentEvent, ConsentFact, ConsentTemplate, Standing
from registry.rules import ConsentFacts, holds
from registry.subjects.models import Participant


def events(participant: Participant) -> QuerySet[ConsentEvent]:
    """The participant's events in order."""
    return ConsentEvent.objects.filter(participant=participant).order_by("number")


def fold(history: Iterable[ConsentEvent]) -> ConsentFacts | None:
    """The last event decides: one that grants states all that holds from then on, one that ends leaves nothing."""
    last = None
    for event in history:
        last = event
    return facts_of(last) if last is not None and last.kind in GRANTING else None


SETS = ("modifiers", "diseases", "countries")
ENDS = ("valid_until", "reconsent_due")
NAMES = tuple(field.name for field in fields(ConsentFacts))


def facts_of(event: ConsentEvent) -> ConsentFacts:
    """The facts that a granting event states."""
    return ConsentFacts(**{name: frozenset(getattr(event, name)) if name in SETS else getattr(event, name) for name in NAMES})


def current(participant: Participant, on: date | None = None) -> ConsentFacts | None:
    """The consent that holds on this day (today), folded from the events; None when there is none, it was withdrawn, or its time is over."""
    facts = fold(events(participant))
    return facts if holds(facts, on or timezone.now().date()).permitted else None


def distinct_facts(dataset_id: object, among: list[UUID] | None = None) -> list[tuple[ConsentFact, ConsentFacts]]:
    """The distinct consents in a dataset (or of these people in it), without their ends: all that a rule must be asked about, however many people."""
    standings = Standing.objects.filter(participant__dataset_id=dataset_id)
    if among is not None:
        standings = standings.filter(participant_id__in=among)
    rows = ConsentFact.objects.filter(pk__in=standings.values("facts"))
    return [(row, read(row)) for row in rows]


def read(row: ConsentFact) -> ConsentFacts:
    """The facts in an interned row. A row of before a fact was known says of it what is least (`consent rebuild` writes it anew)."""
    data = {name: value for name, value in row.facts.items() if name in NAMES}
    after = data.get("publish_after")
    sets = {name: frozenset(data[name]) for name in SETS}
    return ConsentFacts(**{**data, **sets, "publish_after": date.fromisoformat(after) if after else None})


def standing(participant: Participant) -> Standing | None:
    """The projection's row of this participant."""
    return Standing.objects.select_related("facts").filter(participant=participant).first()


def due(days: int) -> QuerySet[Standing]:
    """Consents of people who take part that end within so many days, the most urgent first: a child who comes of age is asked again."""
    until = timezone.now().date() + timedelta(days=days)
    rows = Standing.objects.filter(participant__state="active", valid_until__lte=until, facts__isnull=False)
    return rows.select_related("participant").order_by("valid_until", "participant_id")


def templates(dataset: object) -> QuerySet[ConsentTemplate]:
    """The consent forms of a dataset (or of several, as a queryset of ids), every version in every language."""
    among = {"dataset__in": dataset} if isinstance(dataset, QuerySet) else {"dataset": dataset}
    return ConsentTemplate.objects.filter(**among).select_related("dataset")
