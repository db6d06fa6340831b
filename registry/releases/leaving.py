"""A departure, step by step: each step is idempotent, and says in numbers what it did.

In the act's own transaction (`end`): consent ended, packages dead, images out of every list, notices written. Then, as a run: the next release without
them, tombstones in the old ones, bytes deleted, originals wiped, the vault forgets who they were, recipients are mailed, the site gets its certificate.
Rows go before files, so that nothing names what is gone; the last release's tables are made from facts, so deleting one folder takes a person out of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.accounts.models import User
from registry.clinical.models import ClinicalRecord
from registry.consent import actions as consent
from registry.imaging import store
from registry.imaging.models import Decision, Image, StoredFile
from registry.intake import wiping
from registry.intake.models import Study, UploadFile
from registry.releases import freezing, gathering, packing, queries
from registry.releases.models import Notice, Package, PackageParticipant, Release, ReleaseFile, ReleaseParticipant, Withdrawal
from registry.rules import Conflict
from registry.runs import mail
from registry.subjects import actions as subjects
from registry.subjects.models import Participant

Beat = Callable[[], None]
TEXT = "Participant {label} of {dataset} has left. Delete every file listed here from every copy you hold, then acknowledge this notice."


def end(actor: User, participant: Participant) -> Withdrawal:
    """What bites at once. The caller holds the transaction and the participant's row."""
    consent.record(participant, "withdrawn", recorded_by=actor)
    subjects.mark_withdrawn(participant)
    withdrawal = Withdrawal.objects.create(participant=participant, label=participant.label, requested_by=actor.email)
    packages = Package.objects.filter(people__participant=participant)
    # One that is being built has nobody in it yet: `record_package` compares epochs and finds that they have left.
    Package.objects.filter(pk__in=list(packages.filter(state=Package.State.READY).values_list("pk", flat=True))).update(
        state=Package.State.DEAD, code="participant_withdrawn", reason="Somebody in this package has left. Ask for a new one."
    )
    # After the packages died: a download that began a moment ago has said so by now, and one that begins now finds a dead package.
    for package in packages.filter(downloaded_at__isnull=False).select_related("entitlement__user", "release__dataset"):
        _notice(withdrawal, package)
    images = list(Image.objects.filter(visit__participant=participant).exclude(state=Image.State.WITHDRAWN))
    Decision.objects.bulk_create(Decision(image=image, verdict="withdrawn", by=actor.email) for image in images)
    Image.objects.filter(pk__in=[image.pk for image in images]).update(state=Image.State.WITHDRAWN)
    withdrawal.steps = {"ended": {"at": timezone.now().isoformat(), "images": len(images)}}
    withdrawal.save()
    return withdrawal


def _notice(withdrawal: Withdrawal, package: Package) -> None:
    """One past recipient is told, with the paths as their package has them."""
    files = queries.files_of(package.manifest, withdrawal.label)
    text = TEXT.format(label=f"sub-{withdrawal.label}", dataset=package.release.dataset.slug)
    Notice.objects.create(user=package.entitlement.user, withdrawal=withdrawal, package=package, label=withdrawal.label, text=text, files=files)


def released(withdrawal: Withdrawal, beat: Beat) -> dict[str, Any]:
    """The next release, without them, if the newest one has them. A release that is being made this minute is finished here instead."""
    dataset = withdrawal.participant.dataset
    with transaction.atomic():
        making = Release.objects.filter(dataset=dataset, state=Release.State.FREEZING).first()
        newest = freezing.newest(dataset)
        if making is None:
            if newest is None or not newest.people.filter(participant=withdrawal.participant).exists():
                return {"release": None}
            if not gathering.may_be_in(dataset).exists():
                return {"release": None, "nobody_left": True}
            making = freezing.open_release(dataset, "system:worker", "A participant has left.")
    freezing.assemble(making, beat)
    making.refresh_from_db()
    report = freezing.examine(making, beat)
    with transaction.atomic():
        closed = freezing.close(making, report)
    return {"release": str(closed.pk), "number": closed.number, "state": closed.state}


def tombstoned(withdrawal: Withdrawal, beat: Beat) -> dict[str, Any]:
    """In every release: path and hash stay, marked as gone. In the registry's own tables what is told about them goes."""
    person = withdrawal.participant
    with transaction.atomic():
        files = ReleaseFile.objects.filter(participant=person, tombstone=False).update(tombstone=True)
        ReleaseParticipant.objects.filter(participant=person).update(tombstone=True)
        StoredFile.objects.filter(image__visit__participant=person).delete()
        Image.objects.filter(visit__participant=person).update(provenance={}, entities={}, review=0)
        records = ClinicalRecord.objects.filter(visit__participant=person).delete()[0]
        UploadFile.objects.filter(study__participant=person).update(product="", sha256="")
    return {"files": files, "clinical_records": records}


def bytes_deleted(withdrawal: Withdrawal, beat: Beat) -> dict[str, Any]:
    """Their folder of the store, and every ciphertext they are in."""
    ciphertexts = 0
    for package in PackageParticipant.objects.filter(participant=withdrawal.participant).values_list("package_id", flat=True):
        place = packing.place(package)
        ciphertexts += place.exists()
        place.unlink(missing_ok=True)
    return {"files": store.delete_all(withdrawal.participant), "packages": ciphertexts}


def quarantine_wiped(withdrawal: Withdrawal, beat: Beat) -> dict[str, Any]:
    """Originals and renderings."""
    studies = list(Study.objects.filter(participant=withdrawal.participant).select_related("upload__dataset"))
    codes = Study.objects.filter(participant=None, participant_code=withdrawal.participant.code, upload__dataset=withdrawal.participant.dataset)
    theirs = [*studies, *codes.select_related("upload__dataset")]
    wiped = sum(wiping.wipe_person(study) for study in theirs)
    Study.objects.filter(pk__in=[study.pk for study in theirs]).update(participant_code="", day_code="")
    return {"studies": wiped}


def vault_erased(withdrawal: Withdrawal, beat: Beat) -> dict[str, Any]:
    """Who they were is forgotten. What a run under way may have brought in meanwhile goes as well."""
    subjects.forget(withdrawal.participant)
    return {"files": store.delete_all(withdrawal.participant)}


def notified(withdrawal: Withdrawal, beat: Beat) -> dict[str, Any]:
    """One mail to each distinct recipient."""
    with transaction.atomic():
        people = {notice.user for notice in withdrawal.notices.select_related("user")}
        for user in people:
            mail.queue(user, "withdrawal_notice", "/notices")
        # The step is written in this transaction too: a mail is queued once.
        steps = {**withdrawal.steps, "notified": {"at": timezone.now().isoformat(), "recipients": len(people)}}
        if not Withdrawal.objects.filter(pk=withdrawal.pk).update(steps=steps):
            raise Conflict("withdrawal_gone", "This withdrawal is not there.")
    return {"recipients": len(people)}


STEPS: dict[str, Callable[[Withdrawal, Beat], dict[str, Any]]] = {
    "released": released,
    "tombstoned": tombstoned,
    "bytes_deleted": bytes_deleted,
    "quarantine_wiped": quarantine_wiped,
    "vault_erased": vault_erased,
    "notified": notified,
}
ORDER = ["ended", *STEPS, "certified"]


def certificate(withdrawal: Withdrawal) -> dict[str, Any]:
    """What the site gets: which label left when, and what each step did. It holds no source identifier: nobody here knows one any more."""
    return {
        "certificate": str(withdrawal.pk),
        "dataset": withdrawal.participant.dataset.slug,
        "site": withdrawal.participant.site.code,
        "label": withdrawal.label,
        "withdrawn_at": withdrawal.at.isoformat(),
        "steps": withdrawal.steps,
        "notices": withdrawal.notices.count(),
        "recipients": withdrawal.notices.values("user").distinct().count(),
    }
