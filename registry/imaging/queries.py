"""Reads of images, limited to what the asker may see; and the two pictures that show no face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from qa import norms, protocol
from registry.access import policy
from registry.accounts.models import Dataset, User
from registry.imaging.models import FACELESS, LIVING, ORBIT, Image, StoredFile
from registry.subjects.models import Visit


def images(asker: User | None) -> QuerySet[Image]:
    """The images that the asker may see. Whom an entitlement covers sees what was accepted; those who work here see all that is not withdrawn.

    Images of the orbits are in packages of restricted views only.
    """
    seen = policy.limit(asker, "see", Image.objects.exclude(state=Image.State.WITHDRAWN), participant="visit__participant")
    mine = policy.participants(asker, "know")  # by person, not by image: of thirty thousand images that is a third of the time
    accepted = Q(state=Image.State.ACCEPTED) & ~Q(deface_verdict=ORBIT)
    return seen.filter(accepted | Q(visit__participant__in=mine.values("pk"))).select_related("visit__participant__dataset").prefetch_related("files")


@dataclass(frozen=True)
class Kept:
    """What the store keeps of one dataset: files and bytes for each kind of file."""

    dataset: Dataset
    kinds: tuple[tuple[str, int, int], ...]

    @property
    def bytes(self) -> int:
        return sum(size for _kind, _files, size in self.kinds)

    @property
    def files(self) -> int:
        return sum(files for _kind, files, _size in self.kinds)


def storage(asker: User | None) -> list[Kept]:
    """What the store keeps, for each dataset of which the asker is steward; of all for who runs the registry. Exact sizes tell who came and went."""
    who = policy.facts_of_asker(asker)
    mine = [role.dataset for role in who.roles if role.kind == "steward" and who.active]
    seen = Dataset.objects.all() if who.active and who.admin else Dataset.objects.filter(pk__in=mine)
    rows = StoredFile.objects.filter(image__visit__participant__dataset__in=seen).order_by()
    found: dict[Any, list[tuple[str, int, int]]] = {dataset.pk: [] for dataset in seen}
    summed = rows.values_list("image__visit__participant__dataset", "kind").annotate(files=Count("pk"), size=Sum("bytes"))
    for dataset, kind, files, size in summed.order_by("-size"):
        found[dataset].append((kind, files, size))
    return sorted((Kept(dataset, tuple(found[dataset.pk])) for dataset in seen), key=lambda kept: -kept.bytes)


def usual() -> norms.Norms:
    """What is usual per scanner and sequence, learnt from the images that a steward accepted and from no others."""
    told = Image.objects.filter(state=Image.State.ACCEPTED).values_list("provenance__quality", flat=True)
    return norms.build(report for report in told if report and report.get("metrics") and report.get("norm_key"))


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


def quality_page(image: Image) -> str | None:
    """The quality report of an image as the page people read: numbers, norm, protocol, and the steward's verdict beside the grade; None without a report.

    It holds no picture: the strip and the renderings have addresses of their own.
    """
    from qa import report

    told = image.provenance.get("quality") or {}
    if not has_quality(image):
        return None
    decided = image.state in (Image.State.ACCEPTED, Image.State.REFUSED) and image.decided_at is not None
    verdict = {"state": image.state, "reason": image.reason} if decided else None
    kept = image.provenance.get("protocol") or None
    if kept and image.visit.purpose:
        kept = kept | {"visit": lacking(image.visit)}
    return report.page(told, image.bids_path.rsplit("/", 1)[-1], protocol=kept, verdict=verdict)


def lacking(visit: Visit) -> dict[str, Any]:
    """Which contrasts a visit lacks for its purpose, by all its images that are not refused: a study is often handed in in parts."""
    living = visit.images.filter(state__in=LIVING).values_list("suffix", "entities", "provenance__contrast__fields")
    images = [
        {"suffix": suffix, "body": protocol.body_of({"BodyPartExamined": (fields or {}).get("BodyPart")}), "contrast_agent": True if "ce" in entities else None}
        for suffix, entities, fields in living
    ]
    return protocol.visit(images, visit.purpose or None, visit.participant.dataset.protocol or protocol.USUAL)


def drawn(kind: str, image: Image) -> list[int]:
    """The numbers of the renderings of one kind (`after`, `before`, `quality`); one of no known kind may show a face and counts as `before`."""
    kinds = list(image.provenance.get("pictures") or [])[: image.review]
    kinds += ["before"] * (image.review - len(kinds))
    return [n for n, one in enumerate(kinds) if one == kind]


def pictures(image: Image) -> dict[str, list[int]]:
    """The numbers of the renderings in the review zone: `after` shows what would be given out, `quality` the measures, `review` may show a face."""
    found = {name: drawn(name, image) for name in ("after", "quality")}
    if image.deface_verdict not in FACELESS:  # what is in doubt may show a face after defacing as well
        found["after"] = []
    shown = {n for numbers in found.values() for n in numbers}
    return {**found, "review": [n for n in range(image.review) if n not in shown]}
