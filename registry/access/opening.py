"""Acts of who is here and what there is: accounts, tokens, roles, sites, datasets, their views, levels, agreements and forms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry import rules
from registry.access import filekinds, policy, signing
from registry.access.models import View
from registry.accounts import actions as accounts
from registry.accounts import factors
from registry.accounts.models import Agreement, Dataset, Role, Site, Token, User, Voters
from registry.audit import actions as audit
from registry.consent import actions as consent
from registry.consent.models import ConsentTemplate
from registry.rules import Denied, Invalid
from registry.runs import mail


def open_account(actor: User | str, email: str, password: str | None = None, **fields: object) -> User:
    """A new account. Raises Denied, Invalid, Conflict."""
    _admin(actor, "open_account")
    with transaction.atomic():
        user = accounts.add_user(email, password, **fields)
        audit.write(actor, "account.open", user)
    return user


def disable_account(actor: User | str, user: User) -> None:
    """Nobody signs in as this user any more, and their tokens and entitlements answer nothing from the next question on. Raises Denied."""
    _admin(actor, "open_account")
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(is_active=False)
        audit.write(actor, "account.disable", user)


def open_site(actor: User | str, code: str, name: str, country: str) -> Site:
    """A new site. Raises Denied, Invalid, Conflict."""
    _admin(actor, "open_site")
    with transaction.atomic():
        site = accounts.add_site(code, name, country)
        audit.write(actor, "site.open", site)
    return site


def open_dataset(actor: User | str, slug: str, name: str, sites: Iterable[Site] = (), agreement: str = "", **fields: object) -> Dataset:
    """A new dataset with its keys and the first version of its agreement. Raises Denied, Invalid, Conflict."""
    _admin(actor, "open_dataset")
    with transaction.atomic():
        dataset = accounts.add_dataset(slug, name, sites, agreement, **fields)
        audit.write(actor, "dataset.open", dataset, dataset=dataset, sites=[site.code for site in dataset.sites.all()])
    return dataset


def agree_protocol(actor: User | str, dataset: Dataset, protocol: Mapping[str, object], inclusion: Iterable[str]) -> Dataset:
    """A protocol profile (empty: the usual one) and the rules of it that are criteria of inclusion, for studies still to come. Raises Denied, Invalid."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    dataset.protocol, dataset.inclusion = dict(protocol), sorted(set(inclusion))
    accounts.agreed(dataset)
    with transaction.atomic():
        dataset.save(update_fields=["protocol", "inclusion"])
        audit.write(actor, "dataset.protocol", dataset, dataset=dataset, inclusion=dataset.inclusion)
    return dataset


def agree_faces(actor: User | str, dataset: Dataset, agreed: Mapping[str, object]) -> Dataset:
    """A policy about faces (`deid.facepolicy`; empty: nothing is exempt, orbits are withheld), for studies still to come. Raises Denied, Invalid."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    dataset.faces = dict(agreed)
    accounts.agreed(dataset)
    with transaction.atomic():
        dataset.save(update_fields=["faces"])
        audit.write(actor, "dataset.faces", dataset, dataset=dataset, faces=dataset.faces)
    return dataset


def publish_agreement(actor: User | str, dataset: Dataset, text: str, material: bool = False, grace_days: int = 0) -> Agreement:
    """The next version of a dataset's agreement: who has not signed it signs before their next entitlement.

    A material one asks everybody entitled to sign again: without a grace, nothing is given to them from this moment until they have. Raises Denied, Invalid.
    """
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)  # one after the other with who signs
        agreement = accounts.add_agreement(dataset, text, material, grace_days)
        if material:
            signing.ask_again(agreement)
        audit.write(actor, "agreement.publish", agreement, dataset=dataset, version=agreement.version, material=material, grace_days=grace_days)
    return agreement


def agree_votes(actor: User | str, dataset: Dataset, quorum: int, voters: str = Voters.STEWARDS) -> Dataset:
    """How many yes votes an approval needs from now on, and whose; 0: none. Raises Denied, Invalid."""
    _admin(actor, "open_dataset")
    dataset.quorum, dataset.voters = quorum, voters
    accounts.tidy(dataset)
    with transaction.atomic():
        dataset.save(update_fields=["quorum", "voters"])
        audit.write(actor, "dataset.votes", dataset, dataset=dataset, quorum=quorum, voters=voters)
    return dataset


def set_level(actor: User | str, dataset: Dataset, level: str) -> Dataset:
    """How strictly a dataset is given out. A stricter level ends what was granted at a laxer one, on the next question. Raises Denied, Invalid."""
    _admin(actor, "open_dataset")
    dataset.purpose_level = level
    accounts.tidy(dataset)
    with transaction.atomic():
        dataset.save(update_fields=["purpose_level"])
        audit.write(actor, "dataset.level", dataset, dataset=dataset, level=level)
    return dataset


def open_view(actor: User | str, dataset: Dataset, name: str, title: str, kinds: Iterable[str], level: str) -> View:
    """A named set of kinds of file with a level of its own. Raises Denied, Invalid, Conflict."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    chosen = sorted(set(kinds))
    if not chosen or set(chosen) - set(filekinds.KINDS):
        raise Invalid("unknown_kind", "A view names kinds of file.", f"Use {', '.join(filekinds.KINDS)}.")
    if set(chosen) & filekinds.GUARDED and level not in ("restricted", "remote_only", "closed"):
        raise Invalid("kind_needs_restricted", "Images of the orbits are given out at the level restricted, or more strictly.", "Raise the level of the view.")
    with transaction.atomic():
        view = View(dataset=dataset, name=name, title=title, kinds=chosen, level=level)
        accounts.checked(view, "view_exists")
        audit.write(actor, "view.open", view, dataset=dataset, name=name, kinds=chosen, level=level)
    return view


def end_view(actor: User | str, view: View) -> None:
    """No new request names this view; what was granted through it stays. Raises Denied."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", view.dataset_id)
    with transaction.atomic():
        View.objects.filter(pk=view.pk, ended_at=None).update(ended_at=timezone.now())
        audit.write(actor, "view.end", view, dataset=view.dataset_id)


def publish_form(actor: User | str, dataset: Dataset, **form: Any) -> ConsentTemplate:
    """A version of a consent form in one language (`consent.actions.add_template`). Raises Denied, Invalid, Conflict."""
    if isinstance(actor, User):
        policy.require_in(actor, "decide", dataset)
    with transaction.atomic():
        template = consent.add_template(dataset, **form)
        told = {"form": template.name, "version": template.version, "language": template.language}
        audit.write(actor, "consent_form.publish", template, dataset=dataset, **told)
    return template


def give_role(actor: User | str, user: User, dataset: Dataset, kind: str, site: Site | None = None) -> Role:
    """Makes a user something in a dataset. Nobody gives a role to themselves, but who runs the registry.

    Stewards give the roles that decide on nothing and hand nothing in: nobody makes their own second person, voter or site. Raises Denied, Invalid."""
    may_give(actor, dataset, kind)
    if isinstance(actor, User) and actor.pk == user.pk and not actor.is_superuser:
        raise Denied("role_for_oneself", "Nobody gives a role to themselves.")
    with transaction.atomic():
        role = accounts.add_role(user, dataset, kind, site)
        audit.write(actor, "role.give", role, dataset=dataset, user=str(user.pk), kind=kind, site=site.code if site else "")
    return role


def may_give(actor: User | str | None, dataset: Dataset, kind: str) -> None:
    """Whether the actor may give roles of this kind in this dataset. Raises Denied."""
    if not isinstance(actor, User):
        return
    policy.require_in(actor, "give_roles", dataset)
    if kind not in rules.GIVEN_BY_STEWARDS:
        policy.require_admin(actor, "give_roles")


def forget_factor(actor: User | str, user: User) -> None:
    """Ends the second factor of somebody who has lost it, and every session of theirs; at the next sign-in they set up another. Raises Denied."""
    _admin(actor, "open_account")
    if isinstance(actor, User) and actor.pk == user.pk:
        raise Denied("factor_of_oneself", "Nobody takes their own second factor away like this.", "Use a recovery code, or ask another administrator.")
    with transaction.atomic():
        factors.forget(user)
        mail.queue(user, "sign_in_changed", "/account")
        audit.write(actor, "factor.forget", user)


def end_role(actor: User | str, role: Role) -> None:
    """Ends a role; it bites on the next question. Raises Denied."""
    if isinstance(actor, User):
        policy.require_in(actor, "give_roles", role.dataset)
    with transaction.atomic():
        accounts.end_role(role)
        audit.write(actor, "role.end", role, dataset=role.dataset)


def issue_token(actor: User, name: str, scopes: Sequence[str] = ("read",), days: int = 90, by_operator: bool = False) -> tuple[Token, str]:
    """A token for the actor's own account, and its text, which is shown this once. Raises Denied, Invalid.

    `by_operator`: issued on the command line of the registry's own machine; only such a token decides where its account lacks a second factor it needs.
    """
    if not actor.is_active:
        raise Denied("not_signed_in", "Nobody is signed in, or the account is disabled.")
    with transaction.atomic():
        token, text = accounts.add_token(actor, name, scopes, days, by_operator)
        audit.write(actor, "token.issue", token, scopes=list(token.scopes), days=days, by_operator=by_operator)
    return token, text


def revoke_token(actor: User, token: Token) -> None:
    """Ends a token of one's own, or anybody's if one runs the registry. Raises Denied."""
    if token.user_id != actor.pk:
        policy.require_admin(actor, "open_account")
    with transaction.atomic():
        accounts.revoke_token(token)
        audit.write(actor, "token.revoke", token)


def _admin(actor: User | str, action: str) -> None:
    """Commands act as the system; a user must run the registry."""
    if isinstance(actor, User):
        policy.require_admin(actor, action)
