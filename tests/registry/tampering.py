"""Every kind of tampering with the log that we know of, done by somebody who owns the database but has no key. Also counted by `make show-governance`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.db import connection

from registry.audit import actions, append_only, queries
from registry.audit.models import Head, Line
from registry.audit.seal import GENESIS, Sealer

TABLE = "audit_line"


def write(n: int = 10) -> None:
    for k in range(n):
        actions.write("user:1 someone@example.org", "image.accepted", f"image:{k}", dataset="d1", count=k, kinds=["a", "b"], nested={"x": None, "y": True})


def codes() -> list[str]:
    return [finding.code for finding in queries.verify()]


def sql(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def without_triggers(tamper: Callable[[], None]) -> None:
    """What somebody who owns the database can do."""
    append_only.run(connection, append_only.removal(connection.vendor, TABLE))
    tamper()
    append_only.run(connection, append_only.statements(connection.vendor, TABLE))


def edit(**values: Any) -> None:
    for field, value in values.items():
        sql(f"UPDATE {TABLE} SET {field} = %s WHERE seq = 5", value)


def reseal_bare(first: int) -> None:
    """What somebody without the key can do: recompute a chain under a key of their own."""
    forger = Sealer(b"x" * 32)
    before = Line.objects.filter(seq__lt=first).order_by("-seq").first()
    last = before.mac if before else GENESIS
    for row in Line.objects.filter(seq__gte=first).order_by("seq").values_list(*queries.FIELDS):
        fields = list(row[:-1])
        fields[7] = last
        last = forger.line(*fields)
        sql(f"UPDATE {TABLE} SET prev = %s, mac = %s WHERE seq = %s", fields[7], last, fields[0])


def cut(keep: int, *, head: bool = False) -> None:
    sql(f"DELETE FROM {TABLE} WHERE seq > %s", keep)
    if head:
        last = Line.objects.get(seq=keep).mac if keep else GENESIS
        Head.objects.update(count=keep, last=last)


def swap() -> None:
    sql(f"UPDATE {TABLE} SET seq = 1000 WHERE seq = 4")
    sql(f"UPDATE {TABLE} SET seq = 4 WHERE seq = 5")
    sql(f"UPDATE {TABLE} SET seq = 5 WHERE seq = 1000")


def insert_forged() -> None:
    last = Line.objects.latest("seq")
    fields = {"seq": 11, "at": last.at, "actor": "x", "act": "y", "object": "z", "dataset": "", "detail": {}, "prev": last.mac}
    Line.objects.create(**fields, mac=Sealer(b"x" * 32).line(**fields))


def old_head() -> None:
    """A cut tail with the head, validly sealed, of the time before: only the file outside knows better."""
    last = Line.objects.get(seq=7).mac
    cut(7)
    Head.objects.update(count=7, last=last, mac=Sealer().head(7, last))


def all_of(*done: Any) -> None:
    """Several steps in one lambda."""


TAMPERINGS: dict[str, Callable[[], None]] = {
    "one word edited": lambda: edit(act="nothing"),
    "the actor edited": lambda: edit(actor="somebody else"),
    "the time edited": lambda: edit(at="2001-01-01T00:00:00.000000+00:00"),
    "the detail edited": lambda: edit(detail=json.dumps({"count": 99})),
    "an edit with recomputation to the end": lambda: all_of(edit(act="nothing"), reseal_bare(5)),
    "a line taken out of the middle": lambda: sql(f"DELETE FROM {TABLE} WHERE seq = 5"),
    "a line taken out with recomputation": lambda: all_of(sql(f"DELETE FROM {TABLE} WHERE seq = 5"), reseal_bare(6)),
    "two lines swapped": swap,
    "a forged line added": insert_forged,
    "the tail cut": lambda: cut(7),
    "the tail cut and the head edited": lambda: cut(7, head=True),
    "the tail cut and an old head put back": old_head,
    "everything removed": lambda: all_of(cut(0), Head.objects.all().delete()),
    "the head removed": lambda: all_of(Head.objects.all().delete()),
    "the head edited": lambda: all_of(Head.objects.update(count=9)),
    "the first line removed": lambda: sql(f"DELETE FROM {TABLE} WHERE seq = 1"),
}
