"""Consent forms and events, both append-only; and a projection of what holds now, one row of distinct facts shared by all whose consent is the same."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from registry.accounts.models import SLUG, Dataset
from registry.facts import Fact
from registry.rules import LEGAL_BASES, PERMISSIONS, TRANSFERS
from registry.subjects.models import Participant

GRANTING = ("given", "renewed", "narrowed")


class Event(models.TextChoices):
    GIVEN = "given", "consent given"
    RENEWED = "renewed", "given again, replacing what was"
    NARROWED = "narrowed", "replaced by less"
    WITHDRAWN = "withdrawn", "taken back"
    EXPIRED = "expired", "ended by time"
    LAPSED = "lapsed_at_majority", "a parent's consent, ended because the participant came of age"


class GivenBy(models.TextChoices):
    SELF = "self", "the participant"
    PARENT = "parent", "a parent, until the participant comes of age"
    REPRESENTATIVE = "representative", "a legal representative"
    BOARD = "board", "an ethics board that waived the consent"


class Assent(models.TextChoices):
    """What a child said. One who says no does not take part: there is no event for it."""

    GIVEN = "given", "the child agrees"
    TOO_YOUNG = "too_young", "the child cannot be asked yet"


class ConsentTemplate(Fact):
    """One version of a consent form in one language, with what signing it means. A new version never changes an old one; triggers forbid change.

    `codes` are the fields of a consent event (`consent.actions.GRANT`) that the form implies; `options` names those that a person chooses on it.
    The same version in another language implies the same.
    """

    dataset = models.ForeignKey(Dataset, models.PROTECT, related_name="consent_templates")
    name = models.CharField(max_length=40, validators=[SLUG])
    version = models.PositiveSmallIntegerField()
    language = models.CharField(max_length=12)  # BCP 47
    title = models.CharField(max_length=200)
    text = models.TextField()
    sha256 = models.CharField(max_length=64)
    codes = models.JSONField(default=dict)
    options = models.JSONField(default=list, blank=True)

    class Meta:
        ordering = ["name", "version", "language"]
        constraints = [models.UniqueConstraint(fields=["dataset", "name", "version", "language"], name="one_form_per_version_and_language")]


class ConsentEvent(Fact):
    """One thing that happened to a participant's consent. Events that grant state the whole of what holds from then on; triggers forbid change.

    `modifiers` are DUO shorthands (`registry/consent/duo.json`), `diseases` ids for the permission DS, `countries` ISO codes for GS (empty: anywhere).
    `legal_basis` and `transfer` are of `registry.uses`. `reconsent_due` is the first day of the month in which a child comes of age: never a birthday.
    `template` is the form that was signed, `evidence_sha256` the hash of the signed paper.
    """

    participant = models.ForeignKey(Participant, models.PROTECT, related_name="consent_events")
    number = models.PositiveIntegerField()  # 1, 2, 3 … of this participant: the order that counts
    kind = models.CharField(max_length=20, choices=Event.choices)
    template = models.ForeignKey(ConsentTemplate, models.PROTECT, null=True, blank=True, related_name="events")
    permission = models.CharField(max_length=4, blank=True)
    modifiers = models.JSONField(default=list, blank=True)
    diseases = models.JSONField(default=list, blank=True)
    countries = models.JSONField(default=list, blank=True)
    legal_basis = models.CharField(max_length=10, blank=True)
    transfer = models.CharField(max_length=10, blank=True)
    commercial = models.BooleanField(default=False)
    ai_training = models.BooleanField(default=False)
    public_crowd = models.BooleanField(default=False)
    genetic_linkage = models.BooleanField(default=False)
    recontact = models.BooleanField(default=False)
    face_intact = models.BooleanField(default=False)
    publish_after = models.DateField(null=True, blank=True)
    max_months = models.PositiveSmallIntegerField(null=True, blank=True)
    valid_until = models.DateField(null=True, blank=True)
    given_by = models.CharField(max_length=14, blank=True, choices=GivenBy.choices)
    assent = models.CharField(max_length=9, blank=True, choices=Assent.choices)
    reconsent_due = models.DateField(null=True, blank=True)
    evidence_sha256 = models.CharField(max_length=64, blank=True)
    recorded_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["participant", "number"]
        constraints = [
            models.UniqueConstraint(fields=["participant", "number"], name="consent_events_in_order"),
            models.CheckConstraint(condition=models.Q(kind__in=Event.values), name="consent_kind_known"),
            models.CheckConstraint(
                condition=~models.Q(kind__in=GRANTING) | models.Q(permission__in=PERMISSIONS),
                name="granting_consent_has_a_permission",
            ),
            models.CheckConstraint(condition=~models.Q(kind__in=GRANTING) | ~models.Q(evidence_sha256=""), name="consent_has_evidence"),
            models.CheckConstraint(
                condition=~models.Q(kind__in=GRANTING) | models.Q(legal_basis__in=list(LEGAL_BASES), transfer__in=TRANSFERS),
                name="consent_has_a_legal_basis",
            ),
            models.CheckConstraint(
                condition=~models.Q(given_by="parent") | models.Q(reconsent_due__isnull=False, assent__in=["given", "too_young"]),
                name="a_parents_consent_ends_with_majority",
            ),
        ]


class ConsentFact(Fact):
    """One distinct set of consent facts (`rules.ConsentFacts` without its end). The rule is asked once per row, however many people share it."""

    digest = models.CharField(max_length=64, unique=True)
    facts = models.JSONField()


class Standing(models.Model):
    """What holds for a participant now, projected from their events by the act that records one (`manage.py consent rebuild` does it afresh).

    No row, or no facts: no consent. `valid_until` is the last day, for whichever reason comes first (`ConsentFacts.ends`), and `lapses` says whether that
    is majority. It is compared in SQL when asked, so no nightly job stands between expiry and denial.
    """

    participant = models.OneToOneField(Participant, models.CASCADE, primary_key=True, related_name="standing")
    facts = models.ForeignKey(ConsentFact, models.PROTECT, null=True, blank=True, related_name="standings")
    valid_until = models.DateField(null=True, blank=True)
    lapses = models.BooleanField(default=False)
    events = models.PositiveIntegerField(default=0)
