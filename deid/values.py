"""Bytes of one element as text or numbers, and back: character sets, value multiplicity, and the forms that PS3.5 Table 6.2-1 allows.

A declared character set may lie. Bytes that are well-formed UTF-8 are read as UTF-8 unless several sets are declared, escape sequences are followed whether
declared or not, and nothing raises; what is *searched for* later is kept in every reading (`readings`). Everything we write is UTF-8 (ISO_IR 192).
"""

from __future__ import annotations

import re
import struct
import warnings
from functools import lru_cache

from deid.tree import Element

TEXT = frozenset(["LO", "SH", "ST", "LT", "UT", "UC", "PN"])
SINGLE = frozenset(["ST", "LT", "UT", "UR"])  # a backslash is a character in these (PS3.5 6.2)
STRINGS = frozenset(["AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"])
ESCAPE = "\x1b"
_FORMATS = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
NUMBER_TEXT = re.compile(rb"[0-9+\-.eE \\]*\0?\Z")
# One part of a DS or IS (PS3.5 Table 6.2-1). Scanners write more than the 16 characters that a DS may have; none needs more than 24.
DECIMAL = re.compile(r"[+-]?(?:\d{1,24}(?:\.\d{0,24})?|\.\d{1,24})(?:[eE][+-]?\d{1,3})?\Z")
INTEGER = re.compile(r"[+-]?\d{1,12}\Z")
_WIDE = frozenset(["utf8", "utf-8", "GB18030", "gb18030", "GBK", "gbk"])
_USUAL = {"": "iso8859", "ISO_IR 6": "iso8859", "ISO_IR 100": "latin_1", "ISO_IR 192": "UTF8"}  # as pydicom.charset has them
# What an escape sequence may announce in a value that declares no such set (PS3.3 C.12.1.1.2).
_ANY_2022 = ("iso8859", "iso2022_jp", "iso2022_jp_2", "shift_jis", "euc_kr", "iso-2022-cn", "GB18030", "latin_1", "iso8859_2", "iso8859_5", "iso8859_6")


@lru_cache(maxsize=256)
def encodings(specific: str) -> tuple[str, ...]:
    """Python's names for a SpecificCharacterSet value; names nobody knows count as Latin-1."""
    parts = [part.strip() for part in specific.split("\\")]
    if _USUAL.keys() >= set(parts):
        return tuple(_USUAL[part] for part in parts)
    from pydicom.charset import python_encoding  # the library is slow to import, and few files need it

    return tuple(python_encoding.get(part, "iso8859") for part in parts)


def text(element: Element, codecs: tuple[str, ...] = ("iso8859",)) -> str:
    """The whole value as one string, padding removed."""
    raw = element.bytes
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii").strip(" \0")
    return _decode(raw, element.vr == "PN", codecs)


@lru_cache(maxsize=4096)
def _decode(raw: bytes, name: bool, codecs: tuple[str, ...]) -> str:
    """Bytes as text by the sets declared, by UTF-8 where they are that, and by any escape sequence."""
    if b"\x1b" in raw:
        return _escaped(raw, name, codecs)
    if len(codecs) == 1 and codecs[0] not in _WIDE:
        for codec in ("utf-8", codecs[0]):
            try:
                return raw.decode(codec).strip(" \0")
            except (UnicodeDecodeError, LookupError):
                continue
    try:
        return raw.decode(codecs[0] or "iso8859").strip(" \0")
    except (UnicodeDecodeError, LookupError):
        return _utf8_or_latin(raw)


def _utf8_or_latin(raw: bytes) -> str:
    try:
        return raw.decode("utf-8").strip(" \0")
    except UnicodeDecodeError:
        return raw.decode("latin-1").strip(" \0")


def _escaped(raw: bytes, name: bool, codecs: tuple[str, ...]) -> str:
    delimiters = {"\\", "^", "="} if name else {"\\", "\n", "\r", "\f"}
    from pydicom import charset

    every = list(codecs) if len(codecs) > 1 else [codecs[0], *_ANY_2022]
    try:
        with warnings.catch_warnings():  # a character set that lies is no news here, and a warning could quote the value
            warnings.simplefilter("ignore")
            return str(charset.decode_bytes(raw, every, delimiters)).strip(" \0")
    except (LookupError, ValueError):
        return raw.decode("latin-1").strip(" \0")


def texts(element: Element, codecs: tuple[str, ...] = ("iso8859",)) -> list[str]:
    """The values one by one."""
    whole = text(element, codecs)
    return [whole] if element.vr in SINGLE else [part.strip(" \0") for part in whole.split("\\")]


def readings(element: Element, codecs: tuple[str, ...]) -> set[str]:
    """The value as declared and, where it is not plain ASCII, as UTF-8, as Latin-1 and by its escape sequences too: a character set can lie."""
    raw = element.bytes
    out = set(texts(element, codecs))
    if not raw.isascii() or b"\x1b" in raw:
        for codec in {"utf-8", "latin-1", codecs[0] or "iso8859"}:
            try:
                out.update(part.strip(" \0") for part in raw.decode(codec).split("\\"))
            except (UnicodeDecodeError, LookupError):
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
