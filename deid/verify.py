"""Look at a result as a stranger would: the last gate.

Every product is opened, decompressed and split into the parts that can carry text; each value that was taken out of any file of the participant is looked
for in
them. A hit withholds the product. The rules, so that people can argue with them:

1. Text is compared folded: case, accents and width do not matter.
2. A value of four characters or more is looked for as a substring; a hit that is only a piece of a longer word of the imaging vocabulary (`tran` in
`transversal`) is none.
3. A name of two or three characters, and a bare number, is looked for as a whole token. Single characters are not looked for.
4. A name that is itself vocabulary (a patient called White or Philips), or has two or three characters, is looked for in free text only (descriptions,
comments, names of
   files): elsewhere it says nothing. Values of that kind that name no person (a station called FMRI), and numbers of fewer than five digits, are not
   looked for.
5. A person name is looked for word by word; other text as a whole and by each of its words of four letters or more that are not vocabulary, and by each
run of
   five digits or more.
6. A date is looked for in the usual forms (20240131, 2024-01-31, 31.01.2024, 01/31/2024, ...), also at the start of a longer number.
7. UIDs are looked for as wholes. Values of six characters or more are looked for in base64 and hexadecimal too; binary parts also as UTF-16.
8. Voxels are searched for values of eight characters or more, in runs of printable bytes.

A finding says where and what kind, never the value.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import struct
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from deid import dates, descriptors, elements, values
from deid.errors import Refused

MAX_INFLATED = 4 * 1024**3
VOXEL_MIN = 8
_UID = re.compile(r"\d+(?:\.\d+){3,}")
_EXTENSIONS = frozenset([".dcm", ".nii", ".gz", ".json", ".tsv", ".csv", ".bval", ".bvec", ".png", ".txt", ".md", ".html"])
_TOKEN = re.compile(r"[^\W_]+")
_PRINTABLE = re.compile(rb"[\x20-\x7e]{4,}")
_FREE_KEYS = re.compile(r"(Description|Comments?|ProtocolName|Explanation|Label|History|Note|Name|Text|descrip|aux_file|intent_name|db_name)$", re.I)
_MACHINE_KEYS = re.compile(
    r"^(Manufacturers?|ManufacturersModelName|ManufacturerModelName|SequenceName|PulseSequenceName|ReceiveCoilName|TransmitCoilName|.*CoilManufacturerName)$"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A removed value was found. where: which product (by number, from 0, in the order given) and which part of it; kind: how it was written there."""

    where: str
    kind: str


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of a product. `free`: what people typed; `binary`: bytes read as Latin-1; `voxels`: runs of printable bytes among picture values."""

    where: str
    text: str
    free: bool = False
    binary: bool = False
    voxels: bool = False


class Needles:
    """The removed values, made ready to be looked for."""

    def __init__(self, removed: Iterable[str]) -> None:
        self.uids: set[str] = set()
        self.long: set[str] = set()
        self.tokens: set[str] = set()
        self.free_tokens: set[str] = set()
        self.date_forms: set[str] = set()
        for value in removed:
            self._add(value.strip(" \0"))
        encodable = sorted(v for v in self.long if len(v) >= 6)
        self.hexes = {v.encode().hex() for v in encodable}
        self.base64s = {form for v in encodable for spelling in {v, v.upper(), v.title()} for form in _base64_cores(spelling.encode())}
        self.dates = _any_of(self.date_forms, r"(?<![\d.])", r"")

    def _add(self, value: str) -> None:
        if _UID.fullmatch(value):
            self.uids.add(value)
            return
        if date := (
            dates.parse_date(value[:8]) if value[:8].isdecimal() and len(value) >= 8 and not re.fullmatch(r"\d{9,13}", value) else dates.parse_date(value)
        ):
            y, m, d = f"{date.year:04d}", f"{date.month:02d}", f"{date.day:02d}"
            self.date_forms |= {f"{y}{m}{d}", *(f"{y}{s}{m}{s}{d}" for s in "-/. "), *(f"{a}{s}{b}{s}{y}" for s in "-/." for a, b in ((d, m), (m, d)))}
            if len(value) == 8 or not value.isdecimal():
                return
        folded = fold(value)
        parts = {folded} if len(folded) <= 64 else set()
        parts.update(descriptors.name_parts(value) if "^" in value else [w for w in re.findall(r"[^\W\d_]{4,}", folded) if w not in descriptors.vocabulary()])
        parts.update(re.findall(r"\d{5,}", folded))
        for part in parts:
            self._place(part, "^" in value)

    def _place(self, part: str, person: bool) -> None:
        words = re.findall(r"[^\W\d_]+", part)
        if len(part) < 2:
            return
        if part.isdecimal():
            if len(part) >= 5 or person:
                (self.tokens if len(part) >= 5 else self.free_tokens).add(part)
        elif len(part) < 4 or (words and all(w in descriptors.vocabulary() or len(w) < 3 for w in words) and sum(c.isdecimal() for c in part) < 3):
            if person:
                self.free_tokens.add(part)
        else:
            self.long.add(part)


def fold(text: str) -> str:
    """Folded for comparison: compatibility forms, accents and case are gone, blanks collapsed."""
    if text.isascii():
        return " ".join(text.lower().split())
    plain = unicodedata.normalize("NFKD", text)
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).casefold().split())


def _base64_cores(raw: bytes) -> set[str]:
    """What stays the same of a value's base64 at each of the three alignments."""
    out = set()
    for lead in range(3):
        text = base64.b64encode(b"\0" * lead + raw).decode().rstrip("=")
        core = text[(lead * 8 + 5) // 6 : (lead + len(raw)) * 8 // 6]
        if len(core) >= 7:
            out.add(core)
    return out


def _any_of(options: set[str], before: str, after: str) -> re.Pattern[str] | None:
    return re.compile(before + "(?:" + "|".join(sorted(map(re.escape, options))) + ")" + after) if options else None


def search(paths: Iterable[Path], removed: Iterable[str] | Needles, root: Path | None = None) -> list[Finding]:
    """Look for every removed value in every product.

    paths: files (a folder stands for all files in it). removed: the union of `Cleaned.removed` over the participant's files. root: names of folders below
    it are
    searched too (else the file's own name only). A product that cannot be opened is a finding of kind `unreadable`: what cannot be looked at is not clean.
    """
    needles = removed if isinstance(removed, Needles) else Needles(removed)
    out: list[Finding] = []
    files = [f for p in paths for f in (sorted(x for x in p.rglob("*") if x.is_file()) if p.is_dir() else [p])]
    for n, path in enumerate(files):
        name = str(path.relative_to(root)) if root and path.is_relative_to(root) else path.name
        label = f"product {n} ({path.suffix if path.suffix in _EXTENSIONS else 'other'})"
        try:
            parts = list(_parts(path, name))
            for part in parts if _anything(parts, needles) else ():
                out.extend(Finding(f"{label}: {part.where}", kind) for kind in sorted(set(_hits(part, needles))))
        except (OSError, ValueError, zlib.error, EOFError, struct.error, Refused, RecursionError):
            out.append(Finding(label, "unreadable"))
    return out


def _anything(parts: list[_Part], needles: Needles) -> bool:
    """Whether the parts of a product, taken together, hold anything at all: one look instead of a hundred."""
    for free in (False, True):
        together = " \u2402 ".join(part.text for part in parts if part.free is free and not part.binary and not part.voxels)
        if next(_in_text(together, free, needles), None):
            return True
    return any(next(_hits(part, needles), None) for part in parts if part.binary or part.voxels)


def _hits(part: _Part, needles: Needles) -> Iterator[str]:
    if part.voxels:
        folded = fold(part.text)
        yield from ("voxels" for v in needles.long if len(v) >= VOXEL_MIN and v in folded)
        return
    texts = {part.text, part.text.replace("\0", "")} if part.binary else {part.text}
    for text in texts:
        yield from _in_text(text, part.free, needles)


def _in_text(text: str, free: bool, needles: Needles) -> Iterator[str]:
    folded = fold(text)
    if needles.uids and "." in text and not needles.uids.isdisjoint(_UID.findall(text)):
        yield "uid"
    if needles.dates is not None and needles.dates.search(folded):
        yield "date"
    for value in needles.long:
        at = folded.find(value)
        while at >= 0:
            if not _inside_vocabulary(folded, at, at + len(value)):
                yield "text"
                break
            at = folded.find(value, at + 1)
    if needles.tokens or (free and needles.free_tokens):
        found = set(_TOKEN.findall(folded)) | set(re.findall(r"(?<![\d.])\d+(?![\d.])", folded)) | set(re.findall(r"[^\W\d_]+", folded))
        if found & needles.tokens:
            yield "number"
        if free and any(v in found or ((" " in v or not v.isalnum()) and v in folded) for v in needles.free_tokens):
            yield "free text"
    if needles.hexes and len(text) >= 12:
        squeezed = folded.replace(" ", "")
        if any(v in squeezed for v in needles.hexes):
            yield "hexadecimal"
    if needles.base64s and len(text) >= 8 and any(v in text for v in needles.base64s):
        yield "base64"


def _inside_vocabulary(text: str, start: int, end: int) -> bool:
    """Whether a hit is only a piece of a longer word of the vocabulary (`east` in `breast`, also in `ucBreastApplication`)."""
    value = text[start:end]
    for word in _longer_words(value):
        lead = word.find(value)
        while lead >= 0:
            if text.startswith(word, start - lead):
                return True
            lead = word.find(value, lead + 1)
    return False


@lru_cache(maxsize=4096)
def _longer_words(value: str) -> tuple[str, ...]:
    return tuple(sorted(word for word in descriptors.vocabulary() | _KEY_WORDS if value in word and word != value)) if value.isalpha() else ()


# Words of sidecar keys and values that are no imaging vocabulary; a short name inside one of them is no leak.
_KEY_WORDS = frozenset(
    ["manufacturer", "manufacturers", "transmit", "transformation", "transverse", "conversionsoftware", "acquisition", "dcm2niix", "hardware"]
)


# --- taking products apart -----------------------------------------------------------------------------------------------------------------------------


def _parts(path: Path, name: str) -> Iterator[_Part]:
    yield _Part("name", re.sub(r"(\.[a-z0-9]{1,6}){1,2}$", "", name).replace("/", " "), free=True)
    with path.open("rb") as source:
        first = source.read(352)
    if first[:2] == b"\x1f\x8b":
        yield from _gzip(path)
        return
    data = path.read_bytes()
    yield from _content(data, path.name)


def _gzip(path: Path) -> Iterator[_Part]:
    data = path.read_bytes()
    flags, pos = data[3], 10
    if flags & 4:
        size = int.from_bytes(data[pos : pos + 2], "little")
        yield _Part("gzip extra field", data[pos + 2 : pos + 2 + size].decode("latin-1"), free=True, binary=True)
        pos += 2 + size
    for bit, what in ((8, "gzip file name"), (16, "gzip comment")):
        if flags & bit:
            end = data.index(b"\0", pos)
            yield _Part(what, data[pos:end].decode("latin-1"), free=True)
            pos = end + 1
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as inner:
        content = inner.read(MAX_INFLATED)
    yield from _content(content, path.name.removesuffix(".gz"))


def _content(data: bytes, name: str) -> Iterator[_Part]:
    if data[128:132] == b"DICM":
        yield from _dicom(data)
    elif len(data) >= 352 and data[344:347] in (b"n+1", b"ni1"):
        yield from _nifti(data)
    elif name.endswith(".json"):
        yield from _json(json.loads(data.decode("utf-8")), "")
    elif name.endswith((".tsv", ".csv")):
        for line, row in enumerate(data.decode("utf-8").splitlines()):
            yield _Part(f"row {line}", row.replace("\t", " | "), free=True)
    elif b"\0" not in data[:4096]:
        yield _Part("text", data.decode("utf-8", "replace"), free=name.lower().endswith((".md", ".txt", ".html", "readme", "changes")))
    else:
        yield _Part("bytes", "\n".join(m.group().decode("ascii") for m in _PRINTABLE.finditer(data)), voxels=True)


def _json(value: Any, key: str) -> Iterator[_Part]:
    free = bool(_FREE_KEYS.search(key)) and not _MACHINE_KEYS.match(key)
    where = f"value of {key}" if re.fullmatch(r"[A-Z][A-Za-z0-9]{2,60}", key) else "a value"
    if isinstance(value, dict):
        for inner, below in value.items():
            yield _Part("a key", inner)
            yield from _json(below, inner)
    elif isinstance(value, list):
        if all(isinstance(v, int | float) for v in value):
            yield _Part(where, " ".join(map(str, value)))
        else:
            for below in value:
                yield from _json(below, key)
    elif value is not None:
        yield _Part(where, str(value), free=free)


def _nifti(data: bytes) -> Iterator[_Part]:
    """NIfTI-1: header fields that hold text, extensions, voxels, and what follows them (nifti1.h)."""
    order = "<" if struct.unpack_from("<i", data)[0] == 348 else ">"
    for where, start, end in (("data_type", 4, 14), ("db_name", 14, 32), ("descrip", 148, 228), ("aux_file", 228, 252), ("intent_name", 328, 344)):
        yield _Part(where, data[start:end].split(b"\0")[0].decode("latin-1"), free=True)
        yield _Part(f"{where} after its end", data[start:end].decode("latin-1"), binary=True, free=True)
    offset = int(struct.unpack_from(f"{order}f", data, 108)[0]) or 352
    dim = struct.unpack_from(f"{order}8h", data, 40)
    bits = struct.unpack_from(f"{order}h", data, 72)[0]
    size = bits * int(np.prod([max(1, d) for d in dim[1 : 1 + max(0, min(7, dim[0]))]], dtype=np.int64)) // 8
    if offset > 348:
        yield _Part("extensions", data[348:offset].decode("latin-1"), free=True, binary=True)
    yield from _voxels(data[offset : offset + size])
    if len(data) > offset + size:
        yield _Part("bytes after the image", data[offset + size :].decode("latin-1"), free=True, binary=True)


def _voxels(data: elements.Buffer) -> Iterator[_Part]:
    """Runs of eight or more printable bytes among picture values."""
    raw = np.frombuffer(data, np.uint8)
    for start in range(0, len(raw), 1 << 26):  # in blocks with an overlap, so that memory stays bounded
        block = raw[start : start + (1 << 26) + 256]
        edges = np.flatnonzero(np.diff(np.concatenate(([0], ((block >= 0x20) & (block < 0x7F)).view(np.int8), [0]))))
        begins, ends = edges[::2], edges[1::2]
        long = ends - begins >= VOXEL_MIN
        if long.any():
            yield _Part("voxels", "\n".join(bytes(block[b:e]).decode("ascii") for b, e in zip(begins[long], ends[long], strict=True)), voxels=True)


def _dicom(data: bytes) -> Iterator[_Part]:
    file = elements.parse(data)
    yield _Part("preamble", file.preamble.decode("latin-1"), binary=True)
    for element in file.meta:
        yield _Part("file meta", element.bytes.decode("latin-1"))
    for element in elements.walk(file.elements):
        if element.value is None:
            continue
        where = f"({element.tag >> 16:04X},{element.tag & 0xFFFF:04X})"
        if element.tag == elements.PIXEL_DATA:
            yield from _voxels(element.value)
        elif element.vr in values.STRINGS:
            yield _Part(where, values.text(element, ("utf-8",)), free=element.vr in ("LT", "ST", "UT") or element.tag in (0x0008103E, 0x00081030, 0x00181030))
        elif element.vr in ("OB", "UN", "OW"):
            yield _Part(
                where,
                "\n".join(
                    m.group().decode("ascii") for m in _PRINTABLE.finditer(element.bytes.replace(b"\0", b"") if len(element.bytes) < 1 << 20 else element.bytes)
                ),
                binary=True,
            )
    for fragment in file.fragments or ():
        yield from _voxels(fragment)
    if file.trailing:
        yield _Part("bytes after the data set", data[-file.trailing :].decode("latin-1"), free=True, binary=True)
