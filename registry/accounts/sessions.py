"""Sessions of an account: they begin, are listed to their owner, and end all at once.

A session lives as long as what it must show (`User.get_session_auth_hash`): it ends with the password, with a role, and when its owner ends all others. The
list says when and on what kind of device each began; neither address nor key of a session lies in it.
"""

from __future__ import annotations

import hashlib
import time
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import get_user, login, logout, update_session_auth_hash
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from registry.accounts.models import OpenSession, User
from registry.audit import actions as audit

MINE, BEGAN = "myelin_session", "myelin_began"
YOUNG_S = 600
BACKEND = "django.contrib.auth.backends.ModelBackend"
BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"), ("python-", "a program"))
SYSTEMS = (("Windows", "Windows"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Mac OS", "macOS"), ("Linux", "Linux"))


def signed_in(request: HttpRequest) -> User:
    """Who is signed in, where a page has already asked that somebody is. Raises TypeError otherwise."""
    user = get_user(request)  # the row itself: `request.user` is a stand-in for it
    if not isinstance(user, User):
        raise TypeError("nobody is signed in")
    return user


def begin(request: HttpRequest, user: User, **how: str) -> None:
    """Begins a session of this account and writes its line. One that goes on in this browser is over, with the code and the stepping up that it has shown."""
    if request.user.is_authenticated:
        end(request)
        logout(request)
    login(request, user, backend=BACKEND)
    request.session[MINE] = str(OpenSession.objects.create(user=user, device=device(request), proof=proof(user)).pk)
    request.session[BEGAN] = int(time.time())
    audit.write(user, "session.begin", "session:new", **how)


def young(request: HttpRequest) -> bool:
    """Whether its owner signed in a moment ago."""
    began = request.session.get(BEGAN)
    return isinstance(began, int) and 0 <= time.time() - began < YOUNG_S


def renewed(request: HttpRequest) -> None:
    """A new key for a session that has just shown more of who it is; the row of the list follows."""
    request.session.cycle_key()
    follow(request)


def follow(request: HttpRequest) -> None:
    user = signed_in(request)
    OpenSession.objects.filter(pk=request.session.get(MINE), user=user).update(proof=proof(user), seen_at=timezone.now())


def end(request: HttpRequest) -> None:
    """The row of the list ends with its session."""
    OpenSession.objects.filter(pk=request.session.get(MINE)).update(ended_at=timezone.now())


def end_others(request: HttpRequest) -> None:
    """Ends every session of this account but this one."""
    user = signed_in(request)
    with transaction.atomic():
        end_all(user)
        user.refresh_from_db()
        update_session_auth_hash(request, user)
        follow(request)
        audit.write(user, "session.end_others", user)


def end_all(user: User) -> None:
    User.objects.filter(pk=user.pk).update(sessions_ended=F("sessions_ended") + 1)


def living(user: User) -> QuerySet[OpenSession]:
    """Sessions of this account that still answer."""
    since = timezone.now() - timedelta(seconds=settings.SESSION_COOKIE_AGE)
    return OpenSession.objects.filter(user=user, proof=proof(user), ended_at=None, seen_at__gte=since).order_by("-seen_at")


def forget_old() -> int:
    """Removes rows of sessions long over; returns how many."""
    return OpenSession.objects.filter(seen_at__lt=timezone.now() - timedelta(days=30)).delete()[0]


def proof(user: User) -> str:
    return hashlib.sha256(user.get_session_auth_hash().encode()).hexdigest()


def device(request: HttpRequest) -> str:
    """The kind of device in words of ours: what a browser says of itself is kept nowhere."""
    told = request.headers.get("User-Agent", "")
    browser = next((name for sign, name in BROWSERS if sign in told), "")
    system = next((name for sign, name in SYSTEMS if sign in told), "")
    return " on ".join(word for word in (browser, system) if word)
