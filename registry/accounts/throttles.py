"""What REST framework asks before it answers: is this asker within the limit? Counted by `registry.accounts.limits`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from registry.accounts import limits

if TYPE_CHECKING:  # REST framework reads this module while its own views are being made
    from rest_framework.views import APIView


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
        return None if request.user and request.user.is_authenticated else self.get_ident(request)
