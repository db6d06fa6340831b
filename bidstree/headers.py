"""Read the few plane attributes of a classic image straight from the bytes: elements stand in order of their tags, so reading stops where they end.

A series can be thousands of files; a general reader spends milliseconds on the private groups of each. This one walks the elements of the data set up to
the last group it needs (0028; 0043 for GE, whose component lies there), steps over everything else by its length, and decodes only what is asked for.
DICOM PS3.5, sections 7.1 (data elements), 7.5 (sequences), A.1 to A.4 (transfer syntaxes). What is in any way unusual is left to pydicom (`None`).
"""

from __future__ import annotations

import functools
import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSIC_MR = "1.2.840.10008.5.1.4.1.1.4"
_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_LONG = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"})
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MAX_DEPTH = 16
_FIRST = 32768  # bytes of a file that are read at first: most headers end there
_PIXELS = b"\xe0\x7f\x10\x00"
_HEAD, _LENGTH = struct.Struct("<HH2sH"), struct.Struct("<I")

# tag -> (keyword, kind): text lists, whole numbers in binary.
_WANTED: dict[int, tuple[str, str]] = {
    0x00080008: ("ImageType", "text"),
    0x00080016: ("SOPClassUID", "text"),
    0x00080018: ("SOPInstanceUID", "text"),
    0x00080060: ("Modality", "text"),
    0x00080070: ("Manufacturer", "text"),
    0x00180080: ("RepetitionTime", "text"),
    0x00180081: ("EchoTime", "text"),
    0x00180082: ("InversionTime", "text"),
    0x00180088: ("SpacingBetweenSlices", "text"),
    0x00181314: ("FlipAngle", "text"),
    0x00189034: ("RectilinearPhaseEncodeReordering", "text"),
    0x0020000E: ("SeriesInstanceUID", "text"),
    0x00200013: ("InstanceNumber", "text"),
    0x00200032: ("ImagePositionPatient", "text"),
    0x00200037: ("ImageOrientationPatient", "text"),
    0x00200052: ("FrameOfReferenceUID", "text"),
    0x00280002: ("SamplesPerPixel", "whole"),
    0x00280006: ("PlanarConfiguration", "whole"),
    0x00280008: ("NumberOfFrames", "text"),
    0x00280010: ("Rows", "whole"),
    0x00280011: ("Columns", "whole"),
    0x00280030: ("PixelSpacing", "text"),
    0x00280100: ("BitsAllocated", "whole"),
    0x00280103: ("PixelRepresentation", "whole"),
    0x0043102F: ("GEComponent", "whole"),
}


Bytes = bytes | mmap.mmap


@dataclass(frozen=True)
class Head:
    """Keyword -> value (text: list of stripped strings; whole: int), and whether the file ends before its pixels should."""

    values: Mapping[str, list[str] | int] = field(default_factory=dict)
    short: bool = False
    native: bool = False  # whether the pixels are stored as they are (little endian, not compressed)

    def text(self, keyword: str) -> str:
        """First value as text, empty where absent."""
        value = self.values.get(keyword, "")
        return value[0] if isinstance(value, list) and value else str(value or "")

    def texts(self, keyword: str) -> list[str]:
        """All values as text."""
        value = self.values.get(keyword, [])
        return value if isinstance(value, list) else [str(value)]

    def whole(self, keyword: str, default: int = 0) -> int:
        """A binary whole number."""
        value = self.values.get(keyword, default)
        return value if isinstance(value, int) else default


def head(path: Path) -> Head | None:
    """The plane attributes of one classic MR file, or None where another reader must look (another object, syntax, or anything odd)."""
    with path.open("rb", buffering=0) as source:
        size = os.fstat(source.fileno()).st_size
        if size < 256:
            return None
        data = source.read(_FIRST)
        try:
            return _head(data, size)
        except (_Beyond, struct.error, IndexError, ValueError, UnicodeDecodeError):
            if len(data) == size:
                return None
        # What is asked for may lie farther in, behind a long private group.
        with mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            try:
                return _head(whole, size)
            except (_Beyond, struct.error, IndexError, ValueError, UnicodeDecodeError):
                return None


class _Beyond(Exception):
    """The walk came to the end of what was read."""


def _head(data: Bytes, size: int) -> Head | None:
    syntax, at = start(data)
    if not syntax:
        return None
    values, at = _walk(data, at, len(data), implicit=syntax == _IMPLICIT)
    if at + 8 > len(data) and len(data) < size:
        raise _Beyond
    found = Head(values)
    if found.text("SOPClassUID") != CLASSIC_MR or "MOSAIC" in found.texts("ImageType") or found.text("Manufacturer") == "UIH" or not found.whole("Rows"):
        return None
    frames = found.text("NumberOfFrames")
    if frames not in {"", "1"}:
        return None
    pixels = found.whole("Rows") * found.whole("Columns") * found.whole("SamplesPerPixel", 1) * found.whole("BitsAllocated", 16) // 8
    native = syntax in {_IMPLICIT, _EXPLICIT}
    return Head(values, short=native and size - at < pixels, native=native)


def start(data: Bytes) -> tuple[str, int]:
    """Transfer syntax and offset of the data set; an empty syntax where this reader must not go on (no preamble, big endian, deflated)."""
    if data[128:132] != b"DICM":
        return "", 0
    syntax, at = _meta(data)
    return ("", 0) if syntax in {"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"} else (syntax, at)


def pixels(path: Path) -> NDArray[Any] | None:
    """Stored values of an uncompressed image whose last element is PixelData: (rows, columns), more frames first, colour last, as pydicom gives them.

    None where another reader must look: another syntax, 1 or 32 bits, planes of colour, too little data, or anything odd.
    """
    if path.stat().st_size < 256:
        return None
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _pixels(data, len(data))
        except (struct.error, IndexError, ValueError, UnicodeDecodeError):
            return None


def _pixels(data: Bytes, size: int) -> NDArray[Any] | None:
    syntax, at = start(data)
    if syntax not in {_IMPLICIT, _EXPLICIT}:
        return None
    found = Head(_walk(data, at, size, implicit=syntax == _IMPLICIT)[0])
    samples, bits, planes = found.whole("SamplesPerPixel", 1), found.whole("BitsAllocated"), found.whole("PlanarConfiguration")
    if bits not in {8, 16} or samples not in {1, 3} or planes:
        return None
    kind = np.dtype(f"<{'i' if found.whole('PixelRepresentation') else 'u'}{bits // 8}")
    frames = int(found.text("NumberOfFrames") or "1")
    shape = (*((frames,) if frames > 1 else ()), found.whole("Rows"), found.whole("Columns"), *((3,) if samples == 3 else ()))
    length = int(np.prod(shape)) * kind.itemsize
    # The element's head right before the last `length` bytes: tag, (VR and two zeros,) length.
    tail = data[size - length - 12 : size - length]
    explicit = tail[:4] == _PIXELS and tail[4:8] in {b"OW\0\0", b"OB\0\0"}
    if length <= 0 or tail[8:12] != struct.pack("<I", length) or not (explicit or tail[4:8] == _PIXELS):
        return None
    return np.frombuffer(data[size - length :], kind).reshape(shape)


def _meta(data: Bytes) -> tuple[str, int]:
    """Transfer syntax and offset of the data set; group 2 is explicit little endian."""
    at, syntax = 132, ""
    while True:
        group, element = struct.unpack_from("<HH", data, at)
        if group != 2:
            return syntax, at
        long = data[at + 4 : at + 6] in _LONG
        length = struct.unpack_from("<I", data, at + 8)[0] if long else struct.unpack_from("<H", data, at + 6)[0]
        start = at + (12 if long else 8)
        if element == 0x0010:
            syntax = data[start : start + length].decode("ascii").strip("\0 ")
        at = start + length


def _walk(data: Bytes, at: int, size: int, *, implicit: bool) -> tuple[dict[str, list[str] | int], int]:
    """Wanted elements of the top level, and where reading stopped. One unpacking an element: a series is thousands of files of hundreds of elements."""
    values: dict[str, list[str] | int] = {}
    last, head_of, whole_length = 0x0028FFFF, _HEAD.unpack_from, _LENGTH.unpack_from
    while at + 8 <= size:
        group, element, vr, length = head_of(data, at)
        tag, start = group << 16 | element, at + 8
        if tag > last:
            break
        if implicit:
            length = whole_length(data, at + 4)[0]
        elif vr in _LONG:
            length, start = whole_length(data, start)[0], at + 12
        if length == _UNDEFINED:
            at = _skip(data, start, implicit, 0)
            continue
        if tag in _WANTED:
            keyword, kind = _WANTED[tag]
            raw = data[start : start + length]
            values[keyword] = _text(raw) if kind == "text" else _whole(raw, implicit or vr in {b"US", b"SS"})
            if keyword == "Manufacturer" and _text(raw) and _text(raw)[0].upper().startswith("GE"):
                last = 0x0043FFFF
        at = start + length
    return values, at


def _element(data: Bytes, at: int, implicit: bool) -> tuple[int, int, int]:
    """Tag, length of the value, and offset of the value."""
    group, element = struct.unpack_from("<HH", data, at)
    tag = group << 16 | element
    if implicit or group == 0xFFFE:
        return tag, struct.unpack_from("<I", data, at + 4)[0], at + 8
    if data[at + 4 : at + 6] in _LONG:
        return tag, struct.unpack_from("<I", data, at + 8)[0], at + 12
    return tag, struct.unpack_from("<H", data, at + 6)[0], at + 8


def _skip(data: Bytes, at: int, implicit: bool, depth: int) -> int:
    """Offset after a sequence of undefined length whose first item is at `at`."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    while True:
        tag, length, start = _element(data, at, implicit)
        if tag == _SEQUENCE_END:
            return start
        if tag != _ITEM:
            raise ValueError("an item was expected")
        at = start + length if length != _UNDEFINED else _skip_item(data, start, implicit, depth)


def _skip_item(data: Bytes, at: int, implicit: bool, depth: int) -> int:
    while True:
        tag, length, start = _element(data, at, implicit)
        if tag == _ITEM_END:
            return start
        at = start + length if length != _UNDEFINED else _skip(data, start, implicit, depth + 1)


@functools.lru_cache(maxsize=4096)
def _text(raw: bytes) -> list[str]:
    """Values of a text element. Files of a series repeat most of them, so they are kept; nobody changes the list."""
    text = raw.decode("latin-1").strip("\0 ")
    return [part.strip() for part in text.split("\\")] if text else []


def _whole(raw: bytes, binary: bool) -> int:
    """First value of a US or SS element; GE writes its component as SS."""
    if not binary or len(raw) < 2:
        raise ValueError("not a binary number")
    return int(struct.unpack_from("<H", raw)[0])
