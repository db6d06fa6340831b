"""What is told of consents over the wire: events, forms, and why something may or may not be had."""

from __future__ import annotations

from rest_framework import serializers as s

from registry.api.receiving_shapes import ReasonShape
from registry.api.shapes import BULK, Shape, Strict, words
from registry.consent.models import Assent, Event, GivenBy, Standing
from registry.rules import LEGAL_BASES, PERMISSIONS, TRANSFERS


class Agreed(Strict):
    """What signing states: fields of `consent.actions.GRANT`. There are no defaults, so that what was said can be told from what was left out."""

    permission = s.ChoiceField([*PERMISSIONS, ""], allow_blank=True, required=False)
    modifiers = words(required=False)
    diseases = words(required=False)
    countries = words(required=False)
    legal_basis = s.ChoiceField(list(LEGAL_BASES), required=False, help_text="GDPR Art. 6(1), or irb_waiver; 6.1.a if left out")
    transfer = s.ChoiceField(TRANSFERS, required=False, help_text="how far outside the European Economic Area; none if left out")
    publish_after = s.DateField(allow_null=True, required=False)
    max_months = s.IntegerField(allow_null=True, required=False, min_value=1, max_value=600)
    commercial = s.BooleanField(required=False)
    ai_training = s.BooleanField(required=False)
    public_crowd = s.BooleanField(required=False)
    genetic_linkage = s.BooleanField(required=False)
    recontact = s.BooleanField(required=False)
    face_intact = s.BooleanField(required=False)


class NewConsent(Agreed):
    participant = s.UUIDField()
    kind = s.ChoiceField([kind for kind in Event.values if kind != Event.WITHDRAWN])
    template = s.UUIDField(allow_null=True, default=None, help_text="the form that was signed: its codes are what was agreed to")
    valid_until = s.DateField(allow_null=True, default=None)
    given_by = s.ChoiceField(GivenBy.values, default="self")
    assent = s.ChoiceField([*Assent.values, ""], allow_blank=True, default="")
    reconsent_due = s.DateField(allow_null=True, default=None, help_text="with a parent's consent: the first of the month in which the child comes of age")
    evidence_sha256 = s.RegexField(r"^([0-9a-f]{64})?$", allow_blank=True, default="")


class NewConsents(Strict):
    consents = NewConsent(many=True, allow_empty=False, max_length=BULK)


class ConsentShape(Shape):
    id = s.UUIDField()
    participant = s.UUIDField(source="participant_id")
    kind = s.CharField()
    template = s.UUIDField(source="template_id", allow_null=True)
    permission = s.CharField()
    modifiers = words()
    diseases = words()
    countries = words()
    legal_basis = s.CharField()
    transfer = s.CharField()
    publish_after = s.DateField(allow_null=True)
    max_months = s.IntegerField(allow_null=True)
    valid_until = s.DateField(allow_null=True)
    given_by = s.CharField()
    assent = s.CharField()
    reconsent_due = s.DateField(allow_null=True)
    evidence_sha256 = s.CharField()
    recorded_at = s.DateTimeField()
    commercial = s.BooleanField()
    ai_training = s.BooleanField()
    public_crowd = s.BooleanField()
    genetic_linkage = s.BooleanField()
    recontact = s.BooleanField()
    face_intact = s.BooleanField()


class NewTemplate(Strict):
    dataset = s.SlugField()
    name = s.SlugField(max_length=40)
    version = s.IntegerField(min_value=1, max_value=1000)
    language = s.CharField(max_length=12, help_text="BCP 47")
    title = s.CharField(max_length=200)
    text = s.CharField(max_length=200_000)
    codes = Agreed()
    options = words(default=list, help_text="names of codes that a person chooses on the form")


class TemplateShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="dataset.slug")
    name = s.CharField()
    version = s.IntegerField()
    language = s.CharField()
    title = s.CharField()
    text = s.CharField()
    sha256 = s.CharField()
    codes = s.DictField()
    options = words()


class DueShape(Shape):
    participant = s.UUIDField(source="participant_id")
    label = s.CharField(source="participant.label")
    ends = s.DateField(source="valid_until")
    why = s.SerializerMethodField()

    def get_why(self, row: Standing) -> str:
        return "majority" if row.lapses else "end"


class Why(Shape):
    action = s.CharField()
    permitted = s.BooleanField()
    verdict = s.ChoiceField(["permit", "ask", "deny"])
    reasons = ReasonShape(many=True)
    obligations = words()
