"""Acts of gathering a team: who is named by their address joins by their own word.

A colleague of one's own institution is of the team at once. Anybody else is asked, whether they have an account or not, and the answer is the same: so nobody
learns from it which addresses have accounts here, and nobody is made to take part. A day's namings are counted, for each sends a letter.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from registry.access import asking, holding, machine
from registry.access.models import Member, Naming, Request
from registry.accounts import actions as accounts
from registry.accounts import limits
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.rules import Conflict, Denied, Invalid
from registry.runs import mail

MOST_A_DAY = 50
DAY_S = 86_400


def invite_member(actor: User, request: Request, email: str, country: str = "") -> Member | Naming:
    """Names somebody for the team. Raises Denied, Invalid (no country where they must say yes first, or it is the requester), Conflict."""
    address = email.strip().lower()
    with transaction.atomic():
        held = holding.held(actor, request, "name_member")
        colleague = _colleague(actor, address)
        if colleague is not None:
            return asking.name_member(actor, held, colleague, country)
        if not country:
            raise Invalid("country_missing", "The country of their institution is needed.", "Give it by two capital letters of ISO 3166-1.")
        if held.members.filter(dropped_at=None, user__email__iexact=address).exists():
            raise Conflict("member_exists", "This already exists.", "Choose another name, or use what exists.")
        if not limits.hit("namings", str(actor.pk), MOST_A_DAY, DAY_S).allowed:
            raise Conflict("too_many_namings", f"You named {MOST_A_DAY} people today.", "Go on tomorrow.")
        naming = Naming(request=held, email=address, country=country)
        accounts.checked(naming, "member_exists")
        mail.queue(address, "team_named", "/requests")
        audit.write(actor, "request.name", held, dataset=held.dataset, naming=str(naming.pk))
    return naming


def _colleague(actor: User, address: str) -> User | None:
    """The living account with this address, if it is of the actor's institution."""
    found = User.objects.filter(email__iexact=address, is_active=True).first()
    if found is None:
        return None
    same = holding.institution(found) == holding.institution(actor) != ""
    return found if same or found.pk == actor.pk else None


def join_team(actor: User, naming: Naming) -> Member:
    """Who was named says yes, and is of the team from now on. Raises Denied (somebody else was), Conflict (answered, or the request was handed in)."""
    with transaction.atomic():
        held = _answered(actor, naming)
        if held.state not in machine.COMMANDS["name_member"].moves:
            raise Conflict("request_state", f"This cannot be done to a request that is {held.state}.", "Ask who named you to name you again.")
        member = Member(request=held, user=actor, country=naming.country)
        accounts.checked(member, "member_exists")
        audit.write(actor, "request.join", held, dataset=held.dataset, user=str(actor.pk))
    return member


def decline(actor: User, naming: Naming) -> None:
    """Who was named says no. Raises Denied, Conflict."""
    with transaction.atomic():
        held = _answered(actor, naming)
        audit.write(actor, "request.decline", held, dataset=held.dataset, naming=str(naming.pk))


def _answered(actor: User, naming: Naming) -> Request:
    """The request, locked; the naming is over. Raises Denied, Conflict."""
    if not actor.is_active or actor.email.lower() != naming.email.lower():
        raise Denied("not_yours", "Somebody else was named.")
    held = Request.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=naming.request_id)
    if not Naming.objects.filter(pk=naming.pk, ended_at=None).update(ended_at=timezone.now()):
        raise Conflict("naming_over", "This was answered, or taken back.", "Nothing is to be done.")
    return held


def take_naming_back(actor: User, naming: Naming) -> Request:
    """Who named somebody takes it back. Raises Denied, Conflict."""
    with transaction.atomic():
        held = holding.held(actor, naming.request, "name_member")
        if not Naming.objects.filter(pk=naming.pk, ended_at=None).update(ended_at=timezone.now()):
            raise Conflict("naming_over", "This was answered, or taken back.", "Nothing is to be done.")
        audit.write(actor, "request.name_back", held, dataset=held.dataset, naming=str(naming.pk))
    return held
