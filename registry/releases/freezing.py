"""How a release is put together, examined and closed; used by the act of freezing and by a departure, which makes the next release.

`assemble` writes rows while the release is still `freezing` (again and again, if need be); `close` makes it final only if nobody in it has changed their mind
meanwhile (epochs are compared). From then on it is `frozen`: its validation is pending, and a run of its own lays the tree out as hard links inside the
store's file system and asks the official BIDS validator (`examine`, `settle`). Who may have what is pending stands in `given_to`.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.utils import timezone

from bidstree import check
from registry.access import filekinds, pairs
from registry.access.models import Entitlement
from registry.accounts.models import Dataset, User
from registry.imaging import store
from registry.imaging.models import ORBIT, Image, StoredFile
from registry.releases import accounting, citing, differing, gathering, tree, weighing
from registry.releases.differing import Side
from registry.releases.gathering import Gathered
from registry.releases.models import Package, Release, ReleaseFile, ReleaseParticipant, Removal
from registry.releases.sealing import canonical
from registry.releases.tree import Entry
from registry.rules import Conflict
from registry.runs import actions as runs
from registry.subjects.models import Participant

BATCH = 400
TREES = ".trees"
MOVING = frozenset({"version", "changes"})  # what a header says anew with every release
Beat = Callable[[], None]


class Moved(Exception):
    """Somebody's consent changed while the release was put together: it is put together again."""


def open_release(dataset: Dataset, by: str, changes: str, part: str = "") -> Release:
    """The next number of a dataset, still `freezing`. `part`: of the version, to be moved at least. Raises Conflict when one is being made already."""
    list(Dataset.objects.select_for_update().filter(pk=dataset.pk))
    if Release.objects.filter(dataset=dataset, state=Release.State.FREEZING).exists():
        raise Conflict("release_in_progress", "A release of this dataset is being made already.", "Wait until it is done.")
    last = Release.objects.filter(dataset=dataset).order_by("-number").first()
    return Release.objects.create(dataset=dataset, number=last.number + 1 if last else 1, changes=changes, part=part, created_by=by)


@dataclass(frozen=True)
class Plan:
    """A release as it would be made at this moment; nothing of it is written yet."""

    people: list[Gathered]
    header: dict[str, str]
    files: list[ReleaseFile]
    account: dict[str, Any]


def plan(release: Release, beat: Beat) -> Plan:
    """What a release would hold and what stands behind it; `release` may be a row that is not saved."""
    dataset = release.dataset
    found = list(gathering.gather(dataset, beat))
    people = [one for one in found if one.files]
    left_out = sum((one.left_out for one in found), Counter()) + gathering.elsewhere(dataset, [one.person for one in found])
    last = standing(dataset)
    difference = differing.between(_side(last, people) if last else Side(), _side_of(people, tree.header_of(dataset, "")))
    part = differing.at_least(difference["part"], release.part)
    release.version = differing.moved(_highest(release), part)
    header = tree.header_of(dataset, release.version, _history(release, differing.sentence(difference)))
    files, texts = [], []
    for one in people:
        texts += tree.personal(one.person, one.facts)
        files += [_stored(release, one.person, file) for file in one.files]
    texts += tree.shared(header, [one.facts for one in people], tree.derivatives_in(file.path for file in files))
    account = {
        "before": last.version if last else None,
        "difference": difference | {"moved": part},
        "left_out": dict(sorted(left_out.items())),
        "consents": accounting.consents(one.person.pk for one in people),
        "consent_forms": accounting.forms(one.person.pk for one in people),
        "versions": accounting.versions(image for one in people for image in one.images),
        "privacy": weighing.weigh(texts, dataset.k, header["dictionary"]),
    }
    return Plan(people, header, [_row(release, entry) for entry in texts] + files, account)


def assemble(release: Release, beat: Beat) -> None:
    """Write down who and what is in a release, their facts into the store first. Idempotent while it is `freezing`. Raises Conflict when nothing may enter."""
    planned = plan(release, beat)
    if not planned.people:
        Release.objects.filter(pk=release.pk).update(account=planned.account)
        raise Conflict("nothing_to_release", "No image passed the gate.", "Look at what the release's account says was left out.")
    facts = []
    for one in planned.people:
        beat()
        for sha256, data in one.written.items():
            store.put(one.person, data, sha256)
        sha256, size = tree.keep_facts(one.person, one.facts)
        told = {"label": one.person.label, "facts_sha256": sha256, "facts_bytes": size, "epoch": one.person.epoch}
        facts.append(ReleaseParticipant(release=release, participant=one.person, **told))
    with transaction.atomic():
        if not Release.objects.select_for_update().filter(pk=release.pk, state=Release.State.FREEZING).exists():
            return
        release.people.all().delete()
        release.files.all().delete()
        ReleaseParticipant.objects.bulk_create(facts, batch_size=BATCH)
        ReleaseFile.objects.bulk_create(planned.files, batch_size=BATCH)
        Release.objects.filter(pk=release.pk).update(manifest=planned.header, version=release.version, account=planned.account)


def _highest(release: Release) -> str:
    """The highest version that any other release of the dataset has, or had before it failed."""
    spent = Release.objects.filter(dataset=release.dataset).exclude(pk=release.pk).exclude(version="").values_list("version", flat=True)
    return max(spent, key=lambda version: [int(part) for part in version.split(".")], default="")


def _side_of(people: Iterable[Gathered], header: dict[str, Any]) -> Side:
    """What is being gathered, as one side of a difference."""
    facts, files, shortened = {}, {}, set[str]()
    for one in people:
        facts[one.person.pk] = one.facts
        files[one.person.pk] = {file.path: file.sha256 for file in one.files}
        shortened |= one.written.keys()
    return Side(facts, files, header, shortened=frozenset(shortened))


def _side(release: Release, people: Iterable[Gathered] = ()) -> Side:
    """A release, as one side of a difference. `people`: of whom facts are at hand, and need not be read where they are the same."""
    known = {one.person.pk: (one.facts_sha256, one.facts) for one in people}
    facts = {}
    for row in release.people.filter(tombstone=False).select_related("participant__dataset"):
        same = known.get(row.participant_id, ("", {}))
        facts[row.participant_id] = same[1] if same[0] == row.facts_sha256 else tree.read_facts(row.participant, row.facts_sha256)
    files: dict[Any, dict[str, str]] = {who: {} for who in facts}
    stored = release.files.filter(tombstone=False, participant__in=list(facts), image_id__isnull=False)
    for who, path, sha256 in stored.values_list("participant", "path", "sha256"):
        files[who][path] = sha256
    return Side(facts, files, release.manifest, gone=release.people.filter(tombstone=True).count())


def difference(old: Release, new: Release) -> dict[str, Any]:
    """What differs between two releases of a dataset, in numbers, as far as those who left since allow to tell."""
    return differing.between(_side(old), _side(new))


def _history(release: Release, sentence: str) -> list[tuple[str, date, str]]:
    """Version, day and changes of this release and of those before it that were given out, newest first: the steward's words, and what differs."""
    before = Release.objects.filter(dataset=release.dataset, number__lt=release.number, state=Release.State.VALIDATED).order_by("-number")
    earlier = [(one.version, one.created_at.date(), _said(one.changes, differing.sentence(one.account.get("difference") or {}))) for one in before]
    return [(release.version, (release.created_at or timezone.now()).date(), _said(release.changes, sentence)), *earlier]


def _said(changes: str, sentence: str) -> str:
    """The steward's words, and what differs."""
    words = " ".join(changes.split())
    return f"{words}{'' if not words or words[-1] in '.!?' else '.'} {sentence}".strip()


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
    theirs = {row.participant_id for row in left}
    fresh = {pk: (person, facts) for pk, (person, facts) in fresh.items() if pk in theirs or facts["phenotype"]}  # nobody of whom the view holds nothing
    made = {entry.path for person, facts in fresh.values() for entry in tree.personal(person, facts)}
    return [row for row in left if row.path in made or not filekinds.TABLE.search(row.path)], fresh  # a table of scans goes with the last of its scans


def digest(files: Iterable[tuple[str, str, int]]) -> str:
    """The hash of a release: SHA-256 of the canonical JSON of its (path, sha256, bytes), by path."""
    return hashlib.sha256(canonical(sorted(list(file) for file in files))).hexdigest()


def examine(release: Release, beat: Beat) -> dict[str, Any]:
    """What the official BIDS validator says of the whole tree, and the tree's hash. Bytes are hashed on the way: what rots is found here.

    Raises Moved when a file of it was called back, or somebody left, while the validator looked.
    """
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
        # What was taken away under the validator's hands is no fault of the release: it is asked again.
        if entries(release) != listed or not all((root / entry.path).exists() for entry in listed):
            raise Moved
    finally:
        shutil.rmtree(root, ignore_errors=True)
    counts: dict[str, int] = defaultdict(int)
    for finding in report.findings:
        counts[f"{finding.severity}:{finding.code}"] += 1
    return {"errors": report.errors, "warnings": report.warnings, "findings": dict(counts), "schema": report.versions.get("bids", "")}


def close(release: Release, report: dict[str, Any] | None = None) -> Release:
    """Make a release final, inside the caller's transaction: `frozen`, with a run that validates it, or settled at once by a `report`.

    Raises Moved when somebody in it left or changed their consent since `assemble`.
    """
    locked = Release.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=release.pk)
    if locked.state != Release.State.FREEZING:
        return locked
    if locked.people.exclude(participant__epoch=F("epoch")).exists() or locked.people.exclude(participant__state="active").exists() or _called_back(locked):
        raise Moved
    locked.narrows = narrowed(locked)
    try:
        locked.account["approved"] = _agreed(locked)
    except Conflict as why:
        if not locked.created_by.startswith("system:"):
            raise
        # A departure goes on without its release, which a steward then freezes: the person is gone from the old ones anyway.
        locked.account["refused"], locked.state = why.code, Release.State.FAILED
        locked.save(update_fields=["account", "state"])
        return locked
    before = Release.objects.filter(dataset=locked.dataset, state=Release.State.VALIDATED).order_by("-number").first()
    rows = list(locked.files.values_list("path", "sha256", "bytes"))
    locked.sha256 = digest(rows)
    locked.account["datacite"] = citing.paper(locked, sum(size for *_, size in rows), citing.formats(path for path, *_ in rows), before)
    locked.account_sha256 = accounting.digest(locked.account)
    locked.state = Release.State.FROZEN
    locked.save()
    if report is not None:
        return settle(locked, report)
    locked.run_id = runs.enqueue("validate", subject_id=locked.pk, dataset_id=locked.dataset_id).pk
    locked.save(update_fields=["run_id"])
    return locked


def _called_back(release: Release) -> bool:
    """Whether something in it is being called back."""
    running = Removal.objects.filter(kind=Removal.Kind.RECALL, state="running", participant__dataset=release.dataset)
    return any(release.files.filter(image_id=one.image_id, path__in=[row["path"] for row in one.files]).exists() for one in running)


def _agreed(release: Release) -> str | None:
    """The agreement of two people on these very tables, where a class in them is smaller than the dataset's k; None where none is needed.

    A departure's release only takes people away and tells nothing that was not told: who leaves waits for nobody's agreement. A steward who freezes what is
    left of a dataset is asked: people can be taken out one by one. Raises Conflict, Denied.
    """
    privacy = release.account.get("privacy") or {}
    if not privacy.get("below_k") or (release.narrows_id is not None and release.created_by.startswith("system:")):
        return None
    maker = User.objects.filter(email=release.created_by).first()
    if maker is None:
        raise Conflict("needs_two_people", "A class in these tables is smaller than k, and no steward asked for this release.", "Freeze it as a steward.")
    return str(pairs.take(maker, release.dataset, "release_below_k", tables_of(release.dataset, privacy["sha256"])).pk)


def tables_of(dataset: Dataset, sha256: str) -> str:
    """What two people agree to, as the object of their agreement: the tables of a release by their content."""
    return f"tables:{dataset.slug}:{sha256}"


def settle(release: Release, report: dict[str, Any]) -> Release:
    """What the validator said of a frozen release, inside the caller's transaction: `validated` or `invalid` from now on. Packages of an invalid one die."""
    locked = Release.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=release.pk)
    if locked.state == Release.State.FROZEN:
        locked.validator = report
        locked.state = Release.State.VALIDATED if report["errors"] == 0 else Release.State.INVALID
        locked.save(update_fields=["validator", "state"])
        if locked.state == Release.State.INVALID:
            living = Package.objects.filter(release=locked, state__in=[Package.State.BUILDING, Package.State.READY])
            living.update(state=Package.State.DEAD, code="release_invalid", reason="The validator refused this release. Ask for a package of another.")
    return locked


def narrowed(release: Release) -> Release | None:
    """The newest validated release, if this one holds nothing but what that one holds: the same facts and files of fewer people, in the same words."""
    last = newest(release.dataset)
    if last is None or any(release.manifest.get(name) != last.manifest.get(name) for name in {*release.manifest, *last.manifest} - MOVING):
        return None
    before, here = _told_by(last), _told_by(release)
    return last if here < before and {who for who, *_ in before - here}.isdisjoint({who for who, *_ in here}) else None


def _told_by(release: Release) -> set[tuple[Any, str, str]]:
    """(person, path, hash) of all that is anybody's own in a release, their facts as the path ""."""
    facts = {(who, "", sha256) for who, sha256 in release.people.values_list("participant", "facts_sha256")}
    return facts | set(release.files.filter(participant__isnull=False).values_list("participant", "path", "sha256"))


def newest(dataset: Dataset) -> Release | None:
    """The newest release of a dataset that may be given to anybody entitled."""
    return Release.objects.filter(dataset=dataset, state=Release.State.VALIDATED).order_by("-number").first()


def standing(dataset: Dataset) -> Release | None:
    """The newest release of a dataset that is closed and not refused by the validator, its validation pending or not: what a departure must be taken out of."""
    return Release.objects.filter(dataset=dataset, state__in=[Release.State.FROZEN, Release.State.VALIDATED]).order_by("-number").first()


def given_to(entitlement: Entitlement) -> QuerySet[Release]:
    """The releases that may be given to this holder, newest first: those that are validated; and one whose validation is pending where it only takes people
    away from a validated one, and the holder was entitled before it was made (docs/decisions/0015)."""
    narrower = Q(state=Release.State.FROZEN, narrows__state=Release.State.VALIDATED, created_at__gte=entitlement.starts)
    return Release.objects.filter(narrower | Q(state=Release.State.VALIDATED), dataset=entitlement.dataset_id).order_by("-number")
