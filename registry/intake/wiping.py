"""Originals are destroyed as soon as nobody needs them, and in any case after the dataset's days of retention.

A study's files go when it was refused, or when each of its images was decided; the whole upload when every study has come to that, when the sender gave it
up, or when its time is over (its contributor is warned seven days before). Bytes first, then the row that says so, with an audit line: an interrupted
wiping is done again. Called by the tick, in the runner, the only process that may delete from quarantine.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from registry.audit import actions as audit
from registry.imaging.models import WAITS, Image
from registry.intake import matching, quarantine, sending
from registry.intake.models import Study, Upload
from registry.runs import mail
from registry.subjects.models import Participant

SYSTEM = "system:worker"
WARN = timedelta(days=7)


def tick(now: datetime | None = None) -> dict[str, int]:
    """Do what is due; return how much of each was done. Idempotent."""
    now = now or timezone.now()
    over = end_retention(now)
    studies = sum(_wipe_of_who_left(study) if study.code == "participant_withdrawn" else wipe_study(study) for study in finished_studies())
    uploads = sum(wipe_upload(upload) for upload in finished_uploads())
    told = {"retention": over, "studies": studies, "uploads": uploads, "warned": warn(now)}
    return told | {"pieces": sending.expire(now), "swept": sending.sweep(now)}


def finished_studies() -> QuerySet[Study]:
    """Studies whose originals nobody needs any more."""
    undecided = Image.objects.filter(study_id=OuterRef("pk"), state__in=WAITS)
    ended = Study.objects.filter(wiped_at=None, upload__wiped_at=None).select_related("upload__dataset")
    return ended.filter(state="refused") | ended.filter(~Exists(undecided), state="recorded")


def wipe_study(study: Study) -> bool:
    """Destroy one study's originals and renderings. A member of an archive goes with its archive, when the upload does."""
    quarantine.empty(study.upload_id, study.files.exclude(place="").values_list("place", flat=True))
    quarantine.wipe_review(study.pk)
    with transaction.atomic():
        if not Study.objects.filter(pk=study.pk, wiped_at=None).update(wiped_at=timezone.now()):
            return False
        audit.write(SYSTEM, "study.wipe", f"study:{study.pk}", dataset=study.upload.dataset)
    return True


def finished_uploads() -> QuerySet[Upload]:
    """Uploads of which nothing is needed any more."""
    unwiped = Study.objects.filter(upload=OuterRef("pk"), wiped_at=None)
    open_ = Upload.objects.filter(wiped_at=None).select_related("dataset")
    return open_.filter(~Exists(unwiped), state="done") | open_.filter(state="failed", code="dropped_by_sender")


def wipe_upload(upload: Upload) -> bool:
    """Destroy all that is left of one upload."""
    quarantine.wipe(upload.pk)
    for study in upload.studies.filter(wiped_at=None):
        quarantine.wipe_review(study.pk)
    with transaction.atomic():
        now = timezone.now()
        if not Upload.objects.filter(pk=upload.pk, wiped_at=None).update(wiped_at=now):
            return False
        upload.studies.filter(wiped_at=None).update(wiped_at=now)
        sending.close_pieces(upload)
        audit.write(SYSTEM, "upload.wipe", f"upload:{upload.pk}", dataset=upload.dataset)
    return True


def end_retention(now: datetime) -> int:
    """End what was kept as long as is allowed. A study that is being worked on this minute is left until the next tick."""
    count = 0
    for upload in Upload.objects.filter(wiped_at=None).select_related("dataset"):
        if now < upload.created_at + timedelta(days=upload.dataset.retention_days) or upload.studies.filter(state__in=["ready", "processing"]).exists():
            continue
        if upload.state in (Upload.State.RECEIVED, Upload.State.SORTING):
            continue
        with transaction.atomic():
            for study in upload.studies.select_for_update().filter(state="waiting"):
                matching.refuse(study, "retention_over")
            if upload.state == Upload.State.RECEIVING:
                reason, advice = matching.WAITS["retention_over"]
                Upload.objects.filter(pk=upload.pk).update(state="failed", code="retention_over", reason=reason)
                upload.files.filter(verdict="pending").update(verdict="refused", code="retention_over", reason=reason, advice=advice)
            matching.settle(upload)
            audit.write(SYSTEM, "upload.retention", f"upload:{upload.pk}", dataset=upload.dataset)
        count += wipe_upload(upload)
    return count


def warn(now: datetime) -> int:
    """Tell the contributor, once, seven days before originals that are still needed are destroyed."""
    count = 0
    for upload in Upload.objects.filter(wiped_at=None, warned_at=None, state="sorted").select_related("dataset", "contributor"):
        if now < upload.created_at + timedelta(days=upload.dataset.retention_days) - WARN or upload.contributor is None:
            continue
        with transaction.atomic():
            Upload.objects.filter(pk=upload.pk).update(warned_at=now)
            mail.queue(upload.contributor, "retention_soon", f"/uploads/{upload.pk}")
            count += 1
    return count


def wipe_person(study: Study, participant: Participant) -> bool:
    """Destroy one departing person's study, whatever its state: rows say refused, bytes are gone. The caller's act has the audit line."""
    with transaction.atomic():
        locked = Study.objects.select_for_update(of=("self",)).select_related("upload__dataset").get(pk=study.pk)
        locked.participant = participant  # also of a study that only its code told: that is about to go
        matching.left(locked)
        matching.settle(locked.upload)
    return _wipe_of_who_left(locked)


def _wipe_of_who_left(study: Study) -> bool:
    """Bytes of theirs inside an archive go with the whole upload: nothing smaller can be destroyed for certain."""
    if study.upload.wiped_at is None and study.files.filter(place="").exists():
        _give_up(study.upload)
        return wipe_upload(study.upload)
    return wipe_study(study) if study.wiped_at is None else False


def _give_up(upload: Upload) -> None:
    """Refuse what of an upload still needs its originals; the contributor is told, and may hand it in again."""
    with transaction.atomic():
        upload.refresh_from_db()
        for other in upload.studies.select_for_update().filter(state__in=["waiting", "ready", "processing"]):
            matching.refuse(other, "retention_over")
        matching.settle(upload)
        audit.write(SYSTEM, "upload.retention", f"upload:{upload.pk}", dataset=upload.dataset)
