"""Requests, what was asked and answered per participant, signatures and entitlements."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from registry import rules
from registry.access import machine
from registry.accounts.models import COUNTRY, SLUG, Agreement, Dataset, Level
from registry.consent.models import ConsentFact
from registry.facts import Fact
from registry.subjects.models import Participant

STATES = sorted(machine.STATES)


class View(Fact):
    """A named set of kinds of file (`registry.access.filekinds`) of a dataset, with a level of its own. It is not changed: another is made beside it."""

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="views")
    name = models.CharField(max_length=40, validators=[SLUG])
    title = models.CharField(max_length=200)
    kinds = models.JSONField(default=list)
    level = models.CharField(max_length=12, choices=Level.choices)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["dataset", "name"], name="one_view_of_a_name"),
            models.CheckConstraint(condition=models.Q(level__in=Level.values), name="view_level_known"),
        ]


class Request(Fact):
    """A researcher asks a dataset for participants, for one purpose. `purpose` is a DUO permission shorthand or NMDS's counterpart METHODS.

    What it is for is said by flags of their own, as `rules.Purpose` has them. `recipient_key` is the age public key to which packages are encrypted.
    Its life is `registry.access.machine`. `view` None: all usual kinds of file. `decided_level` is the level at which it was granted: a stricter one since
    asks for a new request. `cohort`: the question whose people it is for, as `{"where": [conditions], "told": about how many}`; empty: people named one by
    one, or everybody.
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
    view = models.ForeignKey(View, models.PROTECT, null=True, blank=True, related_name="requests")
    decided_level = models.CharField(max_length=12, blank=True)
    state = models.CharField(max_length=30, choices=sorted(machine.STATES.items()), default="draft")
    submitted_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")
    reason = models.TextField(blank=True)
    attestation = models.TextField(blank=True)
    attested_at = models.DateTimeField(null=True, blank=True)
    cohort = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=models.Q(state__in=STATES), name="request_state_known"),
            models.CheckConstraint(condition=models.Q(months__range=(1, 60)), name="request_1_to_60_months"),
            # What was decided has a time and a person, or a level at which the rule alone decides.
            models.CheckConstraint(
                condition=~models.Q(state__in=sorted({*machine.DECIDED, "rejected"}))
                | models.Q(decided_by__isnull=False, decided_at__isnull=False)
                | (models.Q(decided_at__isnull=False, decided_level__in=["open", "registered"]) & ~models.Q(state="rejected")),
                name="a_decision_has_a_decider",
            ),
            models.CheckConstraint(condition=~models.Q(state="closed") | models.Q(attested_at__isnull=False), name="closed_is_attested"),
            # Nobody decides on their own request.
            models.CheckConstraint(condition=models.Q(decided_by__isnull=True) | ~models.Q(decided_by=models.F("requester")), name="no_self_approval"),
        ]

    @property
    def level(self) -> str:
        """The level that holds now: the stricter of the dataset's and, where one is named, the view's."""
        return rules.strictest(self.dataset.purpose_level, *([self.view.level] if self.view is not None else []))


class Member(Fact):
    """Another person of a request's team, the country of their institution, and the key to which their packages are encrypted."""

    request = models.ForeignKey(Request, models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="memberships")
    country = models.CharField(max_length=2, validators=[COUNTRY])
    recipient_key = models.CharField(max_length=120, blank=True)
    dropped_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["request", "user"], condition=models.Q(dropped_at__isnull=True), name="one_living_membership")]


class Naming(Fact):
    """Somebody was named for a team by their address, and is of it once they say so themselves: naming somebody tells nobody whether they have an account."""

    request = models.ForeignKey(Request, models.CASCADE, related_name="namings")
    email = models.EmailField()
    country = models.CharField(max_length=2, validators=[COUNTRY])
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [models.UniqueConstraint(fields=["request", "email"], condition=models.Q(ended_at__isnull=True), name="one_living_naming")]


class Paper(Fact):
    """The document of an ethics board that goes with a request: its bytes lie in the zone `papers` (`registry.access.papers`), here stand hash and length.

    `replaced_at`: another took its place, or it was taken off; its bytes are gone then.
    """

    request = models.ForeignKey(Request, models.CASCADE, related_name="papers")
    sha256 = models.CharField(max_length=64)
    bytes = models.PositiveIntegerField()
    added_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    replaced_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["request"], condition=models.Q(replaced_at__isnull=True), name="one_living_paper"),
            models.CheckConstraint(condition=models.Q(sha256__regex=r"^[0-9a-f]{64}$"), name="paper_sha256"),
        ]


class Vote(Fact):
    """What one person voted on a request as it was handed in; `at` is when they last said so."""

    request = models.ForeignKey(Request, models.CASCADE, related_name="votes")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="votes")
    yes = models.BooleanField()
    reason = models.TextField(blank=True)
    at = models.DateTimeField()

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["request", "user"], name="one_vote_each")]


class Renewal(Fact):
    """A report on what was done with the data, by which more time is asked for, and when it was accepted."""

    request = models.ForeignKey(Request, models.CASCADE, related_name="renewals")
    done = models.TextField()
    publications = models.TextField(blank=True)
    incidents = models.TextField(blank=True)
    months = models.PositiveSmallIntegerField(default=12)
    accepted_at = models.DateTimeField(null=True, blank=True)
    accepted_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["request"], condition=models.Q(accepted_at__isnull=True), name="one_open_report"),
            models.CheckConstraint(condition=models.Q(months__range=(1, 60)), name="renewal_1_to_60_months"),
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
    """The right of one person to what one request was granted, from `starts` until `ends`, unless revoked.

    `resign_by`: when a material new version of the agreement must have been signed (None: it need not).
    """

    request = models.ForeignKey(Request, models.PROTECT, related_name="entitlements")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="entitlements")
    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="entitlements")
    starts = models.DateTimeField()
    ends = models.DateTimeField()
    resign_by = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_why = models.CharField(max_length=200, blank=True)
    reminded_days = models.PositiveSmallIntegerField(default=365)  # of the reminders at 30, 14 and 7 days, the last that was sent

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["request", "user"], condition=models.Q(revoked_at__isnull=True), name="one_living_entitlement"),
            models.CheckConstraint(condition=models.Q(ends__gt=models.F("starts")), name="entitlement_has_a_length"),
        ]

    @property
    def stopped(self) -> tuple[str, str] | None:
        """Why it gives nothing whatever the time, as (code, reason), or None."""
        if self.revoked_at is not None:
            return "entitlement_revoked", "This entitlement was revoked."
        if self.request.state == "suspended":
            return "entitlement_suspended", "This entitlement is suspended until a steward has decided."
        return None if self.request.state in machine.GIVES else ("entitlement_ended", "This entitlement has come to its end, or has not begun.")

    @property
    def last(self) -> datetime:
        """The moment from which it gives nothing: its end, or before that the day by which a new agreement must be signed."""
        return min(self.ends, self.resign_by) if self.resign_by else self.ends

    def over(self, at: datetime) -> tuple[str, str] | None:
        """Why it gives nothing at this moment, as (code, reason), or None."""
        if self.stopped is None and self.resign_by and self.resign_by <= at < self.ends:
            return "agreement_unsigned", "The agreement has a new version, which must be signed first."
        in_time = self.starts <= at < self.ends
        return self.stopped or (None if in_time else ("entitlement_ended", "This entitlement has come to its end, or has not begun."))

    @property
    def alive(self) -> bool:
        return self.over(timezone.now()) is None


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
