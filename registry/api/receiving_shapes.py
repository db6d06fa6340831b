"""What a researcher asks for and receives, as it goes over the wire: requests, packages, notices, departures."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from registry.access import machine
from registry.api import shapes
from registry.api.shapes import Shape, Strict, words
from registry.releases import departures
from registry.rules import ALL_PROMISES


class NewRequest(Strict):
    dataset = s.SlugField()
    title = s.CharField(max_length=200)
    abstract = s.CharField(max_length=20_000)
    purpose = s.ChoiceField(["GRU", "HMB", "DS", "METHODS", "POA"])
    diseases = words(default=list)
    commercial = s.BooleanField(default=False)
    non_profit = s.BooleanField(default=True)
    ai_training = s.BooleanField(default=False)
    methods = s.BooleanField(default=False)
    genetic = s.BooleanField(default=False, help_text="a genetic study")
    clinical_care = s.BooleanField(default=False)
    public_crowd = s.BooleanField(default=False, help_text="images are shown to a public crowd of annotators")
    genetic_linkage = s.BooleanField(default=False, help_text="the data are joined with genetic data")
    recontact = s.BooleanField(default=False, help_text="participants are to be contacted again, through their site")
    face_intact = s.BooleanField(default=False, help_text="not offered: the request is answered with the reason")
    team_countries = words(default=list, help_text="ISO 3166-1 of every other member's institution")
    months = s.IntegerField(min_value=1, max_value=60, default=12)
    promises = s.ListField(child=s.ChoiceField(ALL_PROMISES), default=list, max_length=len(ALL_PROMISES))
    recipient_key = s.CharField(max_length=120, help_text="an age X25519 recipient, age1…")
    view = s.SlugField(allow_null=True, default=None, help_text="a view of the dataset; null: all usual kinds of file")


class Submit(Strict):
    participants = s.ListField(child=s.UUIDField(), allow_null=True, default=None, max_length=100_000, help_text="null: everybody in the dataset")


class ReasonShape(Shape):
    code = s.CharField()
    verdict = s.CharField(required=False)
    sentence = s.CharField()


class AnswerShape(Shape):
    id = s.UUIDField()
    label = s.CharField()
    allowed = s.BooleanField()
    verdict = s.CharField()
    reasons = ReasonShape(many=True)


class ReasonCount(Shape):
    code = s.CharField()
    reason = s.CharField()
    participants = s.IntegerField(allow_null=True)


class AnswersShape(Shape):
    allowed = s.IntegerField(allow_null=True)
    left_out = s.IntegerField(allow_null=True)
    reasons = ReasonCount(many=True)


class RequestShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField()
    requester = s.CharField()
    title = s.CharField()
    abstract = s.CharField()
    purpose = s.CharField()
    diseases = words()
    commercial = s.BooleanField()
    non_profit = s.BooleanField()
    ai_training = s.BooleanField()
    methods = s.BooleanField()
    genetic = s.BooleanField()
    clinical_care = s.BooleanField()
    public_crowd = s.BooleanField()
    genetic_linkage = s.BooleanField()
    recontact = s.BooleanField()
    face_intact = s.BooleanField()
    months = s.IntegerField()
    promises = words()
    country = s.CharField()
    team_countries = words()
    recipient_key = s.CharField()
    view = s.CharField(allow_null=True)
    level = s.CharField()
    state = s.ChoiceField(list(machine.STATES))
    reason = s.CharField()
    asked = s.IntegerField(allow_null=True)
    answers = AnswersShape()
    obligations = words(help_text="what the recipient takes upon them with those allowed")
    participants = AnswerShape(many=True)
    entitlement = s.UUIDField(allow_null=True)
    created_at = s.DateTimeField()
    submitted_at = s.DateTimeField(allow_null=True)


class Decide(Strict):
    verdict = s.ChoiceField(["approve", "reject", "return"])
    reason = s.CharField(max_length=5000, allow_blank=True, default="")
    leave_out = s.ListField(child=s.UUIDField(), default=list, max_length=100_000)
    settle = s.ListField(child=s.UUIDField(), default=list, max_length=100_000)
    submitted_at = s.DateTimeField(required=False, default=None, help_text="of the request that was read; 409 where it was handed in anew since")


class AgreementShape(Shape):
    dataset = s.CharField()
    version = s.IntegerField()
    text = s.CharField()
    signed_at = s.DateTimeField(allow_null=True)


class Sign(Strict):
    version = s.IntegerField(min_value=1)
    accept = s.BooleanField()


class EntitlementShape(Shape):
    id = s.UUIDField()
    request = s.UUIDField(source="request_id")
    dataset = s.CharField(source="dataset.slug")
    starts = s.DateTimeField()
    ends = s.DateTimeField()
    revoked_at = s.DateTimeField(allow_null=True)
    resign_by = s.DateTimeField(allow_null=True)
    alive = s.BooleanField()


class NewPackage(Strict):
    entitlement = s.UUIDField()
    release = s.UUIDField(allow_null=True, default=None)


class PackageShape(Shape):
    id = s.UUIDField()
    entitlement = s.UUIDField(source="entitlement_id")
    release = s.UUIDField(source="release_id")
    version = s.CharField(source="release.version")
    state = s.ChoiceField(["building", "ready", "dead", "failed"])
    code = s.CharField()
    reason = s.CharField()
    participants = s.SerializerMethodField()
    files = s.SerializerMethodField()
    bytes = s.IntegerField()
    sha256 = s.CharField()
    download = s.SerializerMethodField()
    manifest = s.SerializerMethodField()
    run = shapes.RunOf()
    created_at = s.DateTimeField()

    def get_participants(self, package: Any) -> int:
        return package.people.count()

    def get_files(self, package: Any) -> int:
        return len(package.manifest.get("files", []))

    def get_download(self, package: Any) -> str | None:
        return f"/api/v1/packages/{package.pk}/download" if package.state == "ready" else None

    def get_manifest(self, package: Any) -> str | None:
        return f"/api/v1/packages/{package.pk}/manifest" if package.state in ("ready", "dead") and package.manifest else None


class PackageManifest(Shape):
    manifest = s.DictField()
    signature = s.CharField()
    key = s.CharField()


class NoticeFile(Shape):
    path = s.CharField()
    sha256 = s.CharField()


class Day(s.DateField):
    """The day of an instant: the second would tell which departures of two datasets are one person's."""

    def to_representation(self, value: Any) -> str:
        return str(value.date().isoformat())


class NoticeShape(Shape):
    id = s.UUIDField()
    kind = s.ChoiceField(["withdrawal", "recall"], source="removal.kind")
    dataset = s.CharField(source="package.release.dataset.slug")
    label = s.CharField()
    package = s.UUIDField(source="package_id")
    text = s.CharField()
    files = NoticeFile(many=True)
    created_at = Day()
    acknowledged_at = s.DateTimeField(allow_null=True)
    acknowledged_by = s.CharField()
    statement = s.CharField()
    reminded_days = s.IntegerField(help_text="of the reminders after 7, 14 and 30 days, the last that was sent")
    suspended_at = s.DateTimeField(allow_null=True, help_text="when access was suspended because nothing was attested")


class Acknowledge(Strict):
    deleted = s.BooleanField()
    statement = s.CharField(max_length=2000, allow_blank=True, default="", help_text="what was deleted where, in your words")


class StepShape(Shape):
    step = s.CharField()
    done = s.BooleanField()


class RemovalShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="participant.dataset.slug")
    participant = s.UUIDField(source="participant_id")
    label = s.CharField()
    at = Day()
    state = s.ChoiceField(["running", "done"])
    steps = s.SerializerMethodField()
    certificate = s.DictField(allow_null=True)
    run = shapes.RunOf()

    def get_steps(self, removal: Any) -> list[dict[str, Any]]:
        from registry.releases.leaving import order

        return [{"step": name, "done": name in removal.steps} for name in order(removal.kind)]


class Withdraw(Strict):
    reason = s.CharField(max_length=2000, allow_blank=True, default="")
    only_here = s.CharField(max_length=2000, allow_blank=True, default="", help_text="why the consent keeps the datasets apart: then the others go on")


class Elsewhere(Shape):
    datasets = s.ListField(child=s.CharField(), help_text="the other datasets that the person took part in")
    only_here = s.CharField(help_text="why they were kept apart; empty: the person left all of them")


class WithdrawalShape(RemovalShape):
    elsewhere = s.SerializerMethodField(help_text="for the site alone; empty for everybody else")

    def get_elsewhere(self, removal: Any) -> dict[str, Any]:
        return departures.elsewhere(self.context.get("asker"), removal)


class Move(Strict):
    visit = s.UUIDField(allow_null=True, default=None, help_text="the right visit; null: the study is taken back, and handed in again")
    reason = s.CharField(max_length=2000)


class WhoseReport(Strict):
    dataset = s.SlugField()
    site = s.SlugField()
    patient_id = s.CharField(max_length=200)
    issuer = s.CharField(max_length=200, allow_blank=True, default="")


class PersonReport(Shape):
    person = s.DictField()
    participations = s.ListField(child=s.DictField(), help_text="one for each dataset: what is held, why, and who had it")


class Recall(Strict):
    cause = s.ChoiceField(["face", "text", "mask", "quality", "wrong_person"])
    reason = s.CharField(max_length=2000)
    path = s.CharField(max_length=255, allow_blank=True, default="", help_text="a mask of the image; empty: the image with all its files")


class RecalledFile(Shape):
    path = s.CharField()
    sha256 = s.CharField()


class RecallShape(RemovalShape):
    image = s.UUIDField(source="image_id")
    cause = s.CharField()
    reason = s.CharField()
    files = RecalledFile(many=True)


class MailShape(Shape):
    id = s.UUIDField()
    to = s.EmailField()
    subject = s.CharField()
    tries = s.IntegerField()
    error_code = s.CharField()
    created_at = s.DateTimeField()


class LineShape(Shape):
    seq = s.IntegerField()
    at = s.CharField()
    actor = s.CharField()
    act = s.CharField()
    object = s.CharField()
    dataset = s.CharField()
    detail = s.DictField()


class Verified(Shape):
    ok = s.BooleanField()
    lines = s.IntegerField()
    head = s.CharField()
    problems = shapes.FieldError(many=True)
