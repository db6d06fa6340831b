"""Write one file plainly: a preamble of zeros, a group 0002 that says only what it must, and a data set in one form.

The form is Explicit VR Little Endian (PS3.5 Annex A.2); compressed pixels keep their own syntax, with an empty Basic Offset Table, which is always right.
"""

from __future__ import annotations

import os
import struct
from functools import lru_cache
from pathlib import Path

from deid.tree import LONG, NUL_PADDED, PIXEL_DATA, UNDEFINED, Buffer, Element

IMPLEMENTATION_UID, IMPLEMENTATION_NAME = "2.25.260583479406133215213914107837046118641", "MYELIN_2026_1"

_AT_ONCE = 512  # pieces in one call; the system takes 1,024
_pack_short = struct.Struct("<HH2sH").pack
_pack_long = struct.Struct("<HH2s2xL").pack
_pack_tag = struct.Struct("<HHL").pack


def one(element: Element) -> Buffer:
    """One element (no sequence), encoded."""
    out: list[Buffer] = []
    _encode_value(element, out)
    return b"".join(out)


def encode(elements: list[Element], out: list[Buffer]) -> int:
    """Append the elements as Explicit VR Little Endian to `out`; the number of bytes appended."""
    size = 0
    for element in elements:
        if element.encoded is not None:
            out.append(element.encoded)
            size += len(element.encoded)
        elif element.items is not None:
            size += _encode_sequence(element, out)
        elif element.value is not None:
            size += _encode_value(element, out)
    return size


def _encode_value(element: Element, out: list[Buffer]) -> int:
    tag, vr, value = element.tag, element.vr, element.value or b""
    length = len(value)
    odd = length & 1
    if vr in LONG:
        out.append(_pack_long(tag >> 16, tag & 0xFFFF, vr.encode(), length + odd))
        size = 12
    elif length + odd > 0xFFFF:
        out.append(_pack_long(tag >> 16, tag & 0xFFFF, b"UN", length + odd))  # PS3.5 6.2.2: too long for its VR
        size = 12
    else:
        out.append(_pack_short(tag >> 16, tag & 0xFFFF, vr.encode(), length + odd))
        size = 8
    out.append(value)
    if odd:
        out.append(b"\0" if vr in NUL_PADDED else b" ")
    return size + length + odd


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


@lru_cache(maxsize=512)
def head(syntax: str, sop_class: str, sop_instance: str, implementation: str = IMPLEMENTATION_UID, version: str = IMPLEMENTATION_NAME) -> bytes:
    """Preamble of zeros, DICM, and a group 0002 that says only what it must (PS3.10 Table 7.1-1)."""
    out: list[Buffer] = []
    rest = [
        Element(0x00020001, "OB", b"\0\1"),
        Element(0x00020002, "UI", sop_class.encode("ascii")),
        Element(0x00020003, "UI", sop_instance.encode("ascii")),
        Element(0x00020010, "UI", syntax.encode("ascii")),
        Element(0x00020012, "UI", implementation.encode("ascii")),
        Element(0x00020013, "SH", version.encode("ascii")),
    ]
    size = encode(rest, out)
    return b"\0" * 128 + b"DICM" + _pack_short(2, 0, b"UL", 4) + struct.pack("<L", size) + b"".join(out)


def write(dst: Path, pieces: list[Buffer]) -> None:
    """Write beside the target and rename, so that no reader ever sees half a file."""
    part = dst.with_name(dst.name + ".part")
    out = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        for first in range(0, len(pieces), _AT_ONCE):
            _write_all(out, pieces[first : first + _AT_ONCE])
    finally:
        os.close(out)
    part.replace(dst)


def _write_all(out: int, pieces: list[Buffer]) -> None:
    """Write pieces in one call, and then what a full disk or the limit of a call (2 GiB) left over."""
    done = os.writev(out, pieces)
    for piece in pieces:
        left = memoryview(piece)[done:]
        done = max(0, done - len(piece))
        while left:
            left = left[os.write(out, left) :]
