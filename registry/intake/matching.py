"""Whose scan is it, and may it be touched? A study goes on when person, visit and consent are there; otherwise it waits and says for what.

The carrier answers with codes only. A participant is found by (dataset, code) at the upload's own site, a visit by its day code; a contributor can bind
by hand what the codes do not tell. Consent is asked here, before any order is made, and again when the order is made.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone

from registry import rules
from registry.accounts import queries as accounts
from registry.consent import queries as consent
from registry.imaging.models import Image
from registry.intake.models import Piece, Study, Upload, UploadFile
from registry.runs import actions as runs
from registry.runs import mail
from registry.subjects import queries as subjects
from registry.subjects.models import Participant, Visit

# code -> (reason, advice): what the registry adds to the carrier's own reasons to wait.
WAITS: dict[str, tuple[str, str]] = {
    "unknown_participant": (
        "Nobody with this identifier is registered at this site in this dataset.",
        "Register the participant with the identifier that stands in the scans, or bind the study by hand.",
    ),
    "unknown_visit": ("The participant has no visit on the day of this study.", "Register the visit with the date of the scan, or bind the study by hand."),
    "no_consent": ("No consent that holds is on record for this participant.", "Record the consent; the study then goes on by itself."),
    "participant_withdrawn": ("This participant has left the registry.", "Nothing need be done: the scans are destroyed."),
    "refused_by_contributor": ("The site refused this study.", "Nothing need be done: the scans are destroyed."),
    "bound_wrongly": ("This study was bound to the wrong participant or visit.", "Hand the scans in again, and bind them to the right one."),
    "retention_over": ("The originals were kept as long as is allowed, and destroyed.", "Hand the study in again once what it waited for is there."),
    "processing_failed": ("The pipeline could not work on this study.", "Tell the steward; the study can be processed again while the originals are kept."),
}
# Reasons of the carrier that no later registration can cure: only a person's word.
BY_HAND = frozenset({"no_identity", "identity_conflict"})
# A study of two patients can never be one person's.
UNBINDABLE = frozenset({"two_patients"})


def wait(study: Study, code: str, reason: str = "", advice: str = "") -> None:
    """Let a study wait for `code`; its files wait with it."""
    ours = WAITS.get(code, ("", ""))
    study.state, study.code, study.reason, study.advice = Study.State.WAITING, code, reason or ours[0], advice or ours[1]
    study.run_id = None
    study.save()
    _tell_files(study, UploadFile.Verdict.WAITING)


def refuse(study: Study, code: str, reason: str = "") -> None:
    """End a study: it is not taken. Its files are refused for the same reason."""
    ours = WAITS.get(code, ("", ""))
    study.state, study.code, study.reason, study.advice = Study.State.REFUSED, code, reason or ours[0], ours[1]
    study.save()
    _tell_files(study, UploadFile.Verdict.REFUSED)


def left(study: Study) -> None:
    """End a study of somebody who left: nothing stays in it, or of its files, that tells whose they were or what they held."""
    study.participant_code, study.day_code, study.study_code, study.visit = "", "", f"gone-{study.pk.hex}", None
    refuse(study, "participant_withdrawn")
    Piece.objects.filter(files__study=study).update(sha256="", said={}, annotation="")
    study.files.update(sha256="", said={}, annotation="", product="")


def _tell_files(study: Study, verdict: str) -> None:
    study.files.filter(verdict__in=["pending", "waiting"]).update(verdict=verdict, code=study.code, reason=study.reason, advice=study.advice)


def consents(participant: Participant) -> rules.Answer:
    """Whether a consent holds today: what must be true before anything of this person is converted."""
    today = timezone.now().date()
    return rules.holds(consent.current(participant), today)


def go_on(study: Study) -> None:
    """Take one waiting study as far as the facts allow: to a run, or to the next thing it waits for. The caller holds the transaction."""
    if study.state != Study.State.WAITING or (study.code in BY_HAND | UNBINDABLE and not study.bound_by):
        return None
    participant = study.participant or _participant(study)
    if participant is None:
        return wait(study, "unknown_participant")
    study.participant = participant
    if participant.state != "active":
        return left(study)
    visit = study.visit or (subjects.visit_on(participant, study.day_code) if study.day_code else None)
    if visit is None:
        return wait(study, "unknown_visit")
    study.visit = visit
    if not _visits_known(study, participant):
        return wait(study, "unknown_visit")
    if not consents(participant).permitted:
        return wait(study, "no_consent")
    return _send(study)


def _visits_known(study: Study, participant: Participant) -> bool:
    """Whether every visit that the sender named for single files is one of this person's."""
    named = {said["visit"] for said in study.files.values_list("said", flat=True) if said.get("visit")}
    return not named - set(participant.visits.filter(label__in=named).values_list("label", flat=True))


def _participant(study: Study) -> Participant | None:
    """The person of the code, if registered at the site that handed the scan in: a site binds its own people only."""
    found = subjects.match(study.upload.dataset, study.participant_code) if study.participant_code else None
    return found if found is not None and found.site_id == study.upload.site_id else None


def _send(study: Study) -> None:
    study.state, study.code, study.reason, study.advice = Study.State.READY, "", "", ""
    study.save()
    study.files.filter(verdict="waiting").update(verdict="pending", code="", reason="", advice="")
    study.run_id = runs.enqueue("study", subject_id=study.pk, dataset_id=study.upload.dataset_id).pk
    study.save(update_fields=["run_id"])


def again(study: Study) -> None:
    """Send a recorded study to the pipeline once more: somebody said what its images are. What was recorded and is the same is not recorded twice."""
    _send(study)
    study.files.exclude(verdict="failed").update(verdict="pending", code="", reason="", advice="", product="")
    study.upload.refresh_from_db()
    settle(study.upload)


def bind(study: Study, visit: Visit, by: str) -> None:
    """Bind a waiting study to a visit on a person's word, and let it go on."""
    study.participant, study.visit, study.bound_by = visit.participant, visit, by
    study.save()
    go_on(study)


def go_on_with(studies: Iterable[Study]) -> int:
    """Try every one of these waiting studies again; return how many went on. The uploads' states follow."""
    moved, uploads = 0, set()
    for study in studies:
        before = (study.state, study.code)
        go_on(study)
        if (study.state, study.code) != before:
            moved += study.state == Study.State.READY
            uploads.add(study.upload_id)
    for upload in Upload.objects.filter(pk__in=uploads):
        settle(upload)
    return moved


def waiting_for(participants: Iterable[Participant]) -> list[Study]:
    """The waiting studies that these people's new facts may move: theirs by binding or by code."""
    people = list(participants)
    codes, datasets = {person.code for person in people}, {person.dataset_id for person in people}
    waiting = Study.objects.select_for_update(of=("self",)).select_related("upload__dataset", "upload__site", "participant", "visit").filter(state="waiting")
    by_code = list(waiting.filter(participant_code__in=codes, upload__dataset_id__in=datasets, upload__wiped_at=None))
    bound = waiting.filter(participant__in=[person.pk for person in people], upload__wiped_at=None).exclude(pk__in=[study.pk for study in by_code])
    return by_code + list(bound)


def settle(upload: Upload) -> None:
    """An upload is done when each of its studies is recorded or refused; until then it is sorted."""
    if upload.state in (Upload.State.SORTED, Upload.State.DONE):
        open_ = upload.studies.exclude(state__in=["recorded", "refused"]).exists()
        before, upload.state = upload.state, Upload.State.SORTED if open_ else Upload.State.DONE
        upload.save(update_fields=["state"])
        if before != upload.state == Upload.State.DONE:
            _tell(upload)


def _tell(upload: Upload) -> None:
    """Every file has its verdict: the contributor is told, and the stewards if there is something to look at."""
    if upload.contributor is not None:
        mail.queue(upload.contributor, "upload_done", f"/uploads/{upload.pk}")
    if Image.objects.filter(study_id__in=upload.studies.values("pk"), state="proposed").exists():
        for steward in accounts.stewards(upload.dataset):
            mail.queue(steward, "images_wait", "/images")
