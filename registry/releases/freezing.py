"""How a release is put together, examined and closed; used by the act of freezing and by a departure, which makes the next release.

`assemble` writes rows while the release is still `freezing` (again and again, if need be); `examine` lays the tree out as hard links inside the store's
file system and asks the official BIDS validator; `close` makes it final only if nobody in it has changed their mind meanwhile (epochs are compared).
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from bidstree import check
from registry.access import filekinds
from registry.accounts.models import Dataset
from registry.clinical.models import ClinicalRecord
from registry.consent import queries as consent
from registry.imaging import store
from registry.imaging.models import ORBIT, Image, StoredFile
from registry.releases import tree, whole
from registry.releases.models import Release, ReleaseFile, ReleaseParticipant
from registry.releases.sealing import canonical
from registry.releases.tree import Entry
from registry.rules import Conflict, holds
from registry.subjects.models import Participant, Visit

BATCH = 400
TREES = ".trees"
Beat = Callable[[], None]


class Moved(Exception):
    """Somebody's consent changed while the release was put together: it is put together again."""


def may_be_in(dataset: Dataset) -> list[Participant]:
    """Active people of a dataset whose consent holds today and who have an accepted image, by label."""
    today = timezone.now().date()
    with_images = Participant.objects.filter(dataset=dataset, state="active", visits__images__state="accepted").distinct().select_related("dataset")
    return [person for person in with_images.order_by("label") if holds(consent.current(person), today).permitted]


def open_release(dataset: Dataset, by: str, changes: str) -> Release:
    """The next number of a dataset, still `freezing`. Raises Conflict when one is being made already."""
    list(Dataset.objects.select_for_update().filter(pk=dataset.pk))
    if Release.objects.filter(dataset=dataset, state=Release.State.FREEZING).exists():
        raise Conflict("release_in_progress", "A release of this dataset is being made already.", "Wait until it is done.")
    last = Release.objects.filter(dataset=dataset).order_by("-number").first()
    number = last.number + 1 if last else 1
    return Release.objects.create(dataset=dataset, number=number, version=f"1.{number - 1}.0", changes=changes, created_by=by)


def assemble(release: Release, beat: Beat) -> None:
    """Write down who and what is in a release, their facts into the store first. Idempotent while it is `freezing`."""
    people = may_be_in(release.dataset)
    header = tree.header_of(release.dataset, release.version, _history(release))
    told: dict[Any, dict[str, Any]] = {}
    facts: list[ReleaseParticipant] = []
    files: list[ReleaseFile] = []
    for person in people:
        beat()
        images = list(Image.objects.filter(visit__participant=person, state="accepted").prefetch_related("files"))
        inside = whole.kept(person, [file for image in images for file in image.files.all()])
        paths = {file.path for file in inside}
        told[person.pk] = _facts(person, [image for image in images if image.bids_path in paths])
        sha256, size = tree.keep_facts(person, told[person.pk])
        facts.append(ReleaseParticipant(release=release, participant=person, label=person.label, facts_sha256=sha256, facts_bytes=size, epoch=person.epoch))
        files += [_row(release, entry) for entry in tree.personal(person, told[person.pk])]
        files += [_stored(release, person, file) for file in inside]
    everybody = [told[person.pk] for person in people]
    files += [_row(release, entry) for entry in tree.shared(header, everybody, tree.derivatives_in(file.path for file in files))]
    with transaction.atomic():
        if not Release.objects.select_for_update().filter(pk=release.pk, state=Release.State.FREEZING).exists():
            return
        release.people.all().delete()
        release.files.all().delete()
        ReleaseParticipant.objects.bulk_create(facts, batch_size=BATCH)
        ReleaseFile.objects.bulk_create(files, batch_size=BATCH)
        Release.objects.filter(pk=release.pk).update(manifest=header)


def _history(release: Release) -> list[tuple[str, date, str]]:
    """Version, day and changes of this release and of those before it that were given out, newest first."""
    before = Release.objects.filter(dataset=release.dataset, number__lt=release.number, state=Release.State.VALIDATED).order_by("-number")
    return [(one.version, one.created_at.date(), one.changes) for one in (release, *before)]


def _facts(person: Participant, images: Sequence[Image]) -> dict[str, Any]:
    visits = list(Visit.objects.filter(pk__in={image.visit_id for image in images}))
    known = list(ClinicalRecord.objects.filter(visit__participant=person).select_related("visit"))
    chosen = {visit.pk for visit in visits}
    return tree.facts(person, visits, [record for record in known if record.visit_id in chosen], images, known)


def _row(release: Release, entry: Entry) -> ReleaseFile:
    return ReleaseFile(release=release, participant=entry.participant, path=entry.path, sha256=entry.sha256, bytes=entry.bytes)


def _stored(release: Release, person: Participant, file: StoredFile) -> ReleaseFile:
    return ReleaseFile(release=release, participant=person, image_id=file.image_id, path=file.path, sha256=file.sha256, bytes=file.bytes)


def entries(release: Release, only: QuerySet[Participant] | Iterable[Any] | None = None, kinds: frozenset[str] = frozenset(filekinds.KINDS)) -> list[Entry]:
    """The tree of a release as it can be rebuilt today, or of some of its people, or of some kinds of file: tombstones are not in it. Tables name no file
    that is not in it. Raises store.Corrupt when facts are gone.
    """
    people = release.people.filter(tombstone=False).select_related("participant__dataset").order_by("label")
    if only is not None:
        people = people.filter(participant__in=only)
    told = {row.participant_id: (row.participant, tree.read_facts(row.participant, row.facts_sha256)) for row in people}
    files = list(release.files.filter(tombstone=False, participant__in=list(told)).order_by("path"))
    if narrowed := kinds != filekinds.KINDS.keys():
        files, told = _of_kinds(files, told, kinds)
    texts = {entry.path: entry for person, facts in told.values() for entry in tree.personal(person, facts)}
    found: list[Entry] = []
    for row in files:
        made = texts.get(row.path)
        found.append(made or Entry(row.path, told[row.participant_id][0], row.sha256, row.bytes))
    found += texts.values() if narrowed else ()
    found += tree.shared(release.manifest, [facts for _, facts in told.values()], tree.derivatives_in(entry.path for entry in found))
    return sorted(found, key=lambda entry: entry.path)


def _of_kinds(files: list[ReleaseFile], told: dict[Any, Any], kinds: frozenset[str]) -> tuple[list[ReleaseFile], dict[Any, Any]]:
    """The images' files of some kinds, and the facts of their people as if there were no others: the tables are made from those."""
    orbits = set(Image.objects.filter(pk__in={row.image_id for row in files if row.image_id}, deface_verdict=ORBIT).values_list("pk", flat=True))
    left = [row for row in files if row.image_id and filekinds.of(row.path, orbit=row.image_id in orbits) in kinds]
    here = {row.path for row in left}
    fresh = {pk: (person, tree.only(facts, here, clinical="clinical" in kinds, quality="quality" in kinds)) for pk, (person, facts) in told.items()}
    made = {entry.path for person, facts in fresh.values() for entry in tree.personal(person, facts)}
    return [row for row in left if row.path in made or not filekinds.TABLE.search(row.path)], fresh  # a table of scans goes with the last of its scans


def digest(files: Iterable[tuple[str, str, int]]) -> str:
    """The hash of a release: SHA-256 of the canonical JSON of its (path, sha256, bytes), by path."""
    return hashlib.sha256(canonical(sorted(list(file) for file in files))).hexdigest()


def examine(release: Release, beat: Beat) -> dict[str, Any]:
    """What the official BIDS validator says of the whole tree, and the tree's hash. Bytes are hashed on the way: what rots is found here."""
    root = Path(settings.MYELIN_ZONES["store"]) / TREES / f"{release.pk.hex}-{secrets.token_hex(4)}"
    try:
        listed = entries(release)
        for entry in listed:
            beat()
            part = entry.part()
            if part.file is not None and store.digest(part.file) != part.sha256:
                raise Conflict("store_damaged", "A file of the store is not what it was when it was recorded.", "Restore it from the backup; freeze again.")
        tree.lay_out(listed, root)
        beat()
        report = check.validate(root)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    counts: dict[str, int] = defaultdict(int)
    for finding in report.findings:
        counts[f"{finding.severity}:{finding.code}"] += 1
    return {"errors": report.errors, "warnings": report.warnings, "findings": dict(counts), "schema": report.versions.get("bids", "")}


def close(release: Release, report: dict[str, Any]) -> Release:
    """Make a release final, inside the caller's transaction. Raises Moved when somebody in it left or changed their consent since `assemble`."""
    locked = Release.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=release.pk)
    if locked.state != Release.State.FREEZING:
        return locked
    if locked.people.exclude(participant__epoch=F("epoch")).exists() or locked.people.exclude(participant__state="active").exists():
        raise Moved
    locked.sha256 = digest(locked.files.values_list("path", "sha256", "bytes"))
    locked.validator = report
    locked.state = Release.State.VALIDATED if report["errors"] == 0 else Release.State.INVALID
    locked.save()
    return locked


def newest(dataset: Dataset) -> Release | None:
    """The newest release of a dataset that may be given out."""
    return Release.objects.filter(dataset=dataset, state=Release.State.VALIDATED).order_by("-number").first()
