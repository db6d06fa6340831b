"""The chain of lines and its head. Triggers of both databases refuse to change or remove a line (migration 0001)."""

from __future__ import annotations

from django.db import models


class Line(models.Model):
    """One act. `actor` and `object` are text, so that a line outlives whom and what it names; `mac` seals it to the line before."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.CharField(max_length=32)  # ISO 8601, UTC, microseconds: the very characters that were sealed
    actor = models.CharField(max_length=320)
    act = models.CharField(max_length=80)
    object = models.CharField(max_length=200)
    dataset = models.CharField(max_length=40, blank=True)
    detail = models.JSONField(default=dict)
    prev = models.CharField(max_length=64)
    mac = models.CharField(max_length=64)

    class Meta:
        ordering = ["seq"]
        indexes = [models.Index(fields=["object"], name="audit_by_object"), models.Index(fields=["dataset", "seq"], name="audit_by_dataset")]


class Head(models.Model):
    """How long the chain is and how it ends: one row, locked by whoever writes the next line. `mac` seals count and last line together."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    count = models.BigIntegerField()
    last = models.CharField(max_length=64)
    mac = models.CharField(max_length=64)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_head")]
