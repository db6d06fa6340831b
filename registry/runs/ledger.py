"""The ledger: who has which run, since when, and the fence that lets only the present owner write.

    ready --claim--> running --commit--> done
      ^                 |
      +--- give back ---+--- fail at the last attempt --> dead

Every change is one transaction that filters by run, owner and attempt (PostgreSQL: `FOR UPDATE SKIP LOCKED`; SQLite: `BEGIN IMMEDIATE`).
A worker that was frozen past its lease finds its heartbeat refused and its commit rolled back: nothing is written twice.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from registry.audit import actions as audit
from registry.runs import kinds
from registry.runs.models import Run, State


class Lost(Exception):
    """The run belongs to somebody else by now: throw the result away."""


def new_owner() -> str:
    """host:process:random, so that a restarted process is another owner."""
    return f"{socket.gethostname()[:60]}:{os.getpid()}:{secrets.token_hex(6)}"


def now() -> datetime:
    """The database's time where hosts may differ (PostgreSQL), this machine's on SQLite."""
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        found: datetime = cursor.fetchone()[0]
    return found


def _fenced(run: Run) -> QuerySet[Run]:
    """The row, if it still is this owner's attempt."""
    return Run.objects.filter(pk=run.pk, owner=run.owner, attempt=run.attempt, state=State.RUNNING)


def claim(owner: str, *, run_id: UUID | str | None = None, queues: Sequence[str] = ("default", "gpu")) -> Run | None:
    """Takes a ready run (this one, or the next by priority and age); None when there is none to take."""
    with transaction.atomic():
        at = now()
        ready = Run.objects.filter(Q(not_before__isnull=True) | Q(not_before__lte=at), state=State.READY, queue__in=queues)
        if run_id is not None:
            ready = ready.filter(pk=run_id)
        run = ready.order_by("-priority", "created_at").select_for_update(skip_locked=True).first()
        if run is None:
            return None
        run.state, run.owner, run.attempt, run.heartbeat_at = State.RUNNING, owner, run.attempt + 1, at
        run.code, run.reason, run.not_before = "", "", None
        run.save(update_fields=["state", "owner", "attempt", "heartbeat_at", "code", "reason", "not_before"])
        return run


def beat(run: Run) -> None:
    """Renews the heartbeat. Raises Lost when the run is not this owner's attempt any more."""
    if not _fenced(run).update(heartbeat_at=now()):
        raise Lost


def commit(run: Run, record: Callable[[Run], dict[str, Any] | None]) -> None:
    """Calls `record` and marks the run done, both or neither. Raises Lost (everything rolled back) when the run is another's by now."""
    with transaction.atomic(), audit.last():
        held = _fenced(run).select_for_update().first()
        if held is None:
            raise Lost
        result = record(held) or {}
        changed = _fenced(run).update(state=State.DONE, result=result, finished_at=now(), code="ok", reason="", owner=run.owner)
        if not changed:
            raise Lost


def fail(run: Run, code: str, reason: str, *, again: bool = True) -> str:
    """Ends an attempt: ready again after a pause, or dead at the cap (or at once when `again` is False). Returns the new state. Raises Lost."""
    with transaction.atomic():
        held = _fenced(run).select_for_update().first()
        if held is None:
            raise Lost
        if again and held.attempt < held.max_attempts:
            held.state, held.not_before = State.READY, now() + timedelta(seconds=min(600, 5 * 2 ** (held.attempt - 1)))
        else:
            held.state, held.finished_at = State.DEAD, now()
        held.owner, held.heartbeat_at, held.code, held.reason = "", None, code[:60], reason[:2000]
        held.save(update_fields=["state", "not_before", "finished_at", "owner", "heartbeat_at", "code", "reason"])
        if held.state == State.DEAD:
            kinds.call(held.kind, "dead", held)
        return str(held.state)


def give_back(run: Run) -> None:
    """Puts a run back without counting the attempt against it: a worker that is asked to stop does so. Raises Lost."""
    fields = {"state": State.READY, "owner": "", "heartbeat_at": None, "max_attempts": F("max_attempts") + 1, "woken_at": None}
    if not _fenced(run).update(**fields):
        raise Lost


def stale() -> list[Run]:
    """Running runs whose heartbeat is older than the lease."""
    return list(Run.objects.filter(state=State.RUNNING, heartbeat_at__lt=now() - timedelta(seconds=settings.MYELIN_LEASE_S)))
