"""Acts of ending: suspended, resumed, revoked, renewed, expired, closed with the word that all is deleted. What ends, ends on the next chunk of a download."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from registry.access import asking, holding, machine, papers, signing
from registry.access.models import Entitlement, Renewal, Request
from registry.accounts import actions as accounts
from registry.accounts import queries as account_queries
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.rules import Conflict
from registry.runs import mail

SYSTEM = "system:tick"
REMIND_DAYS = (30, 14, 7)
MOST_MONTHS = 60


def suspend_request(actor: User | str, request: Request, why: str) -> Request:
    """Stops what a request gives, until a steward resumes or revokes it. Raises Denied, Invalid, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "suspend")
        holding.move(held, "suspend", reason=holding.reason(why, "A suspension"))
        _tell(held, "entitlement_suspended")
        audit.write(actor, "request.suspend", held, dataset=held.dataset)
    return held


def resume_request(actor: User, request: Request) -> Request:
    """Lets a suspended request give again what it gave. Raises Denied, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "resume")
        holding.move(held, "resume")
        audit.write(actor, "request.resume", held, dataset=held.dataset)
    return held


def revoke_request(actor: User | str, request: Request, why: str) -> Request:
    """Ends what a request gives, for the whole team and for good. Raises Denied, Invalid, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "revoke")
        reason = holding.reason(why, "A revocation")
        _tell(held, "entitlement_ended")
        _end(held, reason)
        holding.move(held, "revoke", reason=reason)
        audit.write(actor, "request.revoke", held, dataset=held.dataset)
    return held


def revoke_entitlement(actor: User | str, entitlement: Entitlement, why: str) -> None:
    """Ends the entitlement of one person now; with the last of a request, the request is revoked. Raises Denied, Invalid, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, entitlement.request, "revoke_one")
        reason = holding.reason(why, "A revocation")
        changed = Entitlement.objects.filter(pk=entitlement.pk, revoked_at__isnull=True).update(revoked_at=timezone.now(), revoked_why=reason[:200])
        if changed:
            mail.queue(entitlement.user, "entitlement_ended", f"/requests/{held.pk}")
        if not _living(held):
            holding.move(held, "revoke_one", "revoked", reason=reason)
        audit.write(actor, "entitlement.revoke", entitlement, dataset=held.dataset, changed=bool(changed))


def _living(request: Request) -> Any:
    return Entitlement.objects.filter(request=request, revoked_at__isnull=True).select_related("user")


def _end(request: Request, why: str) -> None:
    _living(request).update(revoked_at=timezone.now(), revoked_why=why[:200])


def _tell(request: Request, letter: str) -> None:
    for entitlement in _living(request):
        mail.queue(entitlement.user, letter, f"/requests/{request.pk}")


# --- renewing ------------------------------------------------------------------------------------------------------------------------------------------


def report(actor: User, request: Request, done: str, publications: str = "", incidents: str = "", months: int = 12) -> Renewal:
    """Says what was done with the data and asks for more time; said again, it replaces what waits. Raises Denied, Invalid, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "report")
        told = {"done": holding.reason(done, "A renewal"), "publications": publications, "incidents": incidents, "months": months}
        Renewal.objects.filter(request=held, accepted_at=None).delete()
        renewal = Renewal(request=held, **told)
        accounts.checked(renewal, "report_exists")
        for user in account_queries.stewards(held.dataset):
            mail.queue(user, "renewal_asked", f"/requests/{held.pk}")
        audit.write(actor, "request.report", held, dataset=held.dataset, months=months)
    return renewal


def renew_request(actor: User, request: Request, report: UUID) -> Request:
    """Accepts the report that was read: the time of all is longer by the months it asks for. The rule is asked for the longer time from now on: whose
    consent limits the time of use to less is not given any more.

    Raises Denied, Conflict (no report, another than was read, or more than 60 months in all: then a new request is due).
    """
    with transaction.atomic():
        held = holding.held(actor, request, "renew")
        renewal = Renewal.objects.filter(request=held, accepted_at=None).first()
        if renewal is None:
            raise Conflict("report_missing", "There is no report to accept.", "Ask the requester to say what was done.")
        if renewal.pk != report:
            raise Conflict("report_changed", "There is another report than the one that was read.", "Read the present one.")
        if held.months + renewal.months > MOST_MONTHS:
            raise Conflict("asked_too_long", f"A request lasts {MOST_MONTHS} months at most, with all renewals.", "Let a new request be made.")
        renewal.accepted_at, renewal.accepted_by = timezone.now(), actor
        renewal.save(update_fields=["accepted_at", "accepted_by"])
        longer = timedelta(days=round(renewal.months * signing.MONTH))
        for entitlement in _living(held):
            Entitlement.objects.filter(pk=entitlement.pk).update(ends=entitlement.ends + longer, reminded_days=365)
        if held.signatures.exists():  # who let a material version of the agreement pass unsigned is given nothing until they sign
            _living(held).filter(user__in=signing.missing(held), resign_by=None).update(resign_by=timezone.now())
        _tell(held, "request_renewed")
        holding.move(held, "renew", months=held.months + renewal.months)
        audit.write(actor, "request.renew", held, dataset=held.dataset, months=renewal.months)
    return held


# --- closing -------------------------------------------------------------------------------------------------------------------------------------------


def close_request(actor: User, request: Request) -> Request:
    """The requester is done: what it entitles to ends now, and they owe the word that all is deleted. Raises Denied, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "close")
        _end(held, "closed by the requester")
        holding.move(held, "close")
        audit.write(actor, "request.close", held, dataset=held.dataset)
    return held


def attest_deletion(actor: User, request: Request, statement: str) -> Request:
    """The requester says for the team that everything is deleted: the request is closed. Raises Denied, Invalid, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "attest")
        holding.move(held, "attest", attestation=holding.reason(statement, "An attestation"), attested_at=timezone.now())
        audit.write(actor, "request.attest", held, dataset=held.dataset)
    return held


# --- the clock -----------------------------------------------------------------------------------------------------------------------------------------


def expire() -> dict[str, int]:
    """What the tick does: screens what was interrupted, reminds, asks for renewals, and marks what came to its end. No denial waits for it."""
    now = timezone.now()
    screened = asking.screen_left()
    reminded = sum(_remind(days) for days in REMIND_DAYS)
    soon = now + timedelta(days=REMIND_DAYS[0])
    living = Entitlement.objects.filter(revoked_at__isnull=True)
    due = Request.objects.filter(state="active", pk__in=living.filter(ends__lte=soon).values("request"))
    fallen = sum(holding.quietly(fall_due, SYSTEM, request) for request in due)
    over = Request.objects.filter(state__in=["renewal_due", "suspended"]).exclude(pk__in=living.filter(ends__gt=now).values("request"))
    expired = sum(holding.quietly(expire_request, SYSTEM, request) for request in over)
    return {"screened": screened, "reminded": reminded, "due": fallen, "expired": expired, "papers": papers.sweep()}


def _remind(days: int) -> int:
    """Letters to those whose time ends within so many days, once for each step; none where the request gives nothing."""
    now = timezone.now()
    ending = Entitlement.objects.filter(revoked_at__isnull=True, ends__gt=now, ends__lte=now + timedelta(days=days), reminded_days__gt=days)
    due = ending.filter(request__state__in=machine.GIVES).select_related("user")
    for entitlement in due:
        with transaction.atomic():
            if Entitlement.objects.filter(pk=entitlement.pk, reminded_days__gt=days).update(reminded_days=days):
                mail.queue(entitlement.user, "entitlement_ends", f"/requests/{entitlement.request_id}")
    return len(due)


def fall_due(actor: str, request: Request) -> Request:
    """The end is near: a renewal can be asked for. Raises Denied, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, request, "fall_due")
        holding.move(held, "fall_due")
        audit.write(actor, "request.fall_due", held, dataset=held.dataset)
    return held


def expire_request(actor: str, request: Request) -> Request:
    """The end has come. Raises Denied, Conflict (also while somebody's time is not over)."""
    with transaction.atomic():
        held = holding.held(actor, request, "expire")
        if _living(held).filter(ends__gt=timezone.now()).exists():
            raise Conflict("not_over", "The time of this request is not over.", "Wait, or revoke it.")
        _tell(held, "entitlement_ended")
        holding.move(held, "expire")
        audit.write(actor, "request.expire", held, dataset=held.dataset)
    return held
