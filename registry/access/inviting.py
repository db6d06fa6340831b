"""Acts of inviting: somebody opens their own account by a link in a mail, and has the roles that the inviter may still give at that moment.

The link is single use, ends after seven days, and lies nowhere: the mail's row holds a mark in its place (`registry.accounts.sealed.link`), the invitation a
digest. Whoever is invited learns nothing of others, and the inviter does not learn whether the address has an account.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry import rules
from registry.access import opening, policy
from registry.accounts import actions as accounts
from registry.accounts import limits, sealed
from registry.accounts.models import Dataset, Invitation, Site, User
from registry.audit import actions as audit
from registry.rules import Conflict, Denied, Invalid
from registry.runs import mail

LASTS = timedelta(days=7)
OVER = {
    "used": ("This invitation was used already.", "Sign in; if that was not you, tell those who run this registry."),
    "revoked": ("This invitation was taken back.", "Ask the person who invited you."),
    "expired": ("This invitation has ended: it lasts seven days.", "Ask the person who invited you for another."),
}


@dataclass(frozen=True)
class Promise:
    """A role that is given when the link is used."""

    dataset: Dataset
    kind: str
    site: Site | None = None

    def plain(self) -> dict[str, Any]:
        return {"dataset": str(self.dataset.pk), "kind": self.kind, "site": str(self.site.pk) if self.site else None}


def invite(actor: User | str, email: str, country: str, institution: str = "", roles: Iterable[Promise] = ()) -> Invitation:
    """Invites an address, with roles. Who runs the registry may invite without any; others give at least one. Raises Denied, Invalid."""
    promised = list(roles)
    _may(actor, promised)
    invitation = Invitation(email=email.strip().lower(), country=country, institution=institution, expires_at=timezone.now() + LASTS)
    invitation.roles, invitation.invited_by = [one.plain() for one in promised], actor if isinstance(actor, User) else None
    invitation.hash = digest(sealed.link("invitation", invitation.pk))
    accounts.tidy(invitation)
    if isinstance(actor, User) and not limits.hit("letters", f"invite|{actor.pk}", *settings.MYELIN_LIMITS["letters"]).allowed:
        raise Conflict(
            "too_many_invitations", "So many people were invited by you today that no more are.", "Go on tomorrow, or ask those who run the registry."
        )
    with transaction.atomic():
        invitation.save(force_insert=True)
        mail.queue(invitation.email, "invitation", mail.secret_path("/invitations/open/", "invitation", invitation.pk))
        audit.write(actor, "invitation.send", invitation, dataset=_one_dataset(promised), roles=[one.kind for one in promised])
    return invitation


def revoke(actor: User | str, invitation: Invitation) -> None:
    """Takes an invitation of one's own back, or anybody's if one runs the registry. Raises Denied, Conflict."""
    if isinstance(actor, User) and invitation.invited_by_id != actor.pk:
        policy.require_admin(actor, "open_account")
    with transaction.atomic():
        held = Invitation.objects.select_for_update().get(pk=invitation.pk)
        if held.state != "open":
            raise Conflict(f"invitation_{held.state}", *OVER[held.state])
        held.revoked_at = timezone.now()
        held.save(update_fields=["revoked_at"])
        audit.write(actor, "invitation.revoke", held)


def found(secret: str) -> Invitation:
    """The open invitation of this link. Raises Invalid (unknown), Conflict (used, revoked, expired)."""
    invitation = Invitation.objects.filter(hash=digest(secret)).select_related("invited_by").first()
    if invitation is None:
        raise Invalid("invitation_unknown", "This link is none of ours, or is not whole.", "Copy it whole from the mail.")
    if invitation.state != "open":
        raise Conflict(f"invitation_{invitation.state}", *OVER[invitation.state])
    return invitation


def accept_new(secret: str, password: str | None, and_then: Callable[[User], None] = lambda user: None) -> User:
    """Opens the account of who was invited, with a password, or none where `and_then` links a provider. Raises Invalid, Conflict."""
    with transaction.atomic():
        invitation = _held(secret)
        if account_of(invitation) is not None:
            raise Conflict("account_exists", "This address has an account already.", "Sign in, then follow the link again.")
        user = accounts.add_user(invitation.email, password, institution=invitation.institution, country=invitation.country)
        audit.write(f"invitation:{invitation.pk}", "account.open", user)
        and_then(user)
        _give(invitation, user)
    return user


def accept_signed_in(secret: str, user: User) -> None:
    """Who has an account already takes the roles. Raises Denied where the link was sent to another address, Invalid, Conflict."""
    with transaction.atomic():
        invitation = _held(secret)
        if account_of(invitation) != user:
            raise Denied(
                "invitation_of_another", "This invitation was sent to another address than that of your account.", "Sign out, and follow the link again."
            )
        _give(invitation, user)


def account_of(invitation: Invitation) -> User | None:
    """The account that the invited address has already."""
    return User.objects.filter(email__iexact=invitation.email).first()


def invitations(actor: User) -> QuerySet[Invitation]:
    """Those one sent; all of them for who runs the registry."""
    mine = Invitation.objects.select_related("invited_by").order_by("-created_at")
    return mine if policy.facts_of_asker(actor).admin else mine.filter(invited_by=actor)


def invitable(actor: User) -> tuple[list[Dataset], frozenset[str]]:
    """Datasets in which the actor gives roles, and which roles those are; nothing for who invites nobody."""
    facts = policy.facts_of_asker(actor)
    if facts.admin and facts.active:
        return list(Dataset.objects.order_by("name")), frozenset({"contributor", "steward", "researcher", "auditor", "committee"})
    datasets = [one for one in Dataset.objects.order_by("name") if rules.may_in(facts, "give_roles", str(one.pk)).permitted]
    return datasets, rules.GIVEN_BY_STEWARDS if datasets else frozenset()


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _may(actor: User | str | None, promised: list[Promise]) -> None:
    """Whether the actor may give each of these roles, and invite without any. Raises Denied, Invalid."""
    if not promised and isinstance(actor, User):
        policy.require_admin(actor, "open_account")
    for one in promised:
        opening.may_give(actor, one.dataset, one.kind)
        accounts.fits(one.dataset, one.kind, one.site)


def _held(secret: str) -> Invitation:
    """The open invitation, locked until the transaction ends."""
    found(secret)
    return Invitation.objects.select_for_update(of=("self",)).select_related("invited_by").get(hash=digest(secret))


def _give(invitation: Invitation, user: User) -> None:
    """Uses the invitation up and gives its roles, as far as the inviter may still give every one."""
    if invitation.state != "open":
        raise Conflict(f"invitation_{invitation.state}", *OVER[invitation.state])
    actor: User | str = invitation.invited_by or "system:invitation"
    try:
        for one in invitation.roles:
            site = Site.objects.get(pk=one["site"]) if one["site"] else None
            opening.give_role(actor, user, Dataset.objects.get(pk=one["dataset"]), one["kind"], site)
        if not invitation.roles and isinstance(actor, User):
            policy.require_admin(actor, "open_account")
    except Denied:
        raise Conflict("invitation_void", "Who invited you may not do so any more.", "Ask those who run this registry.") from None
    invitation.accepted_at, invitation.accepted_by = timezone.now(), user
    invitation.save(update_fields=["accepted_at", "accepted_by"])
    audit.write(user, "invitation.accept", invitation)


def _one_dataset(promised: list[Promise]) -> Dataset | None:
    datasets = {one.dataset for one in promised}
    return datasets.pop() if len(datasets) == 1 else None
