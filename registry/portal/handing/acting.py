"""What these pages share: a refusal of an act becomes the page again with its reason and advice, and a denial becomes 403."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from registry.intake import overview
from registry.portal.acting import ActingPage, found
from registry.rules import Conflict, Denied, Invalid, Refusal

MOST_TOLD = 200


class Handing(ActingPage):
    """A page of who hands in. `refused` holds what an act answered instead of acting."""

    template = ""
    refused: Refusal | None = None
    shown_of: Any = None  # the dataset that the page is about

    def refuse(self, error: Refusal) -> HttpResponse:
        """A denial is 403; what else an act refuses, `attempt` has kept for the page to say."""
        if isinstance(error, Denied):
            raise PermissionDenied from error
        raise error

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

    def place(self, key: str) -> overview.Place:
        """The place of this name where the asker hands in. Raises Http404."""
        return found(one for one in overview.places(self.asker) if one.key == key)
