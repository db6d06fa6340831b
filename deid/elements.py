"""One DICOM file as a flat list of elements: read strictly, written plainly.

Why not a library's reader: a hostile or half file must be refused with a code, inside limits, before anybody trusts it. The reader is iterative over
elements and
recursive only over sequences (64 levels at most), checks every declared length against the bytes there are, counts what it builds, and bounds what it
inflates.
It understands implicit and explicit VR, little and big endian, deflated data sets, files without preamble or meta, UN of known tags, and what lies after the
data set. The writer knows one form: Explicit VR Little Endian (PS3.5 Annex A.2), compressed pixel data in their own syntax, group 0002 rebuilt, preamble
zero.

Sources: PS3.5 sections 6.2, 7.1 to 7.5 and Annex A; PS3.10 section 7.1.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from pydicom.datadict import DicomDictionary

from deid.errors import Refused

MAX_DEPTH = 64
MAX_ELEMENTS = 1_500_000
MAX_INFLATED = 256 * 1024 * 1024
MAP_ABOVE = 64 * 1024 * 1024  # larger files are mapped, not read
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
TRAILING_PADDING = 0xFFFCFFFC
PIXEL_DATA = 0x7FE00010

IMPLICIT, EXPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
# Encapsulated syntaxes whose fragments may be carried over (PS3.5 Annex A.4).
COMPRESSED = frozenset(
    f"1.2.840.10008.1.2.{tail}" for tail in ["4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "4.92", "4.93", "4.201", "4.202", "4.203", "5"]
)

LONG = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"])
VRS = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FD",
        "FL",
        "IS",
        "LO",
        "LT",
        "OB",
        "OD",
        "OF",
        "OL",
        "OV",
        "OW",
        "PN",
        "SH",
        "SL",
        "SQ",
        "SS",
        "ST",
        "SV",
        "TM",
        "UC",
        "UI",
        "UL",
        "UN",
        "UR",
        "US",
        "UT",
        "UV",
    ]
)
_VR_BYTES = {vr.encode(): vr for vr in VRS}
_LONG_BYTES = {vr.encode() for vr in LONG}
WIDTH = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4, "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8}
NUL_PADDED = frozenset({"UI", "OB", "UN"})

_short = struct.Struct("<HH2sH").unpack_from
_tag_length = struct.Struct("<HHL").unpack_from
_long = struct.Struct("<L").unpack_from
_short_big = struct.Struct(">HH2sH").unpack_from
_tag_length_big = struct.Struct(">HHL").unpack_from
_long_big = struct.Struct(">L").unpack_from

Buffer = bytes | memoryview


class Element:
    """tag: 0xggggeeee; vr: two letters; value: encoded little-endian bytes, or None where `items` holds a sequence; undefined: whether its length was left
    open."""

    __slots__ = ("items", "tag", "undefined", "value", "vr")

    def __init__(self, tag: int, vr: str, value: Buffer | None, items: list[Item] | None = None, undefined: bool = False) -> None:
        self.tag = tag
        self.vr = vr
        self.value = value
        self.items = items
        self.undefined = undefined

    @property
    def bytes(self) -> bytes:
        """The value field as bytes (empty for a sequence)."""
        return b"" if self.value is None else bytes(self.value)


@dataclass(slots=True)
class Item:
    """One item of a sequence."""

    elements: list[Element]
    undefined: bool = False


@dataclass(slots=True)
class File:
    """What one file holds. `fragments`: the encapsulated pixel stream without its offset table, else None."""

    syntax: str
    meta: list[Element]
    elements: list[Element]
    preamble: bytes = b""
    trailing: int = 0
    duplicates: list[Element] = field(default_factory=list)
    fragments: list[Buffer] | None = None

    def top(self) -> dict[int, Element]:
        """The data set's own elements by tag."""
        return {element.tag: element for element in self.elements}


class _Reader:
    """State of one reading: the buffer, its rules, and how much was built."""

    def __init__(self, data: Buffer, explicit: bool, big: bool = False) -> None:
        self.data = data
        self.view = memoryview(data)
        self.explicit = explicit
        self.big = big
        self.count = 0
        self.fragments: list[Buffer] | None = None
        self.trailing = 0

    def _add(self) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS:
            raise Refused("too_many_elements")

    def head(self, pos: int, end: int) -> tuple[int, str, int, int]:
        """Tag, VR, length and start of the value of the element at `pos`."""
        if pos + 8 > end:
            raise Refused("truncated" if end >= len(self.data) else "malformed")
        if not self.explicit:
            group, element, length = (_tag_length_big if self.big else _tag_length)(self.data, pos)
            tag = group << 16 | element
            return tag, known_vr(tag), length, pos + 8
        group, element, raw, length = (_short_big if self.big else _short)(self.data, pos)
        tag = group << 16 | element
        vr = _VR_BYTES.get(raw)
        if vr is None:
            if group == 0xFFFE:  # delimiters carry no VR
                return tag, "", (_long_big if self.big else _long)(self.data, pos + 4)[0], pos + 8
            raise Refused("malformed")
        if raw in _LONG_BYTES:
            if pos + 12 > end:
                raise Refused("truncated" if end >= len(self.data) else "malformed")
            return tag, vr, (_long_big if self.big else _long)(self.data, pos + 8)[0], pos + 12
        return tag, vr, length, pos + 8

    def elements(self, pos: int, end: int, depth: int, open_item: bool = False) -> tuple[list[Element], int]:
        """The elements from `pos` to `end` (or, in an item of open length, to its delimiter); and where they end."""
        out: list[Element] = []
        while pos < end:
            if depth == 0 and self._after_data_set(pos, end, out):
                break
            try:
                tag, vr, length, start = self.head(pos, end)
            except Refused:
                if depth == 0 and out and out[-1].tag == PIXEL_DATA:  # bytes after the data set are nobody's element: left behind, and counted
                    self.trailing = end - pos
                    break
                raise
            if tag == ITEM_END and open_item:
                return out, start
            if tag >> 16 == 0xFFFE:
                raise Refused("malformed")
            self._add()
            try:
                pos = self._value(out, tag, vr, length, start, end, depth)
            except Refused:
                if depth == 0 and out and out[-1].tag == PIXEL_DATA:
                    self.trailing = end - pos
                    break
                raise
        if open_item:
            raise Refused("truncated" if end >= len(self.data) else "malformed")
        return out, pos

    def _after_data_set(self, pos: int, end: int, out: list[Element]) -> bool:
        """Zero padding, or a rest too short for an element, ends the data set."""
        if self.data[pos : pos + 4] != b"\0\0\0\0" and end - pos >= 8:
            return False
        if not out or any(self.view[pos : min(end, pos + 65536)]):
            if out and out[-1].tag == PIXEL_DATA:
                self.trailing = end - pos
                return True
            return False
        self.trailing = end - pos
        return True

    def _value(self, out: list[Element], tag: int, vr: str, length: int, start: int, end: int, depth: int) -> int:
        if length == UNDEFINED:
            if tag == PIXEL_DATA and depth == 0 and vr != "SQ":
                self.fragments, after = self._fragments(start, end)
                out.append(Element(tag, "OB", None, None, True))
                return after
            if vr not in ("SQ", "UN"):
                raise Refused("malformed")
            items, after = self._sequence(start, end, depth + 1, closed=False, as_un=vr == "UN")
            out.append(Element(tag, "SQ", None, items, True))
            return after
        after = start + length
        if after > end:
            raise Refused("truncated" if after > len(self.data) else "malformed")
        if vr == "UN" and tag >> 16 & 1 == 0:
            vr = known_vr(tag)  # PS3.5 6.2.2 note: a known attribute may travel as UN
            if vr == "SQ":
                items, _ = self._sequence(start, after, depth + 1, closed=True, as_un=self.explicit)
                out.append(Element(tag, "SQ", None, items))
                return after
        if vr == "SQ":
            items, _ = self._sequence(start, after, depth + 1, closed=True)
            out.append(Element(tag, "SQ", None, items))
            return after
        value: Buffer = self.view[start:after] if length > 65536 else bytes(self.data[start:after])
        out.append(Element(tag, vr, swap(value, vr) if self.big else value))
        return after

    def _sequence(self, pos: int, end: int, depth: int, *, closed: bool, as_un: bool = False) -> tuple[list[Item], int]:
        """The items of a sequence. A sequence inside UN is implicit VR little endian whatever the file is (PS3.5 6.2.2)."""
        if depth > MAX_DEPTH:
            raise Refused("nested_too_deep")
        if as_un and (self.explicit or self.big):
            return self._as_implicit(pos, end, depth, closed)
        unpack = _tag_length_big if self.big else _tag_length
        items: list[Item] = []
        while pos < end:
            if pos + 8 > end:
                raise Refused("truncated" if end >= len(self.data) else "malformed")
            group, element, length = unpack(self.data, pos)
            tag, pos = group << 16 | element, pos + 8
            if tag == SEQUENCE_END and not closed:
                return items, pos
            if tag != ITEM:
                raise Refused("malformed")
            self._add()
            stop = end if length == UNDEFINED else pos + length
            if stop > end:
                raise Refused("truncated" if stop > len(self.data) else "malformed")
            inside, pos = self.elements(pos, stop, depth, length == UNDEFINED)
            items.append(Item(inside, length == UNDEFINED))
        if not closed:
            raise Refused("truncated" if end >= len(self.data) else "malformed")
        return items, pos

    def _as_implicit(self, pos: int, end: int, depth: int, closed: bool) -> tuple[list[Item], int]:
        """Some writers put explicit VR inside UN all the same: the one that parses wins, implicit first."""
        before = self.explicit, self.big, self.count
        self.explicit = self.big = False
        try:
            return self._sequence(pos, end, depth, closed=closed)
        except Refused as refusal:
            if refusal.code != "malformed":
                raise
            self.explicit, self.big, self.count = before
            return self._sequence(pos, end, depth, closed=closed)
        finally:
            self.explicit, self.big = before[:2]

    def _fragments(self, pos: int, end: int) -> tuple[list[Buffer], int]:
        """The fragments of encapsulated pixel data, the Basic Offset Table (the first item) left out."""
        out: list[Buffer] = []
        while True:
            if pos + 8 > end:
                raise Refused("truncated")
            group, element, length = _tag_length(self.data, pos)
            tag, pos = group << 16 | element, pos + 8
            if tag == SEQUENCE_END:
                return out[1:], pos
            if tag != ITEM or length == UNDEFINED:
                raise Refused("malformed")
            if pos + length > end:
                raise Refused("truncated")
            self._add()
            out.append(self.view[pos : pos + length])
            pos += length


def items_in(value: bytes) -> list[Item]:
    """The items of a sequence whose bytes travelled as UN: implicit VR little endian, or explicit where that alone parses (PS3.5 6.2.2)."""
    return _Reader(value, True)._sequence(0, len(value), 1, closed=True, as_un=True)[0]


def known_vr(tag: int) -> str:
    """The VR the data dictionary gives a tag; the first of several; UN where it is not known; UL for a group length."""
    found = DicomDictionary.get(tag)
    if found is None:
        if tag & 0xFFFF == 0:
            return "UL"
        if tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            return "LO"
        return "UN"
    vr = str(found[0])
    if len(vr) == 2:
        return vr
    return "OW" if vr == "OB or OW" or vr == "US or OW" else "US"


def swap(value: Buffer, vr: str) -> Buffer:
    """Big-endian value bytes as little-endian ones."""
    width = WIDTH.get(vr)
    if width is None or len(value) % width:
        return value
    return b"".join(bytes(value[i : i + 2])[::-1] for i in range(0, len(value), 2)) if width == 2 and len(value) < 64 else _swap_many(value, width)


def _swap_many(value: Buffer, width: int) -> bytes:
    import numpy as np

    return np.frombuffer(value, f">u{width}").astype(f"<u{width}").tobytes()


def read(path: Path | str) -> File:
    """Parse one file.

    Raises `Refused` (not_dicom, dicomdir, truncated, malformed, nested_too_deep, too_many_elements, inflates_too_much, unknown_transfer_syntax).
    """
    with Path(path).open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        data: Buffer = memoryview(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ)) if size > MAP_ABOVE else source.read()
    return parse(data)


def parse(data: Buffer) -> File:
    """Parse the bytes of one file; see `read`."""
    try:
        return _parse(data)
    except struct.error:
        raise Refused("truncated") from None


def _parse(data: Buffer) -> File:
    preamble, pos = b"", 0
    if len(data) >= 132 and bytes(data[128:132]) == b"DICM":
        preamble, pos = bytes(data[:128]), 132
    meta, syntax, pos = read_meta(data, pos)
    if len(data) < pos + 8:
        raise Refused("truncated" if pos else "not_dicom")
    if syntax == DEFLATED:
        data, pos = _inflate(data[pos:]), 0
    explicit, big = _encoding(data, pos, syntax)
    reader = _Reader(data, explicit, big)
    try:
        elements, _ = reader.elements(pos, len(data), 0)
    except Refused as refusal:
        # Without preamble and meta nothing says that this is DICOM at all.
        if not meta and not preamble and refusal.code == "malformed":
            raise Refused("not_dicom") from None
        raise
    if not syntax:
        syntax = EXPLICIT if reader.fragments is None else ""
    if syntax not in (IMPLICIT, EXPLICIT, BIG, DEFLATED) and syntax not in COMPRESSED:
        raise Refused("unknown_transfer_syntax")
    out = File(syntax, meta, elements, preamble, reader.trailing, [], reader.fragments)
    _single(out)
    return out


def _single(file: File) -> None:
    """Elements in ascending order, each tag once: the first of two wins, the other is remembered as taken out."""
    tags = [element.tag for element in file.elements]
    if all(a < b for a, b in pairwise(tags)):
        return
    seen: dict[int, Element] = {}
    for element in file.elements:
        if element.tag in seen:
            file.duplicates.append(element)
        else:
            seen[element.tag] = element
    file.elements = [seen[tag] for tag in sorted(seen)]


def read_meta(data: Buffer, pos: int) -> tuple[list[Element], str, int]:
    """Group 0002 (always explicit little endian), the transfer syntax in it ("" where it names none), and where the data set starts."""
    out: list[Element] = []
    syntax = ""
    reader = _Reader(data, True)
    while pos + 8 <= len(data) and bytes(data[pos : pos + 2]) == b"\2\0":
        tag, vr, length, start = reader.head(pos, len(data))
        if length == UNDEFINED or start + length > len(data):
            raise Refused("truncated")
        value = bytes(data[start : start + length])
        out.append(Element(tag, vr, value))
        if tag == 0x00020010:
            syntax = value.decode("ascii", "replace").strip(" \0")
        if tag == 0x00020002 and value.strip(b" \0") == b"1.2.840.10008.1.3.10":
            raise Refused("dicomdir")
        pos = start + length
    return out, syntax, pos


def _inflate(data: Buffer) -> bytes:
    engine = zlib.decompressobj(-15)
    try:
        out = engine.decompress(data, MAX_INFLATED + 1)
    except zlib.error:
        raise Refused("malformed") from None
    if len(out) > MAX_INFLATED:
        raise Refused("inflates_too_much")
    if not engine.eof:
        raise Refused("truncated")
    return out


def _encoding(data: Buffer, pos: int, syntax: str) -> tuple[bool, bool]:
    """Whether the data set is explicit, and whether big endian: looked up, then looked at, for files that lie about it."""
    first = bytes(data[pos : pos + 6])
    looks_explicit = first[4:6] in _VR_BYTES
    if syntax == BIG:
        return looks_explicit, True
    if not syntax:
        group = int.from_bytes(first[:2], "little")
        if group in (0x0800, 0x1000):
            return looks_explicit, True
        if group not in (0x0008, 0x0010) and group > 0x0020:
            raise Refused("not_dicom")
    return looks_explicit, False


# --- writing -------------------------------------------------------------------------------------------------------------------------------------------

_pack_short = struct.Struct("<HH2sH").pack
_pack_long = struct.Struct("<HH2s2xL").pack
_pack_tag = struct.Struct("<HHL").pack


def encode(elements: list[Element], out: list[Buffer]) -> int:
    """Append the elements as Explicit VR Little Endian to `out`; the number of bytes appended."""
    size = 0
    for element in elements:
        tag = element.tag
        if element.items is not None:
            size += _encode_sequence(element, out)
            continue
        value = element.value
        if value is None:
            continue
        length = len(value)
        odd = length & 1
        vr = element.vr
        if vr in LONG:
            out.append(_pack_long(tag >> 16, tag & 0xFFFF, vr.encode(), length + odd))
            size += 12
        elif length + odd > 0xFFFF:
            out.append(_pack_long(tag >> 16, tag & 0xFFFF, b"UN", length + odd))  # PS3.5 6.2.2: too long for its VR
            size += 12
        else:
            out.append(_pack_short(tag >> 16, tag & 0xFFFF, vr.encode(), length + odd))
            size += 8
        out.append(value)
        if odd:
            out.append(b"\0" if vr in NUL_PADDED else b" ")
        size += length + odd
    return size


def _encode_sequence(element: Element, out: list[Buffer]) -> int:
    at = len(out)
    out.append(b"")
    size = 0
    for item in element.items or ():
        here = len(out)
        out.append(b"")
        inside = encode(item.elements, out)
        out[here] = _pack_tag(0xFFFE, 0xE000, UNDEFINED if item.undefined else inside)
        if item.undefined:
            out.append(b"\xfe\xff\x0d\xe0\0\0\0\0")
            inside += 8
        size += inside + 8
    if element.undefined:
        out.append(b"\xfe\xff\xdd\xe0\0\0\0\0")
    out[at] = _pack_long(element.tag >> 16, element.tag & 0xFFFF, b"SQ", UNDEFINED if element.undefined else size)
    return size + (20 if element.undefined else 12)


def _encode_fragments(fragments: list[Buffer], out: list[Buffer]) -> None:
    out.append(_pack_long(0x7FE0, 0x0010, b"OB", UNDEFINED))
    out.append(_pack_tag(0xFFFE, 0xE000, 0))  # an empty Basic Offset Table is always right (PS3.5 A.4)
    for fragment in fragments:
        out.append(_pack_tag(0xFFFE, 0xE000, len(fragment) + (len(fragment) & 1)))
        out.append(fragment)
        if len(fragment) & 1:
            out.append(b"\0")
    out.append(b"\xfe\xff\xdd\xe0\0\0\0\0")


def body(elements: list[Element], fragments: list[Buffer] | None) -> list[Buffer]:
    """The encoded data set, in pieces. Elements must be in ascending order; nothing may follow the pixel data."""
    out: list[Buffer] = []
    encode([e for e in elements if not (e.tag == PIXEL_DATA and fragments is not None)], out)
    if fragments is not None:
        _encode_fragments(fragments, out)
    return out


def head(syntax: str, sop_class: str, sop_instance: str, implementation: str, version: str) -> bytes:
    """Preamble of zeros, DICM, and a group 0002 that says only what it must (PS3.10 Table 7.1-1)."""

    def ui(text: str) -> bytes:
        raw = text.encode("ascii")
        return raw + b"\0" * (len(raw) & 1)

    out: list[Buffer] = []
    rest = [
        Element(0x00020001, "OB", b"\0\1"),
        Element(0x00020002, "UI", ui(sop_class)),
        Element(0x00020003, "UI", ui(sop_instance)),
        Element(0x00020010, "UI", ui(syntax)),
        Element(0x00020012, "UI", ui(implementation)),
        Element(0x00020013, "SH", version.encode("ascii")),
    ]
    size = encode(rest, out)
    return b"\0" * 128 + b"DICM" + _pack_short(2, 0, b"UL", 4) + struct.pack("<L", size) + b"".join(out)


def walk(elements: list[Element]) -> Iterator[Element]:
    """Every element at every depth, parents before children."""
    for element in elements:
        yield element
        for item in element.items or ():
            yield from walk(item.elements)
