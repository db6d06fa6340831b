"""What pages that show or decide share: what the record is told of them."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.http import HttpResponse

from registry.portal.acting import ActingPage
from registry.rules import Refusal

SEALED = {"Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


class Shown(ActingPage):
    """A page that gives data of somebody: `registry.api.recording` writes one line for each, unless the act it asked wrote its own."""

    gives = True
    refusal = "portal/looking/refused.html"

    def refuse(self, error: Refusal) -> HttpResponse:
        """The record gets the code."""
        answer = super().refuse(error)
        answer.data = {"code": error.code}  # type: ignore[attr-defined]
        return answer


def telling(answer: HttpResponse, ids: Iterable[UUID]) -> HttpResponse:
    """The page with what the record is told of it: which things it showed."""
    answer.data = {"results": [{"id": pk} for pk in ids]}  # type: ignore[attr-defined]
    return answer
