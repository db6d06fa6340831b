"""An image is one acquisition at one visit: its files by hash, what was done to it, its grade, and the decision of a steward.

Every row is proposed by a run, decided by a person, and never changed back; until then a steward may give it back to its site with a question.
Bytes lie in `store/DATASET/PARTICIPANT-KEY/SHA256`; a row names them.
"""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models

HEX64 = r"^[0-9a-f]{64}$"
FACELESS = ("defaced", "no_face", "exempt")  # verdicts of `deid.faces` that say by themselves that no face is left
ORBIT = "orbit_restricted"  # made of the orbits, which defacing would destroy: accepted by two people, and given out in restricted views only
WAITS = ("proposed", "returned")  # states in which an image is not decided: its originals and renderings are kept
LIVING = (*WAITS, "accepted")  # states in which it has its name to itself
VERDICTS = ["returned", "answered", "accepted", "refused", "withdrawn"]  # of a decision
# Which scanner made it, in closed words: the maker by the first word that scanners write of it, and the strength of the field. What is not said is empty.
MAKERS = ("siemens", "philips", "ge", "canon", "fujifilm", "united_imaging", "other")
WRITTEN = {"toshiba": "canon", "hitachi": "fujifilm", "uih": "united_imaging", "united": "united_imaging"}
TESLAS = ("1.5T", "3T", "7T", "other")
DOUBTED = "review"  # the face was taken, and a person has to look before it is believed


class Image(models.Model):
    """One image with its provenance. `study_id` and `run_id` point to rooms above and below by id alone."""

    class State(models.TextChoices):
        PROPOSED = "proposed"
        RETURNED = "returned"
        ACCEPTED = "accepted"
        REFUSED = "refused"
        WITHDRAWN = "withdrawn"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    visit = models.ForeignKey("subjects.Visit", models.PROTECT, related_name="images")
    study_id = models.UUIDField(db_index=True)
    run_id = models.UUIDField()
    bids_path = models.CharField(max_length=255)
    suffix = models.CharField(max_length=40)
    datatype = models.CharField(max_length=40)
    entities = models.JSONField(default=dict)
    grade = models.CharField(max_length=10)
    deface_verdict = models.CharField(max_length=20)
    conversion_verdict = models.CharField(max_length=20)
    provenance = models.JSONField(default=dict)
    maker = models.CharField(max_length=20, blank=True, help_text="of the scanner, a word of MAKERS; empty: not known")
    tesla = models.CharField(max_length=8, blank=True, help_text="strength of its field, a word of TESLAS; empty: not known")
    review = models.PositiveIntegerField(default=0, help_text="renderings with a face in the review zone")
    state = models.CharField(max_length=10, choices=State, default=State.PROPOSED)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["state", "visit"]),
            models.Index(fields=["state", "created_at"], name="image_queue"),
            models.Index(fields=["-created_at", "-id"], name="image_newest"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=["proposed", "returned", "accepted", "refused", "withdrawn"]), name="image_state_known"),
            models.CheckConstraint(condition=models.Q(grade__in=["pass", "review", "fail"]), name="image_grade_known"),
            # A head that nobody proved clean can never be accepted, whatever code tries it; one in doubt, or of the orbits, only with what the steward says.
            models.CheckConstraint(
                condition=~models.Q(state="accepted")
                | models.Q(deface_verdict__in=FACELESS)
                | (models.Q(deface_verdict__in=[DOUBTED, ORBIT]) & ~models.Q(reason="")),
                name="image_accepted_is_defaced",
            ),
            models.CheckConstraint(condition=~models.Q(state="accepted") | models.Q(decided_at__isnull=False), name="image_accepted_was_decided"),
            models.UniqueConstraint(fields=["visit", "bids_path"], condition=models.Q(state__in=LIVING), name="image_path_once_per_visit"),
        ]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """A new row says which scanner made it, as far as its own report of quality does: counting must not read that whole report of every image."""
        if self._state.adding and not self.maker:
            self.maker, self.tesla = scanner(self.provenance)
        super().save(*args, **kwargs)


def scanner(provenance: dict[str, Any]) -> tuple[str, str]:
    """Maker and field strength in closed words, from the key under which quality was judged (contrast, voxel class, field, maker, model)."""
    key = [str(part).casefold() for part in (provenance.get("quality") or {}).get("norm_key") or ()]
    tesla, maker = (*key[2:4], "?", "?")[:2] if len(key) > 3 else ("?", "?")
    maker = WRITTEN.get(maker, maker)
    tesla = tesla.upper()
    return "" if maker == "?" else maker if maker in MAKERS else "other", "" if tesla == "?" else tesla if tesla in TESLAS else "other"


class StoredFile(models.Model):
    """One file of an image: its BIDS path, and the SHA-256 under which the store has it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    image = models.ForeignKey(Image, models.CASCADE, related_name="files")
    path = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=20)

    class Meta:
        ordering = ["path"]
        constraints = [
            models.UniqueConstraint(fields=["image", "path"], name="stored_file_once"),
            models.CheckConstraint(condition=models.Q(sha256__regex=HEX64), name="stored_file_sha256"),
            models.CheckConstraint(condition=~models.Q(path__startswith="/") & ~models.Q(path__contains=".."), name="stored_file_path_inside"),
        ]


class Decision(models.Model):
    """One act on an image, kept for good: who decided what, and why. The name is text, so that the row outlives the user."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    image = models.ForeignKey(Image, models.CASCADE, related_name="decisions")
    verdict = models.CharField(max_length=10)
    by = models.CharField(max_length=150)
    reason = models.TextField(blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["at"]
        constraints = [models.CheckConstraint(condition=models.Q(verdict__in=VERDICTS), name="decision_verdict_known")]
