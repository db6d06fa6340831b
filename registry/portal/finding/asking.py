"""What the pages of this area share: who asks, which dataset, how often, and a refusal as a page that says what happened and what to do."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from registry.access import policy, queries
from registry.accounts import limits, stepup, throttles
from registry.accounts.models import Dataset, Site, User
from registry.portal.pages import Page
from registry.rules import Conflict, Denied, Refusal


class AskingPage(Page):
    """A page whose acts may be refused. What is counted or changed is limited as at the API."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if (self.gives or request.method == "POST") and not (count := _hit(request)).allowed:
            held = render(request, f"portal/finding/{'wait_part' if is_part(request) else 'wait'}.html", {"wait_s": count.wait_s}, status=429)
            held.headers["Retry-After"] = str(count.wait_s)
            return held
        try:
            return super().dispatch(request, *args, **kwargs)
        except Refusal as error:
            return refused(request, error)

    @property
    def asker(self) -> User | None:
        """Who is signed in, or None."""
        return stepup.signed_in(self.request) if self.request.user.is_authenticated else None

    @property
    def user(self) -> User:
        """Who is signed in, where the page is for nobody else."""
        return stepup.signed_in(self.request)

    def dataset(self, slug: str) -> Dataset:
        """A dataset of the catalogue. Raises Http404 for one that the asker may not know of, as for one that is not there."""
        return found(queries.catalogue(self.asker), slug=slug)  # type: ignore[no-any-return]

    def counted(self, slug: str) -> Dataset:
        """A dataset whose people the asker may count. Raises Http404."""
        return found(queries.counted(self.asker), slug=slug)  # type: ignore[no-any-return]

    def sites(self, dataset: Dataset) -> list[Site]:
        """The sites of the dataset that are the asker's own: of these, numbers are exact."""
        if self.asker is None:
            return []
        mine = [role.site for role in policy.facts_of_asker(self.asker).roles if role.kind == "contributor" and role.dataset == str(dataset.pk)]
        return list(Site.objects.filter(pk__in=[site for site in mine if site]).order_by("name")) if mine else []

    def site(self) -> Site | None:
        """The site that the address names. Raises Http404 for one that is none; whose it is, is asked by what counts."""
        code = self.request.GET.get("site", "")
        return found(Site.objects.all(), code=code) if code else None

    def done(self, told: Any, where: str) -> HttpResponse:
        """Says what was done on the page that is shown next."""
        messages.success(self.request, str(told))
        return HttpResponseRedirect(where)


def found(rows: QuerySet[Any], **by: Any) -> Any:
    """The one row that the asker may see. Raises Http404."""
    row = None if any("\0" in str(value) for value in by.values()) else rows.filter(**by).first()
    if row is None:
        raise Http404
    return row


def _hit(request: HttpRequest) -> limits.Count:
    name, who = ("user", str(request.user.pk)) if request.user.is_authenticated else ("address", throttles.address_of(request))
    return limits.hit(name, who, *settings.MYELIN_LIMITS[name])


def is_part(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"


def refused(request: HttpRequest, error: Refusal) -> HttpResponse:
    """A refusal as a page, or the part of one: 403 for who may not, 409 for what cannot be now, 429 for too much, 422 for what makes no sense."""
    status = 429 if error.code == "questions_spent" else 403 if isinstance(error, Denied) else 409 if isinstance(error, Conflict) else 422
    page = "refusal.html" if is_part(request) else "refused.html"
    answer = render(request, f"portal/finding/{page}", {"error": error}, status=status)
    answer.headers["Cache-Control"] = "no-store"
    return answer
