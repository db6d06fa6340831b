"""Images to look at: the list, one image with its viewer, its bytes, and for the dataset's steward the heads before their faces were taken."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render

from registry.access import policy
from registry.imaging import queries, telling
from registry.imaging.models import DOUBTED, FACELESS, WAITS, Image, StoredFile
from registry.intake import actions as intake
from registry.portal.looking.answers import SEALED, Shown
from registry.portal.looking.answers import telling as told_of
from registry.portal.looking.forms import CONTRASTS, STATE_WORDS, Filters
from registry.releases import history

A_PAGE = 25
LARGE = 200 << 20  # bytes from which a volume is loaded on demand only


def image_or_404(asker: Any, pk: UUID, rows: QuerySet[Image] | None = None) -> Image:
    """The image, if the asker may see it."""
    return get_object_or_404((queries.images(asker) if rows is None else rows).select_related("visit__participant__site"), pk=pk)


class ImagesPage(Shown):
    """The images one may see, the newest first, page by page."""

    def get(self, request: HttpRequest) -> HttpResponse:
        form = Filters(self.asker, request.GET)
        rows = queries.images(self.asker).filter(**form.wanted()).select_related("visit__participant__site").prefetch_related(None).defer("provenance")
        found = list(_older(rows, request.GET.get("before", "")).order_by("-created_at", "-pk")[: A_PAGE + 1])
        page = found[:A_PAGE]
        asked = {name: value for name, value in request.GET.items() if name in form.fields and value}
        more = urlencode({**asked, "before": f"{page[-1].created_at.isoformat()}~{page[-1].pk}"}) if len(found) > A_PAGE else ""
        shown = {"form": form, "images": page, "states": STATE_WORDS, "more": more, "first": urlencode(asked), "contrasts": CONTRASTS}
        shown |= {"asked": asked, "later": "before" in request.GET}
        return told_of(render(request, "portal/looking/images.html", shown), [image.pk for image in page])


def _older(rows: QuerySet[Image], cursor: str) -> QuerySet[Image]:
    """The rows after a cursor; all of them where it is none."""
    at, _, pk = cursor.partition("~")
    try:
        when, last = datetime.fromisoformat(at), UUID(pk)
    except ValueError:
        return rows
    return rows.filter(Q(created_at__lt=when) | Q(created_at=when, pk__lt=last))


class ImagePage(Shown):
    """One image: the viewer, its quality, what was done to it, where it comes from, what happened to it; and for who may decide, the decision."""

    csp = {"img-src": "'self' data: blob:", "connect-src": "'self' data: blob:"}  # the viewer makes pictures of its own, and reads them back

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return render(request, "portal/looking/image.html", self.told(image_or_404(self.asker, pk)))

    def told(self, image: Image) -> dict[str, Any]:
        person, asker = image.visit.participant, self.asker
        pictures, layers = queries.pictures(image), telling.layers(asker, image)
        decides = policy.ask_in(asker, "decide", person.dataset).permitted
        return {
            "image": image,
            "layers": layers,
            "large": bool(layers.base and layers.base.bytes > LARGE),
            "state": STATE_WORDS[image.state],
            "quality": telling.quality(image),
            "strip": bool(pictures["quality"] or queries.has_quality(image)),
            "after": bool(pictures["after"]),
            "deid": telling.deidentified(image),
            "origin": _origin(image),
            "history": history.of(asker, image),
            "undecided": image.state in WAITS,
            "decides": decides,
            "faces": decides and policy.ask(asker, "review", image).permitted and bool(queries.drawn("before", image)),
            "doubted": image.deface_verdict == DOUBTED,
            "faceless": image.deface_verdict in FACELESS,
            "answers": image.state == "returned" and policy.ask(asker, "contribute", person).permitted,
            "from_queue": self.request.GET.get("from") == "queue",
        }


def _origin(image: Image) -> dict[str, Any]:
    """Where an image comes from, as its outcome told it."""
    told = image.provenance
    return {
        "versions": sorted((told.get("versions") or {}).items()),
        "conversion": told.get("conversion") or {},
        "contrast": told.get("contrast") or {},
        "sources": len(told.get("source_files") or ()),
    }


class VolumePage(Shown):
    """The bytes of one volume of an image. The policy is asked each time, and each time is one line."""

    def get(self, request: HttpRequest, pk: UUID, other: UUID) -> FileResponse:
        image = image_or_404(self.asker, pk)
        file = get_object_or_404(StoredFile.objects.select_related("image__visit__participant__dataset"), pk=other, image=image)
        if file.kind not in ("image", "annotation"):
            raise Http404
        place = intake.volume(self.asker, file)
        return FileResponse(place.open("rb"), content_type="application/octet-stream", headers=SEALED)


class FacesPage(Shown):
    """Before and after, side by side, for the steward of the dataset who has just said who they are."""

    step_up = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        image = image_or_404(self.asker, pk)
        policy.require(self.asker, "review", image)
        doubted = image.deface_verdict not in FACELESS
        kinds = {"before": queries.drawn("before", image), "after": queries.drawn("after", image)}
        return render(request, "portal/looking/faces.html", {"image": image, "doubted": doubted, **kinds, "after_is_safe": not doubted})


class FacePage(Shown):
    """One rendering of the review zone. Every look is one line, and nobody keeps the picture on the way."""

    step_up = True

    def get(self, request: HttpRequest, pk: UUID, number: int) -> HttpResponse:
        picture = intake.look(self.asker, image_or_404(self.asker, pk), number)
        if picture is None:
            answer = HttpResponse(status=410, headers=SEALED)
            answer.data = {"code": "review_gone"}  # type: ignore[attr-defined]
            return answer
        return HttpResponse(picture, content_type="image/png", headers=SEALED)
