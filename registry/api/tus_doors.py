"""Doors of resumable sending: tus 1.0 with our own problem documents. `docs/reference/upload.md` is what they keep to, header by header."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api import handing_shapes
from registry.api.doors import PROBLEMS, Door, FilesPerUser, find, told
from registry.api.errors import Gone
from registry.api.handing_doors import body_length, digest_in, said, secure
from registry.api.parsers import Bytes
from registry.intake import actions
from registry.intake import queries as intake
from registry.intake.arriving import Misplaced
from registry.intake.models import Piece, Upload
from registry.intake.sending import CHUNK_BYTES, FILE_BYTES, Told, ends, there
from registry.rules import Invalid

VERSION = "1.0.0"
STREAM = "application/offset+octet-stream"
CHECKSUM = re.compile(r"sha256 ([A-Za-z0-9+/]{43}=)")
KEYS = frozenset(
    {"kind", "number", "count", "sha256", "folder", "annotation", "contrast", "body", "processed", "space", "resample", "visit", "beside", "rater", "labels"}
)
ABOUT = {
    "Tus-Version": VERSION, "Tus-Extension": "creation,checksum,termination,expiration", "Tus-Checksum-Algorithm": "sha256", "Tus-Max-Size": str(FILE_BYTES),
}  # fmt: skip


class VersionUnknown(Invalid):
    """The sender speaks another tus."""

    def __init__(self) -> None:
        super().__init__("tus_version", "This registry speaks tus 1.0.0.", "Send Tus-Resumable: 1.0.0.")


def header(name: str, required: bool = True, what: str = "") -> OpenApiParameter:
    return OpenApiParameter(name, str, OpenApiParameter.HEADER, required=required, description=what)


TUS = header("Tus-Resumable", what="1.0.0")


class TusDoor(Door):
    """What all of them have: the version in every answer, and the place to go on in those that know it."""

    throttle_classes = [FilesPerUser]
    parser_classes = [Bytes]

    def upload(self, request: Request, pk: Any) -> Upload:
        """The upload, once it is clear that both sides speak the same. Raises Http404, VersionUnknown, Denied over a line that is not secure."""
        found = find(intake.uploads(self.asker), pk=pk)
        if request.method != "GET" and request.headers.get("Tus-Resumable") != VERSION:
            raise VersionUnknown
        if request.method != "GET":
            secure(request)
        return found

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Tus-Resumable"] = VERSION
        answer["Cache-Control"] = "no-store"
        if answer.status_code == 412:
            answer["Tus-Version"] = VERSION
        return answer

    def handle_exception(self, exc: Exception) -> Response:
        """A chunk in the wrong place is told the right one."""
        if not isinstance(exc, Misplaced):
            return super().handle_exception(exc)
        answer = super().handle_exception(Invalid(exc.code, exc.reason, "Go on where Upload-Offset of this answer says."))
        answer["Upload-Offset"] = str(exc.there)
        return answer


class PiecesDoor(TusDoor):
    @extend_schema(exclude=True)
    def options(self, request: Request, pk: Any) -> Response:
        return Response(status=204, headers=ABOUT)

    @told(handing_shapes.PieceShape, many=True, filters=("state",), summary="What of an upload is here, piece by piece", tags=["uploads"])
    def get(self, request: Request, pk: Any) -> Response:
        rows = intake.pieces(self.asker).filter(upload=self.upload(request, pk), **self.asked("state"))
        return self.listing(rows, handing_shapes.PieceShape)

    @told(
        handing_shapes.PieceShape,
        status=201,
        summary="Begin a piece: a large file, or a bundle of small ones; the same again changes nothing (200)",
        also={200: handing_shapes.PieceShape},
        parameters=[TUS, header("Upload-Length"), header("Upload-Metadata", what="key base64(value), …: kind, number, count, sha256, folder and more")],
        tags=["uploads"],
    )
    def post(self, request: Request, pk: Any) -> Response:
        upload = self.upload(request, pk)
        piece, new = actions.begin_piece(self.asker, upload, announced(request))
        location = f"/api/v1/uploads/{upload.pk}/tus/{piece.pk}"
        return Response(handing_shapes.PieceShape(piece).data, status=201 if new else 200, headers={"Location": location, **standing(piece)})


class PieceDoor(TusDoor):
    gives = False  # how far one's own sending is; the digest is left out

    def piece(self, request: Request, pk: Any, other: Any) -> Piece:
        """The piece, if it was not ended. Raises Http404, Gone."""
        upload = self.upload(request, pk)
        found = find(intake.pieces(self.asker), pk=other, upload=upload)
        if found.state == Piece.State.ENDED:
            raise Gone(found.reason, "piece_ended")
        return found

    @told(
        handing_shapes.PieceShape,
        summary="How much of a piece is here (HEAD: in headers alone)",
        also={410: PROBLEMS[404]},
        tags=["uploads"],
    )
    def get(self, request: Request, pk: Any, other: Any) -> Response:
        piece = self.piece(request, pk, other)
        headers = standing(piece)
        return Response({**handing_shapes.PieceShape(piece).data, "sha256": ""}, headers=headers)

    @told(
        None,
        request={STREAM: OpenApiTypes.BINARY},
        status=204,
        summary="Send the next chunk of a piece",
        also=dict.fromkeys((410, 411, 412, 413, 415, 422, 423, 507), PROBLEMS[400]),
        parameters=[
            TUS, header("Upload-Offset"), header("Upload-Checksum", required=False, what="sha256 BASE64, of the chunk; needed unless it is empty"),
            header("Repr-Digest", required=False, what="sha-256=:BASE64: of the whole piece (RFC 9530), at the latest with its last byte"),
        ],
        tags=["uploads"],
    )  # fmt: skip
    def patch(self, request: Request, pk: Any, other: Any) -> Response:
        piece = self.piece(request, pk, other)
        if request.META.get("CONTENT_TYPE", "").partition(";")[0].strip() != STREAM:
            raise exceptions.UnsupportedMediaType("another")
        bare = not request.META.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" not in request.META
        size = 0 if bare else body_length(request)  # a request without either has no body
        if size > CHUNK_BYTES:
            raise Invalid("chunk_too_large", "A chunk is at most 8 MiB.", "Send less at once.")
        offset, checksum, digest = number_in(request, "Upload-Offset", "bad_offset"), checksum_in(request, size), digest_in(request, "Repr-Digest")
        stream: Any = request._request
        try:
            actions.add_chunk(self.asker, piece, offset, stream, size, checksum, digest)
        finally:
            drain(stream)
        return Response(status=204, headers=standing(piece))

    @told(None, status=204, summary="Give a piece up: what arrived of it goes, and what came of it", parameters=[TUS], tags=["uploads"])
    def delete(self, request: Request, pk: Any, other: Any) -> Response:
        actions.give_up_piece(self.asker, self.piece(request, pk, other))
        return Response(status=204)


def standing(piece: Piece) -> dict[str, str]:
    """The headers that say how a piece stands."""
    offset, until = there(piece), ends(piece)
    told = {"Upload-Offset": str(offset), "Upload-Length": str(piece.length), "Myelin-State": str(piece.state)}
    return told | ({"Upload-Expires": until.strftime("%a, %d %b %Y %H:%M:%S GMT")} if until else {})


def drain(stream: Any) -> None:
    """Read what is left of a body: an answer in the middle of it would reach nobody."""
    try:
        while stream.read(1 << 18):
            pass
    except OSError:
        return


def number_in(request: Request, name: str, code: str) -> int:
    """A header that is a whole number. Raises Invalid."""
    text = request.headers.get(name, "")
    if not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        raise Invalid(code, f"{name} is missing, or is no whole number.", f"Send {name} in bytes.")
    return int(text)


def checksum_in(request: Request, size: int) -> str:
    """The SHA-256 that Upload-Checksum announces, in hex; empty for an empty chunk. Raises Invalid."""
    found = CHECKSUM.fullmatch(request.headers.get("Upload-Checksum", ""))
    if not found:
        if not size:
            return ""
        raise Invalid("bad_checksum", "A chunk is sent with its SHA-256.", "Send Upload-Checksum: sha256 BASE64.")
    return base64.b64decode(found.group(1)).hex()


def announced(request: Request) -> Told:
    """What Upload-Length and Upload-Metadata say of a piece. Raises Invalid."""
    length, given = number_in(request, "Upload-Length", "bad_length"), metadata(request.headers.get("Upload-Metadata", ""))
    count = given.get("count", "1")
    number, sha256 = given.get("number", ""), given.get("sha256", "")
    fine = (
        given.get("kind") in Piece.Kind.values
        and re.fullmatch(r"[0-9]{1,9}", number, re.ASCII)
        and re.fullmatch(r"[0-9]{1,3}", count, re.ASCII)
        and re.fullmatch(r"([0-9a-f]{64})?", sha256)
    )
    if not fine:
        raise bad_metadata()
    more = said(given)
    return Told(int(number), given["kind"], length, int(count), sha256, given.get("folder", ""), given.get("annotation", ""), more)


def metadata(text: str) -> dict[str, str]:
    """tus's pairs of key and base64. Raises Invalid; a key that nobody knows is refused, for it could hold a name."""
    pairs = [pair.strip().split(" ") for pair in text.split(",") if pair.strip()]
    try:
        given = {pair[0]: base64.b64decode(pair[1], validate=True).decode() if len(pair) > 1 else "" for pair in pairs}
    except (binascii.Error, ValueError):
        raise bad_metadata() from None
    if len(given) != len(pairs) or set(given) - KEYS or any(len(pair) > 2 for pair in pairs):
        raise bad_metadata()
    return given


def bad_metadata() -> Invalid:
    return Invalid("bad_metadata", "Upload-Metadata is not as it must be.", "See docs/reference/upload.md; no name is ever sent.")
