"""A Siemens CSA header is taken apart and written again from entries on an allow-list, every field of it.

    CSA2:  "SV10" 4 3 2 1 | count, 77 | entry*          CSA1:  count, 77 | entry*
    entry: name[64] vm vr[4] type items mark | item*     item:  four numbers, bytes, padding to 4
           (in CSA2 the second number of an item is its length; in CSA1 the first, less the number of items of the first entry)

Layout as described at nipy.org/nibabel/dicom/siemens_csa.html. The original leaves stray memory behind the zero that ends a name or a value, in the padding and
behind the last entry, and every number in it can be chosen freely; so nothing is copied but values that were understood: numbers of an entry that is a number,
machine words that are all vocabulary, and the protocol, re-written by `asc_protocol`. Whatever does not parse to its end makes the whole header go.
"""

from __future__ import annotations

import re
import struct
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from deid import asc_protocol, dates
from deid.descriptors import Scrubber

HERE = Path(__file__).resolve().parent / "profiles"
MAGIC = b"SV10\x04\x03\x02\x01"
MAX_ENTRIES, MAX_ITEMS, MAX_VM, MAX_TYPE = 1024, 65_536, 1024, 64
_ENTRY = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<4i")
_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT OB OF OW PN SH SL SQ SS ST TM UI UL UN US UT".split())
_MARKS = (77, 205)
_NUMBER = re.compile(r"[+-]?\d{1,10}(?:\.\d{0,16})?(?:[eE][+-]?\d{1,3})?\Z")
_WHOLE = re.compile(r"\d+")
_USUAL_DIGITS = 7  # before the point; the entries that need more are named in the profile
_REMOVED = b"Removed"


@dataclass(frozen=True, slots=True)
class _Names:
    """Which entries stay: as numbers (those of `long` with up to ten digits), as machine words, as a protocol."""

    numbers: frozenset[str]
    long: frozenset[str]
    words: frozenset[str]
    protocols: frozenset[str]

    def all(self) -> tuple[frozenset[str], ...]:
        """Every name that may stand in a header that was written anew."""
        return self.numbers, self.words, self.protocols


@dataclass(slots=True)
class _Entry:
    """One entry as it stood: its place in the file is `place`, its values are `items`, stray bytes and all."""

    place: int
    name: str
    vm: int
    vr: bytes
    kind: int
    mark: int
    items: list[bytes]


@lru_cache(maxsize=1)
def names() -> _Names:
    """The allow-list (profiles/private-2026.toml, [csa])."""
    found = tomllib.loads((HERE / "private-2026.toml").read_text(encoding="utf-8"))["csa"]
    return _Names(*(frozenset(found[key].split()) for key in ("numbers", "long", "words", "protocols")))


@lru_cache(maxsize=16)
def rewrite(raw: bytes, scrub: Scrubber) -> bytes | None:
    """The header with the entries of the allow-list alone; None where it is none, or its counts and lengths lie. Slices of a series share the answer."""
    two = raw[:4] == MAGIC[:4]
    try:
        entries, first = _read(raw, two)
    except (struct.error, ValueError):
        return None
    out = [b"", b""]
    kept = 0
    for entry in entries:
        fresh = _values(entry, scrub)
        if fresh is None and entry.place:
            continue
        # The first entry stays, if only as an empty frame, for in CSA1 all lengths count from its number of items.
        out.append(_written(entry, [b""] * len(entry.items) if fresh is None else fresh, two, first, known=fresh is not None))
        kept += 1
    out[:2] = [MAGIC if two else b"", struct.pack("<II", kept, 77)]
    body = b"".join(out)
    return body + b"\0" * (-len(body) % 4)


def _read(raw: bytes, two: bool) -> tuple[list[_Entry], int]:
    """All entries, and the number of items of the first. Raises ValueError or struct.error where a count or a length lies."""
    pos = len(MAGIC) if two else 0
    count, _ = struct.unpack_from("<II", raw, pos)
    if not 1 <= count <= MAX_ENTRIES:
        raise ValueError("entries")
    pos += 8
    entries: list[_Entry] = []
    first = 0
    for place in range(count):
        name, vm, vr, kind, number, mark = _ENTRY.unpack_from(raw, pos)
        if not 0 <= number <= MAX_ITEMS or mark not in _MARKS:
            raise ValueError("entry")
        pos += _ENTRY.size
        first = first if place else number
        items: list[bytes] = []
        for _ in range(number):
            item, pos = _item(raw, pos, two, first)
            if item is None:
                break
            items.append(item)
        items += [b""] * (number - len(items))
        entries.append(_Entry(place, name.split(b"\0")[0].decode("latin-1"), vm, vr[:2], kind, mark, items))
    return entries, first


def _item(raw: bytes, pos: int, two: bool, first: int) -> tuple[bytes | None, int]:
    """The bytes of the item at `pos`, and where the next begins; None where a CSA1 entry ends early, which it says by a length that cannot be."""
    lengths = _ITEM.unpack_from(raw, pos)
    pos += _ITEM.size
    size = lengths[1] if two else lengths[0] - first
    if not 0 <= size <= len(raw) - pos:
        if two:
            raise ValueError("length")
        return None, pos
    return raw[pos : pos + size], pos + (size + 3) // 4 * 4


def _values(entry: _Entry, scrub: Scrubber) -> list[bytes] | None:
    """The values of an entry that may stay, NUL-terminated; None where the entry goes. Where one number of an entry goes, all do: readers count on it."""
    allowed = names()
    if entry.name in allowed.numbers:
        olds = [_text(item) for item in entry.items]
        texts = [_number(old, entry.name in allowed.long, scrub) for old in olds]
        if any(old and not text for old, text in zip(olds, texts, strict=True)):
            texts = [""] * len(texts)
    elif entry.name in allowed.words:
        texts = [_word(_text(item), scrub) for item in entry.items]
    elif entry.name in allowed.protocols:
        texts = [asc_protocol.rewrite(item.decode("latin-1"), scrub) if item else "" for item in entry.items]
    else:
        return None
    return [text.encode("latin-1", "replace") + b"\0" if text else b"" for text in texts]


def _text(item: bytes) -> str:
    return item.split(b"\0")[0].decode("latin-1").strip()


def _number(text: str, long: bool, scrub: Scrubber) -> str:
    if not _NUMBER.match(text):
        return ""
    whole = _WHOLE.search(text)
    if dates.reads_as_a_day(text) or (whole and len(whole[0]) > _USUAL_DIGITS and not long):
        return ""
    return "" if len(text) >= 5 and (scrub.carries(text) or scrub.is_sought(text)) else text


def _word(text: str, scrub: Scrubber) -> str:
    return text if asc_protocol.SAFE_TEXT.match(text) and scrub.clean(text, free=False).text == text and not scrub.is_sought(text) else ""


def _written(entry: _Entry, items: list[bytes], two: bool, first: int, *, known: bool) -> bytes:
    """One entry anew. Its numbers are those of the original only inside what such headers use."""
    name = entry.name.encode("ascii") if known else _REMOVED
    vr = entry.vr if entry.vr in _VRS else b"UN"
    vm = entry.vm if 0 <= entry.vm <= MAX_VM else 0
    kind = entry.kind if 0 <= entry.kind <= MAX_TYPE else 0
    out = [_ENTRY.pack(name, vm, vr, kind, len(items), entry.mark)]
    for item in items:
        size = len(item)
        mark = _MARKS[0] if size else _MARKS[1]
        out.append(_ITEM.pack(size if two else size + first, size, mark, size))
        out.append(item + b"\0" * (-size % 4))
    return b"".join(out)
