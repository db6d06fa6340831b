"""Recording what was found at a visit: all or none, checked by the dictionary, the same record again replaces the old one. Saving how a site's tables read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.access import policy
from registry.accounts import keys
from registry.accounts.models import Dataset, Site, User
from registry.audit import actions as audit
from registry.clinical import dictionary, mapping, partial
from registry.clinical.models import ClinicalRecord, Mapping
from registry.rules import Invalid
from registry.subjects import actions as subjects
from registry.subjects.models import Participant, Visit


@dataclass(frozen=True)
class Row:
    """One record to write. `number` counts the records of an instrument that repeats, from 1."""

    visit: Visit
    instrument: str
    values: dict[str, Any]
    number: int = 1


def record(actor: User, rows: Sequence[Row]) -> list[ClinicalRecord]:
    """Write clinical records, all or none. Raises Denied; Invalid `invalid` naming row and field of everything that is wrong, and no value.

    Where the dictionary has a day (`onset_day`), a date may be given (`onset_date`: `2019-05-12`, `2019-05`, `2019`): it becomes days from the same day zero
    as the visits', with its precision, and is forgotten. Day or precision beside it are refused: one of the two would be lost unseen.
    """
    people = {row.visit.participant_id: row.visit.participant for row in rows}
    for participant in people.values():
        policy.require(actor, "contribute", participant)
    rows = [replace(row, values=_days(row, n)) for n, row in enumerate(rows)]
    wrong = [{"field": f"records.{n}.{fault.field}", "reason": fault.reason} for n, row in enumerate(rows) for fault in _faults(row)]
    if wrong:
        raise Invalid("invalid", "Some values may not stand as they are; nothing was recorded.", "Mend the fields named and send all again.", errors=wrong)
    with transaction.atomic():
        # Who leaves in this very moment is not written about any more: both acts hold the participant's row.
        list(Participant.objects.select_for_update().filter(pk__in=people))
        for participant in Participant.objects.filter(pk__in=people):
            policy.require(actor, "contribute", participant)
        records = [_write(actor, row) for row in rows]
        for participant in people.values():
            mine = [str(one.pk) for one in records if one.visit.participant_id == participant.pk]
            audit.write(actor, "clinical.record", f"participant:{participant.pk}", dataset=participant.dataset, records=mine)
    return records


def _days(row: Row, n: int) -> dict[str, Any]:
    """The values with days in place of dates. Raises Invalid for what is no date, and where there is no visit to count from."""
    if row.instrument not in dictionary.names() or not isinstance(row.values, dict):
        return row.values
    fields = dictionary.instrument(row.instrument)["fields"]
    dates = [name for name in row.values if name.endswith("_date") and f"{name.removesuffix('_date')}_day" in fields]
    values = {name: value for name, value in row.values.items() if name not in dates}
    for name in dates:
        what = name.removesuffix("_date")
        twice = sorted({f"{what}_day", f"{what}_precision"} & set(row.values))
        if twice:
            errors = [{"field": f"records.{n}.values.{field}", "reason": f"is said beside {name}, which says it as well"} for field in twice]
            raise Invalid("invalid", "A day is given twice; nothing was recorded.", "Give the date, or the day with its precision, not both.", errors=errors)
        day, precision = _middle(row.values[name], f"records.{n}.values.{name}")
        values[f"{what}_day"] = _since_zero(row.visit.participant, day)
        if f"{what}_precision" in fields:
            values[f"{what}_precision"] = precision
    return values


def _middle(text: object, field: str) -> tuple[date, str]:
    """The day that a date of some precision stands for, and the precision. Raises Invalid for what is no date, and for the future."""
    found = partial.read(text)
    if found is None:
        raise Invalid("invalid", "A date is no date.", "Write 2019-05-12, 2019-05 or 2019.", errors=[{"field": field, "reason": "is no date"}])
    if found.first > timezone.now().date():
        raise Invalid("invalid", "A date lies in the future.", "Check the date.", errors=[{"field": field, "reason": "lies in the future"}])
    return found.day, found.precision


def _since_zero(participant: Participant, day: date) -> int:
    first = participant.visits.filter(day=0).first()
    if first is None:
        raise Invalid("no_day_zero", "This participant has no first visit to count days from.", "Add the visit first.")
    return subjects.days_between(keys.code_key(participant.dataset), participant.code, first.day_code, day)


def _faults(row: Row) -> list[dictionary.Fault]:
    found = dictionary.faults(row.instrument, row.values)
    if not found and not dictionary.instrument(row.instrument)["repeats"] and row.number != 1:
        found = [dictionary.Fault("number", "must be 1: this instrument is recorded once at a visit", "number_once")]
    return found


def _write(actor: User, row: Row) -> ClinicalRecord:
    written, _ = ClinicalRecord.objects.update_or_create(
        visit=row.visit,
        instrument=row.instrument,
        number=row.number,
        defaults={"values": row.values, "dictionary": dictionary.version(), "recorded_by": actor.email},
    )
    return written


def save_mapping(actor: User, dataset: Dataset, site: Site, name: str, spec: dict[str, Any]) -> Mapping:
    """Keep how a site's table reads, under a name; the same again changes nothing, another becomes the next number. Raises Denied, Invalid."""
    policy.require_in(actor, "register", dataset, site)
    mapping.check(spec)
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
        raise Invalid("mapping", "A mapping's name has small letters, digits, - and _, at most 40.", "Call it for instance msbase.")
    if not dataset.sites.filter(pk=site.pk).exists():
        raise Invalid("site_not_in_dataset", "This site does not hand in to this dataset.", "Ask the administrator to add it.")
    with transaction.atomic():
        list(Dataset.objects.select_for_update().filter(pk=dataset.pk))
        last = Mapping.objects.filter(dataset=dataset, site=site, name=name).first()
        if last is not None and last.spec == spec:
            return last
        saved = Mapping(dataset=dataset, site=site, name=name, number=last.number + 1 if last else 1, spec=spec, saved_by=actor.email)
        saved.save()
        audit.write(actor, "mapping.save", f"mapping:{saved.pk}", dataset=dataset, site=site.code, number=saved.number)
    return saved
