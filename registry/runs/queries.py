"""Reads of the ledger that take no asker."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Count, QuerySet

from registry.runs.models import Mail, Run, State


def of_subject(subject_id: UUID) -> QuerySet[Run]:
    """All runs of one piece of work, newest first."""
    return Run.objects.filter(subject_id=subject_id).order_by("-created_at")


def counts() -> dict[str, int]:
    """How many runs there are in each state."""
    found = dict(Run.objects.order_by().values_list("state").annotate(n=Count("pk")))
    return {state: found.get(state, 0) for state in State.values}


def dead() -> QuerySet[Run]:
    """What was given up, with its reason: what a steward looks at."""
    return Run.objects.filter(state=State.DEAD).order_by("-finished_at")


def dead_mails() -> QuerySet[Mail]:
    """Mails that could not be delivered."""
    return Mail.objects.filter(state="dead").order_by("-created_at")


def idle() -> bool:
    """Whether nothing is ready or running."""
    return not Run.objects.filter(state__in=[State.READY, State.RUNNING]).exists()
