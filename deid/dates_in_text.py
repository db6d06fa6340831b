"""Dates as people write them: every day a piece of text may mean, in the usual orders, with month names of six languages, and as a day of the year.

The scrubber cuts whatever looks like a date. The last gate asks more: does this text say *that* day? `04.03.62` may be the 4th of March or the 3rd of April
of a year ending in 62; each reading counts, for a stranger would try them too.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

# The first letters, folded, of the months in English, German, Dutch, French, Spanish, Italian and Danish.
_MONTHS = {
    1: "jan ene gen",
    2: "feb fev",
    3: "mar maa mrt mae",
    4: "apr avr abr",
    5: "may mai mei maj mag",
    6: "jun juin giu",
    7: "jul juil lug",
    8: "aug aou ago",
    9: "sep set",
    10: "oct okt ott",
    11: "nov",
    12: "dec dez dic",
}
MONTH_OF = {start: month for month, starts in _MONTHS.items() for start in starts.split()}
MONTH = "(?:" + "|".join(sorted(MONTH_OF, key=len, reverse=True)) + ")[a-z]{0,7}"
_S = r"[-./ _\u5e74\u6708]"  # signs between the numbers of a date; the last two are year and month in Chinese and Japanese
_FREE_OF_DIGITS = r"(?<![\d.])"
_YMD = re.compile(rf"{_FREE_OF_DIGITS}(\d{{4}})(?:{_S}{{0,2}}|:)(\d\d)(?:{_S}{{0,2}}|:)(\d\d)")
_YMD_LOOSE = re.compile(rf"{_FREE_OF_DIGITS}(\d{{4}}){_S}{{1,2}}(\d{{1,2}}){_S}{{1,2}}(\d{{1,2}})(?!\d)")
_THREE = re.compile(rf"{_FREE_OF_DIGITS}(\d{{1,2}}){_S}{{1,2}}(\d{{1,2}}){_S}{{1,2}}(\d{{4}}|\d\d)(?!\d)")
_MORE_BEFORE, _MORE_AFTER = re.compile(r"\d[-./ _]\Z"), re.compile(r"[-./ _]\d")  # three numbers among many are no date
_EIGHT = re.compile(rf"{_FREE_OF_DIGITS}(\d\d)(\d\d)(\d{{4}})(?!\d)")
_SIX = re.compile(rf"{_FREE_OF_DIGITS}(\d\d)(\d\d)(\d\d)(?!\d)")
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|o|a)?[ .,_/\-]{{0,3}}(?:of |de |di |d')?({MONTH})[ .,_/'\-]{{0,3}}(?:de |del )?(\d{{4}}|\d\d)(?!\d)"
)
_MONTH_DAY = re.compile(rf"({MONTH})[ .,_/\-]{{0,3}}(\d{{1,2}})(?:st|nd|rd|th)?[ .,_/'\-]{{1,3}}(\d{{4}}|\d\d)(?!\d)")
_YEAR_MONTH_DAY = re.compile(rf"(?<!\d)(\d{{4}})[ .,_/\-]{{0,3}}({MONTH})[ .,_/\-]{{0,3}}(\d{{1,2}})(?!\d)")
_DAY_OF_YEAR = re.compile(rf"{_FREE_OF_DIGITS}(\d{{4}})[-./ ]?(\d{{3}})(?!\d)")

Day = tuple[int, int, int]


def said(folded: str, *, loose: bool) -> Iterator[Day]:
    """Every (year, month, day) that a folded text may mean; a year below 100 is one of two digits. loose: years of two digits and six bare digits
    count too."""
    for pattern in (_YMD, _YMD_LOOSE):
        for found in pattern.finditer(folded):
            year, one, two = map(int, found.groups())
            yield year, one, two
            yield year, two, one
    for pattern in (_THREE, _EIGHT):
        for found in pattern.finditer(folded):
            if len(found[3]) == 4:
                yield from _orders(*map(int, found.groups()))
            elif loose and not (_MORE_BEFORE.search(folded, 0, found.start()) and _MORE_AFTER.match(folded, found.end())):
                one, two, three = map(int, found.groups())
                yield one, two, three
                yield from _orders(one, two, three)
    if loose:
        for found in _SIX.finditer(folded):
            one, two, three = map(int, found.groups())
            yield one, two, three
            yield from _orders(one, two, three)
    for found in _DAY_OF_YEAR.finditer(folded):
        yield from _ordinal(int(found[1]), int(found[2]))
    yield from _with_month(folded)


def _orders(one: int, two: int, year: int) -> Iterator[Day]:
    yield year, one, two
    yield year, two, one


def _with_month(folded: str) -> Iterator[Day]:
    for found in _DAY_MONTH.finditer(folded):
        yield int(found[3]), month(found[2]), int(found[1])
    for found in _MONTH_DAY.finditer(folded):
        yield int(found[3]), month(found[1]), int(found[2])
    for found in _YEAR_MONTH_DAY.finditer(folded):
        yield int(found[1]), month(found[2]), int(found[3])


def month(word: str) -> int:
    """The number of the month a folded word begins with."""
    return next(MONTH_OF[word[:n]] for n in (4, 3) if word[:n] in MONTH_OF)


def _ordinal(year: int, day: int) -> Iterator[Day]:
    if 1 <= day <= 366 and 1 <= year <= 9999:
        try:
            date = datetime.date(year, 1, 1) + datetime.timedelta(days=day - 1)
        except OverflowError:
            return
        yield date.year, date.month, date.day
