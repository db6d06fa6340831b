"""What the pages of this area share: who asks (a stranger may), which dataset, and how often."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from registry.access import policy, queries
from registry.accounts import limits, stepup, throttles
from registry.accounts.models import Dataset, Site, User
from registry.portal.acting import ActingPage, found
from registry.rules import Refusal


class AskingPage(ActingPage):
    """A page whose acts may be refused. What is counted or changed is limited as at the API."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if (self.gives or request.method == "POST") and not (count := _hit(request)).allowed:
            held = render(request, f"portal/finding/{'wait_part' if is_part(request) else 'wait'}.html", {"wait_s": count.wait_s}, status=429)
            held.headers["Retry-After"] = str(count.wait_s)
            return held
        return super().dispatch(request, *args, **kwargs)

    def refuse(self, error: Refusal) -> HttpResponse:
        """A page, or the part of one; 429 for who asked too much."""
        self.refusal = f"portal/finding/{'refusal' if is_part(self.request) else 'refused'}.html"
        answer = super().refuse(error)
        if error.code == "questions_spent":
            answer.status_code = 429
        return answer

    @property
    def asker(self) -> User | None:  # type: ignore[override]  # a stranger may count
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


def _hit(request: HttpRequest) -> limits.Count:
    name, who = ("user", str(request.user.pk)) if request.user.is_authenticated else ("address", throttles.address_of(request))
    return limits.hit(name, who, *settings.MYELIN_LIMITS[name])


def is_part(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("HX-Request") == "true"
