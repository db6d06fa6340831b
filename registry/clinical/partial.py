"""Partial dates: what a site knows of a day, to the day, the month or the year. The registry keeps days and a precision, never the date itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

ISO = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2}))?)?", re.ASCII)
# order of a site's own dates -> the places of year, month and day among three numbers
ORDERS = {"YMD": (0, 1, 2), "DMY": (2, 1, 0), "MDY": (2, 0, 1)}
PARTS = re.compile(r"[0-9]{1,4}(?:[./-][0-9]{1,4}){0,2}", re.ASCII)


@dataclass(frozen=True)
class Partial:
    """A day that stands for a date: itself, the middle of its month, or of its year; `first` is the earliest day it can be."""

    day: date
    precision: str
    first: date


def read(text: object) -> Partial | None:
    """`2019-05-12`, `2019-05` or `2019`; None for anything else."""
    found = ISO.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    year, month, day = (int(part) if part else None for part in found.groups())
    try:
        middle = date(year or 0, month or 7, day or (15 if month else 2))
        return Partial(middle, "day" if day else "month" if month else "year", date(year or 0, month or 1, day or 1))
    except ValueError:
        return None


def iso(text: str, order: str = "YMD") -> str | None:
    """A site's date as ISO 8601 of the precision it has: `12.05.2019` (DMY), `05/2019`, `2019`; a day or month of 00 is one not known. None for no date."""
    if not PARTS.fullmatch(text):
        return None
    parts = re.split(r"[./-]", text)
    if len(parts) == 3:
        year, month, day = (parts[place] for place in ORDERS[order])
    elif len(parts) == 2:
        year, month, day = (*(parts if order == "YMD" else parts[::-1]), "0")
    else:
        year, month, day = parts[0], "0", "0"
    if len(year) != 4 or (int(month) == 0 and int(day) > 0):
        return None
    told = "-".join([year, *([f"{int(month):02d}"] if int(month) else []), *([f"{int(day):02d}"] if int(day) else [])])
    return told if read(told) else None
