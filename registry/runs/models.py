"""Runs with owner and heartbeat, leases, and mail waiting to be sent."""

from __future__ import annotations

import uuid

from django.db import models

from registry.facts import Fact


class State(models.TextChoices):
    READY = "ready", "waits for a runner"
    RUNNING = "running", "a runner has it"
    DONE = "done", "its outcome is recorded"
    DEAD = "dead", "given up, with the reason"


class Run(Fact):
    """One piece of work. `kind` names an entry of `settings.MYELIN_RUN_KINDS`; `subject_id` is the upload or the study it works on.

    The truth about work lives here and nowhere else: a queue's message only says "look at the ledger".
    """

    kind = models.CharField(max_length=20)
    dataset_id = models.UUIDField(null=True, blank=True, db_index=True)
    subject_id = models.UUIDField(db_index=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.READY)
    attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    owner = models.CharField(max_length=120, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    woken_at = models.DateTimeField(null=True, blank=True)
    not_before = models.DateTimeField(null=True, blank=True)
    queue = models.CharField(max_length=20, default="default")
    priority = models.SmallIntegerField(default=0)
    code = models.CharField(max_length=60, blank=True)
    reason = models.TextField(blank=True)
    result = models.JSONField(default=dict, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        indexes = [
            models.Index(fields=["queue", "priority", "created_at"], condition=models.Q(state="ready"), name="runs_ready"),
            models.Index(fields=["heartbeat_at"], condition=models.Q(state="running"), name="runs_running"),
        ]
        constraints = [
            # One living run per piece of work: two clicks make one run.
            models.UniqueConstraint(fields=["kind", "subject_id"], condition=models.Q(state__in=["ready", "running"]), name="one_living_run_per_subject"),
            models.CheckConstraint(
                condition=models.Q(state="running", heartbeat_at__isnull=False) & ~models.Q(owner="") | ~models.Q(state="running"),
                name="a_running_run_has_an_owner",
            ),
            models.CheckConstraint(condition=~models.Q(state="dead") | ~models.Q(code=""), name="a_dead_run_says_why"),
            models.CheckConstraint(condition=models.Q(state__in=State.values), name="run_state_known"),
            models.CheckConstraint(
                condition=models.Q(state__in=["done", "dead"], finished_at__isnull=False) | models.Q(state__in=["ready", "running"], finished_at__isnull=True),
                name="a_finished_run_has_a_time",
            ),
        ]

    @property
    def name(self) -> str:
        """The run's name in orders and in the spool."""
        return self.id.hex


class Lease(models.Model):
    """Who may do a thing alone, and until when."""

    name = models.CharField(max_length=60, primary_key=True)
    owner = models.CharField(max_length=120, blank=True)
    until = models.DateTimeField()
    ran_at = models.DateTimeField(null=True, blank=True)


class Mail(Fact):
    """A mail to be sent. It holds a sentence and a link, never data: `registry.runs.mail.LETTERS` are the only texts."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    to = models.EmailField()
    subject = models.CharField(max_length=200)
    body = models.TextField()
    state = models.CharField(max_length=8, choices=[("queued", "waits"), ("sent", "handed over"), ("dead", "given up")], default="queued")
    tries = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=60, blank=True)

    class Meta:
        indexes = [models.Index(fields=["next_try_at"], condition=models.Q(state="queued"), name="mail_due")]
        constraints = [models.CheckConstraint(condition=~models.Q(state="dead") | ~models.Q(error_code=""), name="a_dead_mail_says_why")]
