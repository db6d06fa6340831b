"""Valid DICOM files made wrong in the ways that break readers: seeded, so that what one run found another finds again.

flip       bytes changed at random, most of them in the header
cut        the file ends early, or lacks a piece of its middle
length     an explicit length field says something else (0, odd, one more, half, all ones, just below 4 GiB)
vr         the VR of an element is that of another, or none
nest       a sequence with items of undefined length, many levels deep, stands in the header
many       a run of thousands of tiny elements or items
splice     the head of one file and the tail of another
twice      a piece of the file is there two times
lie        the transfer syntax is that of another
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Iterator, Sequence

VRS = b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV ZZ".split()
LONG = frozenset([b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"])
SYNTAXES = [b"1.2.840.10008.1.2" + tail for tail in (b"", b".1", b".2", b".1.99", b".4.50", b".4.70", b".4.80", b".4.90", b".5", b".4.201", b".9.9")]
_HEADER = re.compile(rb"[\x02-\x7f]\x00..(?:" + b"|".join(VRS[:-1]) + rb")", re.DOTALL)
Kind = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def headers_in(content: bytearray) -> list[int]:
    """Where explicit VR elements seem to stand, in the first 64 KiB."""
    return [found.start() for found in _HEADER.finditer(content, 132, 65536)] or [132]


def flip(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    for _ in range(chance.choice([1, 1, 2, 5, 20, 200])):
        content[chance.randrange(min(len(content), chance.choice([132, 1024, 8192, 1 << 30])))] = chance.randrange(256)


def cut(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    start = chance.randrange(len(content))
    del content[start : len(content) if chance.random() < 0.6 else start + chance.choice([1, 2, 3, 8, 100, 4096])]


def length(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at = chance.choice(headers_in(content))
    wide = bytes(content[at + 4 : at + 6]) in LONG
    said = chance.choice([0, 1, 7, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF, len(content) // 2, len(content) + 1])
    content[at + (8 if wide else 6) : at + (12 if wide else 8)] = struct.pack("<L", said) if wide else struct.pack("<H", said & 0xFFFF)


def vr(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at = chance.choice(headers_in(content))
    content[at + 4 : at + 6] = chance.choice(VRS)


def nest(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at = chance.choice(headers_in(content))
    level = struct.pack("<HH2s2xL", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    close = (struct.pack("<HHL", 0xFFFE, 0xE00D, 0) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)) if chance.random() < 0.5 else b""
    levels = chance.choice([2, 30, 63, 64, 65, 1000, 20000])
    content[at:at] = level * levels + close * levels


def many(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at = chance.choice(headers_in(content))
    one = chance.choice(
        [struct.pack("<HH2sH", 0x0008, 0x0060, b"CS", 0), struct.pack("<HHL", 0xFFFE, 0xE000, 0), struct.pack("<HH2sH", 0x0009, 0x0010, b"LO", 0)]
    )
    content[at:at] = one * chance.choice([10, 1000, 50000])


def splice(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    other = chance.choice(others)
    content[chance.randrange(132, len(content)) :] = other[chance.randrange(len(other)) :]


def twice(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    start = chance.randrange(len(content))
    piece = content[start : start + chance.choice([8, 100, 5000])]
    at = chance.choice([start, chance.randrange(len(content))])
    content[at:at] = piece


def lie(chance: random.Random, content: bytearray, others: Sequence[bytes]) -> None:
    at = content.find(b"\x02\x00\x10\x00UI")
    if not 0 <= at <= len(content) - 8:
        return flip(chance, content, others)
    said = chance.choice(SYNTAXES)
    said += b"\0" * (len(said) & 1)
    size = struct.unpack_from("<H", content, at + 6)[0]
    content[at + 6 : at + 8 + size] = struct.pack("<H", len(said)) + said
    return None


KINDS: tuple[Kind, ...] = (flip, flip, cut, length, length, vr, nest, many, splice, twice, lie)


def mutants(contents: Sequence[bytes], *, seed: int, count: int, first: int = 0) -> Iterator[bytes]:
    """Mutants number `first` to `first + count` of these files; each depends on the seed and its number alone."""
    for number in range(first, first + count):
        chance = random.Random(seed * 1_000_003 + number)
        content = bytearray(chance.choice(contents))
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            if len(content) > 200:
                chance.choice(KINDS)(chance, content, contents)
        yield bytes(content)
