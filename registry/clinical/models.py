"""A clinical record is one instrument at one visit, checked by the dictionary before it reaches the database. A mapping says how a site's tables read."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.core.validators import RegexValidator
from django.db import models

from registry.accounts.models import Dataset, Site
from registry.clinical import dictionary
from registry.facts import Fact


class Checked(models.QuerySet["ClinicalRecord"]):
    """The same write door for many rows at once: nothing goes round the dictionary."""

    def bulk_create(self, objs: Iterable[ClinicalRecord], *args: Any, **kwargs: Any) -> list[ClinicalRecord]:
        """As Django's. Raises ValueError for the first record that the dictionary refuses."""
        rows = list(objs)
        for row in rows:
            row.require()
        return super().bulk_create(rows, *args, **kwargs)

    def bulk_update(self, objs: Iterable[ClinicalRecord], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        """As Django's. Raises ValueError as `bulk_create`."""
        rows = list(objs)
        for row in rows:
            row.require()
        return super().bulk_update(rows, fields, *args, **kwargs)

    def update(self, **kwargs: Any) -> int:
        """As Django's, but values are written through `save` alone. Raises ValueError."""
        if {"values", "instrument"} & set(kwargs):
            raise ValueError("values of clinical records are written one by one")
        return super().update(**kwargs)


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

    objects = Checked.as_manager()

    class Meta:
        ordering = ["visit", "instrument", "number"]
        constraints = [models.UniqueConstraint(fields=["visit", "instrument", "number"], name="clinical_record_once")]

    def require(self) -> None:
        """Raises ValueError, naming the field and no value, when the dictionary refuses this record."""
        found = dictionary.faults(self.instrument, self.values)
        if found:
            raise ValueError(f"{found[0].field} {found[0].reason}")

    def save(self, *args: object, **kwargs: object) -> None:
        """The write door: values that the dictionary refuses never reach the database, whoever calls. Raises ValueError as `require`."""
        self.require()
        super().save(*args, **kwargs)  # type: ignore[arg-type]


class Mapping(Fact):
    """How one site's tables read in one dataset (`registry.clinical.mapping`). Saved again under its name it becomes the next number; the last one holds."""

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="mappings")
    site = models.ForeignKey(Site, models.PROTECT, related_name="mappings")
    name = models.CharField(max_length=40, validators=[RegexValidator(r"^[a-z0-9][a-z0-9_-]*$", "Small letters, digits, - and _.")])
    number = models.PositiveIntegerField(default=1)
    spec = models.JSONField()
    saved_by = models.CharField(max_length=150)

    class Meta:
        ordering = ["name", "-number"]
        constraints = [models.UniqueConstraint(fields=["dataset", "site", "name", "number"], name="mapping_number_once")]

    def __str__(self) -> str:
        return f"{self.name}.{self.number}"
