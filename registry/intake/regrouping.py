"""A person's word on how an upload was grouped: studies that are one visit, and a study that is several.

What a scanner called one study stays one: its files name each other, and the carrier takes none that names another study. What was handed in as NIfTI
names nobody and nothing, so the carrier groups it by folders; only a person knows whether one folder held two visits, or two folders one. Both acts are
about studies that wait: nothing of them has been converted. A study of two patients is never split here, for nobody can say by a number whose a scan is.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection, Sequence

from django.db import transaction

from registry.access import policy
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.intake import matching
from registry.intake.models import Study, Upload, UploadFile
from registry.rules import Conflict, Invalid
from registry.subjects.models import Visit

MOST = 100
JOINED = "Its files were joined to another study of this upload."


def is_nifti(study: Study) -> bool:
    """Whether a waiting study was handed in as NIfTI, by what the carrier said of it. Were that wrong, it takes no file of another study."""
    from pipeline.sort import NOBODY  # late: it brings numpy, which a web process needs for nothing else

    return study.state == Study.State.WAITING and study.code == "no_identity" and study.reason == str(NOBODY)


def split(actor: User, study: Study, files: Collection[UploadFile]) -> Study:
    """Make a study of its own of some files of a waiting one that was handed in as NIfTI; both wait to be bound. Raises Denied, Invalid, Conflict."""
    policy.require_in(actor, "upload", study.upload.dataset, study.upload.site)
    with transaction.atomic():
        held = _held(study.upload, [study])[0]
        if not is_nifti(held):
            raise Conflict("study_whole", "A study that a scanner made is not split.", "Where it holds two patients, refuse it and hand them in apart.")
        mine = {row.pk: row for row in held.files.all()}
        chosen = {row.pk for row in files}
        if not chosen or not chosen < set(mine):
            raise Invalid("split_nothing", "A split takes some of a study's files, and leaves some.", "Choose files of this study, but not all.")
        _together(mine.values(), chosen)
        apart = Study.objects.create(upload=held.upload, study_code=_code(), code=held.code, reason=held.reason, advice=held.advice)
        UploadFile.objects.filter(pk__in=chosen).update(study=apart)
        audit.write(actor, "study.split", f"study:{held.pk}", dataset=held.upload.dataset, apart=str(apart.pk), files=len(chosen))
    return apart


def merge(actor: User, studies: Sequence[Study], visit: Visit) -> list[Study]:
    """Say that waiting studies of one upload are one visit: all are bound to it, or none. Those handed in as NIfTI become one, masks with their images.

    Returns the studies that go on. Raises Denied, Invalid, Conflict.
    """
    if not 2 <= len({study.pk for study in studies}) <= MOST or len({study.upload_id for study in studies}) != 1:
        raise Invalid("merge_apart", f"Two to {MOST} studies of one upload are merged.", "Choose at least two of the same upload.")
    upload = studies[0].upload
    policy.require_in(actor, "upload", upload.dataset, upload.site)
    policy.require(actor, "contribute", visit.participant)
    if (visit.participant.dataset_id, visit.participant.site_id) != (upload.dataset_id, upload.site_id):
        raise Invalid("bind_mismatch", "Visit, participant and upload do not belong together.", "Choose a participant of the upload's site, and their visit.")
    with transaction.atomic():
        held = _held(upload, studies)
        if any(study.code in matching.UNBINDABLE for study in held):
            raise Conflict("study_unbindable", "One of them holds scans of two patients.", "Refuse it, and hand the scans in apart.")
        kept = _joined(held)
        for study in kept:
            matching.bind(study, visit, actor.email)
        matching.settle(held[0].upload)
        told = {"studies": [str(study.pk) for study in held], "participant": str(visit.participant_id), "visit": str(visit.pk)}
        audit.write(actor, "study.merge", f"study:{kept[0].pk}", dataset=upload.dataset, **told)
    return kept


def _held(upload: Upload, studies: Sequence[Study]) -> list[Study]:
    """The studies, locked. Raises Conflict for one that waits for nobody."""
    related = ("upload__dataset", "upload__site", "participant", "visit")
    wanted = [study.pk for study in studies]
    found = list(Study.objects.select_for_update(of=("self",)).select_related(*related).filter(pk__in=wanted, upload=upload).order_by("created_at", "pk"))
    if any(study.state != Study.State.WAITING or study.wiped_at or study.upload.wiped_at for study in found) or not found:
        raise Conflict("study_not_waiting", "A study does not wait for anybody.", "Look at its state.")
    return found


def _joined(held: list[Study]) -> list[Study]:
    """NIfTI studies become the first of them: a mask is drawn on an image of its own study only. The emptied ones end, and say so."""
    loose = [study for study in held if is_nifti(study)]
    for study in loose[1:]:
        study.files.update(study=loose[0])
        matching.refuse(study, "joined", JOINED)
    return [study for study in held if study not in loose[1:]]


def _together(rows: Collection[UploadFile], chosen: Collection[object]) -> None:
    """A file goes with what it lies beside: a mask with its image, a sidecar with its volume. Raises Invalid."""
    sides = {row.number: row.pk in chosen for row in rows if row.number is not None}
    cut = sorted(row.number or 0 for row in rows if row.said.get("beside") in sides and (row.pk in chosen) != sides[row.said["beside"]])
    if cut:
        errors = [{"field": f"file {number}", "reason": "lies beside a file of the other part"} for number in cut[:MOST]]
        raise Invalid("split_cuts", "A mask or small file would be parted from its image.", "Choose both, or neither.", errors=errors)


def _code() -> str:
    """A study's code that stands for nothing: 26 characters as the carrier writes them."""
    return base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26]
