"""A scan that was bound to the wrong participant or visit: taken from there, and bound to the right one where its originals are still kept.

The old images stay in the history as withdrawn, their bytes and pictures go, and whoever received one is told: each is a recall (`departures.call_back`).
"""

from __future__ import annotations

from django.db import transaction

from registry.access import policy
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.imaging.models import LIVING, Image
from registry.intake import matching
from registry.intake.models import Study
from registry.releases import departures
from registry.releases.models import Removal
from registry.rules import Conflict, Invalid
from registry.subjects.models import Visit


def rebind(actor: User, study: Study, visit: Visit | None, reason: str) -> Study:
    """Take a recorded study from where it was bound; with `visit` it is done again there, without it (or its originals) the site hands it in again.

    Raises Denied, Invalid, Conflict.
    """
    policy.require_in(actor, "upload", study.upload.dataset, study.upload.site)
    if visit is not None:
        policy.require(actor, "contribute", visit.participant)
        _fits(study, visit)
    if not reason.strip():
        raise Invalid("reason_missing", "A correction needs its reason.", "Say what was bound wrongly, without a name.")
    with transaction.atomic():
        held = Study.objects.select_for_update(of=("self",)).select_related("upload__dataset", "upload__site", "participant", "visit").get(pk=study.pk)
        if held.state != Study.State.RECORDED or held.participant is None:
            raise Conflict("study_not_recorded", "Only a study whose images are recorded can be moved.", "Bind or refuse one that waits.")
        policy.require(actor, "contribute", held.participant)
        before, gone = held.participant, _taken_out(actor, held, visit, reason)
        _again(held, visit, actor)
        matching.settle(held.upload)
        told = {"from": str(before.pk), "to": str(visit.participant_id) if visit else "", "images": gone, "again": held.state != Study.State.REFUSED}
        audit.write(actor, "study.move", f"study:{held.pk}", dataset=held.upload.dataset, **told)
    return held


def _fits(study: Study, visit: Visit) -> None:
    if (visit.participant.dataset_id, visit.participant.site_id) != (study.upload.dataset_id, study.upload.site_id):
        raise Invalid("bind_mismatch", "Visit, participant and upload do not belong together.", "Choose a participant of the upload's site, and their visit.")
    if visit.pk == study.visit_id:
        raise Invalid("bound_there", "The study is bound to this visit already.", "Name the right visit, or none to take the study back.")


def _taken_out(actor: User, study: Study, visit: Visit | None, reason: str) -> int:
    """Call every living image of the study back whose visit changes; return how many. Files may name a visit of their own: for the same person it stays."""
    living = Image.objects.filter(study_id=study.pk, state__in=LIVING).order_by("pk")
    if visit is not None and visit.participant_id == study.participant_id:
        living = living.filter(visit=study.visit_id)
    keys = list(living.values_list("pk", flat=True))
    for pk in keys:
        departures.call_back(actor, pk, Removal.Cause.WRONG_PERSON, reason[: departures.MOST_TEXT])
    return len(keys)


def _again(study: Study, visit: Visit | None, actor: User) -> None:
    """Let the study go on where it belongs, or end it."""
    study.participant = study.visit = None
    study.state = Study.State.WAITING
    if visit is None or study.wiped_at or study.upload.wiped_at:
        study.files.exclude(verdict="failed").update(verdict="waiting", product="")
        matching.refuse(study, "bound_wrongly")
        return
    study.files.exclude(verdict="failed").update(verdict="waiting", code="", reason="", advice="", product="")
    matching.bind(study, visit, actor.email)
