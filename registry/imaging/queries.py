"""Reads of images, limited to what the asker may see; and the two pictures that show no face."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from registry.access import policy
from registry.accounts.models import User
from registry.imaging.models import FACELESS, Image


def images(asker: User | None) -> QuerySet[Image]:
    """The images that the asker may see. Whom an entitlement covers sees what was accepted; those who work here see all that is not withdrawn."""
    seen = policy.limit(asker, "see", Image.objects.exclude(state=Image.State.WITHDRAWN), participant="visit__participant")
    mine = policy.limit(asker, "know", Image.objects.all(), participant="visit__participant")
    accepted = Q(state=Image.State.ACCEPTED)
    return seen.filter(accepted | Q(pk__in=mine.values("pk"))).select_related("visit__participant__dataset").prefetch_related("files")


def has_quality(image: Image) -> bool:
    """Whether there is a quality report to draw."""
    return bool((image.provenance.get("quality") or {}).get("metrics"))


def quality_strip(image: Image) -> bytes | None:
    """The quality report of an image, before and after its face was removed, as one PNG without a face; None when there is nothing to draw."""
    from qa import report

    told = image.provenance.get("quality") or {}
    if not has_quality(image):
        return None
    after = told.get("after") or {}
    return report.strip({image.suffix: told, **({f"{image.suffix} after": after} if after.get("metrics") else {})})


def pictures(image: Image) -> dict[str, list[int]]:
    """The numbers of the renderings in the review zone: `after` shows what would be given out, `quality` the measures, `review` may show a face."""
    kinds = list(image.provenance.get("pictures") or [])[: image.review]
    kinds += ["before"] * (image.review - len(kinds))  # what is not known may show a face
    found: dict[str, list[int]] = {name: [n for n, kind in enumerate(kinds) if kind == name] for name in ("after", "quality")}
    if image.deface_verdict not in FACELESS:  # what is in doubt may show a face after defacing as well
        found["after"] = []
    shown = {n for numbers in found.values() for n in numbers}
    return {**found, "review": [n for n in range(image.review) if n not in shown]}
