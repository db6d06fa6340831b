"""Stepping up: before a dangerous act one says one's password again, since an open browser on a desk is not its owner."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user
from django.http import HttpRequest

from registry.accounts import signing
from registry.accounts.models import User

DANGEROUS = frozenset({"download", "decide", "admin"})


def dangerous(scopes: Iterable[str]) -> bool:
    """Whether a token with these scopes can take data away or decide."""
    return not DANGEROUS.isdisjoint(scopes)


def signed_in(request: HttpRequest) -> User:
    """Who is signed in, where a page has already asked that somebody is. Raises TypeError otherwise."""
    user = get_user(request)  # the row itself: `request.user` is a stand-in for it
    if not isinstance(user, User):
        raise TypeError("nobody is signed in")
    return user


def confirm(request: HttpRequest, password: str) -> bool:
    """Whether this is the password of who is signed in; counted as a guess, like signing in. Raises `signing.TooManyTries`."""
    user = signed_in(request)
    return bool(password) and signing.known(request, user.email, password) == user
