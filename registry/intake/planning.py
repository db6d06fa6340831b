"""What a table would change: its rows against what is in the registry, person by person, with every reason why a row may not stand. Nothing is written here.

A person is known by the code of the site's identifier (a keyed hash, so two spellings of one identifier are one person). Dates become days from the person's
day zero, found once per person, and are forgotten with the plan; the plan that writes takes day zero from the one before and verifies it by one hash. A
record that repeats is known by its key (`key` in the dictionary) or by its number, so that the same table planned again finds its own records and changes
nothing. Fields that the mapping does not speak of stay as they are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from registry.access import policy
from registry.accounts import keys
from registry.accounts.models import Dataset, Site, User
from registry.clinical import dictionary, partial
from registry.clinical.mapping import Spec
from registry.clinical.models import ClinicalRecord
from registry.clinical.reading import Piece, Record
from registry.clinical.sheet import Found
from registry.intake.planned import Person, Plan, Seen, Write, chunks, what_is_there
from registry.rules import Invalid
from registry.subjects import actions as subjects
from registry.subjects.models import Participant, Visit

ADVICE = {
    "unknown_participant": "Register the person first, or let the mapping register (`participant.register`); if it does, take their rows out of the file.",
    "not_your_site": "Hand in people of your own site only.",
    "sex": "Map the site's words to F, M or O.",
    "birth_year_band": "Write five years that begin with a 0 or 5, such as 1980-1984.",
    "contradicts": "Find out which is right; rows of one person must agree with each other and with the registry.",
    "placeholder_identifier": "Give the identifier by which the site knows the person.",
    "identifier_too_long": "Give the identifier by which the site knows the person.",
    "visit_missing": "Fill in the label or the date of the visit.",
    "unknown_visit": "Add the visit first, or let the mapping add it (`visit.add`) by its date.",
    "visit_label": "Use small letters and digits, at most 32, or map the site's words to such.",
    "visit_contradicts": "Find out which is right: a visit has one label and one day.",
    "visit_too_far": "Check the date of the visit.",
    "no_day_zero": "Add the person's first visit with its date; days are counted from it.",
    "row_twice": "Keep one of the two rows.",
}
NOBODY = "unknown_participant", "names nobody who is registered in this dataset"


def plan(actor: User, dataset: Dataset, site: Site, spec: Spec, pieces: Sequence[Piece], zeros: Mapping[str, date] | None = None) -> Plan:
    """What these pieces would change. Asks the database a fixed number of questions for every 5,000 people.

    To search a person's day zero takes up to thousands of hashes: `zeros` are those of a plan of the same table that was made before a lock was taken.
    """
    return _Planning(actor, dataset, site, spec, zeros or {}).of(pieces)


class _Planning:
    """One plan while it is made."""

    def __init__(self, actor: User, dataset: Dataset, site: Site, spec: Spec, zeros: Mapping[str, date]) -> None:
        self.actor, self.dataset, self.site, self.spec, self.zeros = actor, dataset, site, spec, zeros
        self.key = keys.code_key(dataset)
        self.found: list[Found] = []

    def fault(self, row: int, column: str, rule: str, reason: str, advice: str = "") -> None:
        self.found.append(Found(row, column, rule, reason, advice or ADVICE[rule]))

    def of(self, pieces: Sequence[Piece]) -> Plan:
        issuer = self.spec["participant"].get("issuer", "")
        grouped: dict[str, list[Piece]] = defaultdict(list)
        for piece in pieces:
            grouped[self.key.code(self.site.code, issuer, piece.who)].append(piece)
        codes = sorted(grouped)
        known = {one.code: one for chunk in chunks(codes) for one in Participant.objects.filter(dataset=self.dataset, code__in=chunk).select_related("dataset")}
        mine = set(policy.participants(self.actor, "contribute").filter(dataset=self.dataset).values_list("pk", flat=True))
        visits, records = what_is_there([one.pk for one in known.values()])
        people = []
        for code, rows in grouped.items():
            person = Person(code, rows[0].who, rows[0].row, known.get(code))
            if self._may(person, rows, mine):
                self._facts(person, rows)
                there = visits.get(person.participant.pk, []) if person.participant else []
                self._person(person, rows, there, records)
            people.append(person)
        return Plan(people, self.found)

    # --- who -----------------------------------------------------------------------------------------------------------------------------------------

    def _may(self, person: Person, rows: Sequence[Piece], mine: set[Any]) -> bool:
        """Whether rows of this person may be taken; every row of theirs is at fault otherwise."""
        column = self.spec["participant"]["column"]
        rule = self._refused(person, mine)
        for piece in rows if rule else ():
            self.fault(piece.row, column, rule[0], rule[1])  # type: ignore[index]
        return rule is None

    def _refused(self, person: Person, mine: set[Any]) -> tuple[str, str] | None:
        one = person.participant
        if one is None:
            if not self.spec["participant"].get("register"):
                return NOBODY
            try:
                subjects.plausible(person.patient_id, self.spec["participant"].get("issuer", ""))
            except Invalid as error:
                return error.code, "names nobody"
            return None
        if one.site_id != self.site.pk:
            return "not_your_site", "names somebody of another site"
        if one.state != "active":
            return NOBODY  # who has left is told of no more than who never came
        return None if one.pk in mine else ("not_your_site", "names somebody for whom you do not hand in")

    def _facts(self, person: Person, rows: Sequence[Piece]) -> None:
        """Sex and birth year band: valid, the same in all rows, and not against the registry."""
        for piece in rows:
            for name, told in piece.person.items():
                column = piece.columns[name]
                allowed = ("F", "M", "O") if name == "sex" else subjects.BANDS
                if told not in allowed:
                    self.fault(piece.row, column, name, "is none of F, M, O" if name == "sex" else "is no band of five years")
                    continue
                before = person.said.setdefault(name, (getattr(person.participant, name) if person.participant else "") or told)
                if before != told:
                    self.fault(piece.row, column, "contradicts", "is not what the registry or an earlier row says")
        if person.participant is not None:
            person.fill = {name: told for name, told in person.said.items() if not getattr(person.participant, name)}

    # --- when ----------------------------------------------------------------------------------------------------------------------------------------

    def _person(self, person: Person, rows: Sequence[Piece], there: Sequence[Visit], records: Mapping[Any, Sequence[ClinicalRecord]]) -> None:
        person.visits = {visit.label: Seen(visit.label, visit.day, visit.day_code, visit) for visit in there}
        zero = person.zero = self._zero(person, rows, there)
        known = len(person.visits)
        for piece in sorted(rows, key=lambda piece: (piece.day.day if piece.day else date.max, piece.row)):
            self._visit(person, piece, zero)
        for piece in rows:
            seen = self._seen(person, piece, zero)
            if seen is None:
                continue
            for record in piece.records:
                self._record(person, seen, piece, record, zero, records)
        named = {label for label, _, _ in person.writes}
        # A visit that was there and of which the table says nothing is not of this plan.
        person.visits = {label: seen for n, (label, seen) in enumerate(person.visits.items()) if n >= known or label in named}

    def _zero(self, person: Person, rows: Sequence[Piece], there: Sequence[Visit]) -> date | None:
        """The calendar date of the person's day zero, as far as this table tells it: from the first visit that is there, or the earliest of the table."""
        first = next((visit for visit in there if visit.day == 0), None)
        days = sorted({piece.day.day for piece in rows if piece.day})
        if first is None:
            return days[0] if days else None
        before = self.zeros.get(person.code)
        if before is not None and self.key.day_code(person.code, before) == first.day_code:
            return before
        by_code = {visit.day_code: visit for visit in there}
        for day in days:
            visit = by_code.get(self.key.day_code(person.code, day))
            if visit is not None and visit.day is not None:
                return day - timedelta(days=visit.day)
        dates = days or sorted(told.day for piece in rows for told in _dates(piece))
        if not dates:
            return None
        try:
            return dates[-1] - timedelta(days=subjects.days_between(self.key, person.code, first.day_code, dates[-1]))
        except Invalid as error:
            self.fault(rows[0].row, rows[0].columns.get("date", ""), error.code, "is more than a hundred years from the first visit")
            return None

    def _visit(self, person: Person, piece: Piece, zero: date | None) -> None:
        """Adds the visit of a dated row to the person's visits, where it is new and the mapping adds visits."""
        if piece.day is None or zero is None or not self.spec["visit"].get("add"):
            return
        day = (piece.day.day - zero).days
        if any(seen.day == day for seen in person.visits.values()):
            return
        label = piece.label or (f"d{day}" if day >= 0 else f"b{-day}")
        if label not in person.visits and subjects.VISIT_LABEL.fullmatch(label):
            person.visits[label] = Seen(label, day, self.key.day_code(person.code, piece.day.day))

    def _seen(self, person: Person, piece: Piece, zero: date | None) -> Seen | None:
        """The visit that a row is of, or None with the fault that says why there is none."""
        if self.spec["visit"].get("first"):
            found = next((seen for seen in person.visits.values() if seen.day == 0), None)
            if found is None:
                self.fault(piece.row, self.spec["participant"]["column"], "unknown_visit", "names somebody who has no first visit")
            return found
        label, at = piece.columns.get("label", ""), piece.columns.get("date", "")
        if piece.broken:  # its date is at fault already
            return None
        if piece.day is None and not piece.label:
            self.fault(piece.row, at or label, "visit_missing", "says neither label nor date of the visit")
            return None
        if piece.label and not subjects.VISIT_LABEL.fullmatch(piece.label):
            self.fault(piece.row, label, "visit_label", "is no label of a visit")
            return None
        return self._one_visit(person, piece, zero, label, at)

    def _one_visit(self, person: Person, piece: Piece, zero: date | None, label: str, at: str) -> Seen | None:
        by_label = person.visits.get(piece.label) if piece.label else None
        if piece.day is None:
            if by_label is None:
                self.fault(piece.row, label, "unknown_visit", "names a visit that is not there")
            return by_label
        if zero is None:
            return None
        day = (piece.day.day - zero).days
        by_day = next((seen for seen in person.visits.values() if seen.day == day), None)
        if by_day is None and by_label is None:
            self.fault(piece.row, at, "unknown_visit", "is a day on which no visit is registered")
            return None
        if by_day is None or (piece.label and by_label is not by_day):
            self.fault(piece.row, label if by_day else at, "visit_contradicts", "is not what the registry or another row says of this visit")
            return None
        return by_day

    # --- what ----------------------------------------------------------------------------------------------------------------------------------------

    def _record(self, person: Person, seen: Seen, piece: Piece, record: Record, zero: date | None, records: Mapping[Any, Sequence[ClinicalRecord]]) -> None:
        values = self._days(piece, record, zero)
        if values is None:
            return
        there = [one for one in records.get(seen.visit.pk, ()) if one.instrument == record.instrument] if seen.visit else []
        number = self._number(person, seen, record, values, there)
        old = next((one for one in there if one.number == number), None)
        kept = {name: value for name, value in (old.values if old else {}).items() if name not in record.spoken}
        merged = {**kept, **values}
        wrong = dictionary.faults(record.instrument, merged)
        for fault in wrong:
            name = fault.field.removeprefix("values.")
            column = record.columns.get(name) or record.columns.get(name.replace("_day", "_date")) or self.spec["participant"]["column"]
            self.fault(piece.row, column, fault.rule, fault.reason, fault.advice)
        place = (seen.label, record.instrument, number)
        if not wrong and place not in person.writes:
            changed = old is None or old.values != merged
            person.writes[place] = (Write(seen.label, record.instrument, number, merged, old, changed), piece.row)
        elif not wrong and person.writes[place][0].values != merged:
            self.fault(piece.row, self.spec["participant"]["column"], "row_twice", f"says the same record as row {person.writes[place][1]}, with other values")

    def _days(self, piece: Piece, record: Record, zero: date | None) -> dict[str, Any] | None:
        """The values with days in place of dates. None, with the fault, where there is nothing to count from."""
        fields = dictionary.instrument(record.instrument)["fields"]
        values = {}
        for name, value in record.values.items():
            if name in fields:
                values[name] = value
                continue
            what = name.removesuffix("_date")
            told = partial.read(value)
            if told is None:  # a missing code
                values[f"{what}_day"] = value
                continue
            if zero is None:
                self.fault(piece.row, record.columns[name], "no_day_zero", "is a date, and there is no first visit with a date to count from")
                return None
            values[f"{what}_day"] = (told.day - zero).days
            if f"{what}_precision" in fields:
                values[f"{what}_precision"] = told.precision
        return values

    def _number(self, person: Person, seen: Seen, record: Record, values: Mapping[str, Any], there: Sequence[ClinicalRecord]) -> int:
        """The number of a record: 1, the one the table counts, that of the record with the same key, or the next."""
        spec = dictionary.instrument(record.instrument)
        if not spec["repeats"]:
            return 1
        if record.number is not None:
            return record.number
        mine = {write.number: write.values for (label, name, _), (write, _) in person.writes.items() if (label, name) == (seen.label, record.instrument)}
        all_ = {**{one.number: one.values for one in there}, **mine}
        same = [number for number, old in all_.items() if all(old.get(name) == values.get(name) for name in spec["key"])]
        return min(same, default=max(all_, default=0) + 1)


def _dates(piece: Piece) -> Iterable[partial.Partial]:
    return [told for record in piece.records for name, value in record.values.items() if name.endswith("_date") and (told := partial.read(value))]
