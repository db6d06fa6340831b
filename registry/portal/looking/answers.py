"""What pages that show or decide share: who asks, and how a refusal of an act becomes a page that says what happened and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from registry import rules
from registry.accounts import stepup
from registry.accounts.models import User
from registry.portal.pages import Page

SEALED = {"Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Shown(Page):
    """A page that gives data of somebody: `registry.api.recording` writes one line for each, unless the act it asked wrote its own."""

    gives = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().dispatch(request, *args, **kwargs)
        except rules.Refusal as error:
            return refused(request, error)

    @property
    def asker(self) -> User:
        """Who is signed in, as the row itself."""
        return stepup.signed_in(self.request)


def refused(request: HttpRequest, error: rules.Refusal) -> HttpResponse:
    """An act was not done: the sentence why, and what to do. The record gets the code."""
    status = 403 if isinstance(error, rules.Denied) else 409 if isinstance(error, rules.Conflict) else 422
    answer = render(request, "portal/looking/refused.html", {"error": error}, status=status)
    answer.headers["Cache-Control"] = "no-store"
    answer.data = {"code": error.code}  # type: ignore[attr-defined]
    return answer


def telling(answer: HttpResponse, ids: Iterable[UUID]) -> HttpResponse:
    """The page with what the record is told of it: which things it showed."""
    answer.data = {"results": [{"id": pk} for pk in ids]}  # type: ignore[attr-defined]
    return answer
