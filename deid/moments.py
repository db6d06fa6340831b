"""When was a file acquired, and when did its study begin? The study's clock is set by the answer (`dates.clock_shift`).

The start of a study is the earliest acquisition in any of its files, at any depth: frames of enhanced objects and images inside mosaics carry times of their
own, which can lie before the one at the top. A time of day belongs to the AcquisitionDate beside it, or to the nearest one above. Files that say no acquisition
(captures, reports) say at most when their content was made; that counts only where no file of the study says more.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from deid import dates, values
from deid.elements import Element

ACQUISITION_DATE, ACQUISITION_TIME = 0x00080022, 0x00080032
DAYS = (ACQUISITION_DATE, 0x00080021, 0x00080020, 0x00080023)  # then SeriesDate, StudyDate, ContentDate
OTHER_TIMES = (0x00080033, 0x00080030)  # ContentTime, StudyTime
# AcquisitionDateTime, FrameAcquisitionDateTime, StartAcquisitionDateTime: a day and a time in one.
DATETIMES = frozenset({0x0008002A, 0x00189074, 0x00189516})


@dataclass(frozen=True, slots=True)
class Start:
    """A beginning: its calendar day and microseconds since midnight (either may be unknown). acquired: of an acquisition, not only of a file's content."""

    date: datetime.date | None
    micro: int | None
    acquired: bool = True

    @property
    def order(self) -> tuple[bool, datetime.date, int]:
        """Sorts acquisitions before content, known days before unknown ones, early before late."""
        return not self.acquired, self.date or datetime.date.max, dates.DAY_US if self.micro is None else self.micro


UNKNOWN = Start(None, None, acquired=False)


class Studied(Protocol):
    """What `study_starts` asks of a file's identity."""

    @property
    def study_uid(self) -> str:
        """StudyInstanceUID as it stands."""
        ...

    @property
    def start(self) -> Start:
        """The file's own beginning."""
        ...


def of(elements: list[Element]) -> Start:
    """The earliest acquisition that a data set names at any depth, or else what its content says; Start(day, None) where it says no time."""
    day = next((day for tag in DAYS if (day := _day(elements, tag))), None)
    acquired = min(_acquisitions(elements, day), key=lambda start: start.order, default=None)
    if acquired is not None:
        return acquired
    times = (dates.parse_time(text) for tag in OTHER_TIMES for element in elements if element.tag == tag for text in _texts(element))
    return Start(day, next((time for time in times if time is not None), None), acquired=False)


def _acquisitions(elements: list[Element], day: datetime.date | None) -> Iterator[Start]:
    day = _day(elements, ACQUISITION_DATE) or day
    for element in elements:
        if element.items is not None:
            for item in element.items:
                yield from _acquisitions(item.elements, day)
        elif element.tag == ACQUISITION_TIME:
            yield from (Start(day, micro) for text in _texts(element) if (micro := dates.parse_time(text)) is not None)
        elif element.tag in DATETIMES:
            moments = (dates.parse_datetime(text) for text in _texts(element))
            yield from (Start(moment[0], moment[1]) for moment in moments if moment and moment[1] is not None)


def _texts(element: Element) -> list[str]:
    return [] if element.value is None else values.texts(element)


def _day(elements: list[Element], tag: int) -> datetime.date | None:
    return next((day for element in elements if element.tag == tag for text in _texts(element) if (day := dates.parse_date(text))), None)


def study_starts(found: Iterable[Studied]) -> dict[str, Start]:
    """Each study's beginning over all its files, by StudyInstanceUID: what `Subject.starts` wants. Studies without any time are left out."""
    best: dict[str, Start] = {}
    for one in found:
        old = best.get(one.study_uid)
        if one.start.micro is not None and (old is None or one.start.order < old.order):
            best[one.study_uid] = one.start
    return best
