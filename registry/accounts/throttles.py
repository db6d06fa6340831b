"""What REST framework asks before it answers: is this asker within the limit? Counted by `registry.accounts.limits`."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from registry.accounts import devices, limits

if TYPE_CHECKING:  # REST framework reads this module while its own views are being made
    from rest_framework.views import APIView


def address_of(request: HttpRequest | Request) -> str:
    """The network address of who asks, as the proxy in front told it (`NUM_PROXIES`); of IPv6 the first 64 bits, since one line is given all the rest."""
    told: str = BaseThrottle().get_ident(request) or ""  # type: ignore[arg-type]
    try:
        address = ipaddress.ip_address(told)
    except ValueError:
        return told
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else told


def guess(request: HttpRequest | Request, email: str, step: str = "login") -> limits.Count:
    """Counts one sign-in, or one try at a later `step` of it, which has counters of its own with the same limits.

    A device that the owner has signed in from has its own counter, so that a stranger cannot lock the owner out.
    Anybody else is counted by account and address, and then by account over all addresses; who is already held at one address uses up nothing of that.
    """
    account = email.strip().lower()
    device = devices.of(request, account)
    if device:
        return limits.hit(f"{step}-device", device, *settings.MYELIN_LIMITS["login"])
    here = limits.hit(step, f"{account}|{address_of(request)}", *settings.MYELIN_LIMITS["login"])
    return limits.hit(f"{step}-account", account, *settings.MYELIN_LIMITS["login-account"]) if here.allowed else here


class TooManyTries(Exception):
    """This address tried this account too often; `wait_s` seconds until it may again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__("too many tries")
        self.wait_s = wait_s


def allowed(count: limits.Count) -> None:
    """Raises TooManyTries where the count is above its limit."""
    if not count.allowed:
        raise TooManyTries(count.wait_s)


def try_(request: HttpRequest | Request, email: str, step: str = "login") -> None:
    """Counts one sign-in (`guess`). Raises TooManyTries."""
    allowed(guess(request, email, step))


def known_device(request: HttpRequest, email: str) -> bool:
    """Whether the owner has signed in from here before, with all that the account needs."""
    return bool(devices.of(request, email))


def denial(request: HttpRequest) -> limits.Count:
    """Counts one denial: by account, or by address of who is not signed in. Each leaves a line for ever, so they are limited like other requests."""
    signed_in = request.user.is_authenticated
    return limits.hit("denied", str(request.user.pk) if signed_in else address_of(request), *settings.MYELIN_LIMITS["user" if signed_in else "address"])


class Limited(BaseThrottle):
    """Counts under one name of `settings.MYELIN_LIMITS`. Subclasses say who is counted; None: nobody."""

    name = ""

    def who(self, request: Request) -> str | None:
        raise NotImplementedError

    def allow_request(self, request: Request, view: APIView) -> bool:
        who = self.who(request)
        if who is None:
            return True
        limit, seconds = settings.MYELIN_LIMITS[self.name]
        self.count = limits.hit(self.name, who, limit, seconds)
        return self.count.allowed

    def wait(self) -> float:
        return float(self.count.wait_s)


class PerUser(Limited):
    """Everybody signed in, by account: all their tokens and sessions together."""

    name = "user"

    def who(self, request: Request) -> str | None:
        return str(request.user.pk) if request.user and request.user.is_authenticated else None


class PerAddress(Limited):
    """Everybody else, by network address."""

    name = "address"

    def who(self, request: Request) -> str | None:
        return None if request.user and request.user.is_authenticated else address_of(request)
