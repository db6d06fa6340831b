"""The frames of an enhanced object, read straight from its functional groups: two levels of sequences hold all that geometry needs.

An enhanced MR object (DICOM PS3.3 C.7.6.16) says once for all frames, or once a frame, where a plane lies, how large its pixels are, its echo time and its
kind. Vendors fill the same groups with thousands of elements of their own, and a general reader takes seconds for them. This one walks every element once,
keeps a stack of the sequences it is in, and remembers a value only where (sequence, element) is on the list. Whatever is unusual is left to pydicom (`None`).
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field
from pathlib import Path

from bidstree import headers

# Enhanced MR, Enhanced MR Color, Legacy Converted Enhanced MR.
ENHANCED_MR = frozenset({"1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.3", "1.2.840.10008.5.1.4.1.1.4.4"})
_SHARED, _PER_FRAME = 0x52009229, 0x52009230
_ITEM, _SEQUENCE_END, _PIXELS = 0xFFFEE000, 0xFFFEE0DD, 0x7FE00010
_LONG = frozenset({b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV"})
_UNDEFINED = 0xFFFFFFFF
_MAX_DEPTH = 16

# Elements of the top level: keyword and kind as in `bidstree.headers`.
_TOP: dict[int, tuple[str, str]] = {
    0x00080008: ("ImageType", "text"),
    0x00080016: ("SOPClassUID", "text"),
    0x00080018: ("SOPInstanceUID", "text"),
    0x00080060: ("Modality", "text"),
    0x0020000E: ("SeriesInstanceUID", "text"),
    0x00200013: ("InstanceNumber", "text"),
    0x00200052: ("FrameOfReferenceUID", "text"),
    0x00280002: ("SamplesPerPixel", "whole"),
    0x00280008: ("NumberOfFrames", "text"),
    0x00280010: ("Rows", "whole"),
    0x00280011: ("Columns", "whole"),
    0x00280100: ("BitsAllocated", "whole"),
}
# (functional group's sequence, element) -> keyword and kind.
_GROUPS: dict[tuple[int, int], tuple[str, str]] = {
    (0x00209113, 0x00200032): ("ImagePositionPatient", "text"),
    (0x00209116, 0x00200037): ("ImageOrientationPatient", "text"),
    (0x00289110, 0x00280030): ("PixelSpacing", "text"),
    (0x00189114, 0x00189082): ("EffectiveEchoTime", "double"),
    (0x00189112, 0x00180080): ("RepetitionTime", "text"),
    (0x00189112, 0x00181314): ("FlipAngle", "text"),
    (0x00189115, 0x00189079): ("InversionTimes", "double"),
    (0x00189226, 0x00089007): ("FrameType", "text"),
    (0x00189226, 0x00089208): ("ComplexImageComponent", "text"),
}

Values = dict[str, list[str]]


@dataclass
class Enhanced:
    """`top`: the object's own values, `shared` and `frames`: those of the functional groups, all as lists of text; `short`: pixels are missing."""

    top: Values = field(default_factory=dict)
    shared: Values = field(default_factory=dict)
    frames: list[Values] = field(default_factory=list)
    short: bool = False

    def text(self, keyword: str) -> str:
        """First value of the top level, empty where absent."""
        return next(iter(self.top.get(keyword, [])), "")

    def of(self, n: int, keyword: str) -> list[str]:
        """Values of frame n: its own, else those shared by all."""
        return self.frames[n].get(keyword) or self.shared.get(keyword, [])


def read(path: Path) -> Enhanced | None:
    """The functional groups of one explicit little-endian enhanced MR file; None where another reader must look."""
    size = path.stat().st_size
    if size < 256:
        return None
    with path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _read(data, size)
        except (struct.error, IndexError, ValueError, UnicodeDecodeError):
            return None


def _read(data: headers.Bytes, size: int) -> Enhanced | None:
    syntax, at = headers.start(data)
    # The class stands near the beginning; other objects are not walked through.
    if not syntax or syntax == "1.2.840.10008.1.2" or not any(uid.encode() in data[at : at + 4096] for uid in ENHANCED_MR):
        return None
    found = Enhanced()
    stop = _walk(data, at, size, found)
    frames = int(found.text("NumberOfFrames") or "0")
    if found.text("SOPClassUID") not in ENHANCED_MR or not frames or len(found.frames) != frames or stop is None:
        return None
    if not all(found.text(keyword) for keyword in ("Rows", "Columns", "BitsAllocated")):
        return None
    native = syntax == "1.2.840.10008.1.2.1"
    expected = frames * int(found.text("Rows")) * int(found.text("Columns")) * int(found.text("SamplesPerPixel") or "1") * int(found.text("BitsAllocated")) // 8
    found.short = native and size - stop < expected
    return found


def _walk(data: headers.Bytes, at: int, size: int, found: Enhanced) -> int | None:
    """Fill `found`; the offset of the pixels, or None where there are none or the nesting is not what the standard knows."""
    stack: list[tuple[int, int]] = []  # sequences we are in: (tag, where it ends; 0 where a delimiter says so)
    here = found.top
    head_of, length_of = struct.Struct("<HH2sH").unpack_from, struct.Struct("<I").unpack_from
    while at + 8 <= size:
        while stack and 0 < stack[-1][1] <= at:
            stack.pop()
        group, element, vr, length = head_of(data, at)
        tag = group << 16 | element
        if group == 0xFFFE:
            at += 8
            if tag == _SEQUENCE_END:
                stack.pop()
            elif tag == _ITEM and len(stack) == 1 and stack[0][0] in {_SHARED, _PER_FRAME}:
                here = _next(found, stack[0][0])
            continue
        if vr == b"SQ":
            length = length_of(data, at + 8)[0]
            if length != _UNDEFINED and not _worth(tag, len(stack), stack[0][0] if stack else 0):
                at += 12 + length
                continue
            at += 12
            if len(stack) >= _MAX_DEPTH:
                return None
            stack.append((tag, 0 if length == _UNDEFINED else at + length))
            continue
        begin = at + 8
        if vr in _LONG:
            length, begin = length_of(data, begin)[0], at + 12
        if tag == _PIXELS and not stack:
            return begin
        if length == _UNDEFINED:
            return None
        wanted = _TOP.get(tag) if not stack else _GROUPS.get((stack[1][0], tag)) if len(stack) == 2 and stack[0][0] in {_SHARED, _PER_FRAME} else None
        if wanted:
            (here if stack else found.top)[wanted[0]] = _value(data[begin : begin + length], wanted[1])
        at = begin + length
    return None


def _worth(tag: int, depth: int, outermost: int) -> bool:
    """Whether a sequence of known length may hold what is asked for."""
    return tag in {_SHARED, _PER_FRAME} if depth == 0 else depth == 1 and outermost in {_SHARED, _PER_FRAME} and any(tag == one for one, _ in _GROUPS)


def _next(found: Enhanced, tag: int) -> Values:
    """Where the values of the item that begins now belong."""
    if tag == _SHARED:
        return found.shared
    found.frames.append({})
    return found.frames[-1]


def _value(raw: bytes, kind: str) -> list[str]:
    if kind == "whole":
        return [str(struct.unpack_from("<H", raw)[0])]
    if kind == "double":
        return [str(struct.unpack_from("<d", raw)[0])]
    text = raw.decode("latin-1").strip("\0 ")
    return [part.strip() for part in text.split("\\")] if text else []
