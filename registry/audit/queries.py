"""Reading the chain, and proving that it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from registry.audit import anchor
from registry.audit.models import Head, Line
from registry.audit.seal import GENESIS, Sealer

FIELDS = ("seq", "at", "actor", "act", "object", "dataset", "detail", "prev", "mac")


@dataclass(frozen=True)
class Finding:
    """One sign of tampering: a code, and the line where it shows (0: the chain as a whole)."""

    code: str
    seq: int = 0


def of_object(text: str) -> QuerySet[Line]:
    """What happened to one thing (`model:ID`), in order."""
    return Line.objects.filter(object=text)


def of_objects(texts: Iterable[str]) -> QuerySet[Line]:
    """What happened to any of these things, in order."""
    return Line.objects.filter(object__in=list(texts))


def of_dataset(dataset_id: object) -> QuerySet[Line]:
    """What happened in one dataset, in order."""
    return Line.objects.filter(dataset=str(dataset_id))


def of_datasets(ids: Iterable[object]) -> QuerySet[Line]:
    """What happened in any of these datasets. A line that is about several, as of a list over all one may see, has none of its own and names them within."""
    wanted = sorted({str(pk) for pk in ids})
    among = Q(dataset__in=wanted)
    for pk in wanted:
        among |= Q(dataset="", detail__datasets__icontains=pk)
    return Line.objects.filter(among)


def verify() -> Iterator[Finding]:
    """Every sign of tampering, in order of the chain; nothing when it is whole. One pass, constant memory.

    Codes: `gap` (a number is missing), `edited` (a line is not what was sealed), `unlinked` (it does not follow the line before), `head_missing`,
    `head_forged`, `head_disagrees`, `anchor_missing`, `anchor_forged`, `anchor_disagrees` (the file outside knows another or a longer chain).
    """
    sealer = Sealer()
    with transaction.atomic():
        head = Head.objects.filter(pk=1).first()
        outside = anchor.read(sealer)
        count, last, at_anchor = 0, GENESIS, None
        for row in Line.objects.order_by("seq").values_list(*FIELDS).iterator(chunk_size=5000):
            *fields, mac = row
            seq, prev = fields[0], fields[7]
            if seq != count + 1:
                yield Finding("gap", count + 1)
            if prev != last:
                yield Finding("unlinked", seq)
            if mac != sealer.line(*fields):
                yield Finding("edited", seq)
            count, last = seq, mac
            if isinstance(outside, anchor.Anchor) and outside.count == seq:
                at_anchor = mac
        yield from _ends(sealer, head, outside, count, last, at_anchor)


def _ends(sealer: Sealer, head: Head | None, outside: anchor.Anchor | str, count: int, last: str, at_anchor: str | None) -> Iterator[Finding]:
    """What head and anchor say about how the chain ends."""
    if head is None:
        if count or isinstance(outside, anchor.Anchor):
            yield Finding("head_missing")
    elif head.mac != sealer.head(head.count, head.last):
        yield Finding("head_forged")
    elif (head.count, head.last) != (count, last):
        yield Finding("head_disagrees", min(head.count, count))
    if isinstance(outside, str):
        if outside != "anchor_missing" or count:
            yield Finding(outside)
    elif at_anchor != outside.last:
        yield Finding("anchor_disagrees", outside.count)
