"""What holds now: the fold of a participant's events, computed, never stored as truth."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from registry.consent.models import ConsentEvent, ConsentFact, Standing
from registry.rules import ConsentFacts, holds
from registry.subjects.models import Participant

GRANTING = frozenset({"given", "renewed", "narrowed"})


def events(participant: Participant) -> QuerySet[ConsentEvent]:
    """The participant's events in order."""
    return ConsentEvent.objects.filter(participant=participant).order_by("number")


def fold(history: Iterable[ConsentEvent]) -> ConsentFacts | None:
    """The last event decides: one that grants states all that holds from then on, one that ends leaves nothing."""
    last = None
    for event in history:
        last = event
    return facts_of(last) if last is not None and last.kind in GRANTING else None


def facts_of(event: ConsentEvent) -> ConsentFacts:
    """The facts that a granting event states."""
    return ConsentFacts(
        permission=event.permission,
        modifiers=frozenset(event.modifiers),
        diseases=frozenset(event.diseases),
        countries=frozenset(event.countries),
        commercial=event.commercial,
        ai_training=event.ai_training,
        publish_after=event.publish_after,
        max_months=event.max_months,
        valid_until=event.valid_until,
    )


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
    """The facts in an interned row."""
    data = row.facts
    return ConsentFacts(
        permission=data["permission"],
        modifiers=frozenset(data["modifiers"]),
        diseases=frozenset(data["diseases"]),
        countries=frozenset(data["countries"]),
        commercial=data["commercial"],
        ai_training=data["ai_training"],
        publish_after=date.fromisoformat(data["publish_after"]) if data["publish_after"] else None,
        max_months=data["max_months"],
    )


def standing(participant: Participant) -> Standing | None:
    """The projection's row of this participant."""
    return Standing.objects.select_related("facts").filter(participant=participant).first()
