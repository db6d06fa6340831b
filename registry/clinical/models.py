"""A clinical record is one instrument at one visit, its values checked by the dictionary before they reach the database."""

from __future__ import annotations

import uuid

from django.db import models

from registry.clinical import dictionary


class ClinicalRecord(models.Model):
    """Values of one instrument. An instrument that repeats (a treatment, a relapse) counts its records by `number` from 1."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visit = models.ForeignKey("subjects.Visit", models.PROTECT, related_name="clinical_records")
    instrument = models.CharField(max_length=40)
    number = models.PositiveIntegerField(default=1)
    dictionary = models.CharField(max_length=40)
    values = models.JSONField()
    recorded_by = models.CharField(max_length=150)
    recorded_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["visit", "instrument", "number"]
        constraints = [models.UniqueConstraint(fields=["visit", "instrument", "number"], name="clinical_record_once")]

    def save(self, *args: object, **kwargs: object) -> None:
        """The write door: values that the dictionary refuses never reach the database, whoever calls. Raises ValueError without naming a value."""
        found = dictionary.faults(self.instrument, self.values)
        if found:
            raise ValueError(f"{found[0].field} {found[0].reason}")
        super().save(*args, **kwargs)  # type: ignore[arg-type]
