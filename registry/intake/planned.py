"""What a plan is made of: people, their visits and records as they are and as they would be; and what lies in the registry already, in few questions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from registry.clinical.models import ClinicalRecord
from registry.clinical.sheet import Found
from registry.subjects.models import Participant, Visit

AT_ONCE = 5000  # SQLite takes 32,766 parameters in a statement


@dataclass(frozen=True)
class Seen:
    """A visit that is there (`visit`) or will be (`day`, `code`)."""

    label: str
    day: int | None
    code: str
    visit: Visit | None = None


@dataclass
class Write:
    """One record to be written, or one that stands already (`changed` False)."""

    label: str
    instrument: str
    number: int
    values: dict[str, Any]
    old: ClinicalRecord | None
    changed: bool


@dataclass
class Person:
    """What a table says about one person, and what follows for the registry."""

    code: str
    patient_id: str
    row: int
    participant: Participant | None = None
    zero: date | None = None
    said: dict[str, str] = field(default_factory=dict)
    fill: dict[str, str] = field(default_factory=dict)
    visits: dict[str, Seen] = field(default_factory=dict)
    writes: dict[tuple[str, str, int], tuple[Write, int]] = field(default_factory=dict)

    @property
    def new_visits(self) -> list[Seen]:
        return [one for one in self.visits.values() if one.visit is None]


@dataclass
class Plan:
    """Everybody whom the table names, and every reason why it may not be taken."""

    people: list[Person]
    found: list[Found]

    def zeros(self) -> dict[str, date]:
        """The calendar date of day zero by person's code, as far as the table told it; to make the same plan again without searching."""
        return {person.code: person.zero for person in self.people if person.zero is not None}

    def counts(self) -> dict[str, dict[str, int]]:
        """What would be new, changed or the same."""
        writes = [write for person in self.people for write, _ in person.writes.values()]
        new = sum(one.old is None for one in writes)
        changed = sum(one.old is not None and one.changed for one in writes)
        fresh = sum(person.participant is None for person in self.people)
        filled = sum(bool(person.fill) for person in self.people)
        added = sum(len(person.new_visits) for person in self.people)
        return {
            "participants": {"new": fresh, "changed": filled, "same": len(self.people) - fresh - filled},
            "visits": {"new": added, "changed": 0, "same": sum(len(person.visits) for person in self.people) - added},
            "records": {"new": new, "changed": changed, "same": len(writes) - new - changed},
        }


def chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE))


def what_is_there(people: Sequence[Any]) -> tuple[dict[Any, list[Visit]], dict[Any, list[ClinicalRecord]]]:
    """Visits by participant, records by visit."""
    visits: dict[Any, list[Visit]] = defaultdict(list)
    records: dict[Any, list[ClinicalRecord]] = defaultdict(list)
    for chunk in chunks(people):
        for visit in Visit.objects.filter(participant__in=chunk):
            visits[visit.participant_id].append(visit)
        for record in ClinicalRecord.objects.filter(visit__participant__in=chunk):
            records[record.visit_id].append(record)
    return visits, records
