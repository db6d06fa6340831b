"""Dates move back by one secret whole number of days per participant; clocks move by one amount per study.

    new date = old date - offset(participant),   offset in 1..3650 days       (intervals in days survive, across studies and years)
    new time = old time + shift(study),          shift = 12:00:00 - first acquisition   (order and differences survive to the microsecond)

Within twelve hours of the first acquisition, before or after, a day with its time (a DT, or a DA with its TM beside it) moves as one point on one line, so a
scan over midnight keeps its order: all of it now stands on one day. Farther away the day moves by the offset alone and the clock wraps, so that every interval
between days is kept. StudyDate always moves by the offset alone. What does not parse is removed and counted.
PS3.5 Table 6.2-1 (DA, TM, DT); PS3.15 E.3.6 (Retain Longitudinal Temporal Information with Modified Dates).
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from functools import lru_cache

DAY_US = 86_400_000_000
NOON_US = 43_200_000_000
_DA = re.compile(r"(\d{4})[.\-/]?(\d{2})[.\-/]?(\d{2})\Z")
_TM = re.compile(r"(\d{2})(?::?(\d{2})(?::?(\d{2})(?:\.(\d{1,6}))?)?)?\Z")
_DAY_AS_NUMBER = re.compile(r"\s*((?:19|20)\d{6})(?!\d)")
_DT = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\.\d{1,6})?([+-]\d{4})?\Z")


@dataclass(frozen=True, slots=True)
class Shift:
    """How one study moves: `days` back, `clock_us` microseconds forward (may be negative), `start`: the study's first day before the move."""

    days: int
    clock_us: int = 0
    start: datetime.date | None = None


@lru_cache(maxsize=4096)  # a study says the same few days over and over
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
    """Microseconds since midnight (wrapped into one day) as a TM with as many digits of a second as `like`, more where it would lose something."""
    second, rest = divmod(micro % DAY_US, 1_000_000)
    text = f"{second // 3600:02d}{second // 60 % 60:02d}{second % 60:02d}"
    digits = len(like.strip(" \0").partition(".")[2])
    needed = len(f"{rest:06d}".rstrip("0")) if rest else 0
    return f"{text}.{rest:06d}"[: 7 + max(digits, needed)] if digits or needed else text


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
    """How many days (-1, 0, 1) the clock carries a DA/TM pair over: only one within twelve hours of the study's start, on the other side of midnight."""
    day, micro = parse_date(date), parse_time(time)
    return 0 if day is None or micro is None else _carried(day, micro, shift)


def _carried(day: datetime.date, micro: int, shift: Shift) -> int:
    if shift.start is None or day == shift.start:
        return 0
    line = micro + shift.clock_us  # noon is where the study now starts
    since = (day - shift.start).days * DAY_US + line - NOON_US
    return line // DAY_US if -NOON_US <= since < NOON_US else 0


def parse_datetime(text: str) -> tuple[datetime.date, int | None] | None:
    """A DT value as its day and microseconds since midnight (None where it stops at the day); None where it does not parse or has no full date."""
    found = _DT.match(text.strip(" \0"))
    if not found or not found[3]:
        return None
    year, month, day, hour, minute, second = (int(g or 0) for g in found.groups()[:6])
    micro = int((found[7] or ".0")[1:].ljust(6, "0"))
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        date = datetime.date(year, month, day)
    except ValueError:
        return None
    if found[4] is None:
        return date, None
    return date, ((hour * 60 + minute) * 60 + min(second, 59)) * 1_000_000 + (micro if second < 60 else 999_999)


def move_datetime(text: str, shift: Shift) -> str | None:
    """A DT value moved by days and clock, its precision kept, a zone suffix dropped; None where it does not parse or has no full date."""
    parsed = parse_datetime(text)
    if parsed is None:
        return None
    date, micro = parsed
    carried = 0 if micro is None else _carried(date, micro, shift)
    try:
        day = date - datetime.timedelta(days=shift.days - carried)
    except OverflowError:
        return None
    written = f"{day.year:04d}{day.month:02d}{day.day:02d}"
    return written if micro is None else written + format_time(micro + shift.clock_us, _time_in(text))


def _time_in(text: str) -> str:
    """The time part of a DT value."""
    return re.split(r"[+-]", text.strip(" \0")[8:])[0]


def reads_as_a_day(text: str) -> bool:
    """Whether a number reads as a day of our time (it begins with YYYYMMDD): scanners do write the day as a number."""
    found = _DAY_AS_NUMBER.match(text)
    return bool(found and parse_date(found[1]))


def clock_shift(start_us: int | None, fallback_ms: int) -> int:
    """Microseconds that bring a study's first acquisition (microseconds since midnight) to 12:00:00; without one, the keyed amount."""
    return fallback_ms * 1000 if start_us is None else NOON_US - start_us


def years_between(birth: datetime.date, then: datetime.date) -> int:
    """Whole years of age on a day."""
    return then.year - birth.year - ((then.month, then.day) < (birth.month, birth.day))
