"""Numbers say how a picture was made; some that stand where numbers stand say who was in it.

A number stays if it has the form of its value representation, spells no text, is none of the file's own identifiers (six digits or more, as whole numbers;
in DS and IS five, as the last gate looks for them), and does not read as a day of our time written YYYYMMDD. PS3.5 Table 6.2-1 has the forms.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Protocol

import numpy as np

from deid import dates, descriptors, values
from deid.tree import WIDTH, Element, known_vr

_LETTERS = re.compile(rb"[A-Za-z]{4,}")
_TEXT = re.compile(rb"[A-Za-z0-9 ^,./@+-]{3,}")
_LONG_TEXT = re.compile(rb"[A-Za-z ^]{12,}|[0-9./+@-]{6,}|(?=(?:[A-Za-z]*[0-9]){4})[A-Za-z0-9]{8,}")  # fewer in a row happen in floats
_FEW = 64  # bytes; in longer arrays of numbers six letters in a row happen
_FORMS = {"UL": "<u4", "SL": "<i4", "UV": "<u8", "SV": "<i8", "FL": "<f4", "FD": "<f8"}
# What a physical quantity may be; letters read as a float lie outside (`Smith...` is 1e200), NaN carries bytes of its own.
_REASONABLE = {"FL": (1e-12, 1e15), "FD": (1e-30, 1e30)}
_PRINTABLE = 0x20202020  # the smallest four printable bytes, as a number
LARGEST_PLAIN, LARGEST = 99_999, 1e12  # smaller whole numbers are physics and counting; larger ones count nothing


class Context(Protocol):
    """What is known of the file: numbers, the runs of digits in its identifiers; scrub, its names; own, the person's identifiers as tokens."""

    numbers: frozenset[int]
    scrub: descriptors.Scrubber
    own: re.Pattern[str] | None


def why_not(work: Context, element: Element) -> str:
    """Why a value may not stay as a number; "" where it may."""
    value = element.bytes
    if element.vr in ("DS", "IS"):
        form = values.INTEGER if element.vr == "IS" else values.DECIMAL
        parts = [part.strip(" ") for part in value.decode("latin-1").rstrip(" \0").split("\\")]
        if any(part and not form.match(part) for part in parts):
            return "not a number"
        if any(len(part) >= 5 and work.scrub.is_sought(part, "numbers") for part in parts):
            return "a number that identifies"
        numbers = [float(part) for part in parts if len(part) > 5]
        return "a number that identifies" if any(_identifies(work, n) or (abs(n) >= LARGEST and n == int(n)) for n in numbers if abs(n) < 1e300) else ""
    width = 4 if element.vr == "AT" else WIDTH.get(element.vr)
    if width is None or len(value) % width:
        return "not a number"
    if element.vr == "AT":
        return "" if all(_is_attribute(*pair) for pair in struct.iter_unpack("<HH", value)) else "not an attribute"
    if _is_spelled(work, element.vr, value):
        return "text where a number belongs"
    if element.vr in _FORMS and any(_identifies(work, float(n)) for n in _large(element.vr, value)):
        return "a number that identifies"
    return ""


def _is_spelled(work: Context, vr: str, value: bytes) -> bool:
    """Whether bytes that should be numbers are letters: a name of the file, several in a row, or numbers that nothing measured has but text does."""
    if any(work.scrub.carries(run.decode("ascii")) for run in _LETTERS.findall(value)) or (vr in _FORMS and _is_unreasonable(vr, value)):
        return True
    if len(value) > _FEW:
        return False
    texts = [run.decode("ascii") for run in _TEXT.findall(value)]
    if work.own is not None and any(work.own.search(text) for text in texts):
        return True
    return reads_as_text(vr, value) or (vr not in _REASONABLE and any(work.scrub.carries(text) for text in texts))


def reads_as_text(vr: str, value: bytes) -> bool:
    """Whether a few binary numbers are printable signs in a row, as no count and no measure is; more of them in a row are needed of floating numbers."""
    if len(value) > _FEW:
        return False
    if vr in _REASONABLE:
        return _LONG_TEXT.search(value) is not None
    return any(len(run) >= 6 and sum(chr(b).isalnum() for b in run) >= 4 for run in _TEXT.findall(value))


def _is_unreasonable(vr: str, value: bytes) -> bool:
    numbers = np.frombuffer(value, _FORMS[vr])
    if vr in _REASONABLE:
        low, high = _REASONABLE[vr]
        size = np.abs(numbers)
        return not bool(((size == 0) | ((size > low) & (size < high))).all())
    return any(all(0x20 <= b < 0x7F for b in number.tobytes()) for number in numbers[numbers >= _PRINTABLE])


def _large(vr: str, value: bytes) -> Any:
    """The values large enough to be an identifier."""
    numbers = np.frombuffer(value, _FORMS[vr])
    with np.errstate(invalid="ignore"):
        return numbers[(numbers > LARGEST_PLAIN) | (numbers < -LARGEST_PLAIN)]


def _identifies(work: Context, value: float) -> bool:
    """Whether a number is one of the file's identifiers, or reads as a day (YYYYMMDD) of our time."""
    if not LARGEST_PLAIN < abs(value) < 1e18 or value != int(value):
        return False
    whole = abs(int(value))
    return whole in work.numbers or (19_000_101 <= whole <= 20_991_231 and dates.parse_date(str(whole)) is not None)


def _is_attribute(group: int, element: int) -> bool:
    """Whether an AT value points at an attribute: one the dictionary knows, or a private one (whose group is odd) that spells no letters."""
    if group & 1:
        return not all(chr(b).isalnum() for b in struct.pack("<HH", group, element))
    return known_vr(group << 16 | element) != "UN"
