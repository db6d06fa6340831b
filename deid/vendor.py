"""Keep the few numbers that conversion needs out of vendor data, and drop the rest.

A private element stays only if its creator, group and element are on the list (`safe_private`), and then only as its kind allows: numbers as numbers, words
checked word by word, sequences item by item by the same profile. Vendor blobs are taken apart and written again: Siemens CSA headers (`csa`), the Siemens
protocol (`asc_protocol`; in CSA headers, and raw in the private sequences of XA), and two blocks of GE (`ge_blocks`).

What has no creator, a creator of other spelling, or one that another of the same block contradicts, is on no list, and goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from deid import asc_protocol, csa, elements, ge_blocks, safe_private
from deid.descriptors import Scrubber
from deid.elements import Element, Item
from deid.errors import Refused
from deid.safe_private import table

__all__ = ["Context", "keep", "rewrite_csa", "rewrite_protocol", "table"]


class Context(Protocol):
    """What a vendor rule needs of the file it works on."""

    codecs: tuple[str, ...]
    scrub: Scrubber

    def clean_items(self, element: Element, place: str) -> list[Item]:
        """The items of a sequence, each cleaned by the profile."""
        ...


def keep(creator: str, group: int, low: int, element: Element, work: Context) -> Element | None:
    """What stays of one private element (`low`: the two low hexadecimal digits of its tag): itself, a cleaned copy, or nothing."""
    kind = table().get((creator, group), {}).get(low)
    if kind is None:
        return None
    if element.vr == "UN":
        element = _declared(element, "SQ" if kind == "items" else safe_private.known_vr(creator, group, low))
    if kind == "items" or (element.items is not None and kind not in _BLOBS):
        if element.items is None:
            return None
        return Element(element.tag, "SQ", None, work.clean_items(element, f"{creator} {low:02X}"), element.undefined)
    if element.value is None:
        return None
    if kind in _BLOBS:
        fresh = _BLOBS[kind](element.bytes, work.scrub)
        return None if fresh is None else Element(element.tag, "OB" if element.vr == "UN" else element.vr, fresh)
    return safe_private.checked(element, kind, work.codecs, work.scrub)


def _declared(element: Element, vr: str) -> Element:
    """An undeclared element as what the list or the private dictionary says it is."""
    if vr != "SQ":
        return Element(element.tag, vr, element.value, element.items, element.undefined)
    if element.items is not None:
        return element
    try:
        return Element(element.tag, "SQ", None, elements.items_in(element.bytes))
    except Refused:
        return element


def rewrite_csa(raw: bytes, work: Context) -> bytes | None:
    """A Siemens CSA header re-written for one file (`csa.rewrite`)."""
    return csa.rewrite(raw, work.scrub)


def rewrite_protocol(text: str, work: Context) -> str:
    """A Siemens protocol text re-written for one file (`asc_protocol.rewrite`)."""
    return asc_protocol.rewrite(text, work.scrub)


def _phoenix(raw: bytes, scrub: Scrubber) -> bytes | None:
    if raw[:4] == csa.MAGIC[:4]:
        return csa.rewrite(raw, scrub)
    fresh = asc_protocol.rewrite(raw.decode("latin-1"), scrub)
    return b"<XProtocol> \n{\n}\n" + fresh.encode("latin-1", "replace") if fresh else None


def _user_data(raw: bytes, scrub: Scrubber) -> bytes | None:
    return ge_blocks.rewrite_user_data(raw)


_BLOBS: dict[str, Callable[[bytes, Scrubber], bytes | None]] = {
    "csa": csa.rewrite,
    "phoenix": _phoenix,
    "ge_block": ge_blocks.rewrite_protocol,
    "ge_user": _user_data,
}
