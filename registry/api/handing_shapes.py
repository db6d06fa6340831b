"""What a contributor hands in and is told about it, as it goes over the wire: people, visits, consents, records, uploads."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rest_framework import serializers as s

from registry.api import shapes
from registry.api.shapes import BULK, Shape, Strict
from registry.clinical import derived
from registry.intake import sending


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
    purpose = s.RegexField(
        r"^[a-z][a-z0-9_]{0,31}$",
        allow_blank=True,
        default="",
        help_text="why the visit was made, in a word of the dataset's protocol: diagnosis, monitoring, …",
    )


class NewVisits(Strict):
    visits = NewVisit(many=True, allow_empty=False, max_length=BULK)


class VisitShape(Shape):
    id = s.UUIDField()
    participant = s.UUIDField(source="participant_id")
    label = s.CharField()
    day = s.IntegerField(allow_null=True)
    purpose = s.CharField()


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
        return derived.of_record(record.instrument, record.values)


class NewUpload(Strict):
    dataset = s.SlugField()
    site = s.SlugField()
    count = s.IntegerField(min_value=0, default=0, help_text="how many files are to come")
    bytes = s.IntegerField(min_value=0, default=0, help_text="how many bytes they have: room for them is looked for before the first")


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


class Progress(Shape):
    step = s.CharField(required=False)
    done = s.IntegerField(required=False)
    total = s.IntegerField(required=False)


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
    run = shapes.RunShape(allow_null=True)
    progress = Progress(allow_null=True)
    created_at = s.DateTimeField()
    wipe_after = s.DateTimeField()
    wiped_at = s.DateTimeField(allow_null=True)


class Annotations(Shape):
    words = s.ListField(child=s.CharField(), help_text="what a mask shows")
    contrasts = s.ListField(child=s.CharField(), help_text="what a NIfTI image is")
    bodies = s.ListField(child=s.CharField(), help_text="which part of the body it shows")
    processed = s.ListField(child=s.CharField(), help_text="what was done to an image before a mask was drawn on it")
    spaces = s.ListField(child=s.CharField(), help_text="template spaces that an image may have been brought to")
    meanings = s.ListField(child=s.CharField(), help_text="what the values of a mask mean; up to three digits may follow")


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
    run = shapes.RunOf()

    def get_files(self, study: Any) -> int:
        return study.file_count if hasattr(study, "file_count") else study.files.count()


class PieceShape(Shape):
    id = s.UUIDField()
    number = s.IntegerField(help_text="of its first file")
    kind = s.ChoiceField(["file", "bundle"])
    count = s.IntegerField()
    length = s.IntegerField()
    offset = s.SerializerMethodField()
    state = s.ChoiceField(["open", "done", "again", "ended"])
    sha256 = s.CharField(allow_blank=True)
    code = s.CharField(allow_blank=True)
    reason = s.CharField(allow_blank=True)
    advice = s.CharField(allow_blank=True)
    expires_at = s.SerializerMethodField()

    def get_offset(self, piece: Any) -> int:
        return sending.there(piece)

    def get_expires_at(self, piece: Any) -> datetime | None:
        return sending.ends(piece)


class Receipt(Shape):
    upload = UploadShape()
    files = FileShape(many=True)
    pieces = PieceShape(many=True, help_text="those that never became files")
    studies = StudyShape(many=True)


class Bind(Strict):
    participant = s.UUIDField()
    visit = s.UUIDField()
