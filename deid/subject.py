"""Whom a file belongs to, as the caller has decided it; and what came of it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deid.moments import Start
from deid.pseudonyms import PseudonymKey


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a file belongs to, as the caller has decided it.

    code: written as PatientID. key: moves UIDs, dates and times. starts: first acquisition per StudyInstanceUID (`identity.study_starts`), so that one clock
    shift serves the whole study. birth_dates: those of all files of the person, for the age. over_89: some visit is known to be above 89, so every age is
    capped. identifiers: further values to look for in free text (names and numbers from the person's other files). searched: the caller promises that no
    product leaves before `pixels.check` has passed it; then it says at once what it may say after (113101, BurnedInAnnotation NO), and is written once.
    """

    code: str
    pseudonym_key: PseudonymKey
    birth_dates: frozenset[datetime.date] = frozenset()
    starts: Mapping[str, Start] = field(default_factory=dict)
    over_89: bool = False
    identifiers: frozenset[str] = frozenset()
    searched: bool = False


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What came of one file. account: JSON-able, no old value in it. removed: the strings taken out (identifying!). facts: keyword -> value, not
    identifying."""

    account: dict[str, Any]
    removed: frozenset[str]
    facts: dict[str, Any]
