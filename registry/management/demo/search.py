"""Looks for planted identifiers as a stranger would: in names, raw bytes, and whatever gzip, zip or tar holds, in four spellings, ignoring case.

A hit tells kind and place, never the value.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.phantom import Planted

LONGEST = 512 * 1024 * 1024


@dataclass(frozen=True)
class Hit:
    """A planted value of this kind stands in this file (path under the folder searched)."""

    kind: str
    where: str


@dataclass(frozen=True)
class Found:
    files: int
    hits: list[Hit]


class Needles:
    """Many byte strings looked for at once: two tables of two bytes each leave so few places that each can be compared in full."""

    def __init__(self, kinds: dict[bytes, str]) -> None:
        self.by_start: dict[bytes, list[tuple[bytes, str]]] = {}
        self.first, self.second = np.zeros(65536, dtype=bool), np.zeros(65536, dtype=bool)
        for needle, kind in kinds.items():
            self.by_start.setdefault(needle[:4], []).append((needle, kind))
            self.first[int.from_bytes(needle[:2], "little")] = True
            self.second[int.from_bytes(needle[2:4], "little")] = True

    def kinds_in(self, data: bytes) -> set[str]:
        """The kinds of all needles that stand in `data`."""
        found: set[str] = set()
        if len(data) < 4:
            return found
        for offset in (0, 1):
            pairs = np.frombuffer(data, dtype="<u2", offset=offset, count=max(0, (len(data) - offset) // 2))
            places = np.flatnonzero(self.first[pairs[:-1]] & self.second[pairs[1:]])
            for place in places:
                at = int(place) * 2 + offset
                found |= {kind for needle, kind in self.by_start.get(data[at : at + 4], ()) if data.startswith(needle, at)}
        return found


def look(places: Iterable[Path], planted: Iterable[Planted], progress: Callable[[int, int], None], most: int | None = None) -> Found:
    """Search every file under the places (at most `most` of them), opened layer by layer."""
    files = sorted({p for place in places for p in ([place] if place.is_file() else place.rglob("*")) if p.is_file()})[:most]
    needles, hits = Needles(spellings(planted)), set()
    for n, path in enumerate(files, 1):
        for layer in (path.name.encode(), *layers(path.read_bytes())):
            hits |= {Hit(kind, path.name) for kind in needles.kinds_in(layer.lower())}
        progress(n, len(files))
    return Found(len(files), sorted(hits, key=lambda h: (h.kind, h.where)))


def spellings(planted: Iterable[Planted]) -> dict[bytes, str]:
    """Each value's bytes in UTF-8, Latin-1 and UTF-16 (as given, in small and in capital letters; then ASCII letters made small) -> its kind."""
    found: dict[bytes, str] = {}
    for value in planted:
        for text in (value.value, value.value.lower(), value.value.upper()):
            for encoding in ("utf-8", "latin-1", "utf-16-le", "utf-16-be"):
                try:
                    found[text.encode(encoding).lower()] = value.kind
                except UnicodeEncodeError:
                    continue
    return found


def layers(data: bytes, depth: int = 3) -> Iterator[bytes]:
    """The bytes themselves, and what they hold packed."""
    yield data
    if depth == 0:
        return
    if data[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
                yield from layers(packed.read(LONGEST), depth - 1)
        except (OSError, EOFError, zlib.error):
            return
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            for name in packed.namelist():
                yield name.encode()
                yield from layers(packed.read(name), depth - 1)
    elif data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as packed:
            for member in packed:
                yield member.name.encode()
                if inside := packed.extractfile(member):
                    yield from layers(inside.read(), depth - 1)
