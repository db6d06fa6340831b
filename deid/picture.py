"""Pixel data and lookup tables: kept, but nothing beside the picture travels in them.

Native pixel data are as long as rows, columns, bits and frames ask for; what lies behind is left out. Bits of a pixel cell that are no part of the value
(PS3.5 section 8.1.1; overlays used to be drawn in them) are cleared, or carry the sign. Compressed pixels are taken apart by `deid.streams`.
A lookup table that holds text is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from deid import objects, streams, values
from deid.errors import Refused
from deid.tree import PIXEL_DATA, Buffer, Element, File

HIGH_BIT, BITS_STORED, SIGNED = 0x00280102, 0x00280101, 0x00280103
_PRINTABLE = re.compile(rb"[\x20-\x7e]{4,}")


def native(element: Element, top: dict[int, Element]) -> tuple[Element, str]:
    """The pixel data element to write, and what was done to it ("" for nothing). top: the data set's elements by tag."""
    need = objects.expected_bytes(top)
    value: Buffer = element.value or b""
    done = "bytes behind the last frame" if len(value) > need + (need & 1) else ""
    bits = int(values.number(top.get(objects.ALLOCATED)))
    kept: Buffer = memoryview(value)[:need]
    fresh = only_value_bits(kept, bits, *(int(values.number(top.get(tag), -1)) for tag in (BITS_STORED, HIGH_BIT, SIGNED)))
    if fresh is not None:
        kept, done = fresh, "bits that are no part of the picture"
    return Element(PIXEL_DATA, "OB" if bits <= 8 and element.vr == "OB" else "OW", kept), done


def only_value_bits(value: Buffer, allocated: int, stored: int, high: int, signed: int) -> bytes | None:
    """Pixel cells with every bit outside the value cleared (of signed values: set to the sign); None where they are so already.

    allocated, stored, high: bits, as in PS3.5 8.1.1. Values that describe no such cell leave everything as it is.
    """
    if allocated not in (8, 16, 32) or not 1 <= stored < allocated or not stored - 1 <= high < allocated:
        return None
    cells = np.frombuffer(value, f"<u{allocated // 8}")
    field = ((1 << stored) - 1) << (high - stored + 1)
    outside = (1 << allocated) - 1 ^ field
    if not int(np.bitwise_or.reduce(cells, initial=0)) & outside:
        return None
    kind = cells.dtype.type
    fresh = cells & kind(field)
    if signed == 1:
        above = (1 << allocated) - (1 << (high + 1))
        fresh = np.where(fresh & kind(1 << high), fresh | kind(above), fresh)
    return None if np.array_equal(fresh, cells) else fresh.astype(cells.dtype).tobytes()


def compressed(file: File, top: dict[int, Element]) -> tuple[list[Buffer], int]:
    """The fragments to write and how many bytes were left out. Raises Refused as `streams.clean` does."""
    frames = max(1, int(values.number(top.get(objects.FRAMES), 1)))
    rows, columns = int(values.number(top.get(objects.ROWS))), int(values.number(top.get(objects.COLUMNS)))
    if file.fragments is None:
        raise Refused("no_pixels")
    return streams.clean(file.syntax, file.fragments, frames, rows, columns)


def is_table(element: Element, carries: Callable[[str], bool]) -> bool:
    """Whether a lookup table holds numbers and no text. carries: whether a text holds a value that identifies."""
    raw = element.bytes
    runs = _PRINTABLE.findall(raw) + _PRINTABLE.findall(raw.replace(b"\0", b""))
    return not any(carries(run.decode("ascii")) for run in runs) and sum(len(run) for run in _PRINTABLE.findall(raw)) <= len(raw) // 2
