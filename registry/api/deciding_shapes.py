"""What a steward sees and decides, as it goes over the wire: images, releases, mail, the record."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers as s

from registry.api import shapes
from registry.api.shapes import BULK, Shape, Strict, words
from registry.imaging import queries


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
    state = s.ChoiceField(["proposed", "returned", "accepted", "refused", "withdrawn"])
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
        page = f"{base}/quality.html" if queries.has_quality(image) else None
        return {"quality": quality, "page": page, "after": f"{base}/after.png" if numbers["after"] else None, "review": review}


class ImageWhole(ImageShape):
    provenance = s.DictField()


class NewCorrection(Strict):
    datatype = s.CharField(max_length=20, allow_blank=True, default="")
    suffix = s.CharField(max_length=20, allow_blank=True, default="")
    entities = s.DictField(default=dict, help_text="entities of the BIDS name: acq, ce, part, ...")
    fields = s.DictField(default=dict, help_text="sidecar fields that hold for every image of the protocol")
    context = words(default=list, help_text="ASL: what the volumes are, in order: m0scan, label, control")
    code = s.ChoiceField(["ok", "localizer", "derived_map", "secondary_capture"], default="ok", help_text="other than ok: such images are not shared")


class CorrectionShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="dataset.slug")
    site = s.CharField(source="site.code")
    protocol = s.CharField(help_text="a keyed hash; it stands in the contrast of every image of the protocol")
    correction = s.DictField()
    changed_at = s.DateTimeField()


class Note(Strict):
    note = s.CharField(max_length=2000, allow_blank=True, default="")


class AcceptMany(Strict):
    images = s.ListField(child=s.UUIDField(), min_length=1, max_length=BULK)
    note = s.CharField(max_length=2000, allow_blank=True, default="")


class NewRelease(Strict):
    dataset = s.SlugField()
    changes = s.CharField(max_length=2000, allow_blank=True, default="")
    part = s.ChoiceField(["", "patch", "minor", "major"], default="", help_text="of the version, to be moved at least")


class DryRun(Shape):
    version = s.CharField()
    participants = s.IntegerField()
    files = s.IntegerField()
    account = s.DictField()
    needs_two_people = s.BooleanField()
    object = s.CharField(help_text="what two people agree to (release_below_k)")


class Account(Shape):
    release = s.UUIDField()
    version = s.CharField()
    sha256 = s.CharField(help_text="of the canonical JSON of the account")
    account = s.DictField(help_text="left_out, consents, consent_forms, versions, privacy, difference, approved, datacite")


class Difference(Shape):
    people = s.DictField()
    files = s.DictField()
    values = s.DictField()
    columns = s.DictField()
    part = s.CharField()


class Verified(Shape):
    ok = s.BooleanField()
    files = s.IntegerField()
    tombstones = s.IntegerField()
    remade = s.ListField(child=s.CharField(), help_text="tables that are made without who left")
    missing = s.ListField(child=s.CharField())
    changed = s.ListField(child=s.CharField())
    list = s.BooleanField(help_text="whether the hash of the list of files holds")
    account = s.BooleanField(help_text="whether the hash of the account holds")


class Citation(Strict):
    citation = s.DictField(help_text="creators, publisher, subjects, funding, doi")


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
    run = shapes.RunOf()
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
