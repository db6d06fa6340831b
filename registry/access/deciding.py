"""Acts of deciding: votes, a question back, a grant in whole or in part, a refusal; and how the rule's answers become what a request is granted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from registry import rules
from registry.access import holding, machine, pairs, policy, signing
from registry.access.models import Request, RequestedParticipant, Vote
from registry.accounts import queries as account_queries
from registry.accounts.models import Level, User
from registry.audit import actions as audit
from registry.rules import Conflict, Denied, Invalid
from registry.runs import mail
from registry.subjects.models import Participant

TOLD = ["verdict", "reasons", "obligations", "allowed", "settled"]


# --- the rule's answers --------------------------------------------------------------------------------------------------------------------------------


def judged(request: Request) -> tuple[list[RequestedParticipant], dict[UUID, rules.Answer]]:
    """Everybody in the cohort with what the rule says of them now, and the answers; who has left is denied. Nothing is saved."""
    rows = list(RequestedParticipant.objects.filter(request=request).select_related("participant__standing"))
    here = policy.preview(policy.purpose_of(request), Participant.objects.filter(requested__request=request, state="active"))
    answers = {row.participant_id: here.get(row.participant_id) or LEFT for row in rows}
    for row in rows:
        answer = answers[row.participant_id]
        row.verdict, row.reasons, row.obligations = answer.verdict.value, reasons_as_data(answer), list(answer.obligations)
    return rows, answers


LEFT = rules.weigh([rules.deny("withdrawn", "This participant has left.")])


def keep(rows: Sequence[RequestedParticipant]) -> None:
    """Writes rows as an upsert: twenty times faster than bulk_update for ten thousand people."""
    RequestedParticipant.objects.bulk_create(rows, batch_size=1000, update_conflicts=True, unique_fields=["request", "participant"], update_fields=TOLD)


def tally(answers: Iterable[rules.Answer]) -> dict[str, int]:
    """How often the rule said what."""
    told = dict.fromkeys(("permit", "ask", "deny"), 0)
    for answer in answers:
        told[answer.verdict.value] += 1
    return told


def reasons_as_data(answer: rules.Answer) -> list[dict[str, str]]:
    """The reasons of an answer, as they are kept and shown."""
    return [{"code": reason.code, "verdict": reason.verdict.value, "sentence": reason.sentence} for reason in answer.reasons]


def narrow(request: Request) -> None:
    """Asks the rule again for a team that became smaller: whom it now denies is left out, and nobody is let in. Raises Invalid when nobody is left."""
    rows, answers = judged(request)
    for row in rows:
        answer = answers[row.participant_id]
        row.allowed = row.allowed and (answer.permitted or (answer.verdict is rules.Verdict.ASK and row.settled_id is not None))
    if not any(row.allowed for row in rows):
        raise Invalid("nobody_left", "The rule permits nobody of this request.", "Close the request, and ask anew.")
    keep(rows)


def grant(request: Request, command: str, **fields: Any) -> None:
    """The request is granted: it waits for the team's signatures, or at the level open begins at once."""
    told = {"decided_level": request.level, **fields}
    if request.level == Level.OPEN:
        holding.move(request, command, "active", **told)
        signing.entitle(request)
    else:
        holding.move(request, command, machine.PENDING, **told)
    for user in holding.people_of(request):
        mail.queue(user, "request_approved", f"/requests/{request.pk}")


# --- votes ---------------------------------------------------------------------------------------------------------------------------------------------


def vote(actor: User, request: Request, yes: bool, reason: str = "") -> Vote:
    """Votes on a request, or changes one's vote. Raises Denied (no voter, of the team, of an institution of the team), Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "vote")
        if not held.dataset.quorum:
            raise Conflict("no_votes", "This dataset does not decide by votes.", "A steward decides.")
        if holding.institution(actor) in _institutions(held):
            raise Denied("own_institution", "Who is of an institution of the team abstains.")
        told = {"yes": yes, "reason": reason.strip(), "at": timezone.now()}
        given, _ = Vote.objects.update_or_create(request=held, user=actor, defaults=told)
        audit.write(actor, "request.vote", held, dataset=held.dataset, yes=yes)
    return given


def _institutions(request: Request) -> set[str]:
    return {holding.institution(user) for user in holding.people_of(request)} - {""}


def counted(request: Request, without: User | None = None) -> tuple[int, int]:
    """Yes and no votes that count now: since it was handed in, of living voters outside the team and its institutions, and of another than `without`."""
    team, theirs = holding.team_of(request) | ({without.pk} if without is not None else set()), _institutions(request)
    may = {user.pk for user in account_queries.voters(request.dataset) if user.pk not in team and holding.institution(user) not in theirs}
    votes = list(Vote.objects.filter(request=request, at__gte=request.submitted_at, user__in=may).values_list("yes", flat=True))
    return votes.count(True), votes.count(False)


def _carried(request: Request, actor: User) -> dict[str, Any]:
    """What the level and the dataset ask for beside one steward: votes, or a second person. Raises Conflict."""
    strict = rules.strictness(request.level) >= rules.strictness(Level.RESTRICTED)
    if request.dataset.quorum:
        yes, no = counted(request)
        if yes < request.dataset.quorum or yes <= no:
            raise Conflict("quorum_missing", "The votes do not carry this request.", f"It needs {request.dataset.quorum} yes votes, and more than no.")
        if strict and not counted(request, actor)[0]:
            raise Conflict("needs_two_people", "At this level another than who approves must have said yes.", "Ask another voter.")
        return {"yes": yes, "no": no}
    if strict:
        return {"pair": str(pairs.take(actor, request.dataset, "restricted_approval", request, holding.team_of(request)).pk)}
    return {}


# --- the decision ----------------------------------------------------------------------------------------------------------------------------------------


def approve_request(
    actor: User, request: Request, *, settle: Iterable[UUID] = (), leave_out: Iterable[UUID] = (), reason: str = "", read: datetime | None = None
) -> Request:
    """Grants a request, in whole or in part: every participant whom the rule permits now, those of `settle` where it leaves the question to a human,
    and none of `leave_out`. `read`: when the request that was read had been handed in. Raises Denied, Invalid when nobody would be left, Conflict (also where
    it was handed in anew since it was read).
    """
    settled, out = set(settle), set(leave_out)
    with transaction.atomic():
        held = holding.held(actor, request, "approve")
        holding.not_closed(held)
        if read is not None and read != held.submitted_at:
            raise Conflict("request_changed", "This request was handed in anew since it was read.", "Read it as it is now, then decide.")
        carried = _carried(held, actor)
        rows, answers = judged(held)
        for row in rows:
            _judge(row, answers[row.participant_id], settled, out)
        keep(rows)
        allowed = sum(row.allowed for row in rows)
        if not allowed:
            raise Invalid("nobody_left", "The rule permits nobody of this request.", "Reject it, and tell the requester why.")
        grant(held, "approve", decided_by=actor, decided_at=timezone.now(), reason=reason)
        audit.write(actor, "request.approve", held, dataset=held.dataset, asked=len(rows), allowed=allowed, settled=len(settled), **carried)
    return held


def _judge(row: RequestedParticipant, answer: rules.Answer, settle: set[UUID], out: set[UUID]) -> None:
    """What becomes of one participant of a request that is being approved."""
    by_hand = answer.verdict is rules.Verdict.ASK and row.participant_id in settle
    row.allowed = (answer.permitted or by_hand) and row.participant_id not in out
    row.settled = row.participant.standing.facts if by_hand and row.allowed else None
    if row.participant_id in out and answer.verdict is not rules.Verdict.DENY:
        row.reasons.append({"code": "left_out", "verdict": "deny", "sentence": "The steward left this participant out."})


def approve_requests(actor: User, requests: Sequence[Request], reason: str = "") -> list[Request]:
    """Grants several requests of one dataset in one act, which needs two people. All or none. Raises Denied, Invalid, Conflict."""
    if len({request.dataset_id for request in requests}) != 1:
        raise Invalid("one_dataset", "Requests of one dataset are approved together.", "Name requests of one dataset.")
    with transaction.atomic(), audit.last():
        rows = [holding.held(actor, request, "approve") for request in sorted(requests, key=lambda one: str(one.pk))]  # locked in one order
        teams = set[UUID]().union(*(holding.team_of(request) for request in rows))
        pairs.take(actor, rows[0].dataset, "bulk_approval", bulk(rows), teams)
        return [approve_request(actor, request, reason=reason) for request in requests]


def bulk(requests: Iterable[Request]) -> str:
    """These requests with what they ask for now, and no other, as the object of a proposal."""
    return "requests:" + hashlib.sha256(" ".join(sorted(f"{request.pk} {holding.asked(request)}" for request in requests)).encode()).hexdigest()


def return_request(actor: User, request: Request, reason: str) -> Request:
    """Gives a request back to its requester with a question. Votes begin anew when it is handed in again. Raises Denied, Invalid, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "return")
        holding.move(held, "return", reason=holding.reason(reason, "A question back"))
        mail.queue(held.requester, "request_returned", f"/requests/{held.pk}")
        audit.write(actor, "request.return", held, dataset=held.dataset)
    return held


def reject_request(actor: User, request: Request, reason: str) -> Request:
    """Refuses a request, with the reason. Raises Denied, Invalid, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "reject")
        holding.move(held, "reject", reason=holding.reason(reason, "A rejection"), decided_by=actor, decided_at=timezone.now())
        mail.queue(held.requester, "request_rejected", f"/requests/{held.pk}")
        audit.write(actor, "request.reject", held, dataset=held.dataset)
    return held
