"""Read the elements of one data set strictly: whatever does not hold together is refused before anybody trusts it.

Why not a library's reader: a hostile or half file must be refused with a code, inside limits. The reader is iterative over elements and recursive only over
sequences (64 levels at most), checks every declared length against the bytes there are, and counts what it builds. It understands implicit and explicit VR,
little and big endian, and UN of known tags. What stands around the data set (preamble, group 0002, deflation) is `deid.envelope`'s.

Sources: PS3.5 sections 6.2, 7.1 to 7.5 and A.4.
"""

from __future__ import annotations

import struct

from deid.errors import Refused
from deid.tree import ITEM, ITEM_END, LONG, PIXEL_DATA, SEQUENCE_END, UNDEFINED, VRS, WIDTH, Buffer, Element, Item, known_vr

MAX_DEPTH = 64
MAX_ELEMENTS = 1_500_000
COPY_BELOW = 65536  # longer values stay views into the file's bytes

VR_BYTES = {vr.encode(): vr for vr in VRS}
_LONG_BYTES = {vr.encode() for vr in LONG}
_SHORT_BYTES = {vr.encode(): vr for vr in VRS - LONG}

_short = struct.Struct("<HH2sH").unpack_from
_tag_length = struct.Struct("<HHL").unpack_from
_long = struct.Struct("<L").unpack_from
_short_big = struct.Struct(">HH2sH").unpack_from
_tag_length_big = struct.Struct(">HHL").unpack_from
_long_big = struct.Struct(">L").unpack_from


class Reader:
    """State of one reading: the buffer, its rules, and how much was built. `fragments`, `trailing`: as in `tree.File`, once read."""

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

    def _beyond(self, end: int) -> Refused:
        """The refusal of what reaches beyond `end`: of the file, or of what it stands in."""
        return Refused("truncated" if end >= len(self.data) else "malformed")

    def head(self, pos: int, end: int) -> tuple[int, str, int, int]:
        """Tag, VR, length and start of the value of the element at `pos`. Raises Refused (truncated, malformed)."""
        if pos + 8 > end:
            raise self._beyond(end)
        if not self.explicit:
            group, element, length = (_tag_length_big if self.big else _tag_length)(self.data, pos)
            tag = group << 16 | element
            return tag, known_vr(tag), length, pos + 8
        group, element, raw, length = (_short_big if self.big else _short)(self.data, pos)
        tag = group << 16 | element
        vr = VR_BYTES.get(raw)
        if vr is None:
            if group == 0xFFFE:  # delimiters carry no VR
                return tag, "", (_long_big if self.big else _long)(self.data, pos + 4)[0], pos + 8
            raise Refused("malformed")
        if raw in _LONG_BYTES:
            if pos + 12 > end:
                raise self._beyond(end)
            return tag, vr, (_long_big if self.big else _long)(self.data, pos + 8)[0], pos + 12
        return tag, vr, length, pos + 8

    def elements(self, pos: int, end: int, depth: int, open_item: bool = False) -> tuple[list[Element], int]:
        """The elements from `pos` to `end` (or, in an item of open length, to its delimiter); and where they end. Raises Refused."""
        out: list[Element] = []
        while pos < end:
            if self.explicit and not self.big:
                pos = self._plain(out, pos, end)
                if pos >= end:
                    break
            if depth == 0 and self._after_data_set(pos, end, out):
                break
            try:
                tag, vr, length, start = self.head(pos, end)
                if tag == ITEM_END and open_item:
                    return out, start
                if tag >> 16 == 0xFFFE:
                    raise Refused("malformed")
                self._add()
                pos = self._value(out, tag, vr, length, start, end, depth)
            except Refused as refusal:
                if depth == 0 and out and out[-1].tag >= PIXEL_DATA and refusal.code in ("truncated", "malformed"):
                    self.trailing = end - pos  # bytes after the data set are nobody's element: left behind, and counted
                    break
                raise
        if open_item:
            raise self._beyond(end)
        return out, pos

    def _plain(self, out: list[Element], pos: int, end: int) -> int:
        """Append the elements from `pos` on that are plain: explicit, short, and all there. This is most of every file. Gives where the first other is."""
        data, limit = self.data, min(end, len(self.data))
        before, unpack, known, add, mapped = len(out), _short, _SHORT_BYTES.get, out.append, not isinstance(self.data, bytes)
        start = pos + 8  # of the value
        while start <= limit:
            group, element, raw, length = unpack(data, start - 8)
            vr, after = known(raw), start + length
            if vr is None or after > end or group >= 0xFFFE or not group:
                break
            value = data[start:after]
            add(Element(group << 16 | element, vr, bytes(value) if mapped else value))
            start = after + 8
        pos = start - 8
        self.count += len(out) - before
        if self.count > MAX_ELEMENTS:
            raise Refused("too_many_elements")
        return pos

    def _after_data_set(self, pos: int, end: int, out: list[Element]) -> bool:
        """Whether zero padding, or a rest too short for an element, ends the data set."""
        if self.data[pos : pos + 4] != b"\0\0\0\0" and end - pos >= 8:
            return False
        if not out or any(self.view[pos : min(end, pos + 65536)]):
            if out and out[-1].tag >= PIXEL_DATA:
                self.trailing = end - pos
                return True
            return False
        self.trailing = end - pos
        return True

    def _value(self, out: list[Element], tag: int, vr: str, length: int, start: int, end: int, depth: int) -> int:
        """Append the element and give where the next begins."""
        if length == UNDEFINED:
            return self._open_value(out, tag, vr, start, end, depth)
        after = start + length
        if after > end:
            raise self._beyond(after if after > len(self.data) else 0)
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
        value: Buffer = self.view[start:after] if length > COPY_BELOW else bytes(self.data[start:after])
        out.append(Element(tag, vr, swap(value, vr) if self.big else value))
        return after

    def _open_value(self, out: list[Element], tag: int, vr: str, start: int, end: int, depth: int) -> int:
        """A value of undefined length: encapsulated pixels, or a sequence (also one that calls itself UN)."""
        if tag == PIXEL_DATA and depth == 0 and vr != "SQ":
            self.fragments, after = self._fragments(start, end)
            out.append(Element(tag, "OB", None, None, True))
            return after
        if vr not in ("SQ", "UN"):
            raise Refused("malformed")
        items, after = self._sequence(start, end, depth + 1, closed=False, as_un=vr == "UN")
        out.append(Element(tag, "SQ", None, items, True))
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
                raise self._beyond(end)
            group, element, length = unpack(self.data, pos)
            tag, pos = group << 16 | element, pos + 8
            if tag == SEQUENCE_END and not closed:
                return items, pos
            if tag != ITEM:
                raise Refused("malformed")
            self._add()
            stop = end if length == UNDEFINED else pos + length
            if stop > end:
                raise self._beyond(stop if stop > len(self.data) else 0)
            inside, pos = self.elements(pos, stop, depth, length == UNDEFINED)
            items.append(Item(inside, length == UNDEFINED))
        if not closed:
            raise self._beyond(end)
        return items, pos

    def _as_implicit(self, pos: int, end: int, depth: int, closed: bool) -> tuple[list[Item], int]:
        """Some writers put explicit VR inside UN all the same: the one that parses wins, implicit first."""
        before = self.explicit, self.big, self.count
        self.explicit = self.big = False
        try:
            return self._sequence(pos, end, depth, closed=closed)
        except Refused as refusal:
            if refusal.code not in ("malformed", "truncated"):
                raise
            self.explicit, self.big = before[:2]
            return self._sequence(pos, end, depth, closed=closed)
        finally:
            self.explicit, self.big = before[:2]

    def _fragments(self, pos: int, end: int) -> tuple[list[Buffer], int]:
        """The fragments of encapsulated pixel data, the Basic Offset Table (the first item) left out."""
        if self.fragments is not None:
            raise Refused("malformed")  # a second picture
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
    """The items of a sequence whose bytes travelled as UN: implicit VR little endian, or explicit where that alone parses (PS3.5 6.2.2). Raises Refused."""
    return Reader(value, True)._sequence(0, len(value), 1, closed=True, as_un=True)[0]


def swap(value: Buffer, vr: str) -> Buffer:
    """Big-endian value bytes as little-endian ones."""
    width = WIDTH.get(vr)
    if width is None or len(value) % width:
        return value
    return b"".join(bytes(value[i : i + 2])[::-1] for i in range(0, len(value), 2)) if width == 2 and len(value) < 64 else _swap_many(value, width)


def _swap_many(value: Buffer, width: int) -> bytes:
    import numpy as np

    return np.frombuffer(value, f">u{width}").astype(f"<u{width}").tobytes()
