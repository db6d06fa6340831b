"""Many images accepted in one act: a list that stays the same while its sample is looked at, what is left to look at, and where a second person is needed.

The act draws the sample and demands the looks; this page only shows both.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from registry.access import pairs
from registry.access import queries as access
from registry.accounts.models import Dataset, Site, User
from registry.imaging import queries as imaging
from registry.imaging.models import FACELESS, Image
from registry.intake import actions as intake
from registry.intake import deciding
from registry.portal.looking.answers import Shown, telling
from registry.rules import Invalid


class Which(forms.Form):
    """Which images are accepted together: of one dataset, those whose face is proven gone and whose quality passed."""

    dataset = forms.ChoiceField(label=_("Dataset"))
    site = forms.ChoiceField(label=_("Site"), required=False)
    contrast = forms.RegexField(r"^[A-Za-z0-9]{0,40}$", label=_("Contrast"), required=False)

    def __init__(self, asker: User, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        mine = Dataset.objects.filter(pk__in=access.datasets_of(asker, "steward")).order_by("name")
        self.fields["dataset"].choices = mine.values_list("slug", "name")  # type: ignore[attr-defined]
        sites = Site.objects.filter(datasets__in=mine).distinct().order_by("name")
        self.fields["site"].choices = [("", _("any")), *sites.values_list("code", "name")]  # type: ignore[attr-defined]


class BulkPage(Shown):
    """The list with its sample; a post accepts exactly the images that the page named."""

    step_up = ("POST",)

    def get(self, request: HttpRequest) -> HttpResponse:
        form = Which(self.asker, request.GET if "dataset" in request.GET else None)
        if not form.is_bound or not form.is_valid():
            return render(request, "portal/deciding/bulk.html", {"form": form})
        until = _time(request.GET.get("until", ""))
        if until is None:  # the list ends here, so that an image that comes meanwhile does not draw another sample
            asked = {name: value for name, value in form.cleaned_data.items() if value}
            return redirect(f"{reverse('portal:bulk')}?{urlencode({**asked, 'until': timezone.now().isoformat()})}")
        images = list(_these(self.asker, form.cleaned_data, until))
        answer = render(request, "portal/deciding/bulk.html", {"form": form, **self.told(images)})
        return telling(answer, [image.pk for image in images])

    def told(self, images: list[Image]) -> dict[str, Any]:
        drawn = set(deciding.sample(self.asker, images))
        seen = deciding.looked_at(self.asker, [image for image in images if image.pk in drawn])
        sample = [(image, image.pk in seen) for image in images if image.pk in drawn]
        dataset = images[0].visit.participant.dataset if images else None
        told = {"images": images, "sample": sample, "left": len(drawn - seen), "listed": True}
        if dataset is None or not deciding.by_two(dataset) or len(images) <= deciding.FEW:
            return told
        waits = access.dangerous_acts(self.asker).filter(act="bulk_acceptance", object=deciding.bulk(images), used_at=None, expires_at__gt=timezone.now())
        return {**told, "by_two": True, "proposals": list(waits), "agreed": any(one.seconded_at for one in waits)}

    def post(self, request: HttpRequest) -> HttpResponse:
        wanted = [pk for text in request.POST.getlist("image") if (pk := _id(text))]
        images = list(imaging.images(self.asker).filter(pk__in=wanted))
        if not images:
            raise Invalid("nothing_listed", "No image was named.", "List the images first.")
        if request.POST.get("act") == "propose":
            first = images[0].visit.participant.dataset
            pairs.propose(self.asker, first, "bulk_acceptance", deciding.bulk(images), request.POST.get("reason", ""), images=len(images))
            messages.success(request, _("Your proposal waits for a second person."))
            return redirect("portal:acts")
        done = intake.accept_images(self.asker, images, request.POST.get("reason", "").strip()[:2000])
        said = ngettext("%(n)d image was accepted.", "%(n)d images were accepted.", len(done))
        messages.success(request, said % {"n": len(done)})
        return redirect("portal:queue")


def _these(asker: User, given: dict[str, Any], until: datetime) -> Any:
    rows = imaging.images(asker).filter(state="proposed", grade="pass", deface_verdict__in=FACELESS, created_at__lte=until)
    rows = rows.filter(visit__participant__dataset__slug=given["dataset"])
    rows = rows.filter(visit__participant__site__code=given["site"]) if given["site"] else rows
    rows = rows.filter(suffix=given["contrast"]) if given["contrast"] else rows
    return rows.prefetch_related(None).defer("provenance").order_by("created_at", "pk")[: deciding.MOST_AT_ONCE]


def _time(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
