"""What a text says once it is decoded: base64 (also url-safe, at each phase), hexadecimal (with or without signs between), percent and HTML escapes.

A decoded run counts only as far as it reads as text: runs of four printable ASCII characters, or the whole as UTF-8 or UTF-16. What is random decodes to
noise, and noise says nothing.
"""

from __future__ import annotations

import binascii
import html
import re
import urllib.parse
from collections.abc import Iterator
from functools import lru_cache

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}(?:\r?\n[A-Za-z0-9+/_-]{4,})*")
_HEX = re.compile(r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ :,;-]?){4,}[0-9A-Fa-f]?")
_HEX_SIGNS = re.compile(r"0x|\\x|[^0-9A-Fa-f]")
_PRINTABLE = re.compile(rb"[\x20-\x7e]{4,}")
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}|&#?\w{2,8};|\\u[0-9A-Fa-f]{4}")


@lru_cache(maxsize=1 << 16)
def _of_base64(run: str) -> tuple[bytes, ...]:
    """The bytes of a run at each of its four phases."""
    run = "".join(run.split()).replace("-", "+").replace("_", "/")
    out = []
    for lead in range(4):
        size = len(run) - lead
        size -= size % 4 == 1
        if size >= 6:
            out.append(binascii.a2b_base64(run[lead : lead + size] + "=" * (-size % 4)))
    return tuple(out)


@lru_cache(maxsize=1 << 14)
def _of_hexadecimal(run: str) -> tuple[bytes, ...]:
    digits = _HEX_SIGNS.sub("", run)
    return tuple(bytes.fromhex(digits[lead : lead + (len(digits) - lead) // 2 * 2]) for lead in (0, 1))


def blobs(text: str) -> Iterator[tuple[str, bytes]]:
    """(how, bytes) of every run that decodes: base64 at its four phases, hexadecimal at its two."""
    for found in _BASE64.finditer(text):
        for data in _of_base64(found.group()):
            yield "base64", data
    for found in _HEX.finditer(text):
        for data in _of_hexadecimal(found.group()):
            yield "hexadecimal", data


def readings(text: str) -> Iterator[tuple[str, str]]:
    """(how, text) of everything a text may say beside what it says openly."""
    if len(text) >= 6:
        for how, pattern, plain in (("base64", _BASE64, _base64_text), ("hexadecimal", _HEX, _hexadecimal_text)):
            said = [one for found in pattern.finditer(text) if (one := plain(found.group()))]
            if said:
                yield how, "\n".join(said)
    if ("%" in text or "&" in text or "\\u" in text) and _ESCAPED.search(text):
        yield "escaped", html.unescape(urllib.parse.unquote(re.sub(r"\\u([0-9A-Fa-f]{4})", lambda m: chr(int(m[1], 16)), text)))


@lru_cache(maxsize=1 << 16)
def _base64_text(run: str) -> str:
    return "\n".join(filter(None, map(_as_text, _of_base64(run))))


@lru_cache(maxsize=1 << 14)
def _hexadecimal_text(run: str) -> str:
    return "\n".join(filter(None, map(_as_text, _of_hexadecimal(run))))


def _as_text(data: bytes) -> str:
    out = [m.group().decode("ascii") for m in _PRINTABLE.finditer(data)]
    if b"\0" in data:
        out += [m.group().decode("ascii") for m in _PRINTABLE.finditer(data.replace(b"\0", b""))]
    if not data.isascii():
        try:
            whole = data.decode("utf-8")
        except UnicodeDecodeError:
            return "\n".join(out)
        if whole.isprintable():
            out.append(whole)
    return "\n".join(out)
