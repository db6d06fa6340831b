"""What stands around a data set: the preamble, group 0002, the deflation, and how to tell what a file is that has none of them.

A file may lack its preamble, its meta information, or both; it is DICOM all the same where its first elements are. What group 0002 says about the encoding is
checked against the first elements, for it can lie: explicit VR shows its two letters in every element. Both readings are tried before a file is refused.

Sources: PS3.10 section 7.1; PS3.5 Annex A.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from itertools import pairwise
from pathlib import Path

from deid.errors import Refused
from deid.reading import VR_BYTES, Reader
from deid.tree import BIG, COMPRESSED, DEFLATED, EXPLICIT, IMPLICIT, UNDEFINED, Buffer, Element, File, known_vr

MAX_INFLATED = 256 * 1024 * 1024
MAP_ABOVE = 64 * 1024 * 1024  # larger files are mapped, not read
_FIRST_GROUPS = frozenset([0x0002, 0x0004, 0x0008, 0x0010, 0x0018, 0x0020])  # what a data set without meta information may begin with


def read(path: Path | str) -> File:
    """Parse one file.

    Raises `Refused` (not_dicom, dicomdir, truncated, malformed, nested_too_deep, too_many_elements, inflates_too_much, unknown_transfer_syntax).
    """
    return parse(load(path))


def load(path: Path | str) -> Buffer:
    """The bytes of a file; a large one is mapped, not read."""
    source = os.open(path, os.O_RDONLY)  # half the price of a file object, which matters where most files are small
    try:
        size = os.fstat(source).st_size
        if size > MAP_ABOVE:
            return memoryview(mmap.mmap(source, 0, access=mmap.ACCESS_READ))
        data = os.read(source, size + 1)
        return data if len(data) == size else Path(path).read_bytes()  # it changes while we read, or tells no size
    finally:
        os.close(source)


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
    start = pos
    if syntax == DEFLATED:
        data, pos = _inflate(data[pos:]), 0
    try:
        elements, reader = _elements(data, pos, syntax)
    except Refused as refusal:
        # Without preamble and meta nothing says that this is DICOM at all.
        if not meta and not preamble and refusal.code == "malformed":
            raise Refused("not_dicom") from None
        raise
    if not syntax:
        syntax = (EXPLICIT if reader.explicit else IMPLICIT) if reader.fragments is None else ""
    if syntax not in (IMPLICIT, EXPLICIT, BIG, DEFLATED) and syntax not in COMPRESSED:
        raise Refused("unknown_transfer_syntax")
    if syntax in (IMPLICIT, EXPLICIT) and not reader.big:
        syntax = EXPLICIT if reader.explicit else IMPLICIT
    out = File(syntax, meta, elements, preamble, reader.trailing, [], reader.fragments, start)
    _single(out)
    return out


def _elements(data: Buffer, pos: int, syntax: str) -> tuple[list[Element], Reader]:
    """The data set, read as it looks, or else as the other of explicit and implicit."""
    explicit, big = _encoding(data, pos, syntax, pos > 0)
    reader = Reader(data, explicit, big)
    try:
        return reader.elements(pos, len(data), 0)[0], reader
    except Refused as refusal:
        if refusal.code not in ("malformed", "truncated"):
            raise
        other = Reader(data, not explicit, big)
        try:
            elements = other.elements(pos, len(data), 0)[0]
        except Refused:
            raise refusal from None
        if not _plausible(elements):
            raise
        return elements, other


def _plausible(elements: list[Element]) -> bool:
    """Whether what was read against appearances is a data set: in ascending order, and of attributes that the dictionary knows."""
    tags = [element.tag for element in elements]
    known = sum(known_vr(tag) != "UN" for tag in tags if not tag >> 16 & 1)
    return len(tags) > 2 and all(a < b for a, b in pairwise(tags)) and 2 * known > sum(not tag >> 16 & 1 for tag in tags)


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
    """Group 0002 (always explicit little endian), the transfer syntax in it ("" where it names none), and where the data set starts.

    Raises Refused (truncated, malformed, dicomdir).
    """
    out: list[Element] = []
    syntax = ""
    reader = Reader(data, True)
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


def _encoding(data: Buffer, pos: int, syntax: str, surely: bool) -> tuple[bool, bool]:
    """Whether the data set is explicit, and whether big endian: looked up, then looked at, for files that lie about it. surely: it is known to be DICOM."""
    first = bytes(data[pos : pos + 6])
    looks_explicit = first[4:6] in VR_BYTES
    if syntax == BIG:
        return looks_explicit, True
    if not syntax:
        group, swapped = int.from_bytes(first[:2], "little"), int.from_bytes(first[:2], "big")
        if swapped in _FIRST_GROUPS and group not in _FIRST_GROUPS:
            return looks_explicit, True
        if not surely and group not in _FIRST_GROUPS:
            raise Refused("not_dicom")
    return looks_explicit, False
