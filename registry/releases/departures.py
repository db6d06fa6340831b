"""Acts of leaving and of calling back, the run behind both, and what a past recipient attests.

One person may take part in several datasets of their site, and nothing in the registry's database says so: only the vault knows it, by a keyed hash. So a
withdrawal asks the vault, notes there that all these participations are to end, and ends each by an act of its own: its own transaction, row, run, line
and certificate, all in the name of the vault. What the site is told of the others, and who asked, is sealed with the vault's key. (What
remains to be guessed from is the hour; `docs/explanation/leaving.md`.)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.access import policy
from registry.accounts import queries as accounts
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.imaging.models import WAITS, Image, StoredFile
from registry.releases import attesting, ending, leaving
from registry.releases.models import Notice, Removal
from registry.rules import Conflict, Denied, Invalid, Refusal
from registry.runs import actions as runs
from registry.runs import mail
from registry.runs.models import Run
from registry.subjects import queries as subjects
from registry.subjects import vault
from registry.subjects.models import Participant

SYSTEM = "system:worker"
VAULT = "system:vault"
MOST_TEXT = 2000
Beat = Callable[[], None]


# --- leaving ---------------------------------------------------------------------------------------------------------------------------------------


def withdraw(actor: User, participant: Participant, only_here: str = "") -> Removal:
    """A participant leaves, here and in every other dataset of theirs. When this returns, consent has ended and every package with them is dead.

    `only_here`: why the consent keeps the datasets apart, in the site's words; then the others go on. Raises Denied, Conflict.
    """
    policy.require(actor, "withdraw", participant)
    if only_here and not of_site(actor, participant):
        raise Denied("site_only", "Only the site knows what somebody's consents say of each other.", "Ask the site to carry the withdrawal through.")
    if not Participant.objects.filter(pk=participant.pk, state="active").exists():
        leave_everywhere()  # an earlier call may have died half-way
        raise _left_already()
    others = [one for one in subjects.same_person(participant) if one.state == "active"]
    going = [one.link for one in (participant, *others) if one.link and not only_here]
    # In the vault first: should this process die after the first end, the tick finds the others there.
    marked = vault.mark_leaving(going)
    try:
        removal = _leave(actor, participant, others, only_here[:MOST_TEXT])
    except Conflict:
        leave_everywhere()  # the same was asked twice at once: the other call counts on these marks
        raise
    except BaseException:
        vault.mark_leaving(marked, leaving=False)
        raise
    vault.mark_leaving(going)  # once more: a call that failed beside this one took its marks back
    leave_everywhere()
    return removal


def _left_already() -> Conflict:
    return Conflict("already_withdrawn", "This participant has left already.", "Look at the withdrawal.")


def _leave(actor: User | str, participant: Participant, others: list[Participant], only_here: str) -> Removal:
    with transaction.atomic():
        locked = Participant.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=participant.pk)
        if locked.state != "active":
            raise _left_already()
        # Every end is in the vault's name, the one that was asked for like the others: who asked is sealed with the rest.
        told = {"datasets": sorted({one.dataset.slug for one in others}), "only_here": only_here, "by": str(getattr(actor, "email", ""))}
        removal = ending.person(VAULT, locked, vault.shut(told, locked.pk))
        _enqueue(removal)
        audit.write(VAULT, "participant.withdraw", f"participant:{locked.pk}", dataset=locked.dataset, notices=removal.notices.count())
    return removal


def leave_everywhere() -> int:
    """End every participation that the vault says is to end; return how many. Called by the act, and by the tick where an act died half-way."""
    left, links = 0, vault.leaving()
    for participant in Participant.objects.filter(link__in=links, state="active").select_related("dataset", "site").order_by("key"):
        others = subjects.same_person(participant)
        try:
            _leave(VAULT, participant, others, "")
        except Conflict:
            continue
        left += 1
    vault.mark_leaving(links, leaving=False)
    return left


def of_site(asker: User, participant: Participant) -> bool:
    """Whether the asker hands in for the participant's own site in this dataset: whoever does knows who the person is."""
    roles = policy.facts_of_asker(asker)
    mine = ("contributor", str(participant.dataset_id), str(participant.site_id))
    return roles.active and any((role.kind, role.dataset, role.site) == mine for role in roles.roles)


def elsewhere(asker: User, removal: Removal) -> dict[str, Any]:
    """In which other datasets the person took part, and why they were kept apart if they were: for the site, and empty for everybody else."""
    nothing: dict[str, Any] = {"datasets": [], "only_here": ""}
    if not removal.sealed or not of_site(asker, removal.participant):
        return nothing
    told = vault.unshut(removal.sealed, removal.participant_id)
    return {name: told[name] for name in nothing}


def _asked_by(removal: Removal) -> str:
    """Who asked for it: of a departure only the vault's key tells. Without that key nobody: an erasure does not wait for a letter."""
    if not removal.sealed:
        return removal.requested_by
    try:
        return str(vault.unshut(removal.sealed, removal.participant_id).get("by", ""))
    except Refusal:
        return ""


# --- calling back ----------------------------------------------------------------------------------------------------------------------------------


def recall(actor: User, image: Image, cause: str, reason: str, path: str = "") -> Removal:
    """Call an image back, or with `path` a mask of it alone: nobody is given it from now on, and who received it is told. Raises Denied, Invalid, Conflict.

    Consent is untouched, and so are the person's other images.
    """
    policy.require_in(actor, "decide", image.visit.participant.dataset)
    if cause not in Removal.Cause.values:
        raise Invalid("unknown_cause", "This is no cause of a recall.", f"Say one of {', '.join(Removal.Cause.values)}.")
    if not reason.strip():
        raise Invalid("reason_missing", "A recall needs its reason.", "Say what is wrong, without a name.")
    with transaction.atomic():
        removal = call_back(actor, image.pk, cause, reason[:MOST_TEXT], path)
        dataset = removal.participant.dataset
        audit.write(actor, "image.recall", f"image:{image.pk}", dataset=dataset, cause=cause, files=len(removal.files), notices=removal.notices.count())
    return removal


def call_back(actor: User, image_id: uuid.UUID, cause: str, reason: str, path: str = "") -> Removal:
    """A recall inside another act's transaction, which has asked the policy and writes the line. Raises Invalid, Conflict."""
    related = ("visit__participant__dataset", "visit__participant__site")
    image = Image.objects.select_related(*related).get(pk=image_id)
    Participant.objects.select_for_update(of=("self",)).get(pk=image.visit.participant_id)
    image = Image.objects.select_for_update(of=("self",)).select_related(*related).get(pk=image_id)
    if image.state != Image.State.ACCEPTED and not (cause == Removal.Cause.WRONG_PERSON and image.state in WAITS):
        raise Conflict("image_not_given", "Only what was accepted can be called back.", "Refuse what waits; what is withdrawn is gone.")
    removal = ending.image(actor, image, _files(image, path), cause, reason)
    _enqueue(removal)
    return removal


def _files(image: Image, path: str) -> list[StoredFile]:
    """The files that go: all of the image; or a mask with its sidecar. Raises Invalid for what is not a mask: an image goes whole."""
    files = list(image.files.all())
    if not path:
        return files
    stem = path.split(".")[0]
    chosen = [file for file in files if file.path.split(".")[0] == stem]
    if not any(file.path == path for file in chosen) or any(file.kind == "image" for file in chosen) or not path.startswith("derivatives/"):
        raise Invalid(
            "not_a_mask", "Of an image only its masks can be called back alone.", "Name a file below derivatives/ of this image, or none for all of it."
        )
    return chosen


# --- the run behind both ---------------------------------------------------------------------------------------------------------------------------


def _enqueue(removal: Removal) -> None:
    removal.run_id = runs.enqueue("withdraw", subject_id=removal.pk, dataset_id=removal.participant.dataset_id, priority=10).pk
    removal.save(update_fields=["run_id"])


def work_withdraw(run: Run, beat: Beat) -> dict[str, Any]:
    """Carry a removal through, step by step; a step that is done is not done again."""
    removal = Removal.objects.select_related("participant__dataset", "participant__site").get(pk=run.subject_id)
    for name in leaving.order(removal.kind)[1:-1]:
        beat()
        if name not in removal.steps:
            removal.steps[name] = {"at": timezone.now().isoformat(), **leaving.STEPS[name](removal, beat)}
            Removal.objects.filter(pk=removal.pk).update(steps=removal.steps)
    return leaving.certificate(removal)


def record_withdraw(run: Run, certificate: dict[str, Any]) -> dict[str, Any]:
    """Write the certificate and tell the site. Runs in the ledger's fenced transaction."""
    removal = Removal.objects.select_related("participant__dataset", "participant__site").get(pk=run.subject_id)
    if removal.state != "done":
        steps = {**removal.steps, "certified": {"at": timezone.now().isoformat()}}
        Removal.objects.filter(pk=removal.pk).update(state="done", certificate=certificate, steps=steps)
        recalled = removal.kind == Removal.Kind.RECALL
        told = {user.email for user in accounts.contributors(removal.participant.dataset, removal.participant.site)} | {_asked_by(removal)}
        for to in sorted(address for address in told if "@" in address):
            mail.queue(to, "recall_done" if recalled else "withdrawal_done", f"/{'recalls' if recalled else 'withdrawals'}/{removal.pk}")
        thing = f"image:{removal.image_id}" if recalled else f"participant:{removal.participant_id}"
        audit.write(SYSTEM, "image.recalled" if recalled else "participant.gone", thing, dataset=removal.participant.dataset)
    return {"state": "done"}


def withdraw_died(run: Run) -> None:
    """A removal is never given up: the tick begins it again. The steward sees the dead run meanwhile."""
    audit.write(SYSTEM, "withdrawal.stuck", f"withdrawal:{run.subject_id}", dataset=run.dataset_id, code=run.code)


def resume() -> int:
    """Begin again what stopped: removals whose run died, and participations that the vault knows are to end."""
    count = leave_everywhere()
    for removal in Removal.objects.filter(state="running").select_related("participant"):
        if not Run.objects.filter(kind="withdraw", subject_id=removal.pk, state__in=["ready", "running"]).exists():
            _enqueue(removal)
            count += 1
    return count


# --- what recipients attest ------------------------------------------------------------------------------------------------------------------------


def acknowledge(actor: User, notice: Notice, statement: str = "") -> Notice:
    """A recipient attests that they deleted what a notice names, in their own words if they like. Raises Denied."""
    if notice.user_id != actor.pk:
        raise Denied("not_yours", "This notice is for somebody else.")
    with transaction.atomic():
        told = {"acknowledged_at": timezone.now(), "acknowledged_by": audit.actor_text(actor), "statement": statement[:MOST_TEXT]}
        if Notice.objects.filter(pk=notice.pk, acknowledged_at=None).update(**told):
            dataset, files = notice.package.release.dataset, len(notice.files)
            audit.write(actor, "notice.acknowledge", f"notice:{notice.pk}", dataset=dataset, files=files, said=bool(statement.strip()))
            attesting.let_go_on(notice)
    notice.refresh_from_db()
    return notice
