"""What a person who hands in must see at once: where they may hand in, what waits for them and why, and whose somebody is by the site's own word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from registry.access import policy
from registry.accounts import keys
from registry.accounts.models import Dataset, Site, User
from registry.consent import queries as consent
from registry.imaging import queries as imaging
from registry.imaging.models import Image
from registry.intake import queries
from registry.intake.models import Study, Upload
from registry.rules import DATASET_ACTIONS, Invalid
from registry.subjects import queries as subjects
from registry.subjects.models import Participant, Visit

OPEN = (Upload.State.RECEIVING, Upload.State.RECEIVED, Upload.State.SORTING, Upload.State.SORTED)


@dataclass(frozen=True)
class Place:
    """A dataset, and the site for which somebody hands in there."""

    dataset: Dataset
    site: Site

    @property
    def key(self) -> str:
        return f"{self.dataset.slug}/{self.site.code}"


def places(asker: User | None) -> list[Place]:
    """Where the asker may hand in."""
    facts = policy.facts_of_asker(asker)
    pairs = {(role.dataset, role.site) for role in facts.roles if facts.active and role.site and role.kind in DATASET_ACTIONS["upload"]}
    datasets = {str(one.pk): one for one in Dataset.objects.filter(pk__in={dataset for dataset, _ in pairs})}
    sites = {str(one.pk): one for one in Site.objects.filter(pk__in={site for _, site in pairs})}
    return sorted((Place(datasets[dataset], sites[str(site)]) for dataset, site in pairs), key=lambda place: place.key)


def people(asker: User | None, place: Place) -> QuerySet[Participant]:
    """The people of a site in a dataset that the asker may know of, with how many visits and images each has, and the end of their consent."""
    known = policy.participants(asker, "know").filter(dataset=place.dataset, site=place.site).select_related("standing")
    shown = ~Q(visits__images__state=Image.State.WITHDRAWN)
    counted = known.annotate(visit_count=Count("visits", distinct=True), image_count=Count("visits__images", filter=shown, distinct=True))
    return counted.order_by("label")


def person(asker: User, dataset: Dataset, site: Site, told: str, issuer: str = "") -> Participant:
    """Somebody of a site by their label here, or by the site's own identifier. Raises Denied to who does not hand in for the site, Invalid for nobody."""
    policy.require_in(asker, "register", dataset, site)
    told = told.strip()
    mine = policy.participants(asker, "know").filter(dataset=dataset, site=site).select_related("dataset", "site")
    found = mine.filter(label=told.removeprefix("sub-")).first()
    if found is None and told:
        known = subjects.match(dataset, keys.code_key(dataset).code(site.code, issuer.strip(), told))
        found = mine.filter(pk=known.pk).first() if known is not None else None
    if found is None:
        raise Invalid("unknown_person", "Nobody with this label or identifier is registered at this site in this dataset.", "Register them first.")
    return found


def waits(asker: User | None, uploads: Iterable[Upload]) -> dict[Any, list[dict[str, Any]]]:
    """Per upload what its studies wait for: code, reason, advice, and how many."""
    rows = queries.studies(asker).filter(upload__in=[one.pk for one in uploads], state=Study.State.WAITING)
    told: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.order_by().values("upload_id", "code", "reason", "advice").annotate(count=Count("pk", distinct=True)):
        told[row["upload_id"]].append(row)
    return {key: sorted(found, key=lambda row: (-row["count"], row["code"])) for key, found in told.items()}


def verdicts(asker: User | None, upload: Upload) -> list[dict[str, Any]]:
    """How many files of an upload were not taken, or wait, for which reason and with which advice; the most first."""
    rows = queries.files(asker).filter(upload=upload).exclude(verdict__in=["kept", "pending"])
    return list(rows.order_by().values("verdict", "code", "reason", "advice").annotate(count=Count("pk")).order_by("-count", "code"))


RECEIPT = ("number", "n", "bytes", "sha256", "verdict", "code", "reason", "advice", "product")


def receipt(asker: User | None, upload: Upload) -> Iterator[dict[str, Any]]:
    """Every file of an upload once, with what became of it, one at a time: of a hundred thousand none is held for long. Then what never became files."""
    yield from queries.files(asker).filter(upload=upload).order_by("n", "number").values(*RECEIPT).iterator(2000)
    for piece in queries.pieces(asker).filter(upload=upload).exclude(state="done").order_by("number"):
        told = {"number": piece.number, "count": piece.count, "bytes": piece.length, "code": piece.code, "reason": piece.reason, "advice": piece.advice}
        yield {**dict.fromkeys(RECEIPT, ""), "n": None, "verdict": "missing", **told}


def images_of(asker: User | None, studies: Iterable[Study]) -> dict[Any, list[Image]]:
    """Per study the images made of it that the asker may see."""
    found: dict[Any, list[Image]] = defaultdict(list)
    for image in imaging.images(asker).filter(study_id__in=[one.pk for one in studies]).select_related("visit").order_by("bids_path"):
        found[image.study_id].append(image)
    return dict(found)


def standing_of(asker: User, one: Participant) -> dict[str, Any]:
    """What a site sees of one of its people: consent with its history, visits, images by state, studies that wait. Raises Denied."""
    policy.require(asker, "know", one)
    images = policy.limit(asker, "know", Image.objects.filter(visit__participant=one), participant="visit__participant").select_related("visit")
    studies = queries.studies(asker).filter(participant=one).select_related("visit").order_by("-created_at")
    return {
        "consent": consent.current(one),
        "events": list(consent.events(one).select_related("template").order_by("-number")),
        "visits": list(policy.limit(asker, "see", Visit.objects.filter(participant=one), participant="participant").order_by("day", "label")),
        "images": list(images.order_by("visit__day", "bids_path")),
        "studies": list(studies),
    }
