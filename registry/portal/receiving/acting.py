"""What the pages of this area share: a refusal of an act is a page that says what happened and what to do, with the status that the log goes by."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from registry.access import queries
from registry.access.models import Request
from registry.accounts import stepup
from registry.accounts.models import User
from registry.portal.pages import Page
from registry.rules import Conflict, Denied, Invalid, Refusal


class ActingPage(Page):
    """A page whose acts may be refused."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().dispatch(request, *args, **kwargs)
        except Refusal as error:
            return refused(request, error)

    @property
    def asker(self) -> User:
        return stepup.signed_in(self.request)

    def request_of(self, pk: Any) -> Request:
        """The request, if the asker may see it. Raises Http404."""
        return found(queries.requests(self.asker), pk)

    def done(self, told: Any, where: str) -> HttpResponse:
        """Says what was done on the page that is shown next."""
        messages.success(self.request, str(told))
        return HttpResponseRedirect(where)


def found(rows: QuerySet[Any], pk: Any) -> Any:
    """The one row that the asker may see. Raises Http404."""
    row: Model | None = rows.filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def refused(request: HttpRequest, error: Refusal) -> HttpResponse:
    """A refusal as a page: 403 for who may not, 409 for what cannot be now, 422 for what makes no sense."""
    status = 403 if isinstance(error, Denied) else 409 if isinstance(error, Conflict) else 422
    answer = render(request, "portal/receiving/refused.html", {"error": error, "errors": getattr(error, "errors", [])}, status=status)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def on_form(form: Any, error: Invalid) -> None:
    """An act's refusal, at the fields it names, or at the top."""
    named = [row for row in error.errors if row.get("field") in form.fields]
    for row in named:
        form.add_error(row["field"], row["reason"])
    if not named:
        form.add_error(None, f"{error.reason} {error.advice}".strip())
