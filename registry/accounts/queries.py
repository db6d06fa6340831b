"""Reads of accounts that take no asker: only `registry.access` and what stands above it call them."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from registry.accounts.models import Agreement, Dataset, Role, Site, Token, User


def token(text: str) -> Token | None:
    """The living token behind this text, of an active user; None otherwise. Notes the use, at most once a minute (reading must not become writing)."""
    found = Token.objects.select_related("user").filter(hash=hashlib.sha256(text.encode()).hexdigest()).first()
    if found is None or not found.alive or not found.user.is_active:
        return None
    now = timezone.now()
    if found.last_used_at is None or found.last_used_at < now - timedelta(minutes=1):
        Token.objects.filter(pk=found.pk).update(last_used_at=now)
    return found


def living_roles(user: User) -> list[Role]:
    """The user's roles that have not ended."""
    return list(Role.objects.filter(user=user, ended_at__isnull=True))


def stewards(dataset: Dataset) -> list[User]:
    """The active users who decide in this dataset: whom a request's mail goes to."""
    return list(User.objects.filter(Q(roles__dataset=dataset, roles__kind="steward", roles__ended_at__isnull=True), is_active=True).distinct())


def contributors(dataset: Dataset, site: Site) -> list[User]:
    """The active users who hand in for this site in this dataset: whom its certificates go to."""
    mine = {"roles__dataset": dataset, "roles__site": site, "roles__kind": "contributor", "roles__ended_at__isnull": True}
    return list(User.objects.filter(Q(**mine), is_active=True).distinct())


def current_agreement(dataset: Dataset) -> Agreement | None:
    """The newest version of the dataset's agreement, if it has one."""
    return Agreement.objects.filter(dataset=dataset).order_by("-version").first()


def binding_version(dataset: Dataset) -> int:
    """The oldest version of the agreement whose signature still holds: the newest material one, or the first."""
    material = Agreement.objects.filter(dataset=dataset, material=True).order_by("-version").first()
    return material.version if material else 1


def voters(dataset: Dataset) -> list[User]:
    """The active users whom this dataset asks to vote."""
    return list(User.objects.filter(roles__dataset=dataset, roles__kind=dataset.voters, roles__ended_at__isnull=True, is_active=True).distinct())
