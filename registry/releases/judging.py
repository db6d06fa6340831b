"""What a request would give if it were granted as the rule says: how many people, of which sites, and which images; for those who decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count

from registry.access import groups, policy
from registry.access.models import Request
from registry.imaging.models import ORBIT, Image
from registry.subjects.models import Participant


@dataclass(frozen=True)
class Subset:
    """`people`: whom the rule permits; `open`: whom it leaves to a person; `images`: (contrast, images, people); `sites`: (name, people)."""

    people: int
    open: int
    denied: int
    images: tuple[tuple[str, int, int], ...]
    sites: tuple[tuple[str, int], ...]


def subset(asker: Any, request: Request, found: Sequence[groups.Group]) -> Subset | None:
    """Of the groups that the asker was given; None for who may not judge."""
    if not groups.may_judge(asker, request):
        return None
    sums = {verdict: sum(group.people for group in found if group.verdict == verdict) for verdict in ("permit", "ask", "deny")}
    permitted = groups.rows_in(request, [group.key for group in found if group.verdict == "permit"])
    people = Participant.objects.filter(pk__in=permitted.values("participant"))
    images = Image.objects.filter(state=Image.State.ACCEPTED, visit__participant__in=people.values("pk"))
    if "orbit" not in policy.kinds(request):
        images = images.exclude(deface_verdict=ORBIT)
    by_contrast = images.order_by().values_list("suffix").annotate(n=Count("pk"), who=Count("visit__participant", distinct=True)).order_by("-n", "suffix")
    by_site = people.order_by().values_list("site__name").annotate(n=Count("pk")).order_by("-n", "site__name")
    return Subset(sums["permit"], sums["ask"], sums["deny"], tuple(by_contrast), tuple(by_site))
