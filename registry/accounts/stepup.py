"""Stepping up: before a dangerous act one says one's password again, and a code where there is a second factor, since an open browser is not its owner.

It holds for ten minutes, in this session alone. Signing in is not stepping up. A page that needs it says `step_up = True` (`registry.portal.pages.Page`); at
the API a session needs it for the scopes `DANGEROUS` (`registry.api.doors.InScope`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable

from django.contrib.auth import authenticate
from django.http import HttpRequest

from registry.accounts import factors, sessions
from registry.accounts.models import User
from registry.accounts.sessions import signed_in
from registry.audit import actions as audit

__all__ = ["DANGEROUS", "LASTS_S", "can", "confirm", "dangerous", "done", "signed_in"]

DANGEROUS = frozenset({"download", "decide", "admin"})
LASTS_S = 600
AT = "myelin_stepped_up"


def dangerous(scopes: Iterable[str]) -> bool:
    """Whether a token with these scopes can take data away or decide."""
    return not DANGEROUS.isdisjoint(scopes)


def done(request: HttpRequest) -> bool:
    """Whether this session has stepped up within the last ten minutes, and has given the second factor its account needs."""
    at = request.session.get(AT)
    return isinstance(at, int) and 0 <= time.time() - at < LASTS_S and factors.complete(request)


def can(user: User) -> bool:
    """Whether the account has anything to step up with: who signs in by a provider alone sets up an authenticator first."""
    return user.has_usable_password() or factors.enrolled(user)


def confirm(request: HttpRequest, password: str, code: str = "") -> bool:
    """Whether this is the password of who is signed in, and a code of theirs where they have a second factor; counted as a guess, like signing in.

    Raises `throttles.TooManyTries`. A refusal leaves a line, as does what was confirmed.
    """
    user = signed_in(request)
    factors.count(request, user)
    if not (_password(request, user, password) and (not factors.enrolled(user) or factors.spend(user, code))):
        audit.denied(user, "session.step_up", user, "wrong_credentials")
        return False
    request.session[AT] = int(time.time())
    sessions.renewed(request)
    audit.write(user, "session.step_up", user)
    return True


def at_sign_in(request: HttpRequest) -> None:
    """A program that signs in to act at once says so with its password and code, rather than say both twice; the line says it too."""
    if factors.complete(request) and sessions.young(request):
        request.session[AT] = int(time.time())
        audit.write(signed_in(request), "session.step_up", signed_in(request), at="sign_in")


def _password(request: HttpRequest, user: User, password: str) -> bool:
    if not user.has_usable_password():
        return factors.enrolled(user)
    return bool(password) and authenticate(request, username=user.email, password=password) == user
