"""Recording what was found at a visit: all or none, checked by the dictionary, the same record again replaces the old one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from registry.access import policy
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.clinical import dictionary
from registry.clinical.models import ClinicalRecord
from registry.rules import Invalid
from registry.subjects.models import Participant, Visit


@dataclass(frozen=True)
class Row:
    """One record to write. `number` counts the records of an instrument that repeats, from 1."""

    visit: Visit
    instrument: str
    values: dict[str, Any]
    number: int = 1


def record(actor: User, rows: Sequence[Row]) -> list[ClinicalRecord]:
    """Write clinical records, all or none. Raises Denied; Invalid `invalid` naming row and field of everything that is wrong, and no value."""
    people = {row.visit.participant_id: row.visit.participant for row in rows}
    for participant in people.values():
        policy.require(actor, "contribute", participant)
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


def _faults(row: Row) -> list[dictionary.Fault]:
    found = dictionary.faults(row.instrument, row.values)
    if not found and not dictionary.instrument(row.instrument)["repeats"] and row.number != 1:
        found = [dictionary.Fault("number", "must be 1: this instrument is recorded once at a visit")]
    return found


def _write(actor: User, row: Row) -> ClinicalRecord:
    written, _ = ClinicalRecord.objects.update_or_create(
        visit=row.visit,
        instrument=row.instrument,
        number=row.number,
        defaults={"values": row.values, "dictionary": dictionary.version(), "recorded_by": actor.email},
    )
    return written
