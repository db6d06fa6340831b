"""A release is a frozen list of files and hashes; a package is one recipient's part of it; a removal ends both for one person, or for one image.

Tables that hold several people (participants.tsv, phenotype) are made from each participant's own facts, a small JSON in that participant's
folder of the store. So a release is rebuilt byte for byte from its rows, and when somebody leaves, everything of theirs lies in one folder.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models

HEX64 = r"^[0-9a-f]{64}$"


class Release(models.Model):
    """Release `number` of a dataset. Frozen: files and hashes never change, but for tombstones; until the validator has answered, its validation is pending.

    `narrows`: the validated release of which it only takes people away. `account`: what stands behind it (`registry.releases.accounting`), with its hash.
    """

    class State(models.TextChoices):
        FREEZING = "freezing"
        FROZEN = "frozen"
        VALIDATED = "validated"
        INVALID = "invalid"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    dataset = models.ForeignKey("accounts.Dataset", models.PROTECT, related_name="releases")
    number = models.PositiveIntegerField()
    version = models.CharField(max_length=20, blank=True, help_text="semantic; known when it is put together")
    part = models.CharField(max_length=5, blank=True, help_text="the part of the version that the steward wants moved at least: patch, minor, major")
    state = models.CharField(max_length=10, choices=State, default=State.FREEZING)
    changes = models.TextField(blank=True)
    manifest = models.JSONField(default=dict, help_text="what the dataset's own files are made from: name, licence, versions, counts")
    validator = models.JSONField(default=dict)
    narrows = models.ForeignKey("self", models.PROTECT, null=True, related_name="+")
    account = models.JSONField(default=dict)
    account_sha256 = models.CharField(max_length=64, blank=True, help_text="of the canonical JSON of the account")
    sha256 = models.CharField(max_length=64, blank=True, help_text="of the canonical list of paths, hashes and sizes")
    run_id = models.UUIDField(null=True)
    created_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["dataset", "number"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="release_number_once"),
            models.UniqueConstraint(fields=["dataset"], condition=models.Q(state="freezing"), name="release_one_at_a_time"),
            models.UniqueConstraint(fields=["dataset", "version"], condition=~models.Q(version=""), name="release_version_once"),
            models.CheckConstraint(condition=models.Q(state__in=["freezing", "frozen", "validated", "invalid", "failed"]), name="release_state_known"),
            models.CheckConstraint(
                condition=~models.Q(state__in=["frozen", "validated", "invalid"]) | models.Q(sha256__regex=HEX64), name="release_frozen_is_hashed"
            ),
        ]


class ReleaseParticipant(models.Model):
    """One person in one release: the label it used, and the hash of their facts. A tombstone keeps the row; the bytes are gone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    release = models.ForeignKey(Release, models.CASCADE, related_name="people")
    participant = models.ForeignKey("subjects.Participant", models.PROTECT, related_name="+")
    label = models.CharField(max_length=40)
    facts_sha256 = models.CharField(max_length=64)
    facts_bytes = models.PositiveIntegerField()
    epoch = models.PositiveIntegerField(help_text="of the participant when the release was put together")
    tombstone = models.BooleanField(default=False)

    class Meta:
        ordering = ["label"]
        constraints = [models.UniqueConstraint(fields=["release", "participant"], name="release_participant_once")]


class ReleaseFile(models.Model):
    """One file of a release. Without a participant it is a table or description of the whole, made from facts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    release = models.ForeignKey(Release, models.CASCADE, related_name="files")
    participant = models.ForeignKey("subjects.Participant", models.PROTECT, null=True, related_name="+")
    image_id = models.UUIDField(null=True)
    path = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveBigIntegerField()
    tombstone = models.BooleanField(default=False)

    class Meta:
        ordering = ["path"]
        indexes = [models.Index(fields=["release", "participant"])]
        constraints = [
            models.UniqueConstraint(fields=["release", "path"], name="release_file_once"),
            models.CheckConstraint(condition=models.Q(sha256__regex=HEX64), name="release_file_sha256"),
            models.CheckConstraint(condition=~models.Q(path__startswith="/") & ~models.Q(path__contains=".."), name="release_file_path_inside"),
        ]


class Package(models.Model):
    """One recipient's part of a release: an age file in the outbox, for one key. Dead is for good."""

    class State(models.TextChoices):
        BUILDING = "building"
        READY = "ready"
        DEAD = "dead"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    entitlement = models.ForeignKey("access.Entitlement", models.PROTECT, related_name="packages")
    release = models.ForeignKey(Release, models.PROTECT, related_name="packages")
    recipient_key = models.CharField(max_length=120)
    state = models.CharField(max_length=10, choices=State, default=State.BUILDING)
    code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    bytes = models.PositiveBigIntegerField(default=0)
    manifest = models.JSONField(default=dict)
    signature = models.CharField(max_length=120, blank=True)
    run_id = models.UUIDField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    downloaded_at = models.DateTimeField(null=True, help_text="when a byte of it was first given out")

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=["building", "ready", "dead", "failed"]), name="package_state_known"),
            models.CheckConstraint(condition=~models.Q(state="ready") | models.Q(sha256__regex=HEX64), name="package_ready_is_hashed"),
        ]


class PackageParticipant(models.Model):
    """One person in one package, with the epoch of their consent when it was packed: a later epoch stops the download."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    package = models.ForeignKey(Package, models.CASCADE, related_name="people")
    participant = models.ForeignKey("subjects.Participant", models.PROTECT, related_name="+")
    label = models.CharField(max_length=40)
    epoch = models.PositiveIntegerField()
    consent_ends = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["package", "participant"], name="package_participant_once")]


class Removal(models.Model):
    """One departure (`withdrawal`) or one image or file called back (`recall`), carried through step by step; the certificate is what the site gets.

    `sealed` is for the site alone: which other datasets the person left, under the vault's key (`subjects.vault.shut`); it is as long for one as for ten.
    """

    class Kind(models.TextChoices):
        WITHDRAWAL = "withdrawal", "a person has left"
        RECALL = "recall", "an image or file turned out wrong"

    class Cause(models.TextChoices):
        FACE = "face", "a face can be seen"
        TEXT = "text", "it holds text that names somebody"
        MASK = "mask", "the mask is wrong"
        QUALITY = "quality", "it is too bad to be used"
        WRONG_PERSON = "wrong_person", "it is of another person or visit"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=Kind, default=Kind.WITHDRAWAL)
    participant = models.ForeignKey("subjects.Participant", models.PROTECT, related_name="removals")
    label = models.CharField(max_length=40)
    image_id = models.UUIDField(null=True, help_text="of a recall: the image")
    files = models.JSONField(default=list, help_text="of a recall: path and hash of what is called back")
    cause = models.CharField(max_length=12, choices=Cause, blank=True)
    reason = models.TextField(blank=True)
    sealed = models.TextField(blank=True)
    state = models.CharField(max_length=10, default="running")
    steps = models.JSONField(default=dict)
    certificate = models.JSONField(null=True)
    requested_by = models.CharField(max_length=150)
    run_id = models.UUIDField(null=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["participant"], condition=models.Q(kind="withdrawal"), name="one_withdrawal_per_participant"),
            models.CheckConstraint(
                condition=models.Q(kind="withdrawal", cause="") | models.Q(kind="recall", image_id__isnull=False), name="removal_kind_known"
            ),
            models.CheckConstraint(condition=models.Q(state__in=["running", "done"]), name="removal_state_known"),
            models.CheckConstraint(condition=~models.Q(state="done") | models.Q(certificate__isnull=False), name="removal_done_is_certified"),
        ]


class Notice(models.Model):
    """What a past recipient is told: whose files to delete, by path and hash; and what they attest: who, when, and in which words.

    `reminded_days`: the last reminder sent, in days after the notice; `suspended_at`: when the access was stopped because nothing was attested.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="notices")
    removal = models.ForeignKey(Removal, models.CASCADE, related_name="notices")
    package = models.ForeignKey(Package, models.PROTECT, related_name="notices")
    label = models.CharField(max_length=40)
    text = models.TextField()
    files = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=320, blank=True, help_text="who attested, as text that outlives the account")
    statement = models.TextField(blank=True, help_text="what was attested, in the recipient's words")
    reminded_days = models.PositiveSmallIntegerField(default=0)
    suspended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["user", "removal", "package"], name="notice_once_per_package")]
