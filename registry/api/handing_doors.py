"""Doors of handing in: participants, visits, consents, clinical records, uploads with their files, and studies that wait."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.http.request import split_domain_port
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import policy, queries
from registry.accounts.models import Site
from registry.api import handing_shapes, shapes
from registry.api.doors import ById, Door, FilesPerUser, find, find_all, told
from registry.api.errors import LengthRequired, TooLarge
from registry.api.parsers import Bytes
from registry.clinical import actions as clinical
from registry.clinical import queries as clinical_queries
from registry.intake import actions
from registry.intake import queries as intake
from registry.intake.models import Upload
from registry.rules import Denied, Invalid
from registry.runs.models import Run
from registry.subjects.models import Participant, Visit

DIGEST = re.compile(r"(?:^|[,\s])sha-256=:([A-Za-z0-9+/]{43}=):")
FILE_LIMIT = 32 << 30
# What a browser calls this machine; `testserver` is the name that Django's own test client has for it.
LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]", "testserver"})
LOOPBACK = frozenset({"127.0.0.1", "::1", "::ffff:127.0.0.1"})


def people(asker: Any) -> QuerySet[Participant]:
    """Participants that the asker works with, or that an entitlement gives them."""
    known, seen = policy.participants(asker, "know"), policy.participants(asker, "see")
    return Participant.objects.filter(Q(pk__in=known.values("pk")) | Q(pk__in=seen.values("pk"))).select_related("dataset", "site")


def visits(asker: Any) -> QuerySet[Visit]:
    """Visits of those people."""
    return Visit.objects.filter(participant__in=people(asker).values("pk")).select_related("participant__dataset", "participant__site")


class ParticipantsDoor(Door):
    @told(handing_shapes.ParticipantShape, many=True, filters=("dataset", "site", "state"), summary="Participants", tags=["people"])
    def get(self, request: Request) -> Response:
        names = {"dataset": "dataset__slug", "site": "site__code", "state": "state"}
        given = {names[key]: value for key, value in self.asked(*names).items()}
        return self.listing(people(self.asker).filter(**given), handing_shapes.ParticipantShape)

    @told(
        handing_shapes.ParticipantShape,
        bulk=True,
        request=handing_shapes.NewParticipants,
        status=201,
        summary="Register participants, all or none",
        tags=["people"],
    )
    def post(self, request: Request) -> Response:
        given = self.body(handing_shapes.NewParticipants)
        dataset = find(queries.datasets(self.asker), slug=given["dataset"])
        site = find(Site.objects.all(), code=given["site"])
        made = actions.register(self.asker, dataset, site, given["participants"])
        return Response({"results": handing_shapes.ParticipantShape(made, many=True).data}, status=201)


class ParticipantDoor(Door):
    @told(handing_shapes.ParticipantShape, summary="One participant", tags=["people"])
    def get(self, request: Request, pk: Any) -> Response:
        return Response(handing_shapes.ParticipantShape(find(people(self.asker), pk=pk)).data)


class VisitsDoor(Door):
    @told(handing_shapes.VisitShape, many=True, filters=("participant", "dataset"), summary="Visits", tags=["people"])
    def get(self, request: Request) -> Response:
        names = {"participant": "participant", "dataset": "participant__dataset__slug"}
        given = {names[key]: value for key, value in self.asked(*names).items()}
        return self.listing(visits(self.asker).filter(**given), handing_shapes.VisitShape)

    @told(handing_shapes.VisitShape, bulk=True, request=handing_shapes.NewVisits, status=201, summary="Add visits, all or none", tags=["people"])
    def post(self, request: Request) -> Response:
        given = self.body(handing_shapes.NewVisits)["visits"]
        found = find_all(people(self.asker), (row["participant"] for row in given), "visits.{}.participant")
        made = actions.add_visits(self.asker, [(found[row["participant"]], row["label"], row["date"], row["purpose"]) for row in given])
        return Response({"results": handing_shapes.VisitShape(made, many=True).data}, status=201)


class AnnotationsDoor(Door):
    gives = False

    @told(handing_shapes.Annotations, summary="The words that say what a NIfTI file is and what a mask shows", tags=["uploads"])
    def get(self, request: Request) -> Response:
        return Response(actions.words())


class RecordsDoor(Door):
    @told(handing_shapes.RecordShape, many=True, filters=("participant", "visit", "instrument"), summary="Clinical records", tags=["people"])
    def get(self, request: Request) -> Response:
        names = {"participant": "visit__participant", "visit": "visit", "instrument": "instrument"}
        given = {names[key]: value for key, value in self.asked(*names).items()}
        return self.listing(clinical_queries.records(self.asker).filter(**given), handing_shapes.RecordShape, ById)

    @told(handing_shapes.RecordShape, bulk=True, request=handing_shapes.NewRecords, status=201, summary="Record clinical data, all or none", tags=["people"])
    def post(self, request: Request) -> Response:
        given = self.body(handing_shapes.NewRecords)["records"]
        found = find_all(visits(self.asker), (row["visit"] for row in given), "records.{}.visit")
        rows = [clinical.Row(found[row["visit"]], row["instrument"], row["values"], row["number"]) for row in given]
        return Response({"results": handing_shapes.RecordShape(clinical.record(self.asker, rows), many=True).data}, status=201)


# --- uploads ---------------------------------------------------------------------------------------------------------------------------------------


def upload_told(upload: Upload) -> dict[str, Any]:
    """An upload with its counts."""
    plain = {name: getattr(upload, name) for name in ("id", "state", "code", "reason", "created_at", "wiped_at")}
    plain |= {"dataset": upload.dataset.slug, "site": upload.site.code, "run": Run.objects.filter(pk=upload.run_id).first(), **intake.totals(upload)}
    plain["progress"] = intake.progress(upload)
    plain["wipe_after"] = upload.created_at + timedelta(days=upload.dataset.retention_days)
    return dict(handing_shapes.UploadShape(plain).data)


class UploadsDoor(Door):
    gives = False

    @told(handing_shapes.UploadShape, many=True, filters=("dataset", "state"), summary="Uploads of one's site or dataset", tags=["uploads"])
    def get(self, request: Request) -> Response:
        names = {"dataset": "dataset__slug", "state": "state"}
        rows = intake.uploads(self.asker).filter(**{names[key]: value for key, value in self.asked(*names).items()})
        return self.listing(rows, UploadPage)

    @told(handing_shapes.UploadShape, request=handing_shapes.NewUpload, status=201, summary="Begin an upload", tags=["uploads"])
    def post(self, request: Request) -> Response:
        given = self.body(handing_shapes.NewUpload)
        dataset = find(queries.datasets(self.asker), slug=given["dataset"])
        secure(request)
        upload = actions.begin_upload(self.asker, dataset, find(Site.objects.all(), code=given["site"]), given["count"], given["bytes"])
        return Response(upload_told(upload), status=201)


class UploadPage(handing_shapes.UploadShape):
    """Uploads in a list."""

    def to_representation(self, instance: Any) -> Any:
        return upload_told(instance) if isinstance(instance, Upload) else super().to_representation(instance)


class UploadDoor(Door):
    gives = False

    @told(handing_shapes.UploadShape, summary="One upload, with counts", tags=["uploads"])
    def get(self, request: Request, pk: Any) -> Response:
        return Response(upload_told(find(intake.uploads(self.asker), pk=pk)))

    @told(None, status=204, summary="Give up an upload that is still being received", tags=["uploads"])
    def delete(self, request: Request, pk: Any) -> Response:
        actions.drop_upload(self.asker, find(intake.uploads(self.asker), pk=pk))
        return Response(status=204)


class UploadFileDoor(Door):
    parser_classes = [Bytes]
    throttle_classes = [FilesPerUser]

    @told(
        handing_shapes.FileReceived,
        request={"application/octet-stream": OpenApiTypes.BINARY},
        status=201,
        summary="Send one file; again with the same bytes changes nothing (200)",
        also={200: handing_shapes.FileReceived},
        parameters=[
            OpenApiParameter("folder", str, required=False, description="numbers of the folders on the way, dot between: 1.3"),
            OpenApiParameter("annotation", str, required=False, description="what a mask shows, a word of /annotations: its file name is never sent"),
            OpenApiParameter("contrast", str, required=False, description="what a NIfTI image is, a word of /annotations"),
            OpenApiParameter("body", str, required=False, description="which part of the body it shows, a word of /annotations"),
            OpenApiParameter("processed", str, required=False, description="registered or skullstripped: kept as a derivative, with the mask drawn on it"),
            OpenApiParameter("space", str, required=False, description="template space of an image, a word of /annotations: a derivative in that space"),
            OpenApiParameter("resample", str, required=False, description="yes: bring this mask to the grid of its image where it lies on another"),
            OpenApiParameter("visit", str, required=False, description="label of the visit it is of, where an upload of one person holds several"),
            OpenApiParameter("beside", int, required=False, description="number of the NIfTI file that this sidecar, table, transform or mask belongs to"),
            OpenApiParameter("rater", str, required=False, description="code of who drew a mask: letters and digits (r1), never a name"),
            OpenApiParameter("labels", str, required=False, description="what the values of a mask mean, in words of /annotations: lesion:1,new:2"),
            OpenApiParameter("Content-Digest", str, OpenApiParameter.HEADER, required=True, description="sha-256=:BASE64: (RFC 9530)"),
        ],
        tags=["uploads"],
    )
    def put(self, request: Request, pk: Any, number: int) -> Response:
        upload = find(intake.uploads(self.asker), pk=pk)
        secure(request)
        length, digest = body_length(request), body_digest(request)
        asked = request.query_params
        folder, annotation = asked.get("folder", ""), asked.get("annotation", "")
        row, new = actions.receive_file(self.asker, upload, number, folder, request._request, length, digest, annotation, said(asked))
        return Response(handing_shapes.FileReceived(row).data, status=201 if new else 200)


def said(asked: Any) -> dict[str, Any]:
    """What the address says of a file beyond its folder. Raises Invalid."""
    told: dict[str, Any] = {name: asked.get(name, "") for name in ("contrast", "body", "processed", "space", "visit", "rater")}
    resample = asked.get("resample", "")
    if resample not in ("", "yes"):
        raise Invalid("unknown_word", "`resample` is yes, or is left out.", "Send resample=yes to have a mask brought to its image's grid.")
    beside = asked.get("beside", "")
    if beside and not (beside.isascii() and beside.isdecimal()):
        raise Invalid("unknown_word", "`beside` is the number of another file.", "Give the number under which the NIfTI file is sent.")
    return told | {"beside": int(beside) if beside else None, "resample": resample == "yes", "labels": actions.parsed_labels(asked.get("labels", ""))}


def body_length(request: Request) -> int:
    """Content-Length. Raises LengthRequired, TooLarge."""
    text = request.META.get("CONTENT_LENGTH") or ""
    if not text.isdigit() or "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", ""):
        raise LengthRequired
    if int(text) > FILE_LIMIT:
        raise TooLarge
    return int(text)


def body_digest(request: Request) -> str:
    """The SHA-256 that Content-Digest announces, in hex. Raises Invalid."""
    if raw := digest_in(request, "Content-Digest"):
        return raw
    raise bad_digest("Content-Digest")


def digest_in(request: Request, name: str) -> str:
    """The SHA-256 in a digest header (RFC 9530), in hex; empty without such a header. Raises Invalid."""
    text = request.headers.get(name, "")
    found = DIGEST.search(text)
    try:
        raw = base64.b64decode(found.group(1), validate=True) if found else b""
    except binascii.Error:
        raw = b""
    if text and len(raw) != 32:
        raise bad_digest(name)
    return raw.hex()


def bad_digest(name: str) -> Invalid:
    return Invalid("bad_digest_header", "What is sent comes with its SHA-256.", f"Send {name}: sha-256=:BASE64: (RFC 9530).")


def secure(request: Request) -> None:
    """Raises Denied over a line that somebody could listen to: plain HTTP, unless both its ends are this machine."""
    host = split_domain_port(request._request.get_host())[0]
    if not request.is_secure() and not (host in LOCAL and request.META.get("REMOTE_ADDR", "") in LOOPBACK):
        raise Denied("insecure_transport", "Scans are not sent over plain HTTP: anybody on the way could read them.", "Use the https address of this registry.")


class UploadFilesDoor(Door):
    @told(handing_shapes.FileShape, many=True, summary="The files of an upload and their verdicts", tags=["uploads"])
    def get(self, request: Request, pk: Any) -> Response:
        upload = find(intake.uploads(self.asker), pk=pk)
        return self.listing(intake.files(self.asker).filter(upload=upload), handing_shapes.FileShape, ById)


class CompleteDoor(Door):
    @told(handing_shapes.UploadShape, request=handing_shapes.Complete, status=202, summary="All is sent: sort it", tags=["uploads"])
    def post(self, request: Request, pk: Any) -> Response:
        upload, given = find(intake.uploads(self.asker), pk=pk), self.body(handing_shapes.Complete)
        upload = actions.complete_upload(self.asker, upload, given["count"], given["bytes"])
        return Response(upload_told(upload), status=202)


class ReceiptDoor(Door):
    @told(handing_shapes.Receipt, summary="Every file of an upload once, with what became of it", tags=["uploads"])
    def get(self, request: Request, pk: Any) -> Response:
        upload = find(intake.uploads(self.asker), pk=pk)
        files = intake.files(self.asker).filter(upload=upload).order_by("n", "number")
        studies = intake.studies(self.asker).filter(upload=upload)
        told_files, told_studies = handing_shapes.FileShape(files, many=True).data, handing_shapes.StudyShape(studies, many=True).data
        lost = handing_shapes.PieceShape(intake.pieces(self.asker).filter(upload=upload).exclude(state="done").order_by("number"), many=True).data
        return Response({"upload": upload_told(upload), "files": told_files, "pieces": lost, "studies": told_studies})


# --- studies ---------------------------------------------------------------------------------------------------------------------------------------


class StudiesDoor(Door):
    @told(handing_shapes.StudyShape, many=True, filters=("dataset", "upload", "state"), summary="Studies, and what they wait for", tags=["uploads"])
    def get(self, request: Request) -> Response:
        names = {"dataset": "upload__dataset__slug", "upload": "upload", "state": "state"}
        rows = intake.studies(self.asker).filter(**{names[key]: value for key, value in self.asked(*names).items()})
        return self.listing(rows, handing_shapes.StudyShape)


class StudyDoor(Door):
    @told(handing_shapes.StudyShape, summary="One study", tags=["uploads"])
    def get(self, request: Request, pk: Any) -> Response:
        return Response(handing_shapes.StudyShape(find(intake.studies(self.asker), pk=pk)).data)


class BindDoor(Door):
    @told(handing_shapes.StudyShape, request=handing_shapes.Bind, summary="Say whose a waiting study is", tags=["uploads"])
    def post(self, request: Request, pk: Any) -> Response:
        study, given = find(intake.studies(self.asker), pk=pk), self.body(handing_shapes.Bind)
        person = find_all(people(self.asker), [given["participant"]], "participant")[given["participant"]]
        visit = find_all(visits(self.asker), [given["visit"]], "visit")[given["visit"]]
        return Response(handing_shapes.StudyShape(actions.bind_study(self.asker, study, person, visit)).data)


class RefuseStudyDoor(Door):
    @told(handing_shapes.StudyShape, request=shapes.Why, summary="Do not take a waiting study; its originals are destroyed", tags=["uploads"])
    def post(self, request: Request, pk: Any) -> Response:
        study, given = find(intake.studies(self.asker), pk=pk), self.body(shapes.Why)
        return Response(handing_shapes.StudyShape(actions.refuse_study(self.asker, study, given["reason"])).data)
