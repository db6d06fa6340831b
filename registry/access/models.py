"""Requests, what was asked and answered per participant, signatures and entitlements."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry.accounts.models import COUNTRY, Agreement, Dataset
from registry.consent.models import ConsentFact
from registry.facts import Fact
from registry.subjects.models import Participant


class RequestState(models.TextChoices):
    DRAFT = "draft", "being written"
    SUBMITTED = "submitted", "waits for a steward"
    APPROVED = "approved", "granted to those who sign"
    REJECTED = "rejected", "refused"
    CLOSED = "closed", "over"


class Request(Fact):
    """A researcher asks a dataset for participants, for one purpose. `purpose` is a DUO permission shorthand or NMDS's counterpart METHODS.

    What it is for is said by flags of their own, as `rules.Purpose` has them. `recipient_key` is the age public key to which packages are encrypted.
    """

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="requests")
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="requests")
    title = models.CharField(max_length=200)
    abstract = models.TextField()
    purpose = models.CharField(max_length=8)
    diseases = models.JSONField(default=list, blank=True)
    commercial = models.BooleanField(default=False)
    non_profit = models.BooleanField(default=True)
    ai_training = models.BooleanField(default=False)
    methods = models.BooleanField(default=False)
    genetic = models.BooleanField(default=False)
    clinical_care = models.BooleanField(default=False)
    public_crowd = models.BooleanField(default=False)
    genetic_linkage = models.BooleanField(default=False)
    recontact = models.BooleanField(default=False)
    face_intact = models.BooleanField(default=False)
    country = models.CharField(max_length=2, validators=[COUNTRY])
    team_countries = models.JSONField(default=list, blank=True)  # of every other member of the team
    months = models.PositiveSmallIntegerField(default=12)
    promises = models.JSONField(default=list, blank=True)
    recipient_key = models.CharField(max_length=120, blank=True)
    state = models.CharField(max_length=10, choices=RequestState.choices, default=RequestState.DRAFT)
    submitted_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=RequestState.values), name="request_state_known"),
            models.CheckConstraint(condition=models.Q(months__range=(1, 60)), name="request_1_to_60_months"),
            models.CheckConstraint(
                condition=~models.Q(state__in=["approved", "rejected"]) | models.Q(decided_by__isnull=False, decided_at__isnull=False),
                name="a_decision_has_a_decider",
            ),
            # Nobody decides on their own request.
            models.CheckConstraint(condition=models.Q(decided_by__isnull=True) | ~models.Q(decided_by=models.F("requester")), name="no_self_approval"),
        ]


class RequestedParticipant(Fact):
    """One participant of a request, frozen when it was submitted: the rule's answer then, and what the steward made of it.

    `verdict` is the rule's at submission; `allowed` is the steward's decision; `settled` names the consent facts for which a question that the rule
    left to a human was answered: another consent asks anew.
    """

    request = models.ForeignKey(Request, models.CASCADE, related_name="requested")
    participant = models.ForeignKey(Participant, models.PROTECT, related_name="requested")
    verdict = models.CharField(max_length=6, blank=True)
    reasons = models.JSONField(default=list, blank=True)
    obligations = models.JSONField(default=list, blank=True)
    allowed = models.BooleanField(default=False)
    settled = models.ForeignKey(ConsentFact, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "participant"], name="each_asked_once")]


class Signature(Fact):
    """One person's signature under one version of the agreement, for one request."""

    request = models.ForeignKey(Request, models.PROTECT, related_name="signatures")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="signatures")
    agreement = models.ForeignKey(Agreement, models.PROTECT, related_name="signatures")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "user", "agreement"], name="signed_once")]

    @property
    def agreement_version(self) -> int:
        return self.agreement.version


class Entitlement(Fact):
    """The right of one person to what one request was granted, from `starts` until `ends`, unless revoked."""

    request = models.ForeignKey(Request, models.PROTECT, related_name="entitlements")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="entitlements")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="entitlements")
    starts = models.DateTimeField()
    ends = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_why = models.CharField(max_length=200, blank=True)
    reminded_days = models.PositiveSmallIntegerField(default=365)  # of the reminders at 30, 14 and 7 days, the last that was sent

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "user"], condition=models.Q(revoked_at__isnull=True), name="one_living_entitlement"),
            models.CheckConstraint(condition=models.Q(ends__gt=models.F("starts")), name="entitlement_has_a_length"),
        ]

    @property
    def alive(self) -> bool:
        return self.revoked_at is None and self.starts <= timezone.now() < self.ends


class DangerousAct(Fact):
    """What two people agree on before it is done (`registry.access.pairs`): the act, the one thing it is done to, why, who said so, and when it was used."""

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="dangerous_acts")
    act = models.CharField(max_length=20)
    object = models.CharField(max_length=200)
    detail = models.JSONField(default=dict, blank=True)
    reason = models.TextField()
    proposed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    proposed_at = models.DateTimeField(auto_now_add=True)
    seconded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    seconded_at = models.DateTimeField(null=True, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(seconded_by__isnull=True) | ~models.Q(seconded_by=models.F("proposed_by")), name="two_are_two_people"),
            models.CheckConstraint(
                condition=models.Q(seconded_by__isnull=True, seconded_at__isnull=True) | models.Q(seconded_by__isnull=False, seconded_at__isnull=False),
                name="seconded_by_somebody_at_some_time",
            ),
            models.CheckConstraint(condition=models.Q(used_at__isnull=True) | models.Q(seconded_at__isnull=False), name="used_once_two_agreed"),
        ]
