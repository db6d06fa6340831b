"""Devices an owner has signed in from: each has a counter of its own, so that no stranger's guesses keep the owner out (OWASP's device cookies).

The cookie says nothing but "somebody signed in to this account from here": it opens no door, and a stolen one buys only its own few guesses.
"""

from __future__ import annotations

import secrets

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.crypto import salted_hmac

from registry.accounts.models import User

COOKIE = "myelin_device"
SALT = "registry.accounts.devices"
LIVES_S = 180 * 86_400


def of(request: HttpRequest, email: str) -> str:
    """The device's own random name, where its cookie is ours, young enough and about this account; empty otherwise."""
    try:
        account, name = signing.loads(request.COOKIES.get(COOKIE, ""), salt=SALT, max_age=LIVES_S)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(name) if account == _account(email) else ""


def remember(answer: HttpResponseBase, user: User) -> None:
    """Gives the device that has just signed in its cookie, with a new name."""
    value = signing.dumps([_account(user.email), secrets.token_urlsafe(16)], salt=SALT)
    answer.set_cookie(COOKIE, value, max_age=LIVES_S, secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax")


def _account(email: str) -> str:
    """The account without its address: a cookie lies where others may read it."""
    return salted_hmac(SALT, email.strip().lower(), algorithm="sha256").hexdigest()[:32]
