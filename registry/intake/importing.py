"""Taking a site's table: read by its saved mapping, planned against the registry, and written all or not at all. The same table again changes nothing.

A dry run tells what would change and every reason why a row may not stand; it tells of people, so it leaves a line, as a refusal does. To apply is to
plan again inside the transaction that writes, so that what was planned is what is written. New people go into the vault first, outside the transaction;
when it fails they are taken out again, and what a killed process leaves there the tick erases (`subjects.actions.finish_forgetting`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.access import policy
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.clinical import dictionary, mapping, reading, sheet
from registry.clinical.models import ClinicalRecord
from registry.clinical.models import Mapping as Saved
from registry.intake import matching, planning
from registry.intake.planned import AT_ONCE, Person, Plan
from registry.rules import Conflict, Invalid
from registry.subjects import actions as subjects
from registry.subjects.models import Participant, Visit

MOST_TOLD = 1000
LARGEST = 32 << 20


class Faulty(Invalid):
    """A table of which something may not stand (`table_faulty`), with the report that says what."""

    def __init__(self, report: Report) -> None:
        errors = [{"field": f"row {one.row}, {one.column}" if one.column else f"row {one.row}", "reason": one.reason, **_rest(one)} for one in report.faults]
        reason = f"{report.faulty} thing(s) of this table may not stand; nothing was written."
        super().__init__("table_faulty", reason, "Mend the rows named and send the whole table again.", errors=errors)
        self.report = report


@dataclass(frozen=True)
class Report:
    """What a table would change, or changed (`applied`), and what is wrong with it (`faults`, by row; the first thousand of `faulty`)."""

    rows: int
    faulty: int
    faults: list[sheet.Found]
    counts: dict[str, dict[str, int]]
    applied: bool = False

    def told(self) -> dict[str, Any]:
        """As JSON."""
        faults = [fault.told() for fault in self.faults]
        return {"rows": self.rows, "applied": self.applied, "faulty": self.faulty, "faults": faults, "changes": self.counts}


def try_table(actor: User, saved: Saved, text: str) -> Report:
    """What taking this table would change, and every fault by row, column, rule and advice. Writes nothing but its line. Raises Denied, Invalid."""
    table, pieces = _read(actor, saved, text)
    report = _report(table, planning.plan(actor, saved.dataset, saved.site, saved.spec, pieces))
    _tried(actor, saved, report)
    return report


def take_table(actor: User, saved: Saved, text: str) -> Report:
    """Take the whole table. Raises Denied; Faulty (`table_faulty`) naming row and column of everything that is wrong, and then nothing was written.

    Raises Conflict `changed_meanwhile` when somebody else registered one of these people at this very moment: try again.
    """
    table, pieces = _read(actor, saved, text)
    try:
        return _taken(actor, saved, table, pieces)
    except Faulty as refused:  # here every transaction is over, and the line stays
        _tried(actor, saved, refused.report)
        raise


def _taken(actor: User, saved: Saved, table: sheet.Sheet, pieces: list[reading.Piece]) -> Report:
    first = planning.plan(actor, saved.dataset, saved.site, saved.spec, pieces)
    _refuse(_report(table, first))
    sealed = _seal(saved, first)
    try:
        with transaction.atomic():
            # Who leaves in this very moment is not written about any more: both acts hold the participant's row.
            list(Participant.objects.select_for_update().filter(dataset=saved.dataset, site=saved.site).values_list("pk"))
            policy.require_in(actor, "register", saved.dataset, saved.site)
            plan = planning.plan(actor, saved.dataset, saved.site, saved.spec, pieces, first.zeros())
            report = _report(table, plan)
            _refuse(report)
            _write(actor, saved, plan, sealed)
    finally:  # when nothing was written, or somebody else registered one of them meanwhile
        subjects.unseal(sealed.values())
    return Report(report.rows, 0, [], report.counts, applied=True)


def _read(actor: User, saved: Saved, text: str) -> tuple[sheet.Sheet, list[reading.Piece]]:
    policy.require_in(actor, "register", saved.dataset, saved.site)
    if len(text) > LARGEST:
        raise Invalid("table_too_large", "A table has at most 32 MiB.", "Send it in parts.")
    mapping.check(saved.spec)  # the dictionary may have moved on since it was saved
    return reading.read(saved.spec, text, timezone.now().date())


def _report(table: sheet.Sheet, plan: Plan) -> Report:
    found = sheet.in_order([*table.found, *plan.found], table.columns)
    return Report(len(table.rows), len(found), found[:MOST_TOLD], plan.counts())


def _refuse(report: Report) -> None:
    if report.faulty:
        raise Faulty(report)


def _tried(actor: User, saved: Saved, report: Report) -> None:
    audit.write(actor, "table.try", f"mapping:{saved.pk}", dataset=saved.dataset, site=saved.site.code, rows=report.rows, faulty=report.faulty)


def _rest(one: sheet.Found) -> Mapping[str, str]:
    return {"row": str(one.row), "column": one.column, "rule": one.rule, "advice": one.advice}


def _seal(saved: Saved, plan: Plan) -> dict[str, subjects.Sealed]:
    """Everybody who is new, in the vault, by code."""
    issuer = saved.spec["participant"].get("issuer", "")
    new = [{"patient_id": person.patient_id, "issuer": issuer, **person.said} for person in plan.people if person.participant is None]
    return {one.code: one for one in subjects.seal_all(saved.dataset, saved.site, new)}


def _write(actor: User, saved: Saved, plan: Plan, sealed: Mapping[str, subjects.Sealed]) -> None:
    """Writes what is new or changed, lets waiting studies go on, and leaves one line per person changed and one for the whole."""
    touched: dict[Any, tuple[Participant, list[str]]] = {}
    moved = []
    for person in plan.people:
        one = _person(person, sealed)
        visits = _visits(one, person)
        records = _records(actor, visits, person)
        if person.participant is None or person.new_visits:
            moved.append(one)
        if person.participant is None or person.new_visits or person.fill or records:
            touched[one.pk] = (one, records)
    for start in range(0, len(moved), AT_ONCE):
        matching.go_on_with(matching.waiting_for(moved[start : start + AT_ONCE]))
    for one, records in touched.values():
        audit.write(actor, "clinical.import", f"participant:{one.pk}", dataset=saved.dataset, records=records, mapping=str(saved.pk))
    audit.write(actor, "table.import", f"mapping:{saved.pk}", dataset=saved.dataset, site=saved.site.code, participants=len(touched), changes=plan.counts())


def _person(person: Person, sealed: Mapping[str, subjects.Sealed]) -> Participant:
    if person.participant is None:
        if person.code not in sealed:
            raise Conflict("changed_meanwhile", "The registry changed while the table was read; nothing was written.", "Send it again.")
        return subjects.enter(sealed[person.code])
    if person.fill:
        Participant.objects.filter(pk=person.participant.pk).update(**person.fill)
    return person.participant


def _visits(one: Participant, person: Person) -> dict[str, Visit]:
    fresh = [Visit(participant=one, label=seen.label, day=seen.day, day_code=seen.code) for seen in person.new_visits]
    Visit.objects.bulk_create(fresh)
    there = {seen.label: seen.visit for seen in person.visits.values() if seen.visit is not None}
    return {**there, **{visit.label: visit for visit in fresh}}


def _records(actor: User, visits: Mapping[str, Visit], person: Person) -> list[str]:
    """Writes the records that are new or changed; their ids."""
    fresh, changed = [], []
    for write in (write for write, _ in person.writes.values() if write.changed):
        row = write.old or ClinicalRecord(visit=visits[write.label], instrument=write.instrument, number=write.number)
        row.values, row.dictionary, row.recorded_by = write.values, dictionary.version(), actor.email
        (changed if write.old else fresh).append(row)
    ClinicalRecord.objects.bulk_create(fresh)
    for row in changed:
        row.save()
    return [str(row.pk) for row in (*fresh, *changed)]
