"""Text that hides among numbers: runs of printable characters in bytes, one byte a character or two (UTF-16 in either order, at either phase).

A picture is searched by looking for runs of eight characters: a mask of the printable bytes is eroded by doubling (1, 2, 4 neighbours), so that one pass
over a slice costs microseconds, and nothing is decoded where no run is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Buffer = bytes | memoryview
_PRINTABLE = re.compile(rb"[\x20-\x7e]{3,}")
# What follows a run may be any byte; as ASCII the whole is folded a hundred times faster.
_PLAIN = bytes(byte if byte < 0x80 else 0x3F for byte in range(256))


def runs(data: Buffer) -> str:
    """All runs of eight or more printable characters among picture values, one a line: as bytes, and as 16-bit values of either order at either phase."""
    raw = np.frombuffer(data, np.uint8)
    found = [_wide_runs(_pairs(raw))]
    if _spells(raw):
        found += [raw[start:end].tobytes() for start, end in _long_runs(raw)]
        found.append(_wide_runs(_pairs(raw[1:])))
    return b"\n".join(filter(None, found)).decode("ascii")


def _pairs(raw: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Bytes as 16-bit values, little endian; an odd last byte is left out."""
    return raw[: len(raw) // 2 * 2].view("<u2")


def _spells(raw: NDArray[np.uint8]) -> bool:
    """Whether any byte at an odd place is printable. Of eight printable bytes in a row four stand there, and so do 16-bit characters of the odd phase: values
    of a picture below 8,192 have none, and are done after this look."""
    return bool(((_pairs(raw) - np.uint16(0x2000)) < 0x5F00).any())


def _wide_runs(pairs: NDArray[np.uint16]) -> bytes:
    """Runs of 7 or more values in 0x20..0x7e with the one behind them, as one byte each; a line end behind every run.

    Of eight characters of the other byte order seven lie within values of this one, and the last beside whatever follows.
    """
    inside = _run_starts(pairs, 7)
    if inside is None:
        return b""
    shown = np.zeros(len(pairs) + 8, np.bool_)
    shown[: len(inside)] = inside
    for step in (1, 2, 4):
        shown[step:] |= shown[:-step]
    shown = shown[: len(pairs) + 1]
    low = np.full(len(pairs) + 1, 0x0A, np.uint8)
    low[:-1] = pairs  # the low byte of each
    low[~shown] = 0x0A
    shown[1:] |= shown[:-1]
    return low[shown].tobytes().translate(_PLAIN)


def _run_starts(raw: NDArray[np.unsignedinteger], shortest: Literal[7, 8]) -> NDArray[np.bool_] | None:
    """At which places a run of 7 or 8 values in 0x20..0x7e starts; None where nowhere. raw: one-dimensional, unsigned; the subtraction wraps on purpose."""
    # Every run covers one value in four: most pictures are done after that look.
    if len(raw) < shortest or not ((raw[3::4] - raw.dtype.type(0x20)) < 0x5F).any():
        return None
    inside = (raw - raw.dtype.type(0x20)) < 0x5F
    inside = inside[:-1] & inside[1:]
    inside = inside[:-2] & inside[2:]
    last = shortest - 4
    inside = inside[:-last] & inside[last:]
    return inside if inside.any() else None


def _long_runs(raw: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    """Start and end of runs of 8 or more printable bytes."""
    inside = _run_starts(raw, 8)
    if inside is not None:
        edges = np.flatnonzero(np.diff(np.concatenate(([0], inside.view(np.int8), [0]))))
        yield from zip(edges[::2].tolist(), (edges[1::2] + 7).tolist(), strict=True)


def pieces(data: bytes) -> Iterator[str]:
    """What bytes say: runs of three or more printable ASCII characters, also with the zero bytes of UTF-16 and UTF-32 left out."""
    for found in _PRINTABLE.finditer(data):
        yield found.group().decode("ascii")
    if b"\0" in data:
        yield from (run.group().decode("ascii") for run in _PRINTABLE.finditer(data.replace(b"\0", b"")))
