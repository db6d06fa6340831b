"""Plain verbs on the ledger: enqueue, wake, reconcile, retry."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from registry.rules import Conflict
from registry.runs import kinds, ledger
from registry.runs.models import Run, State

log = logging.getLogger(__name__)


def enqueue(kind: str, subject_id: UUID, dataset_id: UUID | None = None, *, queue: str = "default", priority: int = 0) -> Run:
    """A ready run for this piece of work, or the living one that it already has. Call it inside the act's transaction: the wake-up goes out on commit.

    Raises KeyError for an unknown kind.
    """
    kinds.parts(kind)
    try:
        with transaction.atomic():
            run = Run.objects.create(
                kind=kind, subject_id=subject_id, dataset_id=dataset_id, queue=queue, priority=priority, max_attempts=settings.MYELIN_MAX_ATTEMPTS
            )
    except IntegrityError:
        living = Run.objects.filter(kind=kind, subject_id=subject_id, state__in=[State.READY, State.RUNNING]).first()
        if living is None:
            raise
        return living
    transaction.on_commit(partial(wake, run), robust=True)
    return run


def wake(run: Run, after: datetime | None = None) -> None:
    """Sends the message. A queue that cannot be reached is no failure: `reconcile` sends again."""
    from registry.runs.tasks import carry

    try:
        carry.using(queue_name=run.queue, priority=max(-100, min(100, run.priority)), run_after=after).enqueue(str(run.pk))
    except Exception as error:  # noqa: BLE001 - whatever the queue's engine throws
        log.warning("run %s could not be announced: %s", run.pk, type(error).__name__)
    else:
        Run.objects.filter(pk=run.pk).update(woken_at=timezone.now())


def retry(run: Run) -> Run:
    """A dead run gets as many attempts again. Raises Conflict when it is not dead, or when the same work has a living run."""
    try:
        with transaction.atomic():
            changed = Run.objects.filter(pk=run.pk, state=State.DEAD).update(
                state=State.READY, finished_at=None, code="", reason="", max_attempts=run.attempt + settings.MYELIN_MAX_ATTEMPTS
            )
    except IntegrityError:
        changed = 0
    if not changed:
        raise Conflict("run_not_dead", "Only work that was given up, and is not being done again, can be tried anew.", "Look at its state.")
    run.refresh_from_db()
    transaction.on_commit(partial(wake, run), robust=True)
    return run


def reconcile() -> dict[str, int]:
    """Takes back runs whose runner is gone, and announces ready ones again. Idempotent; called by the tick and by `manage.py reconcile`."""
    taken_back = 0
    for run in ledger.stale():
        try:
            ledger.fail(run, "runner_lost", "The runner of this attempt is gone.")
        except ledger.Lost:
            continue
        taken_back += 1
    return {"taken_back": taken_back, "announced": announce()}


def announce() -> int:
    """Sends the message again for runs that lie ready although their announcement should have been heard by now; nothing while messages still wait."""
    if _messages_waiting():
        return 0
    at = ledger.now()
    due = Q(not_before__isnull=True) | Q(not_before__lte=at)
    unheard = Q(woken_at__isnull=True) | Q(woken_at__lt=at - timedelta(seconds=min(10, settings.MYELIN_LEASE_S)))
    runs = list(Run.objects.filter(due, unheard, state=State.READY)[:100])
    for run in runs:
        wake(run)
    return len(runs)


def _messages_waiting() -> bool:
    """Whether the queue in the database still holds messages to be heard now; other engines are not asked."""
    if not settings.TASKS["default"]["BACKEND"].startswith("django_tasks_db"):
        return False
    from django_tasks_db.models import DBTaskResult

    return bool(DBTaskResult.objects.ready().exists())


def prune() -> int:
    """Removes messages that nobody needs any more; returns how many."""
    gone = 0
    if settings.TASKS["default"]["BACKEND"].startswith("django_tasks_db"):
        from django_tasks_db.models import DBTaskResult

        gone += DBTaskResult.objects.filter(enqueued_at__lt=timezone.now() - timedelta(days=1)).exclude(status="READY").delete()[0]
    return gone
