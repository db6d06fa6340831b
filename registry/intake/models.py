"""An upload is a numbered set of files and their verdicts; a study is a part of it that belongs to one visit, or waits for a person.

No file name is kept here: files have numbers and hashes, and lie under names that the server makes (`registry.intake.quarantine`).
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

HEX64 = r"^([0-9a-f]{64})?$"  # empty: the bytes could not be had (a refused member of an archive)


class Upload(models.Model):
    """One delivery of a site. `wiped_at` says when its originals were destroyed."""

    class State(models.TextChoices):
        RECEIVING = "receiving"
        RECEIVED = "received"
        SORTING = "sorting"
        SORTED = "sorted"
        DONE = "done"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dataset = models.ForeignKey("accounts.Dataset", models.PROTECT, related_name="uploads")
    site = models.ForeignKey("accounts.Site", models.PROTECT, related_name="+")
    contributor = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    state = models.CharField(max_length=10, choices=State, default=State.RECEIVING)
    manifest = models.JSONField(default=dict, help_text="what the sender said it sent: count, bytes")
    run_id = models.UUIDField(null=True)
    code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    completed_at = models.DateTimeField(null=True)
    warned_at = models.DateTimeField(null=True)
    wiped_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["state", "created_at"])]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=["receiving", "received", "sorting", "sorted", "done", "failed"]), name="upload_state_known"),
        ]


class Study(models.Model):
    """The part of an upload that one study is, by the codes the carrier gave; bound to a visit by code and day code, or by hand."""

    class State(models.TextChoices):
        WAITING = "waiting"
        READY = "ready"
        PROCESSING = "processing"
        RECORDED = "recorded"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    upload = models.ForeignKey(Upload, models.CASCADE, related_name="studies")
    study_code = models.CharField(max_length=64)
    participant_code = models.CharField(max_length=26, blank=True)
    day_code = models.CharField(max_length=64, blank=True)
    participant = models.ForeignKey("subjects.Participant", models.PROTECT, null=True, related_name="studies")
    visit = models.ForeignKey("subjects.Visit", models.PROTECT, null=True, related_name="studies")
    bound_by = models.CharField(max_length=150, blank=True, help_text="who bound it by hand; empty: matched by code")
    state = models.CharField(max_length=10, choices=State, default=State.WAITING)
    code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    advice = models.TextField(blank=True)
    run_id = models.UUIDField(null=True)
    wiped_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["state", "code"]), models.Index(fields=["participant_code"])]
        constraints = [
            models.UniqueConstraint(fields=["upload", "study_code"], name="study_once_per_upload"),
            models.CheckConstraint(condition=models.Q(state__in=["waiting", "ready", "processing", "recorded", "refused"]), name="study_state_known"),
            # Nothing is converted for nobody: an order needs a person and a visit.
            models.CheckConstraint(
                condition=~models.Q(state__in=["ready", "processing", "recorded"]) | models.Q(participant__isnull=False, visit__isnull=False),
                name="study_on_its_way_is_bound",
            ),
        ]


class Piece(models.Model):
    """One resumable sending inside an upload: a large file, or a bundle of small ones (docs/reference/upload.md). `number`: that of its first file.

    How much of it is there is not kept here: the length of its file on the disk says it. `again`: it must be sent once more; `ended`: it never will be.
    """

    class Kind(models.TextChoices):
        FILE = "file"
        BUNDLE = "bundle"

    class State(models.TextChoices):
        OPEN = "open"
        DONE = "done"
        AGAIN = "again"
        ENDED = "ended"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    upload = models.ForeignKey(Upload, models.CASCADE, related_name="pieces")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=6, choices=Kind)
    count = models.PositiveSmallIntegerField(default=1)
    length = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64, blank=True, help_text="of the whole piece, as its sender says it; empty: not said yet")
    place = models.CharField(max_length=255, blank=True, help_text="where a file will lie; empty for a bundle")
    annotation = models.CharField(max_length=20, blank=True)
    said = models.JSONField(default=dict)
    state = models.CharField(max_length=5, choices=State, default=State.OPEN)
    code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    advice = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["upload", "number"], name="piece_number_once"),
            models.CheckConstraint(condition=models.Q(kind__in=["file", "bundle"]), name="piece_kind_known"),
            models.CheckConstraint(condition=models.Q(state__in=["open", "done", "again", "ended"]), name="piece_state_known"),
            models.CheckConstraint(condition=models.Q(sha256__regex=HEX64), name="piece_sha256"),
        ]


class UploadFile(models.Model):
    """One file: `number` is the sender's (null for a member of an archive), `n` the carrier's (null before it looked)."""

    class Verdict(models.TextChoices):
        PENDING = "pending"
        KEPT = "kept"
        REFUSED = "refused"
        WAITING = "waiting"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    upload = models.ForeignKey(Upload, models.CASCADE, related_name="files")
    study = models.ForeignKey(Study, models.SET_NULL, null=True, related_name="files")
    piece = models.ForeignKey(Piece, models.SET_NULL, null=True, related_name="files")
    number = models.PositiveIntegerField(null=True)
    n = models.PositiveIntegerField(null=True)
    place = models.CharField(max_length=255, blank=True, help_text="server-made path under the upload's folder; empty for a member of an archive")
    annotation = models.CharField(max_length=20, blank=True, help_text="what a mask shows, a word of bidstree.masks.LABELS: its file name is never sent")
    said = models.JSONField(
        default=dict, help_text="what else the sender says of a NIfTI file, in words of closed lists: contrast, body, visit, beside, rater, labels"
    )
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()
    verdict = models.CharField(max_length=10, choices=Verdict, default=Verdict.PENDING)
    code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    advice = models.TextField(blank=True)
    product = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["upload", "n", "number"]
        constraints = [
            models.UniqueConstraint(fields=["upload", "number"], name="upload_number_once"),
            models.UniqueConstraint(fields=["upload", "n"], name="upload_n_once"),
            models.CheckConstraint(condition=models.Q(verdict__in=["pending", "kept", "refused", "waiting", "failed"]), name="upload_file_verdict_known"),
            models.CheckConstraint(condition=models.Q(sha256__regex=HEX64), name="upload_file_sha256"),
        ]


class Correction(models.Model):
    """What a contributor once decided about a protocol of their site; the next upload is named by it. `protocol` is a keyed hash: no word of the header."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dataset = models.ForeignKey("accounts.Dataset", models.PROTECT, related_name="corrections")
    site = models.ForeignKey("accounts.Site", models.PROTECT, related_name="+")
    protocol = models.CharField(max_length=32)
    correction = models.JSONField(help_text="datatype, suffix, entities, fields, context, or a code that keeps out (bidstree.corrections)")
    by = models.CharField(max_length=150, help_text="who decided, as text: the row outlives the user")
    created_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "site", "protocol"], name="correction_once_per_protocol"),
            models.CheckConstraint(condition=models.Q(protocol__regex=r"^[0-9a-f]{32}$"), name="correction_protocol_is_a_fingerprint"),
        ]
