"""A colour profile is numbers with a label; the label goes.

An ICC profile (ICC.1:2010, section 7) is a header, a table of tags and their data. Colour images must carry one (PS3.3 C.11.15), yet it may hold texts,
dates, serial numbers and a maker's private tags. It is written again from the numeric tags that define colour; description and copyright say nothing, and
device, creator and identifier in the header are zero, its date is the first day of 2000 for every profile.
"""

from __future__ import annotations

import struct

_NUMERIC = frozenset([b"XYZ ", b"curv", b"para", b"sf32", b"mft1", b"mft2", b"mAB ", b"mBA "])
_COLOUR = frozenset([b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"bkpt", b"rTRC", b"gTRC", b"bTRC", b"kTRC", b"chad", b"lumi", b"A2B0", b"A2B1", b"A2B2", b"B2A0"])
_HEADER = 128
_LABEL = "sRGB"
# textDescriptionType (ICC.1:2001 6.5.17): ASCII with its count; no Unicode; no script code (67 bytes).
_DESCRIPTION = b"desc\0\0\0\0" + struct.pack(">I", len(_LABEL) + 1) + _LABEL.encode() + b"\0" + b"\0" * 8 + b"\0" * 3 + b"\0" * 67
_D50 = struct.pack(">3I", 0x0000F6D6, 0x00010000, 0x0000D32D)  # the illuminant every profile states (ICC.1:2010, 7.2.16)
_COPYRIGHT = b"text\0\0\0\0none\0"


def rewrite(raw: bytes) -> bytes | None:
    """The profile with nothing but colour in it, or None where it does not parse."""
    if len(raw) < _HEADER + 4 or raw[36:40] != b"acsp":
        return None
    (count,) = struct.unpack_from(">I", raw, _HEADER)
    if count > 100 or len(raw) < _HEADER + 4 + 12 * count:
        return None
    tags = {b"desc": _words(_LABEL), b"cprt": _words("none")} if raw[8] >= 4 else {b"desc": _DESCRIPTION, b"cprt": _COPYRIGHT}
    for name, start, size in struct.iter_unpack(">4sII", raw[_HEADER + 4 : _HEADER + 4 + 12 * count]):
        data = raw[start : start + size]
        if name in _COLOUR and data[:4] in _NUMERIC and len(data) == size and data[4:8] == b"\0\0\0\0":
            tags[name] = data
    if b"wtpt" not in tags:
        return None
    body = _body(tags)
    return struct.pack(">I", _HEADER + len(body)) + _header(raw)[4:] + body


def _words(text: str) -> bytes:
    """A multiLocalizedUnicodeType of one text (ICC.1:2010 10.13), as version 4 has it."""
    words = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(words), 28) + words


def _body(tags: dict[bytes, bytes]) -> bytes:
    at = _HEADER + 4 + 12 * len(tags)
    table, data = [struct.pack(">I", len(tags))], []
    for name, content in tags.items():
        table.append(struct.pack(">4sII", name, at, len(content)))
        data.append(content + b"\0" * (-len(content) % 4))
        at += len(data[-1])
    return b"".join(table + data)


def _header(raw: bytes) -> bytes:
    """The header with size, version 2, class, spaces, intent and illuminant; everything that names a device or a program is zero."""
    out = bytearray(_HEADER)
    out[8:12] = b"\2\x20\0\0" if raw[8] < 4 else raw[8:9] + b"\x20\0\0"
    for start, end in ((12, 16), (16, 20), (20, 24)):
        out[start:end] = raw[start:end] if raw[start:end] in (b"scnr", b"mntr", b"prtr", b"spac", b"RGB ", b"GRAY", b"Lab ", b"XYZ ") else b"\0\0\0\0"
    out[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    out[36:40] = b"acsp"
    out[64:68] = struct.pack(">I", struct.unpack_from(">I", raw, 64)[0] & 3)
    out[68:80] = _D50
    return bytes(out)
