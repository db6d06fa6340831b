"""Bytes of one element as text or numbers, and back: character sets, value multiplicity, and the forms that PS3.5 Table 6.2-1 allows.

A declared character set may lie. Text is decoded as declared, with replacement characters rather than exceptions; what is *searched for* later is kept in
every
reading (`readings`), so a name in undeclared UTF-8 is found too. Everything we write is UTF-8 (ISO_IR 192).
"""

from __future__ import annotations

import re
import struct
import warnings
from functools import lru_cache

from pydicom import charset

from deid.elements import Element

TEXT = frozenset(["LO", "SH", "ST", "LT", "UT", "UC", "PN"])
SINGLE = frozenset(["ST", "LT", "UT", "UR"])  # a backslash is a character in these (PS3.5 6.2)
STRINGS = frozenset(["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"])
_FORMATS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
NUMBER_TEXT = re.compile(rb"[0-9+\-.eE \\]*\0?\Z")


@lru_cache(maxsize=64)
def encodings(specific: str) -> tuple[str, ...]:
    """Python's names for a SpecificCharacterSet value; names nobody knows count as Latin-1."""
    names = [charset.python_encoding.get(part.strip(), "iso8859") for part in specific.split("\\")] or ["iso8859"]
    return tuple(names)


def text(element: Element, codecs: tuple[str, ...] = ("iso8859",)) -> str:
    """The whole value as one string, padding removed."""
    raw = element.bytes
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii").strip(" \0")
    try:
        if len(codecs) == 1:
            return raw.decode(codecs[0], "replace").strip(" \0")
        delimiters = {"\\", "^", "="} if element.vr == "PN" else {"\\", "\n", "\r", "\f"}
        with warnings.catch_warnings():  # a character set that lies is no news here, and a warning could quote the value
            warnings.simplefilter("ignore")
            return str(charset.decode_bytes(raw, list(codecs), delimiters)).strip(" \0")
    except (LookupError, ValueError):
        return raw.decode("latin-1").strip(" \0")


def texts(element: Element, codecs: tuple[str, ...] = ("iso8859",)) -> list[str]:
    """The values one by one."""
    whole = text(element, codecs)
    return [whole] if element.vr in SINGLE else [part.strip(" \0") for part in whole.split("\\")]


def readings(element: Element, codecs: tuple[str, ...]) -> set[str]:
    """The value as declared and, where it is not plain ASCII, as UTF-8 and Latin-1 too: a character set can lie."""
    raw = element.bytes
    out = set(texts(element, codecs))
    if not raw.isascii():
        for codec in ("utf-8", "latin-1"):
            try:
                out.update(part.strip(" \0") for part in raw.decode(codec).split("\\"))
            except UnicodeDecodeError:
                continue
    return {value for value in out if value}


def encode_text(values: list[str]) -> bytes:
    """Values as UTF-8, joined by backslashes."""
    return "\\".join(values).encode("utf-8")


def numbers(element: Element) -> list[float] | None:
    """The values as numbers, or None where they are none."""
    raw = element.bytes
    if element.vr in ("DS", "IS"):
        try:
            return [float(part) for part in raw.decode("ascii").strip(" \0").split("\\") if part.strip()]
        except ValueError:
            return None
    form = _FORMATS.get(element.vr)
    if form is None or len(raw) % struct.calcsize(f"<{form}"):
        return None
    return list(struct.unpack(f"<{len(raw) // struct.calcsize('<' + form)}{form}", raw))


def number(element: Element | None, default: float = 0.0) -> float:
    """The first number of an element, or the default."""
    found = numbers(element) if element is not None else None
    return found[0] if found else default
