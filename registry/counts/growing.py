"""How a dataset grew, month by month, for those who may know it exactly: its stewards, and a contributor of their own site. For everybody else there is
the field `joined` of the counting function."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models.functions import TruncMonth
from django.utils import timezone

from registry.access import policy
from registry.accounts.models import Dataset, User
from registry.subjects.models import Participant


def by_month(asker: User | None, dataset: Dataset, site: Any = None) -> list[tuple[str, int]]:
    """(month as 2026-11, how many take part who had been registered by its end), from the first month to this one. Raises Denied."""
    if site is None:
        policy.require_in(asker, "decide", dataset)
    else:
        policy.require_in(asker, "see_work", dataset, site)
    rows = Participant.objects.filter(dataset=dataset, state="active", **({"site": site} if site is not None else {}))
    mine = policy.limit(asker, "know", rows, "pk").annotate(month=TruncMonth("created_at")).values_list("month", flat=True)
    came = Counter((month.year, month.month) for month in mine)
    if not came:
        return []
    (year, month), now, so_far, told = min(came), timezone.now(), 0, []
    while (year, month) <= (now.year, now.month):
        so_far += came[year, month]
        told.append((f"{year}-{month:02}", so_far))
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return told
