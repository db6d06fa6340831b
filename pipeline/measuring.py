"""Quality of the images of a study: of the whole head as the scanner made it, and again of what defacing left, to show that it harmed nothing."""

from __future__ import annotations

from typing import Any

from pipeline.made import compute, facts_of
from pipeline.study import Image, Work

__all__ = ["quality", "quality_after"]


def quality(work: Work) -> None:
    """Measure each image as the scanner made it, those of which no face could be taken as well."""
    images = [image for image in work.all_images if image.withheld is None or image.deface["code"] != "not_reached"]
    files = [{"nifti": image.whole or str(image.nifti), "zone": None, "whole": None} for image in images]
    for image, report in zip(images, measured(work, "quality", "pre-deface", images, files), strict=True):
        image.before = report


def quality_after(work: Work) -> None:
    """Measure again what was changed."""
    changed = [image for image in work.images if image.zone]
    files = [{"nifti": str(image.nifti), "zone": image.zone, "whole": image.whole} for image in changed]
    for image, report in zip(changed, measured(work, "quality_after", "post-deface", changed, files), strict=True):
        image.after = report


def measured(work: Work, step: str, stage: str, images: list[Image], files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Reports of images at one stage, by their `files` (nifti, zone, whole); an image that cannot be measured gets the grade `fail` with the reason."""
    items = [
        paths
        | {"suffix": image.contrast["suffix"], "stage": stage, "device": work.order.device, "bval": image.bval, "bvec": image.bvec}
        | {"facts": facts_of(image), "placement": placement_of(image)}
        | {"pictures": work.arrays(image, stage), "conformity": image.protocol, "inclusion": list(work.order.protocol.get("inclusion", []))}
        for image, paths in zip(images, files, strict=True)
    ]
    answers = work.each(step, "measure", items, compute(work))
    return [failed(answer.death.code, answer.death.reason) if answer.death else answer.value for answer in answers]


def placement_of(image: Image) -> list[list[float]] | None:
    """Where the brain lies (image world -> template world), where it is known beyond doubt: the defacer laid the image on the template by itself, and a second
    engine agreed. Else quality places it by itself: against the place that drew the zone no misplaced zone would ever show."""
    sure = image.deface["verdict"] == "defaced" and image.deface.get("aligned_to") == "template"
    found: list[list[float]] | None = (image.before or {}).get("placement") or (image.deface.get("affine") if sure else None)
    return found


def failed(code: str, reason: str) -> dict[str, Any]:
    """The report of an image that could not be measured."""
    return {"grade": "fail", "flags": [code], "reasons": [reason], "metrics": {}}
