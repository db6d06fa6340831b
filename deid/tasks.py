"""What a child of `deid.isolated` does with files: *identify*, *clean*, *look* at the pixels, *search* the result. The parent does none of it.

Each maker is called once per batch with what its items share, and gives the function for one item. Values are JSON. What identifies goes back to the parent
(which holds it in memory and never writes it): the parent must know whose files are whose, and what was taken out of any file of a person is searched for
in all of them.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deid import elements, identity, inputs, objects, profile
from deid.errors import Refused
from deid.identity import Identity, Start
from deid.pseudonyms import keys_from_file

__all__ = ["cleaner", "identifier", "looker", "pack", "pack_start", "searcher", "unpack", "unpack_start"]

Item = dict[str, Any]


def pack(one: Identity) -> Item:
    """An identity as JSON."""
    row = {name: getattr(one, name) for name in Identity.__slots__}
    for name in ("birth_date", "study_date"):
        row[name] = row[name].isoformat() if row[name] else None
    row["start"] = pack_start(one.start)
    return row | {"names": list(one.names), "others": sorted(one.others)}


def unpack(row: Item) -> Identity:
    """An identity from JSON. The row comes from a child that read untrusted bytes: it is taken for data, and anything unfit raises."""
    date = datetime.date.fromisoformat
    births, days = (date(row[name]) if row[name] else None for name in ("birth_date", "study_date"))
    sets = {"names": tuple(row["names"]), "others": frozenset(row["others"]), "birth_date": births, "study_date": days, "start": unpack_start(row["start"])}
    return Identity(**{**row, **sets})


def pack_start(start: Start) -> list[Any]:
    """A beginning as JSON."""
    return [start.date.isoformat() if start.date else None, start.micro, start.acquired]


def unpack_start(row: list[Any]) -> Start:
    """A beginning from JSON."""
    return Start(datetime.date.fromisoformat(row[0]) if row[0] else None, row[1], row[2])


def identifier(common: Item) -> Callable[[Item], Item]:
    """Who is it about, and can it be cleaned at all? item: path. Gives sha256 and either code (a refusal) or who."""

    def identify(item: Item) -> Item:
        path = Path(item["path"])
        row: Item = {}
        try:
            data = elements.load(path)
            row["sha256"] = hashlib.sha256(data).hexdigest()
            file = elements.parse(data)
            objects.gate(file)
            return row | {"who": pack(identity.of(file))}
        except Refused as refusal:
            return row | {"code": refusal.code}

    return identify


def cleaner(common: Item) -> Callable[[Item], Item]:
    """Write one file anew. common: key, profile, code, births, starts, over_89, identifiers, searched; item: path, stamp, out.

    Gives removed (what was taken out and not told before in this batch), account (None where it is that of the file before), again (whether it was our own
    output). Raises Refused.
    """
    from deid import headers  # what only children need is imported by them

    _, pseudonyms = keys_from_file(common["key"])
    policy = profile.load(common["profile"])
    births = frozenset(datetime.date.fromisoformat(text) for text in common["births"])
    starts = {uid: unpack_start(row) for uid, row in common["starts"].items()}
    subject = headers.Subject(common["code"], pseudonyms, births, starts, common["over_89"], frozenset(common["identifiers"]), bool(common.get("searched")))
    told: set[str] = set()
    last: list[Any] = [None]

    def clean(item: Item) -> Item:
        source, product = Path(item["path"]), Path(item["out"])
        if list(inputs.stamp(source.stat())) != item["stamp"]:
            raise Refused("changed")
        done = headers.clean_file(source, product, subject, policy)
        if list(inputs.stamp(source.stat())) != item["stamp"]:
            product.unlink()
            raise Refused("changed")
        fresh = sorted(done.removed - told)
        told.update(fresh)
        same, last[0] = done.account == last[0], done.account
        return {"removed": fresh, "account": None if same else done.account}

    return clean


def looker(common: Item) -> Callable[[Item], list[list[Any]]]:
    """Look for writing in the images of one series. common: key; item: paths. Gives [code ("" for clean), masked] for each path, in order."""
    from deid import pixels

    _, pseudonyms = keys_from_file(common["key"])

    def look(item: Item) -> list[list[Any]]:
        return [[one.code or "", one.masked] for one in pixels.check([Path(path) for path in item["paths"]], key=pseudonyms)]

    return look


def searcher(common: Item) -> Callable[[Item], list[list[str]]]:
    """The last gate. common: removed (what was taken out of any file of the person), key, code; item: path. Gives [where, kind] of what is left."""
    from deid import verify

    needles = verify.Needles(common["removed"], keys_from_file(common["key"])[1].offset_days(common["code"]))

    def search(item: Item) -> list[list[str]]:
        return sorted({(one.where.partition(": ")[2] or "the file", one.kind) for one in verify.search([Path(item["path"])], needles)})  # type: ignore[misc]

    return search
