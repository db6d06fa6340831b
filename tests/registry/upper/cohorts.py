"""Cohorts of invented people for questions about how many there are: put straight into the tables, with records and a consent."""

from __future__ import annotations

import random
import uuid
from typing import Any

from registry.clinical import dictionary
from registry.clinical.models import ClinicalRecord
from registry.consent import queries as consent
from registry.consent.models import ConsentFact, Standing
from registry.subjects.models import Participant, Visit

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
# What an attacker knows of everybody, and how often; what nobody should learn is whether `csf.ocb` is positive.
KNOWN: dict[str, dict[str, int]] = {
    "sex": {"F": 68, "M": 31, "O": 1},
    "diagnosis": {"ms": 84, "nmosd": 6, "mogad": 4, "control_healthy": 6},
    "demographics.handedness": {"right": 87, "left": 10, "ambidextrous": 3},
    "demographics.race": {"white": 80, "black": 9, "asian": 6, "several": 3, "other": 2},
    "history.onset_age_band": {"10-19": 8, "20-29": 32, "30-39": 34, "40-49": 18, "50-59": 8},
    "course.course": {"RRMS": 62, "SPMS": 16, "PPMS": 11, "CIS": 11},
}
SECRET, POSITIVE, NEGATIVE, BASE = "csf.ocb", "csf.ocb:positive", "csf.ocb:negative", 0.6
PLACE = {"diagnosis": ("demographics", "group")}


def drawn(rng: random.Random, people: int) -> list[dict[str, str]]:
    """So many people, as field -> value."""
    rows = [{field: rng.choices(list(levels), list(levels.values()))[0] for field, levels in KNOWN.items()} for _ in range(people)]
    for row in rows:
        row[SECRET] = "positive" if rng.random() < BASE else "negative"
    return rows


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
