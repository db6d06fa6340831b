"""Consent events, append-only; and a projection of what holds now, one row of distinct facts shared by all whose consent is the same."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.facts import Fact
from registry.subjects.models import Participant


class Event(models.TextChoices):
    GIVEN = "given", "consent given"
    RENEWED = "renewed", "given again, replacing what was"
    NARROWED = "narrowed", "replaced by less"
    WITHDRAWN = "withdrawn", "taken back"
    EXPIRED = "expired", "ended by time"


class ConsentEvent(Fact):
    """One thing that happened to a participant's consent. Events that grant state the whole of what holds from then on; triggers forbid change.

    `modifiers` are DUO shorthands (`registry/consent/duo.json`), `diseases` ids for the permission DS, `countries` ISO codes for GS (empty: anywhere).
    """

    participant = models.ForeignKey(Participant, models.PROTECT, related_name="consent_events")
    number = models.PositiveIntegerField()  # 1, 2, 3 … of this participant: the order that counts
    kind = models.CharField(max_length=10, choices=Event.choices)
    permission = models.CharField(max_length=4, blank=True)
    modifiers = models.JSONField(default=list, blank=True)
    diseases = models.JSONField(default=list, blank=True)
    countries = models.JSONField(default=list, blank=True)
    commercial = models.BooleanField(default=False)
    ai_training = models.BooleanField(default=False)
    publish_after = models.DateField(null=True, blank=True)
    max_months = models.PositiveSmallIntegerField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True)
    evidence_sha256 = models.CharField(max_length=64, blank=True)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["participant", "number"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "number"], name="consent_events_in_order"),
            models.CheckConstraint(condition=models.Q(kind__in=Event.values), name="consent_kind_known"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["withdrawn", "expired"]) | models.Q(permission__in=["NRES", "GRU", "HMB", "DS", "POA"]),
                name="granting_consent_has_a_permission",
            ),
            models.CheckConstraint(condition=~models.Q(kind__in=["given", "renewed", "narrowed"]) | ~models.Q(evidence_sha256=""), name="consent_has_evidence"),
        ]


class ConsentFact(Fact):
    """One distinct set of consent facts (`rules.ConsentFacts` without its end). The rule is asked once per row, however many people share it."""

    digest = models.CharField(max_length=64, unique=True)
    facts = models.JSONField()


class Standing(models.Model):
    """What holds for a participant now, projected from their events by the act that records one (`manage.py consent rebuild` does it afresh).

    No row, or no facts: no consent. The end is compared in SQL when asked, so no nightly job stands between expiry and denial.
    """

    participant = models.OneToOneField(Participant, models.CASCADE, primary_key=True, related_name="standing")
    facts = models.ForeignKey(ConsentFact, models.PROTECT, null=True, blank=True, related_name="standings")
    valid_until = models.DateField(null=True, blank=True)
    events = models.PositiveIntegerField(default=0)
