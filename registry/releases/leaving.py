"""A removal, step by step, after `ending` did what bites at once: each step is idempotent, and says in numbers what it did.

As a run: the next release without them (or without the file), tombstones in the old ones, bytes deleted, originals wiped, the vault forgets who they
were, recipients are mailed, the site gets its certificate. A recall goes the same way for one image or file, and leaves consent and vault alone.
Rows go before files, so that nothing names what is gone; the last release's tables are made from facts, so deleting one folder takes a person out of them.
What of a person stays, and why, is told in `remains`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry.access.models import RequestedParticipant
from registry.audit import actions as audit
from registry.clinical.models import ClinicalRecord
from registry.imaging import store
from registry.imaging.models import Image, StoredFile
from registry.intake import quarantine, wiping
from registry.intake.models import Study, UploadFile
from registry.releases import freezing, gathering, packing
from registry.releases.models import Package, PackageParticipant, Release, ReleaseFile, ReleaseParticipant, Removal
from registry.rules import Conflict, Refusal
from registry.runs import mail, spool
from registry.runs.models import Run
from registry.subjects import actions as subjects
from registry.subjects.models import Participant, Visit

Beat = Callable[[], None]
LETTER = {"withdrawal": "withdrawal_notice", "recall": "recall_notice"}


def _recalled(removal: Removal) -> bool:
    return removal.kind == Removal.Kind.RECALL


def _rows(removal: Removal) -> Any:
    """The files of every release that the removal is about."""
    theirs = ReleaseFile.objects.filter(participant=removal.participant_id)
    if _recalled(removal):
        theirs = theirs.filter(image_id=removal.image_id, path__in={row["path"] for row in removal.files})
    return theirs


def released(removal: Removal, beat: Beat) -> dict[str, Any]:
    """The next release, without them, if the newest one has them. A release that is being made this minute is finished here instead."""
    dataset = removal.participant.dataset
    with transaction.atomic():
        making = Release.objects.filter(dataset=dataset, state=Release.State.FREEZING).first()
        newest = freezing.standing(dataset)
        if making is None:
            if newest is None or not _rows(removal).filter(release=newest).exists():
                return {"release": None}
            if not gathering.may_be_in(dataset).exists():
                return {"release": None, "nobody_left": True}
            making = freezing.open_release(dataset, "system:worker", "Files were called back." if _recalled(removal) else "A participant has left.")
    try:
        freezing.assemble(making, beat)
        making.refresh_from_db()
        with transaction.atomic():
            closed = freezing.close(making)  # the validator is asked by a run of its own: nobody's bytes wait for it
    except (Refusal, store.Corrupt) as why:
        return _without_release(making, getattr(why, "code", "store_damaged"))
    return {"release": str(closed.pk), "number": closed.number, "state": closed.state}


def _without_release(making: Release, code: str) -> dict[str, Any]:
    """The next release cannot be made, for a reason that is not theirs who leave: it failed, a steward sees it, and the erasure goes on."""
    with transaction.atomic():
        held = Release.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=making.pk)
        if held.state == Release.State.FREEZING:
            held.state, held.account = Release.State.FAILED, {**held.account, "refused": code}
            held.save(update_fields=["state", "account"])
            audit.write("system:worker", "release.failed", f"release:{held.pk}", dataset=held.dataset, code=code)
    return {"release": None, "refused": code}


def tombstoned(removal: Removal, beat: Beat) -> dict[str, Any]:
    """In every release: path and hash stay, marked as gone. In the registry's own tables what is told about them goes."""
    with transaction.atomic():
        _rows(removal).filter(tombstone=False).update(tombstone=True)
        told = {"files": _rows(removal).count()}
        if _recalled(removal):
            StoredFile.objects.filter(image=removal.image_id, path__in={row["path"] for row in removal.files}).delete()
            Image.objects.filter(pk=removal.image_id, state=Image.State.WITHDRAWN).update(provenance={}, review=0)
        else:
            told["clinical_records"] = _untold(removal.participant)
    return told


def _untold(person: Participant) -> int:
    """Everything that rows say of somebody but `remains` goes; return how many clinical records."""
    ReleaseParticipant.objects.filter(participant=person).update(tombstone=True)
    _out_of_packages(person)
    Image.objects.filter(visit__participant=person).delete()
    # What was asked and decided stays an answer about a number; why is told in words of their consent.
    RequestedParticipant.objects.filter(participant=person).update(reasons=[], obligations=[], settled=None)
    UploadFile.objects.filter(study__in=_studies(person)).update(product="", sha256="", said={}, annotation="")
    # What was called back of them before is theirs, too; the recall's certificate says what it was.
    Removal.objects.filter(participant=person, kind=Removal.Kind.RECALL).update(files=[], reason="")
    Participant.objects.filter(pk=person.pk).update(sex="", birth_year_band="")
    return ClinicalRecord.objects.filter(visit__participant=person).delete()[0]


def _studies(person: Participant) -> QuerySet[Study]:
    """Their studies: bound to them, or only matched by their code."""
    return Study.objects.filter(participant=person) | Study.objects.filter(participant=None, participant_code=person.code, upload__dataset=person.dataset)


def _out_of_packages(person: Participant) -> None:
    """What packages list of them goes: each recipient's notice has it. A list that was shortened is not the one that was signed."""
    for package in Package.objects.filter(people__participant=person):
        label = package.people.get(participant=person).label
        kept = [file for file in package.manifest.get("files", []) if not label or f"/sub-{label}/" not in f"/{file['path']}"]
        if len(kept) < len(package.manifest.get("files", [])):
            Package.objects.filter(pk=package.pk).update(manifest={**package.manifest, "files": kept}, signature="")
    PackageParticipant.objects.filter(participant=person).update(label="")


def bytes_deleted(removal: Removal, beat: Beat) -> dict[str, Any]:
    """Their folder of the store or the files called back, every tree that was laid out with them, and every ciphertext they are in."""
    dead = PackageParticipant.objects.filter(participant=removal.participant_id)
    dead = dead.filter(package__state__in=[Package.State.DEAD, Package.State.FAILED]) if _recalled(removal) else dead
    ciphertexts = 0
    for package in dead.values_list("package_id", flat=True):
        place = packing.place(package)
        ciphertexts += place.exists()
        place.unlink(missing_ok=True)
    _out_of_trees(removal)
    return {"files": _called_back(removal) if _recalled(removal) else store.delete_all(removal.participant), "packages": ciphertexts}


def _called_back(removal: Removal) -> int:
    """Delete the files of a recall from the store, but for bytes that another file of the person has too."""
    person, hashes = removal.participant, {row["sha256"] for row in removal.files}
    living = StoredFile.objects.filter(image__visit__participant=person, sha256__in=hashes).exclude(image__state="refused")
    kept = set(living.values_list("sha256", flat=True))
    kept |= set(ReleaseFile.objects.filter(participant=person, tombstone=False, sha256__in=hashes).values_list("sha256", flat=True))
    gone = [sha256 for sha256 in sorted(hashes - kept) if store.path(person, sha256).exists()]
    for sha256 in gone:
        store.delete(person, sha256)
    return len(gone)


def _out_of_trees(removal: Removal) -> None:
    """A validator killed in its work leaves hard links behind."""
    trees = Path(settings.MYELIN_ZONES["store"]) / freezing.TREES
    for place in list(trees.rglob(f"sub-{removal.label}")) if trees.exists() and not _recalled(removal) else []:
        shutil.rmtree(place, ignore_errors=True)
    for row in removal.files:
        for tree in trees.glob("*"):
            (tree / row["path"]).unlink(missing_ok=True)


def quarantine_wiped(removal: Removal, beat: Beat) -> dict[str, Any]:
    """Originals, renderings, and orders that name them. A recall takes the renderings of its image."""
    if _recalled(removal):
        image = Image.objects.filter(pk=removal.image_id, state=Image.State.WITHDRAWN).first()
        return {"pictures": quarantine.wipe_pictures(image.study_id, image.pk) if image else 0}
    person = removal.participant
    theirs = list(_studies(person).select_related("upload__dataset"))
    wiped = sum(wiping.wipe_person(study, person) for study in theirs)
    for run in Run.objects.filter(subject_id__in=[study.pk for study in theirs]):
        spool.clear(run.name)
    Visit.objects.filter(participant=person).delete()
    return {"studies": wiped}


def vault_erased(removal: Removal, beat: Beat) -> dict[str, Any]:
    """Who they were is forgotten. What a run under way may have brought in meanwhile goes as well."""
    subjects.forget(removal.participant)
    return {"files": store.delete_all(removal.participant)}


def notified(removal: Removal, beat: Beat) -> dict[str, Any]:
    """One mail to each distinct recipient."""
    with transaction.atomic():
        people = {notice.user for notice in removal.notices.select_related("user")}
        for user in people:
            mail.queue(user, LETTER[removal.kind], "/notices")
        # The step is written in this transaction too: a mail is queued once.
        steps = {**removal.steps, "notified": {"at": timezone.now().isoformat(), "recipients": len(people)}}
        if not Removal.objects.filter(pk=removal.pk).update(steps=steps):
            raise Conflict("withdrawal_gone", "This withdrawal is not there.")
    return {"recipients": len(people)}


STEPS: dict[str, Callable[[Removal, Beat], dict[str, Any]]] = {
    "released": released,
    "tombstoned": tombstoned,
    "bytes_deleted": bytes_deleted,
    "quarantine_wiped": quarantine_wiped,
    "vault_erased": vault_erased,
    "notified": notified,
}
ORDER = ["ended", *STEPS, "certified"]
ONLY_WHO_LEFT = frozenset({"vault_erased"})


def order(kind: str) -> list[str]:
    """The steps of a removal of this kind, from the act to the certificate."""
    return [step for step in ORDER if kind == Removal.Kind.WITHDRAWAL or step not in ONLY_WHO_LEFT]


def certificate(removal: Removal) -> dict[str, Any]:
    """What the site gets: which label left when, and what each step did. It holds no source identifier: nobody here knows one any more."""
    told = {
        "certificate": str(removal.pk),
        "kind": removal.kind,
        "dataset": removal.participant.dataset.slug,
        "site": removal.participant.site.code,
        "label": removal.label,
        # Days: two certificates of the same second would be known for one person's.
        "withdrawn_at": removal.at.date().isoformat(),
        "steps": {name: {**step, "at": step["at"][:10]} for name, step in removal.steps.items()},
        "notices": removal.notices.count(),
        "recipients": removal.notices.values("user").distinct().count(),
    }
    return told | ({"cause": removal.cause, "files": removal.files} if _recalled(removal) else {})
