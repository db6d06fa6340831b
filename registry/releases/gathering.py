"""Who and what would be in a release of a dataset at this moment: read in a few questions for every thousand people, and written nowhere.

Every image of the dataset is either here or counted among what is left out, with its reason (`registry.releases.gate`).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from registry.access import policy
from registry.accounts.models import Dataset
from registry.clinical.models import ClinicalRecord
from registry.imaging.models import Image, StoredFile
from registry.releases import gate, tree, whole
from registry.releases.sealing import canonical
from registry.subjects.models import Participant, Visit

AT_ONCE = 1000
M = TypeVar("M", bound=Model)
T = TypeVar("T")


@dataclass(frozen=True)
class Gathered:
    """One person of a release: their files as rows, the sidecars that had to be shortened (path -> bytes), their facts, and what of theirs is left out."""

    person: Participant
    images: list[Image]
    files: list[StoredFile]
    written: dict[str, bytes]
    facts: dict[str, Any]
    left_out: Counter[str]

    @property
    def facts_sha256(self) -> str:
        """The hash under which the store has, or would have, the facts."""
        return hashlib.sha256(canonical(self.facts)).hexdigest()


def may_be_in(dataset: Dataset) -> QuerySet[Participant]:
    """Active people of a dataset whose consent holds at this moment and who have an accepted image, by label."""
    return policy.countable(dataset).filter(visits__images__state="accepted").distinct().select_related("dataset").order_by("label")


def gather(dataset: Dataset, beat: Callable[[], None]) -> Iterator[Gathered]:
    """Everybody who may be in a release, by label; one of whom nothing may enter has no files."""
    for chunk in in_chunks(may_be_in(dataset)):
        ids = [person.pk for person in chunk]
        accepted = Image.objects.filter(visit__participant__in=ids, state="accepted").select_related("visit").prefetch_related("files")
        images = by_person(accepted, lambda image: image.visit.participant_id)
        visits = by_person(Visit.objects.filter(participant__in=ids), lambda visit: visit.participant_id)
        known = by_person(ClinicalRecord.objects.filter(visit__participant__in=ids).select_related("visit"), lambda record: record.visit.participant_id)
        for person in chunk:
            beat()
            yield _one(person, images[person.pk], visits[person.pk], known[person.pk])


def in_chunks(many: Iterable[T]) -> Iterator[list[T]]:
    """Lists of at most `AT_ONCE`, in order: as many as one statement may name."""
    rest = iter(many)
    while chunk := list(islice(rest, AT_ONCE)):
        yield chunk


def by_person(rows: Iterable[M], whose: Callable[[M], Any]) -> dict[Any, list[M]]:
    """Rows by the person they belong to."""
    found: dict[Any, list[M]] = defaultdict(list)
    for row in rows:
        found[whose(row)].append(row)
    return found


def _one(person: Participant, images: Sequence[Image], visits: Sequence[Visit], known: Sequence[ClinicalRecord]) -> Gathered:
    """One person's part, through the gate."""
    left_out: Counter[str] = Counter()
    passed = []
    for image in images:
        why = gate.lacks(offered(image))
        left_out.update(why)
        passed += [] if why else [image]
    files, written = whole.kept(person, [file for image in passed for file in image.files.all()])
    paths = {file.path for file in files}
    inside = [image for image in passed if image.bids_path in paths]
    left_out["source_missing"] += len(passed) - len(inside)
    seen = {image.visit_id for image in inside}
    here = [visit for visit in visits if visit.pk in seen]
    facts = tree.facts(person, here, [record for record in known if record.visit_id in seen], inside, known)
    return Gathered(person, inside, files, written, facts, +left_out)


def offered(image: Image) -> gate.Offered:
    """An image as the gate sees it."""
    told = image.provenance
    return gate.Offered(image.deface_verdict, image.grade, image.reason, told.get("deid"), told.get("deface"), told.get("quality"))


def elsewhere(dataset: Dataset, here: Iterable[Participant]) -> Counter[str]:
    """Images of active people of a dataset that never came before the gate, by reason. `here`: the people who did."""
    names = {"proposed": "undecided", "returned": "undecided", "refused": "refused", "accepted": "consent_missing"}
    whose = Image.objects.filter(visit__participant__dataset=dataset, visit__participant__state="active")
    came = {person.pk for person in here}
    rows = whose.values_list("state", "visit__participant")
    return Counter(names[state] for state, person in rows if state in names and not (state == "accepted" and person in came))
