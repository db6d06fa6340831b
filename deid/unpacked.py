"""Gzip and NIfTI, taken apart in order and in bounded memory.

gzip (RFC 1952): FNAME, FCOMMENT and FEXTRA of every member, what is inside, what follows the last. NIfTI (nifti1.h, nifti2.h): the text fields of the
header, the header as bytes, extensions, voxels in blocks, and what follows them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from deid.manners import Part

MAX_INFLATED = 8 * 1024**3
BLOCK = 1 << 24
OVERLAP = 256  # of two blocks of voxels, so that a value on their border is seen


class Inflated:
    """The content of a gzip file, to be read in order; its header fields and what follows it are gathered on the way."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.asides: list[Part] = []
        self.left = MAX_INFLATED
        self._chunks = self._inflate()
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        pieces, have = [self._rest], len(self._rest)
        while have < size and (chunk := next(self._chunks, b"")):
            pieces.append(chunk)
            have += len(chunk)
        whole = b"".join(pieces)
        self._rest = whole[size:]
        return whole[:size]

    def _inflate(self) -> Iterator[bytes]:
        pos = 0
        while self.data[pos : pos + 2] == b"\x1f\x8b":
            engine = zlib.decompressobj(-15)
            feed = self.data[self._header(pos) :]
            while not engine.eof:
                chunk = engine.decompress(feed, BLOCK)
                feed = engine.unconsumed_tail
                self.left -= len(chunk)
                if self.left < 0:
                    raise ValueError("inflates too much")
                if chunk:
                    yield chunk
                elif not feed and not engine.eof:
                    raise EOFError("a gzip member is cut short")
            pos = len(self.data) - len(engine.unused_data) + 8
        if pos < len(self.data):
            self.asides.append(Part("bytes after the gzip stream", self.data[pos:], "bytes"))

    def _header(self, pos: int) -> int:
        flags = self.data[pos + 3]
        pos += 10
        if flags & 4:
            size = int.from_bytes(self.data[pos : pos + 2], "little")
            self.asides.append(Part("gzip extra field", self.data[pos + 2 : pos + 2 + size], "bytes"))
            pos += 2 + size
        for bit, what in ((8, "gzip file name"), (16, "gzip comment")):
            if flags & bit:
                end = self.data.index(b"\0", pos)
                text = self.data[pos:end]
                self.asides += [Part(what, text.decode("latin-1"), "free"), Part(what, text.decode("utf-8", "replace"), "free"), Part(what, text, "bytes")]
                pos = end + 1
        return pos + (2 if flags & 2 else 0)


class Plain:
    """Bytes to be read in order."""

    def __init__(self, data: bytes) -> None:
        self.data, self.pos = data, 0

    def read(self, size: int) -> bytes:
        self.pos += size
        return self.data[self.pos - size : self.pos]


class Shape(NamedTuple):
    """Where things stand in a NIfTI header: sizes in bytes."""

    header: int
    offset: int
    voxels: int
    fields: tuple[tuple[str, int, int], ...]


def shape_of(first: bytes) -> Shape | None:
    if len(first) >= 352 and first[344:347] in (b"n+1", b"ni1"):
        order = "<" if struct.unpack_from("<i", first)[0] == 348 else ">"
        dim, bits = struct.unpack_from(f"{order}8h", first, 40), struct.unpack_from(f"{order}h", first, 72)[0]
        offset = int(struct.unpack_from(f"{order}f", first, 108)[0]) or 352
        fields: tuple[tuple[str, int, int], ...] = (
            ("data_type", 4, 14),
            ("db_name", 14, 32),
            ("descrip", 148, 228),
            ("aux_file", 228, 252),
            ("intent_name", 328, 344),
        )
        size = 348
    elif len(first) >= 544 and first[4:7] in (b"n+2", b"ni2"):
        order = "<" if struct.unpack_from("<i", first)[0] == 540 else ">"
        dim, bits = struct.unpack_from(f"{order}8q", first, 16), struct.unpack_from(f"{order}h", first, 14)[0]
        offset = int(struct.unpack_from(f"{order}q", first, 168)[0]) or 544
        fields = (("descrip", 240, 320), ("aux_file", 320, 344), ("intent_name", 508, 524))
        size = 540
    else:
        return None
    count = 1
    for extent in dim[1 : 1 + max(0, min(7, dim[0]))]:
        count *= max(1, extent)
    return Shape(size, max(offset, size), max(0, bits) * count // 8, fields)


def nifti(first: bytes, shape: Shape, source: Inflated | Plain) -> Iterator[Part]:
    """A header as text fields and as bytes, extensions, voxels in blocks, and what follows them."""
    if shape.offset > MAX_INFLATED:
        raise ValueError("voxels begin outside the file")
    head = first + source.read(shape.offset - len(first)) if shape.offset > len(first) else first
    for where, start, end in shape.fields:
        yield Part(where, head[start:end].replace(b"\0", b" ").decode("latin-1"), "free")
        yield Part(where, head[start:end].replace(b"\0", b" ").decode("utf-8", "replace"), "free")
    yield Part("header", head[: shape.header], "bytes")
    if shape.offset > shape.header:
        yield Part("extensions", head[shape.header : shape.offset], "bytes")
    have, left = head[shape.offset :], shape.voxels
    while left > 0:
        block = have if len(have) >= min(left, BLOCK) else have + source.read(min(left, BLOCK) - len(have))
        if not block:
            break
        inside = min(left, len(block))
        yield Part("voxels", block[:inside], "voxels")
        left -= inside
        # The last bytes are looked at twice.
        have = block[inside:] if not left else block[max(0, inside - OVERLAP) :]
        left += min(OVERLAP, inside) if left and len(block) > OVERLAP else 0
        if left and len(block) <= OVERLAP:
            break
    rest = have + source.read(BLOCK)
    while rest:
        yield Part("bytes after the image", rest, "bytes")
        rest = source.read(BLOCK)
