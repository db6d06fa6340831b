"""Cohorts of invented people for questions about how many there are: put straight into the tables, with records and a consent."""

from __future__ import annotations

import uuid
from typing import Any

from registry.clinical import dictionary
from registry.clinical.models import ClinicalRecord
from registry.consent import queries as consent
from registry.consent.models import ConsentFact, Standing
from registry.subjects.models import Participant, Visit

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
PLACE = {"diagnosis": ("demographics", "group")}


def put(dataset: Any, site: Any, rows: list[dict[str, str]], facts: ConsentFact | None) -> list[Participant]:
    """These people in the dataset, each with one visit, its records, and (where `facts` are given) a consent without an end."""
    keys = [uuid.uuid4() for _ in rows]
    people = [
        Participant(pk=key, dataset=dataset, site=site, sex=row["sex"], label=key.hex, code="".join(LETTERS[key.int >> 4 * n & 31] for n in range(26)))
        for key, row in zip(keys, rows, strict=True)
    ]
    Participant.objects.bulk_create(people, batch_size=1000)
    visits = [Visit(participant=one, label="m00", day=0, day_code=one.code) for one in people]
    Visit.objects.bulk_create(visits, batch_size=1000)
    records = [record for visit, row in zip(visits, rows, strict=True) for record in _records(visit, row)]
    ClinicalRecord.objects.bulk_create(records, batch_size=1000)
    if facts:
        Standing.objects.bulk_create([Standing(participant=one, facts=facts, events=1) for one in people], batch_size=1000)
    return people


def _records(visit: Visit, row: dict[str, str]) -> list[ClinicalRecord]:
    found: dict[str, dict[str, str]] = {}
    for field, value in row.items():
        if field != "sex":
            name, key = PLACE.get(field) or field.split(".", 1)
            found.setdefault(name, {})[key] = value
    return [ClinicalRecord(visit=visit, instrument=name, dictionary=dictionary.version(), values=values, recorded_by="x") for name, values in found.items()]


def facts_of(world: Any, dataset: Any, site: Any) -> ConsentFact:
    """The interned facts of one plain consent, of a person who is gone again."""
    first = world.participant(dataset, site)
    world.consent(first)
    found = consent.standing(first)
    Participant.objects.filter(pk=first.pk).update(state="withdrawn")
    assert found is not None and found.facts is not None
    return found.facts
