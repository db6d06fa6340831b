"""Acts of signing: each of the team signs the agreement in its present version; the last signature makes the request active and entitles each of them.

A material new version asks everybody to sign again; who has not by then is given nothing, from the next chunk of a download on, until they have.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from registry.access import holding, machine
from registry.access.models import Entitlement, Member, Request, Signature
from registry.accounts import queries as accounts
from registry.accounts.models import Agreement, Dataset, User
from registry.audit import actions as audit
from registry.rules import Conflict, Invalid
from registry.runs import mail

MONTH = 365.2425 / 12  # days


def sign_agreement(actor: User, request: Request, version: int) -> Entitlement | None:
    """Signs the agreement in its present version. With the last signature of the team all of them are entitled, for the months asked for; until then
    the answer is None. Raises Denied, Conflict (not approved, or the agreement has a newer version), Invalid (no recipient key to encrypt to).
    """
    with transaction.atomic():
        held = holding.held(actor, request, "sign")
        holding.not_closed(held)
        Dataset.objects.select_for_update().get(pk=held.dataset_id)  # one after the other with a new version
        agreement = accounts.current_agreement(held.dataset)
        if agreement is None or agreement.version != version:
            raise Conflict("agreement_changed", "This is not the present version of the agreement.", "Read and sign the present version.")
        if not key_of(held, actor):
            raise Invalid("recipient_key_missing", "There is no recipient key, so no package could be encrypted.", "Give an age public key.")
        _, new = Signature.objects.get_or_create(request=held, user=actor, agreement=agreement)
        mine = Entitlement.objects.filter(request=held, user=actor, revoked_at__isnull=True)
        mine.update(resign_by=None)
        if held.state == machine.PENDING:
            begin_if_signed(held, "sign")
        entitlement = mine.select_related("request", "user").first()
        if new:
            told = {"entitlement": str(entitlement.pk)} if entitlement else {}
            audit.write(actor, "agreement.sign", held, dataset=held.dataset, version=version, **told)
    return entitlement


def key_of(request: Request, user: User) -> str:
    """The key that a member of the team has their packages encrypted to; empty while they gave none."""
    if user.pk == request.requester_id:
        return request.recipient_key
    member = Member.objects.filter(request=request, user=user, dropped_at=None).first()
    return member.recipient_key if member else ""


def missing(request: Request) -> list[User]:
    """Who of the team has not signed a version that still holds."""
    least = accounts.binding_version(request.dataset)
    signed = set(Signature.objects.filter(request=request, agreement__version__gte=least).values_list("user_id", flat=True))
    return [user for user in holding.people_of(request) if user.pk not in signed]


def begin_if_signed(request: Request, command: str) -> None:
    """The request becomes active, if each of the team has signed."""
    if not missing(request):
        holding.move(request, command, "active")
        entitle(request)


def entitle(request: Request) -> None:
    """Everybody of the team is entitled from now on, for the months asked for."""
    now = timezone.now()
    told = {"dataset": request.dataset, "starts": now, "ends": now + timedelta(days=round(request.months * MONTH))}
    Entitlement.objects.bulk_create(Entitlement(request=request, user=user, **told) for user in holding.people_of(request))


def ask_again(agreement: Agreement) -> int:
    """A material new version: each living entitlement that was signed for gives nothing after the grace, until its holder signs again."""
    living = Entitlement.objects.filter(dataset=agreement.dataset, revoked_at__isnull=True, ends__gt=timezone.now())
    signed = living.filter(request__signatures__isnull=False).distinct().select_related("user")
    for entitlement in signed:
        mail.queue(entitlement.user, "agreement_changed", f"/requests/{entitlement.request_id}")
    by = timezone.now() + timedelta(days=agreement.grace_days)
    later = Q(resign_by__isnull=True) | Q(resign_by__gt=by)
    return Entitlement.objects.filter(later, pk__in=[one.pk for one in signed]).update(resign_by=by)
