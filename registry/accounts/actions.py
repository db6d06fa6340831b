"""Plain verbs on accounts, without permission or audit line: `registry.access.actions` asks and records, then calls these."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Model
from django.utils import timezone

from deid import facepolicy
from deid.errors import DeidError
from qa.errors import QaError
from qa.protocol import rules_of
from registry.accounts import keys
from registry.accounts.models import Agreement, Dataset, Kind, Role, Site, Token, User
from registry.rules import Conflict, Invalid

SCOPES = ("read", "write", "download", "decide", "admin")


def tidy(thing: Model) -> None:
    """Django's own checks of a row's fields. Raises Invalid naming the fields, and never what stands in them."""
    try:
        thing.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as wrong:
        errors = [{"field": field, "reason": " ".join(words)} for field, words in wrong.message_dict.items()]
        raise Invalid("invalid_fields", "Some fields are not as they must be.", "Mend the named fields.", errors) from None


def checked(thing: Model, taken: str) -> None:
    """Saves a new row after Django's own checks. Raises Invalid naming the fields, Conflict when a unique value is `taken`."""
    tidy(thing)
    try:
        with transaction.atomic():
            thing.save(force_insert=True)
    except IntegrityError:
        raise Conflict(taken, "This already exists.", "Choose another name, or use what exists.") from None


def add_user(email: str, password: str | None = None, **fields: object) -> User:
    """An account. Raises Invalid for a weak password or a malformed address, Conflict when the address has an account."""
    user = User(email=email.strip().lower(), **fields)
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as wrong:
            raise Invalid("weak_password", "The password is too easy to guess.", " ".join(wrong.messages)) from None
    user.set_password(password)
    checked(user, "account_exists")
    return user


def add_site(code: str, name: str, country: str) -> Site:
    site = Site(code=code, name=name, country=country)
    checked(site, "site_exists")
    return site


def add_dataset(slug: str, name: str, sites: Iterable[Site] = (), agreement: str = "", **fields: object) -> Dataset:
    """A dataset with its keys, sites and first agreement. Raises Invalid, Conflict."""
    dataset = Dataset(slug=slug, name=name, **fields)
    agreed(dataset)
    checked(dataset, "dataset_exists")
    dataset.sites.set(list(sites))
    if agreement:
        add_agreement(dataset, agreement)
    keys.make(dataset)
    return dataset


def agreed(dataset: Dataset) -> None:
    """Whether the dataset's profile is one, its criteria of inclusion are rules of it, and its policy about faces is one. Raises Invalid."""
    try:
        facepolicy.parse(dataset.faces)
    except DeidError as error:
        raise Invalid(error.code, error.reason, error.advice, [{"field": "faces", "reason": error.reason}]) from None
    try:
        rules = rules_of(dataset.protocol) if dataset.protocol else rules_of()
    except QaError as error:
        raise Invalid(error.code, error.reason, error.advice, [{"field": "protocol", "reason": error.reason}]) from None
    if not isinstance(dataset.inclusion, list) or not set(map(str, dataset.inclusion)) <= set(rules):
        advice = f"The rules are {', '.join(rules)}."
        raise Invalid("unknown_rule", "A criterion of inclusion is no rule of the profile.", advice, [{"field": "inclusion", "reason": advice}])


def add_agreement(dataset: Dataset, text: str, material: bool = False, grace_days: int = 0) -> Agreement:
    """The next version of the dataset's agreement."""
    newest = Agreement.objects.filter(dataset=dataset).order_by("-version").first()
    agreement = Agreement(dataset=dataset, version=newest.version + 1 if newest else 1, text=text, material=material, grace_days=grace_days)
    checked(agreement, "agreement_exists")
    return agreement


def add_role(user: User, dataset: Dataset, kind: str, site: Site | None = None) -> Role:
    """A living role; giving it twice gives the same one. Raises Invalid when a contributor has no site, or another has one, or the site takes no part."""
    fits(dataset, kind, site)
    living = Role.objects.filter(user=user, dataset=dataset, kind=kind, site=site, ended_at__isnull=True).first()
    if living:
        return living
    role = Role(user=user, dataset=dataset, kind=kind, site=site)
    checked(role, "role_exists")
    return role


def fits(dataset: Dataset, kind: str, site: Site | None) -> None:
    """Whether such a role can be. Raises Invalid."""
    if (kind == Kind.CONTRIBUTOR) != (site is not None):
        raise Invalid("role_site", "A contributor's role names a site, and no other role does.", "Name the site of a contributor, and of nobody else.")
    if site is not None and not dataset.sites.filter(pk=site.pk).exists():
        raise Invalid("site_not_in_dataset", "This site takes no part in this dataset.", "Add the site to the dataset first.")


def end_role(role: Role) -> None:
    Role.objects.filter(pk=role.pk, ended_at__isnull=True).update(ended_at=timezone.now())


def add_token(user: User, name: str, scopes: Iterable[str] = ("read",), days: int = 90, by_operator: bool = False) -> tuple[Token, str]:
    """A token and its text, which is shown this once and kept nowhere. Raises Invalid for unknown scopes or more than a year."""
    wanted = sorted(set(scopes))
    if not wanted or set(wanted) - set(SCOPES) or not 1 <= days <= 366:
        raise Invalid("invalid_token", f"A token has scopes among {', '.join(SCOPES)}, and lives 1 to 366 days.", "Ask for what exists.")
    text = "myelin_" + secrets.token_urlsafe(32)
    digest = hashlib.sha256(text.encode()).hexdigest()
    ends = timezone.now() + timedelta(days=days)
    token = Token(user=user, name=name[:80], hash=digest, scopes=wanted, expires_at=ends, by_operator=by_operator)
    checked(token, "token_exists")
    return token, text


def revoke_token(token: Token) -> None:
    Token.objects.filter(pk=token.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
