"""Hand in: one's uploads with what waits, the page that sends a folder, and the receipt. Bytes go to the API's own addresses (docs/reference/upload.md)."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any
from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext_lazy as _

from registry.intake import actions, overview, queries
from registry.intake.models import Upload
from registry.portal.acting import found
from registry.portal.handing.acting import Handing
from registry.portal.handing.forms import Begin

AT_ONCE = 20
NOBODY = UUID(int=0)


class OverviewPage(Handing):
    """One's uploads, the newest first, with what each waits for; and the beginning of another. It tells how far uploads are, and of nobody."""

    template = "portal/handing/overview.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        places = overview.places(self.asker)
        return self._shown(places, Begin(places, initial={"where": request.GET.get("where", "")}))

    def post(self, request: HttpRequest) -> HttpResponse:
        places = overview.places(self.asker)
        form = Begin(places, request.POST)
        if not form.is_valid():
            return self._shown(places, form, 400)
        return redirect(f"{reverse('portal:hand_in_new')}?{urlencode({'where': form.cleaned_data['where']})}")

    def _shown(self, places: list[overview.Place], form: Begin, status: int = 200) -> HttpResponse:
        rows = queries.uploads(self.asker).order_by("-created_at", "id")
        page = Paginator(rows, AT_ONCE).get_page(self.request.GET.get("page"))
        waits = overview.waits(self.asker, page.object_list)
        told = [{"upload": one, "waits": waits.get(one.pk, []), "mine": _mine(places, one)} for one in page.object_list]
        return self.show(status, uploads=told, page=page, places=places, form=form)


def _mine(places: list[overview.Place], upload: Upload) -> bool:
    """Whether the asker hands in for the upload's site: a steward only looks on."""
    return any((one.dataset.pk, one.site.pk) == (upload.dataset_id, upload.site_id) for one in places)


class SendPage(Handing):
    """Choose a folder and send it, for a place (new) or an upload that was begun. The upload itself is begun by the browser, once it knows how much."""

    template = "portal/handing/send.html"

    def get(self, request: HttpRequest, pk: UUID | None = None) -> HttpResponse:
        if pk is None:
            place = next((one for one in overview.places(self.asker) if one.key == request.GET.get("where")), None)
            if place is None:
                return redirect("portal:handing")
            begun = queries.uploads(self.asker).filter(dataset=place.dataset, site=place.site, state=Upload.State.RECEIVING)
            return self.show(place=place, begun=begun.order_by("-created_at")[:5], **_addresses(), **self.about(place.dataset))
        upload = found(queries.uploads(self.asker), pk=pk)
        if upload.state != Upload.State.RECEIVING:
            return redirect("portal:handed_in", pk=pk)
        place = self.place(f"{upload.dataset.slug}/{upload.site.code}")
        return self.show(place=place, upload=upload, **_addresses(), **self.about(place.dataset))


def _addresses() -> dict[str, str]:
    """Where the page's script goes on, with an id that stands for the upload's."""
    names = {"continue_at": "portal:hand_in_more", "receipt_at": "portal:receipt", "sorted_at": "portal:handed_in"}
    return {name: reverse(view, kwargs={"pk": NOBODY}) for name, view in names.items()}


class DropPage(Handing):
    """Give up an upload that is still being received."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        upload = found(queries.uploads(self.asker), pk=pk)
        if self.attempt(lambda: actions.drop_upload(self.asker, upload) or True) is None:
            return redirect("portal:handed_in", pk=pk)
        return self.done(_("The upload was given up; its bytes are destroyed within minutes."), "portal:handing")


class ReceiptPage(Handing):
    """Every file of an upload as a line of JSON: numbers, hashes and verdicts. The contributor's browser joins the names."""

    gives = True

    def get(self, request: HttpRequest, pk: UUID) -> StreamingHttpResponse:
        upload = found(queries.uploads(self.asker), pk=pk)
        lines = (f"{json.dumps(row)}\n" for row in overview.receipt(self.asker, upload))
        answer = StreamingHttpResponse(lines, content_type="application/x-ndjson")
        answer.about = [upload.dataset_id]  # type: ignore[attr-defined]
        return answer


def standing(upload: Upload, totals: dict[str, Any]) -> dict[str, int]:
    """How many files stand where, without the places where none does."""
    return {word: n for word, n in Counter(totals["files"]).items() if n and word != "received"}
