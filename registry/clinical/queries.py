"""Reads of clinical records, limited to what the asker may see."""

from __future__ import annotations

from django.db.models import QuerySet

from registry.access import policy
from registry.accounts.models import User
from registry.clinical.models import ClinicalRecord


def records(asker: User | None) -> QuerySet[ClinicalRecord]:
    """The records that the asker may see."""
    return policy.limit(asker, "see", ClinicalRecord.objects.select_related("visit__participant"), participant="visit__participant")
