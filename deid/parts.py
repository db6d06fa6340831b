"""A product taken apart into the pieces that can carry text, each with the manner in which it is read.

    DICOM   preamble, file meta, every element at every depth by its VR, private and unknown bytes, picture values, what follows the data set
    gzip    FNAME, FCOMMENT, FEXTRA of every member, what is inside, what follows (RFC 1952)
    NIfTI   the text fields of the header, the header as bytes, extensions, voxels, what follows (nifti1.h, nifti2.h)
    JSON    keys and values;  TSV, CSV  header and cells;  PNG  text chunks and all other bytes;  names of the file and its folders

A fixed word in its place is no text: a key that BIDS, DICOM or the converter defines, a datatype, an entity, a suffix. What stands beside it is.
"""

from __future__ import annotations

import itertools
import json
import re
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from deid import elements, values
from deid.dictionary import DicomDictionary
from deid.manners import OWN_CODE, Manner, Part
from deid.spoken import FREE_KEY, SEQUENCE_KEYS, Pairs, sidecar, spoken, table
from deid.unpacked import BLOCK, Inflated, Plain, nifti, shape_of

__all__ = ["Part", "of"]

REMEMBERED = 1024  # bytes of an element whose reading is remembered
METHOD, OWN = 0x00120063, frozenset({0x00100010, 0x00100020})  # where our seal stands, and our code
_SEAL = re.compile(r"(?:\A|(?<=\\))seal [A-Za-z0-9_-]{43}(?=\\|\Z)")
_BINARY_NUMBERS = frozenset(["FL", "FD", "OF", "OD", "OL", "OV", "UL", "SL", "US", "SS", "SV", "UV"])


def of(path: Path, name: str) -> Iterator[Part]:
    """Every part of one product. name: the file's name, with the folders that count as part of the product before it.

    Raises OSError, ValueError, zlib.error, EOFError, struct.error or `errors.Refused` where it cannot be opened as what it is.
    """
    yield from spoken(name)
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        yield from _packed(Inflated(data), path.name.lower().removesuffix(".gz"))
    elif data[128:132] == b"DICM" or path.suffix.lower() == ".dcm":
        yield from _dicom(data)
    else:
        yield from _content(data, path.name.lower())


def _packed(source: Inflated, name: str) -> Iterator[Part]:
    first = source.read(1024)
    if shape := shape_of(first):
        yield from nifti(first, shape, source)
    else:
        rest = bytearray(first)
        while chunk := source.read(BLOCK):
            rest += chunk
        yield from _content(bytes(rest), name)
    yield from source.asides


def _content(data: bytes, name: str) -> Iterator[Part]:
    if data[128:132] == b"DICM" or name.endswith(".dcm"):
        yield from _dicom(data)
    elif shape := shape_of(data):
        plain = Plain(data)
        yield from nifti(plain.read(1024), shape, plain)
    elif data[:8] == b"\x89PNG\r\n\x1a\n":
        yield from _png(data)
    elif name.endswith(".json"):
        yield from sidecar(json.loads(data.decode("utf-8-sig"), object_pairs_hook=Pairs), "")
    elif name.endswith((".tsv", ".csv")):
        yield from table(data.decode("utf-8-sig"), "\t" if name.endswith(".tsv") else ",")
    elif b"\0" not in data:
        for line in data.decode("utf-8", "replace").splitlines():
            yield Part("text", line, "numbers" if name.endswith((".bval", ".bvec")) and not re.search(r"[A-Za-df-z]", line) else "free")
        if not data.isascii():
            yield Part("text", data, "bytes")
    else:
        yield Part("bytes", data, "bytes")


def _png(data: bytes) -> Iterator[Part]:
    """PNG (ISO/IEC 15948): tEXt, zTXt, iTXt and eXIf chunks; every other byte of the file; inflated pixels."""
    pos, packed = 8, []
    while pos + 12 <= len(data):
        size, kind = struct.unpack_from(">L4s", data, pos)
        body = data[pos + 8 : pos + 8 + size]
        if kind in (b"tEXt", b"iTXt", b"eXIf"):
            yield Part("a PNG text chunk", body, "bytes")
        if kind in (b"zTXt", b"iTXt"):
            for at in [m.end() for m in re.finditer(rb"\0", body)][:5]:
                yield Part("a PNG text chunk", _inflated_or_nothing(body[at + 1 :] if kind == b"zTXt" else body[at:]), "bytes")
        if kind == b"IDAT":
            packed.append(body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt", b"eXIf"):
            pass
        else:
            yield Part("a PNG chunk", body, "bytes")
        pos += 12 + size
        if kind == b"IEND":
            break
    if pos < len(data):
        yield Part("bytes after the picture", data[pos:], "bytes")
    yield Part("voxels", _inflated_or_nothing(b"".join(packed)), "voxels")


def _inflated_or_nothing(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, 1 << 26)
    except zlib.error:
        return b""


@lru_cache(maxsize=8192)
def _how(tag: int, vr: str) -> tuple[str, Manner]:
    """Where an element stands, in words, and the manner in which its value is read."""
    where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
    fixed: dict[str, Manner] = {"DS": "numbers", "IS": "numbers", "TM": "clock", "DA": "day", "DT": "day", "UI": "uid", "AS": "text"}
    if vr in fixed:
        return where, fixed[vr]
    if vr in values.STRINGS:
        keyword = DicomDictionary[tag][4] if tag in DicomDictionary else ""
        if keyword in SEQUENCE_KEYS:
            return where, "sequence"
        private = tag >> 16 & 1
        return where, "free" if not private and keyword != "LUTLabel" and (vr in ("LT", "ST", "UT") or FREE_KEY.search(keyword)) else "text"
    if vr in _BINARY_NUMBERS or tag == elements.PIXEL_DATA:
        return where, "voxels"
    return where, "bytes"


def _dicom(data: bytes) -> list[Part]:
    file = elements.parse(data)
    out = [Part("preamble", file.preamble, "bytes")] if any(file.preamble) else []
    codecs = _codecs(file)
    for element in itertools.chain(file.meta, elements.walk(file.elements), elements.walk(file.duplicates)):
        value = element.value
        if value:
            out += _element(element.tag, element.vr, value, codecs) if len(value) <= REMEMBERED else _read(element.tag, element.vr, value, codecs)
    out += [Part("voxels", fragment, "voxels") for fragment in file.fragments or ()]
    if file.trailing:
        out.append(Part("bytes after the data set", data[-file.trailing :], "bytes"))
    return out


def _codecs(file: elements.File) -> tuple[str, ...]:
    declared = file.top().get(0x00080005)
    return values.encodings(values.text(declared)) if declared is not None else ("utf-8",)


def _read(tag: int, vr: str, value: elements.Buffer, codecs: tuple[str, ...]) -> tuple[Part, ...]:
    """One element. A string is read as declared; where it is not ASCII its bytes too, for a declared character set can lie. Our own seal and code are
    no text."""
    where, manner = _how(tag, vr)
    if manner == "voxels":
        return (Part(where, value, manner),) if len(value) >= 8 else ()
    if manner == "bytes":
        return (Part(where, bytes(value), manner),)
    text = values.text(elements.Element(tag, vr, value), codecs)
    if tag == METHOD and "seal " in text:
        text = _SEAL.sub("", text)
    if tag in OWN and OWN_CODE.match(text):
        return ()
    return (Part(where, text, manner),) if text.isascii() else (Part(where, text, manner), Part(where, bytes(value), "bytes"))


_element = lru_cache(maxsize=1 << 15)(_read)  # the elements of a series repeat
