"""What these pages share: a refusal of an act becomes the page again with its reason and advice, a denial becomes 403, and what is not there 404."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from registry.accounts import stepup
from registry.accounts.models import User
from registry.intake import overview
from registry.portal.pages import Page
from registry.rules import Conflict, Denied, Invalid, Refusal

M = TypeVar("M", bound=Model)
MOST_TOLD = 200


class Handing(Page):
    """A page of who hands in. `refused` holds what an act answered instead of acting."""

    template = ""
    refused: Refusal | None = None
    shown_of: Any = None  # the dataset that the page is about

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().dispatch(request, *args, **kwargs)
        except Denied as error:
            raise PermissionDenied from error

    @property
    def asker(self) -> User:
        """Who is signed in: the account itself."""
        return stepup.signed_in(self.request)

    def show(self, status: int = 200, **told: Any) -> HttpResponse:
        """The page, above all with what was refused."""
        if self.refused is not None:
            status = 409 if isinstance(self.refused, Conflict) else 422
            told |= {"refused": self.refused, "errors": getattr(self.refused, "errors", [])[:MOST_TOLD]}
        answer = render(self.request, self.template, told, status=status)
        answer.shows = self.gives  # type: ignore[attr-defined]  # `registry.api.recording`: what a form's page shows again is a look like any other
        answer.about = [self.shown_of] if self.shown_of else []  # type: ignore[attr-defined]  # `registry.api.about`: whose log says that somebody looked
        return answer

    def about(self, dataset: Any, *above: tuple[str, Any]) -> dict[str, Any]:
        """Notes which dataset a page is about, and gives the path to it: from the overview down."""
        self.shown_of = dataset.pk
        return {"crumbs": [(reverse("portal:handing"), _("Hand in")), *above]}

    def attempt(self, act: Callable[[], Any]) -> Any:
        """What the act gives, or None where it is refused; then `refused` says why."""
        try:
            return act()
        except (Invalid, Conflict) as error:
            self.refused = error
            return None

    def done(self, told: Any, to: str, *args: Any, **kwargs: Any) -> HttpResponseRedirect:
        """Go on to a page that begins by saying what was done."""
        messages.success(self.request, str(told))
        return redirect(to, *args, **kwargs)

    def place(self, key: str) -> overview.Place:
        """The place of this name where the asker hands in. Raises Http404."""
        return found(one for one in overview.places(self.asker) if one.key == key)


def found(rows: Any, **by: Any) -> Any:
    """The one row that is there for the asker. Raises Http404."""
    one = rows.filter(**by).first() if isinstance(rows, QuerySet) else next(iter(rows), None)
    if one is None:
        raise Http404
    return one
