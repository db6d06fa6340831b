"""A DICOM file is a tree: a file holds elements, an element holds a value or a sequence of items, an item holds elements.

These are the nouns that the reader makes, the actions change and the writer writes. Values are kept as the bytes of the file, little endian, so that what
nobody needs to understand is never decoded. Sources: PS3.5 sections 6.2 (value representations), 7.1 (elements) and 7.5 (sequences).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from deid.dictionary import DicomDictionary

UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
TRAILING_PADDING = 0xFFFCFFFC
PIXEL_DATA = 0x7FE00010
CHARSET = 0x00080005

IMPLICIT, EXPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
RLE = "1.2.840.10008.1.2.5"
# Encapsulated syntaxes whose fragments may be carried over (PS3.5 Annex A.4).
COMPRESSED = frozenset(
    f"1.2.840.10008.1.2.{tail}" for tail in ["4.50", "4.51", "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "4.92", "4.93", "4.201", "4.202", "4.203", "5"]
)

_LONG, _SHORT = "OB OD OF OL OV OW SQ SV UC UN UR UT UV", "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US"
LONG = frozenset(_LONG.split())  # their length field has 32 bits
VRS = LONG | frozenset(_SHORT.split())
WIDTH = {"US": 2, "SS": 2, "OW": 2, "AT": 2, "UL": 4, "SL": 4, "FL": 4, "OF": 4, "OL": 4, "FD": 8, "OD": 8, "OV": 8, "SV": 8, "UV": 8}
NUL_PADDED = frozenset(["UI", "OB", "OD", "OF", "OL", "OV", "OW", "UN"])  # the others are padded with a blank (PS3.5 6.2)

Buffer = bytes | memoryview


class Element:
    """tag: 0xggggeeee; vr: two letters; value: encoded little-endian bytes, or None where `items` holds a sequence; undefined: its length was left open.

    encoded: the element as it is written, where somebody has already made it.
    """

    __slots__ = ("encoded", "items", "tag", "undefined", "value", "vr")

    def __init__(self, tag: int, vr: str, value: Buffer | None, items: list[Item] | None = None, undefined: bool = False) -> None:
        self.tag = tag
        self.vr = vr
        self.value = value
        self.items = items
        self.undefined = undefined
        self.encoded: Buffer | None = None

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
    """What one file holds: elements in ascending order, each tag once; `duplicates`: what stood there twice; `trailing`: bytes behind the data set.

    `fragments`: the encapsulated pixel stream without its offset table, else None. `start`: where the data set begins in the file's bytes.
    """

    syntax: str
    meta: list[Element]
    elements: list[Element]
    preamble: bytes = b""
    trailing: int = 0
    duplicates: list[Element] = field(default_factory=list)
    fragments: list[Buffer] | None = None
    start: int = 0

    def top(self) -> dict[int, Element]:
        """The data set's own elements by tag."""
        return {element.tag: element for element in self.elements}


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


def walk(elements: list[Element]) -> Iterator[Element]:
    """Every element at every depth, parents before children."""
    for element in elements:
        yield element
        for item in element.items or ():
            yield from walk(item.elements)
