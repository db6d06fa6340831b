"""Dates move back by one secret whole number of days per participant; clocks move by one amount per study.

    new date = old date - offset(participant),   offset in 1..3650 days       (intervals in days survive, across studies and years)
    new time = old time + shift(study),          shift = 12:00:00 - first acquisition   (order and differences survive to the microsecond)

A DT is one point on one line, so it moves by both at once. A DA with its TM beside it is two points: the date moves by the offset alone, and the day turns
with
the clock only where the pair stood on another day than the study's start (a scan over midnight), else the clock wraps. What does not parse is removed and
counted.
PS3.5 Table 6.2-1 (DA, TM, DT); PS3.15 E.3.6 (Retain Longitudinal Temporal Information with Modified Dates).
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

DAY_US = 86_400_000_000
NOON_US = 43_200_000_000
_DA = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})\Z")
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?\Z")
_DT = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\.\d{1,6})?([+-]\d{4})?\Z")


@dataclass(frozen=True, slots=True)
class Shift:
    """How one study moves: `days` back, `clock_us` microseconds forward (may be negative), `start`: the study's first day before the move."""

    days: int
    clock_us: int = 0
    start: datetime.date | None = None


def parse_date(text: str) -> datetime.date | None:
    """A DA value (also the old dotted form) as a date, or None where it does not parse."""
    found = _DA.match(text.strip(" \0"))
    if not found:
        return None
    try:
        return datetime.date(*(int(g) for g in found.groups()))
    except ValueError:
        return None


def parse_time(text: str) -> int | None:
    """A TM value as microseconds since midnight, or None where it does not parse. 60 seconds (a leap second) counts as 59.999999."""
    found = _TM.match(text.strip(" \0"))
    if not found:
        return None
    hour, minute, second = (int(g or 0) for g in found.groups()[:3])
    if hour > 23 or minute > 59 or second > 60:
        return None
    micro = int((found[4] or "").ljust(6, "0") or 0)
    return min(((hour * 60 + minute) * 60 + second) * 1_000_000 + micro, DAY_US - 1) if second < 60 else ((hour * 60 + minute) * 60 + 60) * 1_000_000 - 1


def format_time(micro: int, like: str) -> str:
    """Microseconds since midnight (wrapped into one day) as a TM with the precision of `like`."""
    micro %= DAY_US
    second, rest = divmod(micro, 1_000_000)
    text = f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"
    bare = like.strip(" \0").replace(":", "")
    if "." in bare:
        return f"{text}.{rest:06d}"[: max(len(bare), 8)] if rest else f"{text}.{'0' * len(bare.split('.')[1])}"
    return f"{text}.{rest:06d}" if rest else text


def move_date(text: str, shift: Shift, *, carry_days: int = 0) -> str | None:
    """A DA value moved back, as YYYYMMDD; None where it does not parse or would leave the calendar."""
    date = parse_date(text)
    if date is None:
        return None
    try:
        return (date - datetime.timedelta(days=shift.days - carry_days)).strftime("%Y%m%d").rjust(8, "0")
    except OverflowError:
        return None


def move_time(text: str, shift: Shift) -> str | None:
    """A TM value moved by the study's clock, wrapped at midnight; None where it does not parse."""
    micro = parse_time(text)
    return None if micro is None else format_time(micro + shift.clock_us, text)


def carry(date: str, time: str, shift: Shift) -> int:
    """How many days (-1, 0, 1) the clock carries a DA/TM pair over: only for a pair that stood on another day than the study's start."""
    day, micro = parse_date(date), parse_time(time)
    if day is None or micro is None or shift.start is None or day == shift.start:
        return 0
    return (micro + shift.clock_us) // DAY_US


def move_datetime(text: str, shift: Shift) -> str | None:
    """A DT value moved by days and clock together, its precision kept, a zone suffix dropped; None where it does not parse or has no full date."""
    found = _DT.match(text.strip(" \0"))
    if not found or not found[3]:
        return None
    year, month, day, hour, minute, second = (int(g) if g else None for g in found.groups()[:6])
    micro = int((found[7] or ".0")[1:].ljust(6, "0"))
    try:
        old = datetime.datetime(year or 1, month or 1, day or 1, hour or 0, minute or 0, min(second or 0, 59), micro)
        new = old - datetime.timedelta(days=shift.days)
        if hour is not None:
            new += datetime.timedelta(microseconds=shift.clock_us)
            if shift.start is None or old.date() == shift.start:  # same rule as a DA/TM pair: the day turns only for a scan over midnight
                new = datetime.datetime.combine(old.date() - datetime.timedelta(days=shift.days), new.time())
    except (ValueError, OverflowError):
        return None
    full = f"{new.year:04d}{new.month:02d}{new.day:02d}{new.hour:02d}{new.minute:02d}{new.second:02d}"
    if hour is None:
        return full[:8]
    digits = found[7] or (".000000" if new.microsecond else "")
    return full + (f".{new.microsecond:06d}"[: max(len(digits), 2)] if digits else "")


def clock_shift(start_us: int | None, fallback_ms: int) -> int:
    """Microseconds that bring a study's first acquisition (microseconds since midnight) to 12:00:00; without one, the keyed amount."""
    return fallback_ms * 1000 if start_us is None else NOON_US - start_us


def years_between(birth: datetime.date, then: datetime.date) -> int:
    """Whole years of age on a day."""
    return then.year - birth.year - ((then.month, then.day) < (birth.month, birth.day))
