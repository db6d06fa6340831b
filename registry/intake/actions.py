"""Acts of handing in: register people, visits and consents; receive an upload; bind or refuse what waits. Acts on an image are in `deciding`.

Each act asks the policy, checks, changes and writes its audit line as the last statement of one transaction. New facts about a person let
their waiting studies go on in the same transaction. Bytes are never destroyed here: `registry.intake.wiping` does that, in the runner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from registry.access import policy
from registry.accounts.models import Dataset, Site, User
from registry.audit import actions as audit
from registry.consent import actions as consent
from registry.consent.models import ConsentEvent
from registry.intake import matching, quarantine
from registry.intake.carrying import order_sort, order_study, publish_study, record_sort, record_study, sort_died, study_died
from registry.intake.correcting import checked, correct, known_visit, parsed_labels, words
from registry.intake.deciding import accept_image, accept_images, after, answer_image, look, quality, refuse_image, return_image, view_after, volume
from registry.intake.models import Study, Upload, UploadFile
from registry.intake.room import declared, receiving, taken, within
from registry.intake.sending import add_chunk, begin_piece, give_up_piece, lose, unfinished
from registry.intake.wiping import tick
from registry.rules import Conflict, Invalid
from registry.runs import actions as runs
from registry.subjects import actions as subjects
from registry.subjects.models import Participant, Visit

# What the ledger calls by name (settings.MYELIN_RUN_KINDS, MYELIN_TICK), gathered at one address.
__all__ = [
    "accept_image",
    "accept_images",
    "add_chunk",
    "add_visits",
    "after",
    "answer_image",
    "begin_piece",
    "begin_upload",
    "bind_study",
    "complete_upload",
    "correct",
    "drop_upload",
    "give_up_piece",
    "look",
    "order_sort",
    "order_study",
    "parsed_labels",
    "publish_study",
    "quality",
    "receive_file",
    "record_consents",
    "record_sort",
    "record_study",
    "refuse_image",
    "refuse_study",
    "register",
    "return_image",
    "sort_died",
    "study_died",
    "tick",
    "view_after",
    "volume",
    "words",
]  # fmt: skip

Row = Mapping[str, Any]
# The sum of an upload is looked at every so many files, and at large ones: asking for it each time would cost more the more there is.
SUM_EVERY, SUM_ABOVE = 64, 16 << 20


# --- people ----------------------------------------------------------------------------------------------------------------------------------------


def register(actor: User, dataset: Dataset, site: Site, rows: Sequence[Row]) -> list[Participant]:
    """Register people of one site by the site's own identifiers, all or none; their waiting studies go on. Raises Denied, Invalid, Conflict."""
    policy.require_in(actor, "register", dataset, site)
    if not dataset.sites.filter(pk=site.pk).exists():
        raise Invalid("site_not_in_dataset", "This site does not hand in to this dataset.", "Ask the administrator to add it.")
    with transaction.atomic():
        people = [_each("participants", rows, n, lambda row: subjects.register(dataset, site, **row)) for n in range(len(rows))]
        matching.go_on_with(matching.waiting_for(people))
        audit.write(actor, "participant.register", f"dataset:{dataset.slug}", dataset=dataset, participants=[str(one.pk) for one in people])
    return people


def add_visits(actor: User, rows: Sequence[tuple[Participant, str, date] | tuple[Participant, str, date, str]]) -> list[Visit]:
    """Add visits (participant, label, date, and the purpose if known), all or none: the date becomes a keyed day code and is forgotten.

    Raises Denied, Invalid, Conflict.
    """
    for participant, *_ in rows:
        policy.require(actor, "contribute", participant)
    with transaction.atomic():
        visits = [_each("visits", rows, n, lambda row: subjects.add_visit(*row)) for n in range(len(rows))]
        people = {participant.pk: participant for participant, *_ in rows}.values()
        matching.go_on_with(matching.waiting_for(people))
        for participant in people:
            audit.write(actor, "visit.add", f"participant:{participant.pk}", dataset=participant.dataset)
    return visits


def record_consents(actor: User, rows: Sequence[tuple[Participant, Row]]) -> list[ConsentEvent]:
    """Record consent events, all or none; waiting studies go on. A withdrawal is an act of its own. Raises Denied, Invalid, Conflict."""
    for participant, row in rows:
        policy.require(actor, "contribute", participant)
        if row.get("kind") == "withdrawn":
            raise Invalid("withdraw_instead", "A withdrawal is carried through, not noted down.", "Use the act of withdrawing.")
    with transaction.atomic():
        events = [_each("consents", rows, n, lambda row: consent.record(row[0], recorded_by=actor, **row[1])) for n in range(len(rows))]
        people = {participant.pk: participant for participant, _ in rows}.values()
        matching.go_on_with(matching.waiting_for(people))
        for event in events:
            audit.write(actor, f"consent.{event.kind}", f"participant:{event.participant_id}", dataset=event.participant.dataset, event=str(event.pk))
    return events


def _each(name: str, rows: Sequence[Any], n: int, act: Any) -> Any:
    """Do one row of a bulk act; a refusal says which row."""
    try:
        return act(rows[n])
    except Invalid as error:
        error.errors = [{"field": f"{name}.{n}", "reason": error.reason}, *error.errors]
        raise


# --- uploads ---------------------------------------------------------------------------------------------------------------------------------------


def begin_upload(actor: User, dataset: Dataset, site: Site, count: int = 0, size: int = 0) -> Upload:
    """Open an upload of one site; `count` files of `size` bytes are to come, as far as is known. Raises Denied, Invalid when there is no room for them."""
    policy.require_in(actor, "upload", dataset, site)
    with transaction.atomic():
        if size:
            declared(site, size)
        upload = Upload.objects.create(dataset=dataset, site=site, contributor=actor, manifest={"count": count, "bytes": size} if size else {})
        audit.write(actor, "upload.begin", f"upload:{upload.pk}", dataset=dataset)
    return upload


def receive_file(
    actor: User,
    upload: Upload,
    number: int,
    folders: str,
    stream: BinaryIO,
    length: int,
    sha256: str,
    annotation: str = "",
    said: Mapping[str, Any] | None = None,
) -> tuple[UploadFile, bool]:
    """Take one file's bytes into quarantine; return its row and whether it is new. Raises Denied, Invalid, Conflict.

    `annotation`: what a mask shows, a word of `bidstree.masks.LABELS`; any other text could be a name, and is refused. `said`: see `correcting.checked`.

    The bytes are written and hashed before the row says so; `complete_upload` makes them last. The row is written only while the upload is receiving.
    """
    policy.require_in(actor, "upload", upload.dataset, upload.site)
    receiving(upload)
    if annotation and annotation not in annotation_words():
        raise Invalid("unknown_annotation", "This is no word for what a mask shows.", "GET /annotations lists the words.")
    more = checked(said or {})
    known_visit(more, upload.dataset, upload.site)
    where = taken(lambda: quarantine.place(number, folders))
    if number % SUM_EVERY == 0 or length > SUM_ABOVE:
        _room(upload, length)
    known = upload.files.filter(number=number).first()
    if known and (known.sha256, known.bytes, known.place, known.annotation, known.said) == (sha256, length, where, annotation, more):
        return known, False
    taken(lambda: quarantine.receive(upload.pk, where, stream, length, sha256))
    with transaction.atomic():
        receiving(Upload.objects.select_for_update().get(pk=upload.pk))
        fields = {"place": where, "sha256": sha256, "bytes": length, "annotation": annotation, "said": more}
        row, new = UploadFile.objects.update_or_create(upload=upload, number=number, defaults=fields)
    return row, new


def annotation_words() -> list[str]:
    """The words that say what a mask shows."""
    return words()["words"]


def _room(upload: Upload, length: int) -> None:
    total = upload.files.aggregate(total=Sum("bytes"))["total"] or 0
    if total + length > settings.MYELIN_MAX_UPLOAD_MB << 20:
        raise Invalid("upload_too_large", "This upload would be larger than this registry takes at once.", "Close it and begin another.")
    within(upload, total + length)


def complete_upload(actor: User, upload: Upload, count: int, size: int) -> Upload:
    """Close an upload once everything the sender counted has arrived, and have it sorted. Raises Denied, Conflict."""
    policy.require_in(actor, "upload", upload.dataset, upload.site)
    receiving(upload)
    missing = quarantine.harden(upload.pk, dict(upload.files.values_list("place", "bytes")))
    lose(upload, missing)  # in a transaction of its own: it stays so when what follows is refused
    with transaction.atomic():
        upload = Upload.objects.select_for_update(of=("self",)).select_related("dataset", "site").get(pk=upload.pk)
        receiving(upload)
        if left := unfinished(upload):
            raise Conflict("upload_incomplete", "Some of it is not whole yet.", "Send what is missing.", errors=left)
        files = list(upload.files.values_list("bytes", flat=True))
        if (len(files), sum(files)) != (count, size) or not files:
            raise Conflict("upload_incomplete", f"{len(files)} files with {sum(files)} bytes arrived, not as many as were sent.", "Send what is missing.")
        quarantine.settle(upload.pk, upload.files.values_list("place", flat=True))
        upload.state, upload.manifest, upload.completed_at = Upload.State.RECEIVED, {"count": count, "bytes": size}, timezone.now()
        upload.code = upload.reason = ""
        upload.run_id = runs.enqueue("sort", subject_id=upload.pk, dataset_id=upload.dataset_id, priority=5).pk
        upload.save()
        audit.write(actor, "upload.complete", f"upload:{upload.pk}", dataset=upload.dataset, files=count, bytes=size)
    return upload


def drop_upload(actor: User, upload: Upload) -> None:
    """Give up an upload that is still being received; its bytes are destroyed by the next tick. Raises Denied, Conflict."""
    policy.require_in(actor, "upload", upload.dataset, upload.site)
    with transaction.atomic():
        upload = Upload.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=upload.pk)
        receiving(upload)
        upload.state, upload.code, upload.reason = Upload.State.FAILED, "dropped_by_sender", "The sender gave this upload up."
        upload.save()
        upload.files.update(verdict="refused", code=upload.code, reason=upload.reason)
        audit.write(actor, "upload.drop", f"upload:{upload.pk}", dataset=upload.dataset)


# --- studies that wait -----------------------------------------------------------------------------------------------------------------------------


def bind_study(actor: User, study: Study, participant: Participant, visit: Visit) -> Study:
    """Say by hand whose a waiting study is; it goes on if consent holds. Raises Denied, Invalid, Conflict."""
    policy.require(actor, "contribute", participant)
    policy.require_in(actor, "upload", study.upload.dataset, study.upload.site)
    if visit.participant_id != participant.pk or (participant.dataset_id, participant.site_id) != (study.upload.dataset_id, study.upload.site_id):
        raise Invalid("bind_mismatch", "Visit, participant and upload do not belong together.", "Choose a participant of the upload's site, and their visit.")
    with transaction.atomic():
        study = _waiting(study)
        if study.code in matching.UNBINDABLE:
            raise Conflict("study_unbindable", "This study holds scans of two patients.", "Refuse it, and hand the scans in apart.")
        matching.bind(study, visit, actor.email)
        matching.settle(study.upload)
        audit.write(actor, "study.bind", f"study:{study.pk}", dataset=study.upload.dataset, participant=str(participant.pk), visit=str(visit.pk))
    return study


def refuse_study(actor: User, study: Study, reason: str) -> Study:
    """Say that a waiting study is not to be taken; its originals are destroyed. Raises Denied, Conflict."""
    policy.require_in(actor, "upload", study.upload.dataset, study.upload.site)
    with transaction.atomic():
        study = _waiting(study)
        matching.refuse(study, "refused_by_contributor")
        matching.settle(study.upload)
        audit.write(actor, "study.refuse", f"study:{study.pk}", dataset=study.upload.dataset, reason_given=bool(reason.strip()))
    return study


def _waiting(study: Study) -> Study:
    locked = Study.objects.select_for_update(of=("self",)).select_related("upload__dataset", "upload__site", "participant", "visit").get(pk=study.pk)
    if locked.state != Study.State.WAITING or locked.wiped_at or locked.upload.wiped_at:
        raise Conflict("study_not_waiting", "This study does not wait for anybody.", "Look at its state.")
    return locked
