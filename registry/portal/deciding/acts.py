"""Acts that need two people: what was proposed, by whom and why; a steward agrees to what another proposed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.access import pairs, queries
from registry.access.models import DangerousAct
from registry.portal.looking.answers import Shown

NAMES = {
    "release_below_k": _("release tables in which a group is smaller than the dataset's least"), "bulk_approval": _("approve several requests at once"),
    "bulk_acceptance": _("accept many images at once"), "restricted_approval": _("approve a request for restricted data"),
    "orbit_release": _("accept an image of the orbits"),
}  # fmt: skip
A_PAGE = 25


class ActsPage(Shown):
    """What waits for a second person, and what was agreed before. It tells of acts, not of people who take part."""

    gives = False

    def get(self, request: HttpRequest) -> HttpResponse:
        rows = queries.dangerous_acts(self.asker)
        page = Paginator(rows, A_PAGE).get_page(request.GET.get("page"))
        now, mine = timezone.now(), queries.datasets_of(self.asker, "steward")
        shown = [_told(one, now, self.asker, mine) for one in page.object_list]
        return render(request, "portal/deciding/acts.html", {"acts": shown, "page": page})


def _told(act: DangerousAct, now: Any, asker: Any, mine: set[str]) -> dict[str, Any]:
    over = act.expires_at <= now and act.used_at is None
    state = "used" if act.used_at else "over" if over else "agreed" if act.seconded_at else "waits"
    can = state == "waits" and act.proposed_by_id != asker.pk and str(act.dataset_id) in mine
    return {"act": act, "name": NAMES.get(act.act, act.act), "state": state, "can": can, "own": act.proposed_by_id == asker.pk, "thing": thing(act)}


def thing(act: DangerousAct) -> str:
    """The page of what an act is done to, where it has one."""
    kind, _sep, pk = act.object.partition(":")
    names = {"request": "portal:decide_request", "image": "portal:image"}
    try:
        return reverse(names[kind], args=[UUID(pk)])
    except (KeyError, ValueError):
        return ""


class SecondPage(Shown):
    """The second person agrees."""

    step_up = ("POST",)

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        pairs.second(self.asker, get_object_or_404(queries.dangerous_acts(self.asker), pk=pk))
        messages.success(request, _("You agreed. The act can be done now, once, by who proposed it or another steward."))
        return redirect("portal:acts")
