"""Reads of clinical records, limited to what the asker may see."""

from __future__ import annotations

from django.db.models import Q, QuerySet

from registry.access import policy
from registry.accounts.models import User
from registry.clinical.models import ClinicalRecord, Mapping


def records(asker: User | None) -> QuerySet[ClinicalRecord]:
    """The records that the asker may see."""
    return policy.limit(asker, "see", ClinicalRecord.objects.select_related("visit__participant"), participant="visit__participant")


def mappings(asker: User | None) -> QuerySet[Mapping]:
    """The mappings of the sites for which the asker hands in, and all of a steward's dataset; every number of each name."""
    who = policy.facts_of_asker(asker)
    mine = Q(pk__in=[])
    for role in who.roles:
        if role.kind in ("contributor", "steward") and who.active:
            mine |= Q(dataset_id=role.dataset, site_id=role.site) if role.site else Q(dataset_id=role.dataset)
    return Mapping.objects.filter(mine).select_related("dataset", "site")
