"""Releases of one's datasets: what was frozen, how far it is, what the next one would be, and freezing it."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.access import pairs, policy, queries
from registry.accounts.models import Dataset
from registry.portal.looking.answers import Shown
from registry.releases import actions
from registry.releases import queries as released
from registry.releases.models import Release
from registry.rules import Invalid

STATES = {
    "freezing": _("is being put together"), "frozen": _("frozen; the validator is looking at it"), "validated": _("valid: can be given out"),
    "invalid": _("the validator found errors: not given out"), "failed": _("could not be put together"),
}  # fmt: skip
MOVING = frozenset({"freezing", "frozen"})
PARTS = frozenset({"", "patch", "minor", "major"})
SHOWN = 20


class ReleasesPage(Shown):
    """The datasets of which one may see every release. Numbers of the whole only: it tells of nobody."""

    gives = False

    def get(self, request: HttpRequest) -> HttpResponse:
        mine = Dataset.objects.filter(pk__in=queries.datasets_of(self.asker, "contributor", "steward", "auditor")).order_by("name")
        rows = [(dataset, released.releases(self.asker).filter(dataset=dataset).order_by("-number").first()) for dataset in mine]
        return render(request, "portal/deciding/releases.html", {"rows": [(dataset, last, last and STATES[last.state]) for dataset, last in rows]})


class DatasetReleasesPage(Shown):
    """One dataset's releases; who may freeze looks at what the next would be, and freezes it."""

    gives = False
    step_up = ("POST",)

    def dataset(self, slug: str) -> Dataset:
        """The dataset, for who works in it; to all others there is none. Raises Http404."""
        return get_object_or_404(Dataset, pk__in=queries.datasets_of(self.asker, "contributor", "steward", "auditor"), slug=slug)

    def get(self, request: HttpRequest, slug: str) -> HttpResponse:
        return self.shown(self.dataset(slug))

    def post(self, request: HttpRequest, slug: str) -> HttpResponse:
        dataset, act = self.dataset(slug), request.POST.get("act", "")
        changes, part = request.POST.get("changes", "").strip()[:5000], request.POST.get("part", "")
        if part not in PARTS or act not in ("look", "freeze", "propose"):
            raise Invalid("unknown_act", "This is nothing that can be done to a dataset's releases.", "Use the buttons of the page.")
        if act == "freeze":
            actions.freeze(self.asker, dataset, changes, part)
            messages.success(request, _("The release is being put together, then validated. This page says how far it is."))
            return redirect("portal:dataset_releases", slug)
        would = actions.dry_run(self.asker, dataset, changes, part)
        if act == "look":
            return self.shown(dataset, would, changes, part)
        pairs.propose(self.asker, dataset, "release_below_k", would["object"], changes)
        messages.success(request, _("Your proposal waits for a second person."))
        return redirect("portal:acts")

    def shown(self, dataset: Dataset, would: dict[str, Any] | None = None, changes: str = "", part: str = "") -> HttpResponse:
        rows = list(released.releases(self.asker).filter(dataset=dataset).order_by("-number")[:SHOWN])
        told = {
            "dataset": dataset,
            "rows": [_row(one) for one in rows],
            "moving": any(one.state in MOVING for one in rows),
            "may": policy.ask_in(self.asker, "freeze", dataset).permitted,
            "would": would,
            "changes": changes,
            "part": part,
        }
        if would and would["needs_two_people"]:
            told["agreed"] = self.waits(dataset, would["object"]).exclude(seconded_at=None).exists()
            told["proposed"] = self.waits(dataset, would["object"]).exists()
        return render(self.request, "portal/deciding/dataset_releases.html", told)

    def waits(self, dataset: Dataset, tables: str) -> Any:
        """Agreements of two people on these very tables that can still be used."""
        acts = queries.dangerous_acts(self.asker).filter(dataset=dataset, act="release_below_k", object=tables)
        return acts.filter(used_at=None, expires_at__gt=timezone.now())


def _row(release: Release) -> dict[str, Any]:
    errors = (release.validator or {}).get("errors")
    people = release.people.filter(tombstone=False).count()
    return {"release": release, "state": STATES[release.state], "people": people, "files": release.files.filter(tombstone=False).count(), "errors": errors}
