"""What pages share whose acts may be refused: who asks, the one row they may see, what was done, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from registry.accounts import stepup
from registry.accounts.models import User
from registry.portal.pages import Page
from registry.rules import Conflict, Denied, Refusal


class ActingPage(Page):
    """A page whose acts may be refused. `refusal`: the template that says so."""

    refusal = ""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().dispatch(request, *args, **kwargs)
        except Refusal as error:
            return self.refuse(error)

    def refuse(self, error: Refusal) -> HttpResponse:
        """A refusal as a page, with the status that the log goes by."""
        answer = render(self.request, self.refusal, {"error": error, "errors": getattr(error, "errors", [])}, status=status_of(error))
        answer.headers["Cache-Control"] = "no-store"
        return answer

    @property
    def asker(self) -> User:
        """Who is signed in, as the row itself."""
        return stepup.signed_in(self.request)

    def done(self, told: Any, to: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """Goes on to a page (its name, or an address), which begins by saying what was done."""
        messages.success(self.request, str(told))
        return redirect(to, *args, **kwargs)


def status_of(error: Refusal) -> int:
    """403 for who may not, 409 for what cannot be now, 422 for what makes no sense."""
    return 403 if isinstance(error, Denied) else 409 if isinstance(error, Conflict) else 422


def found(rows: QuerySet[Any] | Iterable[Any], **by: Any) -> Any:
    """The one row that is there for the asker. Raises Http404; also for text that no database keeps (a NUL)."""
    if any("\0" in str(value) for value in by.values()):
        raise Http404
    row = rows.filter(**by).first() if isinstance(rows, QuerySet) else next(iter(rows), None)
    if row is None:
        raise Http404
    return row
