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
    found = [raw[start:end].tobytes() for start, end in _long_runs(raw, 8)]
    for phase in (0, 1):
        pairs = raw[phase : phase + (len(raw) - phase) // 2 * 2].view("<u2")
        # Of eight characters of the other byte order seven lie within values of this one, and the last beside whatever follows.
        if spans := list(_long_runs(pairs, 7)):
            low = pairs.astype(np.uint8).tobytes().translate(_PLAIN)
            found += [low[start : end + 1] for start, end in spans]
    return b"\n".join(found).decode("ascii")


def _long_runs(raw: NDArray[np.unsignedinteger], shortest: Literal[7, 8]) -> Iterator[tuple[int, int]]:
    """Start and end of runs of 7 or 8 or more values in 0x20..0x7e. raw: one-dimensional, unsigned; the subtraction wraps on purpose."""
    # Every run covers one value in four: most pictures are done after that look.
    if len(raw) < shortest or not ((raw[3::4] - raw.dtype.type(0x20)) < 0x5F).any():
        return
    inside = (raw - raw.dtype.type(0x20)) < 0x5F
    inside = inside[:-1] & inside[1:]
    inside = inside[:-2] & inside[2:]
    last = shortest - 4
    inside = inside[:-last] & inside[last:]
    if inside.any():
        edges = np.flatnonzero(np.diff(np.concatenate(([0], inside.view(np.int8), [0]))))
        yield from zip(edges[::2].tolist(), (edges[1::2] + shortest - 1).tolist(), strict=True)


def pieces(data: bytes) -> Iterator[str]:
    """What bytes say: runs of three or more printable ASCII characters, also with the zero bytes of UTF-16 and UTF-32 left out."""
    for found in _PRINTABLE.finditer(data):
        yield found.group().decode("ascii")
    if b"\0" in data:
        yield from (run.group().decode("ascii") for run in _PRINTABLE.finditer(data.replace(b"\0", b"")))
