"""Writing to the chain: the last statement of an act's transaction, so that the head is locked for an instant only and never across file work."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.db.models import Model

from registry.audit import anchor
from registry.audit.models import Head, Line
from registry.audit.seal import GENESIS, Sealer
from registry.rules import Refusal

MAX_TEXT = 500
MAX_ITEMS = 1000


class AuditBroken(Refusal):
    """The head of the chain is not what was sealed: nothing is done that cannot be recorded honestly."""

    def __init__(self) -> None:
        super().__init__("audit_broken", "The audit log was tampered with, so nothing can be recorded.", "Run `manage.py audit verify` and find out who.")


def actor_text(actor: Any) -> str:
    """An actor as text that outlives them: `user:ID ADDRESS`, the string itself for what no person does, `nobody`."""
    if actor is None or getattr(actor, "is_anonymous", False):
        return "nobody"
    return actor[:320] if isinstance(actor, str) else f"user:{actor.pk} {getattr(actor, 'email', '')}"[:320]


def object_text(thing: Any) -> str:
    """A thing as text that outlives it: `model:ID`, or the string itself."""
    return f"{thing._meta.model_name}:{thing.pk}" if isinstance(thing, Model) else str(thing)[:200]


def plain(value: Any) -> Any:
    """Detail as JSON that any database gives back unchanged: text, whole numbers, truth values, None, lists and mappings of them. Raises TypeError."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return value[:MAX_TEXT].replace("\0", "")
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else list(value)
        return [plain(item) for item in items[:MAX_ITEMS]]
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, float):
        raise TypeError("An audit detail holds no fractions: write them as text.")
    return str(value)[:MAX_TEXT]


_noted: ContextVar[list[Line] | None] = ContextVar("noted", default=None)


@contextlib.contextmanager
def noting() -> Iterator[list[Line]]:
    """Gathers the lines written meanwhile, those too that were rolled back later."""
    lines: list[Line] = []
    before = _noted.set(lines)
    try:
        yield lines
    finally:
        _noted.reset(before)


def stand(lines: list[Line]) -> bool:
    """Whether any of these lines is in the chain: it was not rolled back with its act."""
    return any(Line.objects.filter(seq=line.seq, mac=line.mac).exists() for line in lines)


_waiting: ContextVar[list[dict[str, Any]] | None] = ContextVar("waiting", default=None)


@contextlib.contextmanager
def last() -> Iterator[None]:
    """Lines written in this block wait for its end: where others still have something to do in an act's transaction, the head is locked after them.

    The block stands inside the transaction, around all that it does.
    """
    if _waiting.get() is not None:
        yield
        return
    lines: list[dict[str, Any]] = []
    before = _waiting.set(lines)
    try:
        yield
    finally:
        _waiting.reset(before)
    for told in lines:
        _append(told)


def write(actor: Any, act: str, object: Any, dataset: Any = None, **detail: Any) -> Line | None:
    """Adds a line to the chain, inside the caller's transaction. `detail` never holds an identifying value: codes, counts and ids only.

    None where the line waits (`last`). Raises AuditBroken when the head is not the one that was sealed last.
    """
    told = {
        "actor": actor_text(actor),
        "act": act[:80],
        "object": object_text(object),
        "dataset": str(getattr(dataset, "pk", dataset) or ""),
        "detail": plain(detail),
    }
    if (waiting := _waiting.get()) is not None:
        waiting.append(told)
        return None
    return _append(told)


def _append(told: dict[str, Any]) -> Line:
    """The next line of the chain."""
    sealer = Sealer()
    with transaction.atomic():
        head = _lock_head(sealer)
        fields = {"seq": head.count + 1, "at": datetime.now(UTC).isoformat(timespec="microseconds"), **told, "prev": head.last}
        line = Line.objects.create(**fields, mac=sealer.line(**fields))
        head.count, head.last, head.mac = line.seq, line.mac, sealer.head(line.seq, line.mac)
        head.save(update_fields=["count", "last", "mac"])
    if (noted := _noted.get()) is not None:
        noted.append(line)
    transaction.on_commit(lambda: anchor.advance(line.seq, line.mac), robust=True)
    return line


def denied(actor: Any, act: str, object: Any, code: str, dataset: Any = None, **detail: Any) -> Line | None:
    """The line of a denial, in a transaction of its own: call it after the refused act was rolled back."""
    return write(actor, act, object, dataset, **{**detail, "denied": code})


def _lock_head(sealer: Sealer) -> Head:
    """The head row, locked until the transaction ends. The first line of all makes it."""
    head = Head.objects.select_for_update().filter(pk=1).first()
    if head is None and not Line.objects.exists():
        Head.objects.get_or_create(pk=1, defaults={"count": 0, "last": GENESIS, "mac": sealer.head(0, GENESIS)})
    if head is None:
        # Looked for again: another writer may have written the very first line since.
        head = Head.objects.select_for_update().filter(pk=1).first()
    if head is None:
        raise AuditBroken
    if head.mac != sealer.head(head.count, head.last):
        raise AuditBroken
    return head
