"""What happened to one image: decisions, corrections of its protocol, recalls, the releases it is in, and the log where one may read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from registry.access import policy
from registry.accounts.models import User
from registry.audit import queries as audit
from registry.imaging.models import Decision, Image
from registry.intake import queries as work
from registry.intake.models import Correction
from registry.releases import queries as releases
from registry.releases.models import Release, ReleaseFile, Removal

MOST = 50


@dataclass(frozen=True)
class History:
    """What the asker may read of an image's past. Decisions, corrections and recalls are for those who work with its participant."""

    decisions: list[Decision] = field(default_factory=list)
    corrections: list[Correction] = field(default_factory=list)
    recalls: list[Removal] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    lines: list[Any] = field(default_factory=list)


def of(asker: User, image: Image) -> History:
    """The history of an image that the asker may see."""
    holding = ReleaseFile.objects.filter(image_id=image.pk, tombstone=False).values("release")
    given = list(releases.releases(asker).filter(pk__in=holding).order_by("number").defer("account", "manifest", "validator")[:MOST])
    person = image.visit.participant
    if not policy.ask(asker, "know", person).permitted:
        return History(releases=given)
    protocol = str((image.provenance.get("contrast") or {}).get("protocol") or "")
    corrections = work.corrections(asker).filter(dataset=person.dataset_id, site=person.site_id, protocol=protocol)
    reads = policy.ask_in(asker, "read_audit", person.dataset_id).permitted
    return History(
        decisions=list(Decision.objects.filter(image=image)),
        corrections=list(corrections) if protocol else [],
        recalls=list(releases.removals(asker, "recall").filter(image_id=image.pk)),
        releases=given,
        lines=list(audit.of_object(f"image:{image.pk}").order_by("-seq")[:MOST]) if reads else [],
    )
