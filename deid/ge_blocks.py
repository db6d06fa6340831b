"""Two blocks of GE: a gzipped protocol whose lines are kept by name and form, and a memory image of which six numbers stay.

The protocol data block is a 4-byte length and a gzip stream of lines `NAME "value"`; its gzip header names a file. Lines whose name is in
profiles/protocol-keys.json keep numbers (each of at most seven digits, none of them an identifier of the file) and words of the vocabulary.
The user data block is zeroed but for what dcm2niix reads of it: where the header begins, its version, and three flags of how the EPI was read out.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
import zlib
from functools import lru_cache
from pathlib import Path

from deid import dates
from deid.asc_protocol import MAX_TEXT, SAFE_TEXT
from deid.descriptors import Scrubber

HERE = Path(__file__).resolve().parent / "profiles"
_LINE = re.compile(r'([A-Z0-9_]{2,32}) "([^"]{0,512})"\s*\Z')
_NUMBERS = re.compile(r"(?:[A-Z]?[+-]?\d{1,7}(?:\.\d{1,12})?(?:[ ;]+|\Z))*\Z")
_SERIES = re.compile(r"\d+\Z")
_FLAG_BITS = 0x48FF  # of the three flags, the bits that GE images in the shared data use; too few for two letters side by side


@lru_cache(maxsize=1)
def names() -> frozenset[str]:
    """Names of the protocol block whose values may stay."""
    return frozenset(json.loads((HERE / "protocol-keys.json").read_text(encoding="utf-8"))["ge"].split())


@lru_cache(maxsize=16)
def rewrite_protocol(raw: bytes, scrub: Scrubber) -> bytes | None:
    """The protocol data block with the lines of the allow-list alone; None where it is none. Slices of a series share the answer."""
    start = raw.find(b"\x1f\x8b\x08")
    if not 0 <= start <= 8:
        return None
    try:
        text = zlib.decompressobj(31).decompress(raw[start:], MAX_TEXT).decode("latin-1")
    except zlib.error:
        return None
    lines = [line for one in text.splitlines() if (line := _line(one, scrub))]
    packed = gzip.compress(("\n".join(lines) + "\n").encode("latin-1"), mtime=0)
    return struct.pack("<I", len(packed)) + packed if start == 4 else packed


def _line(raw: str, scrub: Scrubber) -> str:
    found = _LINE.match(raw)
    if not found or not (found[1] in names() or _SERIES.sub("", found[1]) in {_SERIES.sub("", name) for name in names() if name[-1].isdecimal()}):
        return ""
    value = found[2]
    if _NUMBERS.match(value):
        if any(dates.reads_as_a_day(part) for part in re.split(r"[ ;]+", value)) or (len(value) >= 5 and (scrub.carries(value) or scrub.is_sought(value))):
            return ""
        return f'{found[1]} "{value}"'
    said = scrub.clean(value, free=False).text if SAFE_TEXT.match(value) else ""
    return "" if not SAFE_TEXT.match(value) or scrub.is_sought(said) else f'{found[1]} "{said}"'


def rewrite_user_data(raw: bytes) -> bytes | None:
    """Zeros of the same length, but for the header offset, the version, and three flags of the EPI read-out (offsets as dcm2niix reads them)."""
    if len(raw) < 916:
        return None
    start = struct.unpack_from("<H", raw, 24)[0]
    if start + 1024 > len(raw):
        return None
    version = round(struct.unpack_from("<f", raw, start)[0], 3)
    if not 5.0 <= version <= 40.0:
        return None
    shift, ky = (0x4C, 0x394 - 0x8C) if version >= 25.002 else (0, 0x394)
    out = bytearray(len(raw))
    struct.pack_into("<H", out, 24, start)
    struct.pack_into("<f", out, start, version)
    for at in (start + shift + 0x3A, start + shift + 0x30, start + shift + ky):
        flag = struct.unpack_from("<H", raw, at)[0]
        struct.pack_into("<H", out, at, flag & _FLAG_BITS)
    return bytes(out)
