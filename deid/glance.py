"""A glance at a clean file: the few elements the search for writing needs, without building the rest.

Most of the time of looking for writing would go into parsing headers that were parsed a moment before. Our own output has one form (Explicit VR Little Endian,
pixels last), in which whatever is not wanted is skipped by its length. Anything else (compressed pixels, functional groups,
another encoding, the least irregularity) is read in full by `elements.read`, with all its checks.
"""

from __future__ import annotations

import struct
from pathlib import Path

from deid import elements
from deid.elements import EXPLICIT, LONG, PIXEL_DATA, UNDEFINED, Element, File
from deid.errors import Refused

_short = struct.Struct("<HH2sH").unpack_from
_item = struct.Struct("<LL").unpack_from
_long = struct.Struct("<L").unpack_from
_LONG = frozenset(vr.encode() for vr in LONG)
PER_FRAME = 0x52009230
# Tags of items as the number that their four bytes make (little endian).
ITEM, ITEM_END, SEQUENCE_END = 0xE000FFFE, 0xE00DFFFE, 0xE0DDFFFE


def read(path: Path, wanted: frozenset[int]) -> File:
    """The wanted top-level elements of a file, and its pixels. A sequence comes as its bytes where nothing else forced a full reading.

    Raises what `elements.read` raises.
    """
    data = elements.load(path)
    try:
        file = _glance(data, wanted)
    except (struct.error, Refused):
        file = None
    return file or elements.parse(data)


def _glance(data: elements.Buffer, wanted: frozenset[int]) -> File | None:
    """None where a full reading is needed."""
    if len(data) < 140 or bytes(data[128:132]) != b"DICM":
        return None
    meta, syntax, pos = elements.read_meta(data, 132)
    if syntax != EXPLICIT:
        return None
    out: list[Element] = []
    end, last = len(data), 0
    while pos < end:
        group, number, vr, length = _short(data, pos)
        tag, pos = group << 16 | number, pos + 8
        if vr in _LONG:
            length, pos = _long(data, pos)[0], pos + 4
        if tag <= last or tag == PER_FRAME or not vr.isalpha():
            return None
        if length == UNDEFINED:
            if tag == PIXEL_DATA or tag in wanted or vr != b"SQ":
                return None
            last, pos = tag, _behind_sequence(data, pos, 1)
            continue
        if pos + length > end:
            return None
        if tag in wanted or tag == PIXEL_DATA:
            out.append(Element(tag, vr.decode(), memoryview(data)[pos : pos + length] if length > 65536 else bytes(data[pos : pos + length])))
        last, pos = tag, pos + length
    return File(syntax, meta, out) if last == PIXEL_DATA else None


def _behind_sequence(data: elements.Buffer, pos: int, depth: int) -> int:
    """Where a sequence of open length ends. Raises Refused where it nests too deep or holds what is no item."""
    while True:
        tag, length = _item(data, pos)
        pos += 8
        if tag == SEQUENCE_END:
            return pos
        if tag != ITEM or depth > elements.MAX_DEPTH:
            raise Refused("malformed")
        pos = _behind_item(data, pos, depth) if length == UNDEFINED else pos + length


def _behind_item(data: elements.Buffer, pos: int, depth: int) -> int:
    while True:
        tag, length = _item(data, pos)
        if tag == ITEM_END:
            return pos + 8
        _, _, vr, length = _short(data, pos)
        pos += 8
        if vr in _LONG:
            length, pos = _long(data, pos)[0], pos + 4
        if length == UNDEFINED:
            if vr != b"SQ":
                raise Refused("malformed")
            pos = _behind_sequence(data, pos, depth + 1)
        else:
            pos += length
