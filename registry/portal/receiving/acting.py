"""What the pages of this area share: the request they are about, and an act's refusal at the fields it names."""

from __future__ import annotations

from typing import Any

from registry.access import queries
from registry.access.models import Request
from registry.portal.acting import ActingPage, found
from registry.rules import Invalid


class ReceivingPage(ActingPage):
    """A page about requests and what they give."""

    refusal = "portal/receiving/refused.html"

    def request_of(self, pk: Any) -> Request:
        """The request, if the asker may see it. Raises Http404."""
        return found(queries.requests(self.asker), pk=pk)  # type: ignore[no-any-return]


def on_form(form: Any, error: Invalid) -> None:
    """An act's refusal, at the fields it names, or at the top."""
    named = [row for row in error.errors if row.get("field") in form.fields]
    for row in named:
        form.add_error(row["field"], row["reason"])
    if not named:
        form.add_error(None, f"{error.reason} {error.advice}".strip())
