"""Signing in with address and password: the one place that counts a guess, asks, begins the session and writes the line."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib.auth import authenticate
from django.contrib.auth.forms import SetPasswordForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from registry.accounts import sessions, throttles
from registry.accounts.models import User
from registry.accounts.throttles import TooManyTries
from registry.audit import actions as audit

__all__ = ["TooManyTries", "change_password", "known", "sign_in"]


def known(request: HttpRequest, email: str, password: str) -> User | None:
    """The active account that address and password fit, or None; each question counts as a guess. Raises TooManyTries."""
    throttles.try_(request, email)
    user = authenticate(request, username=email.strip().lower(), password=password)
    return user if isinstance(user, User) else None


def sign_in(request: HttpRequest, email: str, password: str) -> User | None:
    """Begins a session, or None where address and password do not fit; both leave a line. Raises TooManyTries."""
    user = known(request, email, password)
    if user is None:
        audit.write("nobody", "session.refused", "session:new")
        return None
    sessions.begin(request, user)
    return user


def change_password(request: HttpRequest, form: SetPasswordForm[User], save: Callable[[SetPasswordForm[User]], HttpResponse]) -> HttpResponse:
    """Saves another password, which ends every other session of the account, and writes the line with it."""
    with transaction.atomic():
        answer = save(form)
        sessions.follow(request)
        audit.write(request.user, "account.password", form.user)
    return answer
