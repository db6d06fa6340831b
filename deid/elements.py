"""One DICOM file as a flat list of elements: read strictly, written plainly.

The nouns are in `deid.tree`, the reading of a data set in `deid.reading`, what stands around it in `deid.envelope`, the writing in `deid.writing`. This is the
one door to them.
"""

from __future__ import annotations

from deid.envelope import MAP_ABOVE, MAX_INFLATED, load, parse, read, read_meta
from deid.reading import MAX_DEPTH, MAX_ELEMENTS, items_in, swap
from deid.tree import (
    BIG,
    CHARSET,
    COMPRESSED,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    LONG,
    PIXEL_DATA,
    TRAILING_PADDING,
    UNDEFINED,
    VRS,
    WIDTH,
    Buffer,
    Element,
    File,
    Item,
    known_vr,
    walk,
)
from deid.writing import body, encode, head

__all__ = [
    "BIG",
    "CHARSET",
    "COMPRESSED",
    "DEFLATED",
    "EXPLICIT",
    "IMPLICIT",
    "LONG",
    "MAP_ABOVE",
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "MAX_INFLATED",
    "PIXEL_DATA",
    "TRAILING_PADDING",
    "UNDEFINED",
    "VRS",
    "WIDTH",
    "Buffer",
    "Element",
    "File",
    "Item",
    "body",
    "encode",
    "head",
    "items_in",
    "known_vr",
    "load",
    "parse",
    "read",
    "read_meta",
    "swap",
    "walk",
]
