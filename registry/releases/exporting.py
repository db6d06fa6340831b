"""The clinical tables of a site or a dataset as they stand now: participants, sessions, phenotype, each TSV with its JSON; and in a site's own columns.

What a release says of its people is said by the same functions (`registry.releases.tree`); here are all people that the asker works with, with or without
images. Labels stand for people, days for dates. For those who hand in and for stewards: who is entitled gets packages.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from registry.access import policy
from registry.accounts.models import Dataset, User
from registry.audit import actions as audit
from registry.clinical import unmapping
from registry.clinical.models import ClinicalRecord, Mapping
from registry.releases import tree
from registry.releases.tree import Entry
from registry.subjects.models import Participant, Visit

OURS = ("participants.", "phenotype/", "sub-")


def clinical(actor: User, dataset: Dataset) -> list[Entry]:
    """The tables, by path. Raises Denied."""
    policy.require_in(actor, "see_work", dataset)
    people = _people(actor, dataset)
    entries = tables(dataset, people)
    audit.write(actor, "clinical.export", f"dataset:{dataset.slug}", dataset=dataset, participants=len(people))
    return entries


def tables(dataset: Dataset, people: list[Participant]) -> list[Entry]:
    """The tables of these people, by path."""
    visits, records = _of(people)
    told = {one.pk: tree.facts(one, visits[one.pk], records[one.pk]) for one in people}
    entries = tree.shared(tree.header_of(dataset, "export"), list(told.values())) if people else []
    entries += [entry for one in people for entry in tree.personal(one, told[one.pk])]
    return sorted((entry for entry in entries if entry.path.startswith(OURS)), key=lambda entry: entry.path)


def as_mapped(actor: User, saved: Mapping) -> str:
    """What a mapping once read, in its own columns and words (`registry.clinical.unmapping`). Raises Denied, Invalid `not_wide`."""
    policy.require_in(actor, "register", saved.dataset, saved.site)
    people = [one for one in _people(actor, saved.dataset) if one.site_id == saved.site_id]
    visits, records = _of(people)
    rows = []
    for one in people:
        for visit in visits[one.pk]:
            here = {record.instrument: record.values for record in records[one.pk] if record.visit_id == visit.pk and record.number == 1}
            rows.append((one.label, {"sex": one.sex, "birth_year_band": one.birth_year_band}, visit.label, here))
    text = unmapping.write(saved.spec, rows)
    audit.write(actor, "clinical.export", f"mapping:{saved.pk}", dataset=saved.dataset, participants=len(people))
    return text


def _people(actor: User, dataset: Dataset) -> list[Participant]:
    """Whom the asker works with, and who has not left."""
    works_with = policy.participants(actor, "know").filter(dataset=dataset).values("pk")
    return list(policy.participants(actor, "see").filter(pk__in=works_with).order_by("label"))


def _of(people: list[Participant]) -> tuple[dict[Any, list[Visit]], dict[Any, list[ClinicalRecord]]]:
    """Visits and records by participant, in one question each for every thousand people."""
    visits: dict[Any, list[Visit]] = defaultdict(list)
    records: dict[Any, list[ClinicalRecord]] = defaultdict(list)
    for start in range(0, len(people), 1000):
        chunk = [one.pk for one in people[start : start + 1000]]
        for visit in Visit.objects.filter(participant__in=chunk):
            visits[visit.participant_id].append(visit)
        for record in ClinicalRecord.objects.filter(visit__participant__in=chunk).select_related("visit"):
            records[record.visit.participant_id].append(record)
    return visits, records
