"""Compressed pictures carry text of their own: comments, application segments, boxes, bytes behind the end. They go; what the decoder needs stays, bit for bit.

* JPEG and JPEG-LS (ISO/IEC 10918-1 B.1, 14495-1 C): COM and APPn segments go, but for the colour facts a decoder may ask for, which are written anew: JFIF
  (APP0, its thumbnail left out), Adobe's colour transform (APP14) and that of JPEG-LS (APP8 `mrfx`).
* JPEG 2000 and its high-throughput form (ISO/IEC 15444-1 Annex A): COM segments go from the main and the tile-part headers, tile-part lengths are corrected;
  of a JP2 file only the codestream stays.
* RLE (PS3.5 Annex G): a segment ends where its bytes are all there.

Each frame becomes one fragment. What does not parse as its kind is refused: a stream that cannot be taken apart cannot be shown to be clean.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from itertools import pairwise

from deid.errors import Refused
from deid.tree import RLE, Buffer

_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{tail}" for tail in ("90", "91", "92", "93", "201", "202", "203"))
_JPEG_LS = frozenset(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"))
_ENTROPY_END = re.compile(rb"\xff+[\xc0-\xcf\xd8-\xfe]")  # FF00 is a stuffed byte, FFD0..FFD7 restart
_ENTROPY_END_LS = re.compile(rb"\xff+[\x80-\xfe]")  # in JPEG-LS the byte after FF has its highest bit stuffed with 0
_FRAME_HEADS = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7))


def clean(syntax: str, fragments: Sequence[Buffer], frames: int, rows: int, columns: int) -> tuple[list[Buffer], int]:
    """The fragments with nothing in them but pictures, one per frame; and how many bytes were left out.

    frames, rows, columns: as declared. Raises Refused (truncated, malformed, pixels_do_not_fit).
    """
    pictures = _pictures(syntax, fragments, frames)
    out: list[Buffer] = []
    for picture in pictures:
        try:
            if syntax == RLE:
                out.append(_rle(picture, rows * columns))
            elif syntax in _JPEG_2000:
                out.append(_jpeg_2000(_codestream(picture), rows, columns))
            else:
                out.append(_jpeg(picture, rows, columns, syntax in _JPEG_LS))
        except (struct.error, IndexError):
            raise Refused("truncated") from None
    return out, sum(map(len, fragments)) - sum(map(len, out))


def _pictures(syntax: str, fragments: Sequence[Buffer], frames: int) -> list[bytes]:
    """The fragments put together frame by frame: a frame begins where its stream does (PS3.5 A.4)."""
    if len(fragments) == frames:
        return [bytes(f) for f in fragments]
    if frames == 1 and syntax != RLE:
        return [b"".join(bytes(f) for f in fragments)]
    starts = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ") if syntax in _JPEG_2000 else (b"\xff\xd8\xff",)
    out: list[list[bytes]] = []
    for fragment in map(bytes, fragments):
        if not out or fragment.startswith(starts):
            out.append([])
        out[-1].append(fragment)
    if syntax == RLE or len(out) != frames:
        raise Refused("pixels_do_not_fit")
    return [b"".join(parts) for parts in out]


# --- JPEG and JPEG-LS -------------------------------------------------------------------------------------------------------------------------------------


def _jpeg(data: bytes, rows: int, columns: int, ls: bool) -> bytes:
    if data[:2] != b"\xff\xd8":
        raise Refused("malformed")
    out, pos, scans = [b"\xff\xd8"], 2, 0
    while True:
        while data[pos] == 0xFF and data[pos + 1] == 0xFF:
            pos += 1  # fill bytes
        if data[pos] != 0xFF:
            raise Refused("malformed")
        mark = data[pos + 1]
        if mark == 0xD9:
            if not scans:
                raise Refused("malformed")
            out.append(b"\xff\xd9")
            return b"".join(out)
        size = struct.unpack_from(">H", data, pos + 2)[0]
        segment, pos = data[pos : pos + 2 + size], pos + 2 + size
        if size < 2 or len(segment) < size + 2:
            raise Refused("truncated")
        if mark in _FRAME_HEADS:
            _fits(struct.unpack_from(">HH", segment, 5), rows, columns)
        out.append(_kept(mark, segment))
        if mark == 0xDA:
            end = (_ENTROPY_END_LS if ls else _ENTROPY_END).search(data, pos)
            if end is None:
                raise Refused("truncated")
            out.append(data[pos : end.start()])
            pos, scans = end.end() - 2, scans + 1


def _kept(mark: int, segment: bytes) -> bytes:
    """A marker segment as it is written: application data by what they say about colour, comments not at all."""
    content = segment[4:]
    if mark == 0xE0 and content[:5] == b"JFIF\0" and len(content) >= 14:
        return b"\xff\xe0\0\x10" + content[:12] + b"\0\0"
    if mark == 0xEE and content[:5] == b"Adobe" and len(content) >= 12:
        return b"\xff\xee\0\x0e" + b"Adobe\0\x64\0\0\0\0" + content[11:12]
    if mark == 0xE8 and content[:4] == b"mrfx" and len(content) >= 5:
        return b"\xff\xe8\0\x07" + content[:5]
    if 0xE0 <= mark <= 0xEF or mark == 0xFE:
        return b""
    if mark < 0xC0 or 0xD0 <= mark <= 0xD8 or 0xF0 <= mark <= 0xF6 or 0xF9 <= mark <= 0xFD:
        raise Refused("malformed")  # no segment of a picture
    return segment


def _fits(size: tuple[int, ...], rows: int, columns: int) -> None:
    """A stream of another size than declared is not the picture that the header speaks of. A height of 0 is told later in the stream (DNL)."""
    if size[0] not in (0, rows) or size[1] != columns:
        raise Refused("pixels_do_not_fit")


# --- JPEG 2000 --------------------------------------------------------------------------------------------------------------------------------------------


def _codestream(data: bytes) -> bytes:
    """The bare codestream; out of a JP2 file, its box of that name (ISO/IEC 15444-1 Annex I)."""
    if data[:4] == b"\xff\x4f\xff\x51":
        return data
    pos = 0
    while data[4:8] == b"jP  " and pos + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, pos)
        start = pos + 8
        if size == 1:
            size, start = struct.unpack_from(">Q", data, start)[0], start + 8
        end = len(data) if size == 0 else pos + size
        if kind == b"jp2c":
            return data[start:end]
        if end <= pos:
            break
        pos = end
    raise Refused("malformed")


def _jpeg_2000(data: bytes, rows: int, columns: int) -> bytes:
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)  # SIZ: Xsiz, Ysiz, XOsiz, YOsiz
    _fits((bottom - top, right - left), rows, columns)
    segments, pos = _segments(data, 2, b"\xff\x90", True)
    out = [b"\xff\x4f", *segments]
    parts = 0
    while data[pos : pos + 2] == b"\xff\x90":
        index, length, part, count = struct.unpack_from(">HIBB", data, pos + 4)
        end = pos + length if length else _last_part_end(data)
        if end > len(data):
            raise Refused("truncated")
        kept, body = _segments(data, pos + 12, b"\xff\x93", False)
        if body > end:
            raise Refused("malformed")
        head, rest = b"".join(kept), data[body:end]
        out += [b"\xff\x90\0\x0a", struct.pack(">HIBB", index, 12 + len(head) + len(rest), part, count), head, rest]
        pos, parts = end, parts + 1
    if data[pos : pos + 2] != b"\xff\xd9" or not parts:
        raise Refused("truncated")
    return b"".join([*out, b"\xff\xd9"])


def _last_part_end(data: bytes) -> int:
    """Where a tile-part of unknown length ends: before the end marker of the codestream."""
    end = data.rfind(b"\xff\xd9")
    if end < 0:
        raise Refused("truncated")
    return end


def _segments(data: bytes, pos: int, until: bytes, main: bool) -> tuple[list[bytes], int]:
    """The marker segments from `pos` up to the marker `until`: comments go; the list of tile-part lengths (TLM, optional) would be wrong, and goes too."""
    out = []
    while data[pos : pos + 2] != until:
        if data[pos] != 0xFF or data[pos + 1] < 0x50:
            raise Refused("malformed")
        mark, size = data[pos + 1], struct.unpack_from(">H", data, pos + 2)[0]
        segment = data[pos : pos + 2 + size]
        if size < 2 or len(segment) < 2 + size:
            raise Refused("truncated")
        if mark != 0x64 and not (main and mark == 0x55):
            out.append(segment)
        pos += 2 + size
    return out, pos


# --- RLE --------------------------------------------------------------------------------------------------------------------------------------------------


def _rle(data: bytes, pixels: int) -> bytes:
    """Each segment up to the byte that completes its plane; unused offsets of the header are zero (PS3.5 G.3 to G.5)."""
    header = struct.unpack_from("<16I", data, 0)
    count = header[0]
    if not 1 <= count <= 15:
        raise Refused("malformed")
    offsets = [*header[1 : 1 + count], len(data)]
    parts, at = [], 64
    starts = []
    for start, end in pairwise(offsets):
        if start > len(data):
            raise Refused("truncated")
        if not 64 <= start <= end:
            raise Refused("malformed")
        part = data[start : _packed_end(data, start, end, pixels)]
        parts.append(part + b"\0" * (len(part) & 1))
        starts.append(at)
        at += len(parts[-1])
    return struct.pack("<16I", count, *starts, *[0] * (15 - count)) + b"".join(parts)


def _packed_end(data: bytes, pos: int, end: int, pixels: int) -> int:
    """Where the runs that make `pixels` bytes end."""
    made = 0
    while made < pixels:
        if pos >= end:
            raise Refused("truncated")
        run = data[pos]
        if run < 128:
            made += run + 1
            pos += run + 2
        elif run > 128:
            made += 257 - run
            pos += 2
        else:
            pos += 1
    if pos > end:
        raise Refused("truncated")
    return pos
