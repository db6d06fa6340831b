"""What goes over the wire, field by field: the same classes check what comes in, write what goes out, and describe both in the OpenAPI document.

Whatever comes in is `Strict`: a field that nobody knows is refused, so that nothing can be slipped in.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from rest_framework import serializers as s

from registry.imaging import queries
from registry.runs.models import Run

BULK = 1000


class Strict(s.Serializer[Any]):
    """A body whose unknown fields are refused."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := set(data) - set(self.fields)):
            raise s.ValidationError({"unknown": [f"{len(unknown)} field(s) of this body are not known here"]})
        return super().to_internal_value(data)


class Shape(s.Serializer[Any]):
    """What goes out."""


def words(**kwargs: Any) -> s.ListField:
    """A list of short texts."""
    return s.ListField(child=s.CharField(max_length=200), max_length=200, **kwargs)


# --- problems, runs, health ------------------------------------------------------------------------------------------------------------------------


class FieldError(Shape):
    field = s.CharField()
    reason = s.CharField()


class Problem(Shape):
    """RFC 9457."""

    type = s.CharField()
    title = s.CharField()
    status = s.IntegerField()
    code = s.CharField()
    detail = s.CharField()
    advice = s.CharField()
    errors = FieldError(many=True, required=False)


class RunShape(Shape):
    id = s.UUIDField()
    kind = s.CharField()
    state = s.ChoiceField(["ready", "running", "done", "dead"])
    attempt = s.IntegerField()
    code = s.CharField()
    reason = s.CharField()
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)


class RunOf(s.Field[Any, Any, Any, Any]):
    """The run behind a thing's `run_id`, whole, or null."""

    def __init__(self) -> None:
        super().__init__(source="run_id", read_only=True)

    def to_representation(self, value: Any) -> Any:
        run = Run.objects.filter(pk=value).first()
        return RunShape(run).data if run else None


class RunOfExtension(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call,misc]
    """How `RunOf` looks in the OpenAPI document."""

    target_class = RunOf

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        component = auto_schema.resolve_serializer(RunShape, direction)
        return {"oneOf": [component.ref, {"type": "null"}]}


class Health(Shape):
    status = s.CharField()
    version = s.CharField()
    database = s.CharField()
    worker = s.CharField()


class Keys(Shape):
    signing = s.CharField(help_text="base64 of the Ed25519 public key that signs manifests")


# --- accounts --------------------------------------------------------------------------------------------------------------------------------------


class RoleShape(Shape):
    id = s.UUIDField()
    email = s.CharField(source="user.email")
    dataset = s.CharField(source="dataset.slug")
    site = s.CharField(source="site.code", allow_null=True, default=None)
    kind = s.CharField()


class UserShape(Shape):
    id = s.UUIDField()
    email = s.CharField()
    institution = s.CharField()
    country = s.CharField()
    administrator = s.BooleanField(source="is_superuser")
    roles = s.SerializerMethodField()

    def get_roles(self, user: Any) -> list[dict[str, Any]]:
        living = user.roles.filter(ended_at=None).select_related("dataset", "site", "user")
        return [{key: row[key] for key in ("dataset", "site", "kind")} for row in RoleShape(living, many=True).data]


class SessionShape(Shape):
    user = UserShape(allow_null=True)
    csrf = s.CharField()


class SignIn(Strict):
    email = s.CharField(max_length=254)
    password = s.CharField(max_length=1000, trim_whitespace=False)


class NewUser(Strict):
    email = s.EmailField()
    password = s.CharField(max_length=1000, trim_whitespace=False)
    institution = s.CharField(max_length=200, allow_blank=True, default="")
    country = s.RegexField(r"^[A-Z]{2}$")


class NewRole(Strict):
    email = s.EmailField()
    dataset = s.SlugField()
    site = s.SlugField(allow_null=True, default=None)
    kind = s.ChoiceField(["contributor", "steward", "researcher", "auditor"])


class NewToken(Strict):
    name = s.CharField(max_length=80)
    scopes = s.ListField(child=s.ChoiceField(["read", "write", "download", "decide", "admin"]), min_length=1, max_length=5)
    days = s.IntegerField(min_value=1, max_value=366, default=30)


class TokenShape(Shape):
    id = s.UUIDField()
    name = s.CharField()
    scopes = words()
    created_at = s.DateTimeField()
    expires_at = s.DateTimeField()
    last_used_at = s.DateTimeField(allow_null=True)


class TokenMade(TokenShape):
    token = s.CharField(help_text="shown this once")


class SiteShape(Strict):
    code = s.RegexField(r"^[a-z][a-z0-9-]{0,39}$")
    name = s.CharField(max_length=200)
    country = s.RegexField(r"^[A-Z]{2}$")


class DatasetShape(Shape):
    slug = s.CharField()
    name = s.CharField()
    description = s.CharField()
    licence = s.CharField()
    purpose_level = s.CharField()
    min_count = s.IntegerField()
    retention_days = s.IntegerField()
    sites = s.SerializerMethodField()

    def get_sites(self, dataset: Any) -> list[str]:
        return [site.code for site in dataset.sites.all()]


class NewDataset(Strict):
    slug = s.RegexField(r"^[a-z][a-z0-9-]{0,39}$")
    name = s.CharField(max_length=200)
    description = s.CharField(max_length=20_000, allow_blank=True, default="")
    licence = s.CharField(max_length=200, allow_blank=True, default="")
    terms = s.CharField(max_length=100_000, allow_blank=True, default="")
    agreement = s.CharField(max_length=100_000, help_text="text of version 1")
    purpose_level = s.ChoiceField(["registered", "controlled", "closed"], default="controlled")
    min_count = s.IntegerField(min_value=2, max_value=1000, default=11)
    retention_days = s.IntegerField(min_value=1, max_value=365, default=30)
    sites = s.ListField(child=s.CharField(max_length=40), default=list, max_length=500)


# --- handing in ------------------------------------------------------------------------------------------------------------------------------------


class NewParticipant(Strict):
    patient_id = s.CharField(max_length=200, help_text="PatientID as it stands in the scans; kept in the vault only")
    issuer = s.CharField(max_length=200, allow_blank=True, default="", help_text="IssuerOfPatientID as it stands in the scans")
    sex = s.ChoiceField(["F", "M", "O", ""], default="", allow_blank=True)
    birth_year_band = s.CharField(max_length=9, allow_blank=True, default="", help_text="five years, such as 1980-1984")


class NewParticipants(Strict):
    dataset = s.SlugField()
    site = s.SlugField()
    participants = NewParticipant(many=True, allow_empty=False, max_length=BULK)


class ParticipantShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="dataset.slug")
    site = s.CharField(source="site.code")
    label = s.CharField()
    sex = s.CharField()
    birth_year_band = s.CharField()
    state = s.ChoiceField(["active", "withdrawn"])


class NewVisit(Strict):
    participant = s.UUIDField()
    label = s.RegexField(r"^[a-z0-9]{1,32}$")
    date = s.DateField(help_text="becomes a keyed code at once; no calendar date is kept")


class NewVisits(Strict):
    visits = NewVisit(many=True, allow_empty=False, max_length=BULK)


class VisitShape(Shape):
    id = s.UUIDField()
    participant = s.UUIDField(source="participant_id")
    label = s.CharField()
    day = s.IntegerField(allow_null=True)


class NewConsent(Strict):
    participant = s.UUIDField()
    kind = s.ChoiceField(["given", "renewed", "narrowed", "expired"])
    permission = s.ChoiceField(["NRES", "GRU", "HMB", "DS", "POA", ""], allow_blank=True, default="")
    modifiers = words(default=list)
    diseases = words(default=list)
    countries = words(default=list)
    commercial = s.BooleanField(default=False)
    ai_training = s.BooleanField(default=False)
    publish_after = s.DateField(allow_null=True, default=None)
    max_months = s.IntegerField(allow_null=True, default=None, min_value=1, max_value=600)
    valid_until = s.DateField(allow_null=True, default=None)
    evidence_sha256 = s.RegexField(r"^([0-9a-f]{64})?$", allow_blank=True, default="")


class NewConsents(Strict):
    consents = NewConsent(many=True, allow_empty=False, max_length=BULK)


class ConsentShape(Shape):
    id = s.UUIDField()
    participant = s.UUIDField(source="participant_id")
    kind = s.CharField()
    permission = s.CharField()
    modifiers = words()
    diseases = words()
    countries = words()
    commercial = s.BooleanField()
    ai_training = s.BooleanField()
    valid_until = s.DateField(allow_null=True)
    evidence_sha256 = s.CharField()
    recorded_at = s.DateTimeField()


class NewRecord(Strict):
    visit = s.UUIDField()
    instrument = s.CharField(max_length=40)
    number = s.IntegerField(min_value=1, max_value=200, default=1, help_text="counts the records of an instrument that repeats")
    values = s.DictField()


class NewRecords(Strict):
    records = NewRecord(many=True, allow_empty=False, max_length=BULK)


class RecordShape(Shape):
    id = s.UUIDField()
    visit = s.UUIDField(source="visit_id")
    instrument = s.CharField()
    number = s.IntegerField()
    dictionary = s.CharField()
    values = s.DictField()
    derived = s.SerializerMethodField()

    def get_derived(self, record: Any) -> dict[str, Any]:
        from registry.clinical import dictionary

        return dictionary.derive(record.instrument, record.values)


class NewUpload(Strict):
    dataset = s.SlugField()
    site = s.SlugField()


class FilesCount(Shape):
    received = s.IntegerField()
    pending = s.IntegerField()
    kept = s.IntegerField()
    refused = s.IntegerField()
    waiting = s.IntegerField()
    failed = s.IntegerField()


class StudiesCount(Shape):
    waiting = s.IntegerField()
    ready = s.IntegerField()
    processing = s.IntegerField()
    recorded = s.IntegerField()
    refused = s.IntegerField()


class UploadShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField()
    site = s.CharField()
    state = s.ChoiceField(["receiving", "received", "sorting", "sorted", "done", "failed"])
    code = s.CharField()
    reason = s.CharField()
    files = FilesCount()
    bytes = s.IntegerField()
    studies = StudiesCount()
    run = RunShape(allow_null=True)
    created_at = s.DateTimeField()
    wipe_after = s.DateTimeField()
    wiped_at = s.DateTimeField(allow_null=True)


class FileReceived(Shape):
    number = s.IntegerField()
    sha256 = s.CharField()
    bytes = s.IntegerField()


class FileShape(Shape):
    number = s.IntegerField(allow_null=True)
    n = s.IntegerField(allow_null=True)
    sha256 = s.CharField()
    bytes = s.IntegerField()
    verdict = s.ChoiceField(["pending", "kept", "refused", "waiting", "failed"])
    code = s.CharField()
    reason = s.CharField()
    advice = s.CharField()
    product = s.CharField(allow_blank=True)
    study = s.UUIDField(source="study_id", allow_null=True)


class Complete(Strict):
    count = s.IntegerField(min_value=1)
    bytes = s.IntegerField(min_value=0)


class StudyShape(Shape):
    id = s.UUIDField()
    upload = s.UUIDField(source="upload_id")
    dataset = s.CharField(source="upload.dataset.slug")
    participant = s.UUIDField(source="participant_id", allow_null=True)
    visit = s.UUIDField(source="visit_id", allow_null=True)
    state = s.ChoiceField(["waiting", "ready", "processing", "recorded", "refused"])
    code = s.CharField()
    reason = s.CharField()
    advice = s.CharField()
    files = s.SerializerMethodField()
    run = RunOf()

    def get_files(self, study: Any) -> int:
        return study.file_count if hasattr(study, "file_count") else study.files.count()


class Receipt(Shape):
    upload = UploadShape()
    files = FileShape(many=True)
    studies = StudyShape(many=True)


class Bind(Strict):
    participant = s.UUIDField()
    visit = s.UUIDField()


class Why(Strict):
    reason = s.CharField(max_length=2000, allow_blank=True, default="")


# --- images and releases ---------------------------------------------------------------------------------------------------------------------------


class StoredShape(Shape):
    path = s.CharField()
    sha256 = s.CharField()
    bytes = s.IntegerField()
    kind = s.CharField()


class Pictures(Shape):
    quality = s.CharField(allow_null=True)
    after = s.CharField(allow_null=True)
    review = words()


class ImageShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="visit.participant.dataset.slug")
    participant = s.UUIDField(source="visit.participant_id")
    visit = s.UUIDField(source="visit_id")
    bids_path = s.CharField()
    suffix = s.CharField()
    datatype = s.CharField()
    grade = s.ChoiceField(["pass", "review", "fail"])
    deface = s.CharField(source="deface_verdict")
    conversion = s.CharField(source="conversion_verdict")
    state = s.ChoiceField(["proposed", "accepted", "refused", "withdrawn"])
    reason = s.CharField()
    reasons = s.SerializerMethodField()
    files = StoredShape(many=True)
    pictures = s.SerializerMethodField()

    def get_reasons(self, image: Any) -> list[Any]:
        return list((image.provenance.get("quality") or {}).get("reasons") or [])

    def get_pictures(self, image: Any) -> dict[str, Any]:
        base, numbers = f"/api/v1/images/{image.pk}", queries.pictures(image)
        review = [f"{base}/review/{n}.png" for n in numbers["review"]]
        quality = f"{base}/quality.png" if numbers["quality"] or queries.has_quality(image) else None
        return {"quality": quality, "after": f"{base}/after.png" if numbers["after"] else None, "review": review}


class ImageWhole(ImageShape):
    provenance = s.DictField()


class Note(Strict):
    note = s.CharField(max_length=2000, allow_blank=True, default="")


class AcceptMany(Strict):
    images = s.ListField(child=s.UUIDField(), min_length=1, max_length=BULK)
    note = s.CharField(max_length=2000, allow_blank=True, default="")


class NewRelease(Strict):
    dataset = s.SlugField()
    changes = s.CharField(max_length=2000, allow_blank=True, default="")


class ReleaseShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="dataset.slug")
    number = s.IntegerField()
    version = s.CharField()
    state = s.ChoiceField(["freezing", "frozen", "validated", "invalid", "failed"])
    sha256 = s.CharField()
    changes = s.CharField()
    participants = s.SerializerMethodField()
    files = s.SerializerMethodField()
    bytes = s.SerializerMethodField()
    tombstones = s.SerializerMethodField()
    validator = s.DictField()
    run = RunOf()
    created_at = s.DateTimeField()

    def get_participants(self, release: Any) -> int:
        return release.people.filter(tombstone=False).count()

    def get_files(self, release: Any) -> int:
        return release.files.count()

    def get_tombstones(self, release: Any) -> int:
        return release.files.filter(tombstone=True).count()

    def get_bytes(self, release: Any) -> int:
        return sum(release.files.values_list("bytes", flat=True))


class ReleaseFileShape(Shape):
    path = s.CharField()
    sha256 = s.CharField()
    bytes = s.IntegerField()
    tombstone = s.BooleanField()


class ReleaseManifest(Shape):
    release = s.UUIDField()
    version = s.CharField()
    sha256 = s.CharField()
    tombstones = s.IntegerField()
    files = ReleaseFileShape(many=True)


# --- requests, packages, notices -------------------------------------------------------------------------------------------------------------------


class NewRequest(Strict):
    dataset = s.SlugField()
    title = s.CharField(max_length=200)
    abstract = s.CharField(max_length=20_000)
    purpose = s.ChoiceField(["GRU", "HMB", "DS", "METHODS", "POA"])
    diseases = words(default=list)
    commercial = s.BooleanField(default=False)
    non_profit = s.BooleanField(default=True)
    ai_training = s.BooleanField(default=False)
    months = s.IntegerField(min_value=1, max_value=60, default=12)
    promises = words(default=list)
    methods = s.BooleanField(default=False)
    recipient_key = s.CharField(max_length=120, help_text="an age X25519 recipient, age1…")


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
    months = s.IntegerField()
    promises = words()
    country = s.CharField()
    recipient_key = s.CharField()
    state = s.ChoiceField(["draft", "submitted", "approved", "rejected", "closed"])
    reason = s.CharField()
    asked = s.IntegerField(allow_null=True)
    answers = AnswersShape()
    participants = AnswerShape(many=True)
    entitlement = s.UUIDField(allow_null=True)
    created_at = s.DateTimeField()


class Decide(Strict):
    verdict = s.ChoiceField(["approve", "reject"])
    reason = s.CharField(max_length=5000, allow_blank=True, default="")
    leave_out = s.ListField(child=s.UUIDField(), default=list, max_length=100_000)
    settle = s.ListField(child=s.UUIDField(), default=list, max_length=100_000)


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
    run = RunOf()
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


class NoticeShape(Shape):
    id = s.UUIDField()
    kind = s.CharField(default="withdrawal")
    dataset = s.CharField(source="package.release.dataset.slug")
    label = s.CharField()
    package = s.UUIDField(source="package_id")
    text = s.CharField()
    files = NoticeFile(many=True)
    created_at = s.DateTimeField()
    acknowledged_at = s.DateTimeField(allow_null=True)


class Acknowledge(Strict):
    deleted = s.BooleanField()


class StepShape(Shape):
    step = s.CharField()
    done = s.BooleanField()


class WithdrawalShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="participant.dataset.slug")
    participant = s.UUIDField(source="participant_id")
    label = s.CharField()
    at = s.DateTimeField()
    state = s.ChoiceField(["running", "done"])
    steps = s.SerializerMethodField()
    certificate = s.DictField(allow_null=True)
    run = RunOf()

    def get_steps(self, withdrawal: Any) -> list[dict[str, Any]]:
        from registry.releases.leaving import ORDER

        return [{"step": name, "done": name in withdrawal.steps} for name in ORDER]


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
    problems = FieldError(many=True)
