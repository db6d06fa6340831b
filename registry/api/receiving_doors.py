"""Doors of asking and receiving: requests, agreements, entitlements, packages and their bytes."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response

from registry.access import actions as access
from registry.access import queries
from registry.access.models import Request
from registry.accounts import queries as accounts
from registry.api import receiving_shapes, shapes
from registry.api.doors import Door, FilesPerUser, Pages, find, told
from registry.api.errors import Gone, document
from registry.releases import actions, giving, packing, sealing
from registry.releases import queries as releases
from registry.releases.models import Package
from registry.rules import Invalid

GONE = frozenset({"package_dead", "participant_withdrawn", "file_recalled"})


def request_told(asker: Any, request: Request) -> dict[str, Any]:
    """A request as the asker may see it."""
    row = {name: getattr(request, name) for name in ("id", *access.ASKED, "state", "reason", "created_at", "submitted_at")}
    row |= {"view": request.view.name if request.view else None, "level": request.level}
    row |= {"dataset": request.dataset.slug, "requester": request.requester.email, **releases.answers(asker, request)}
    return dict(receiving_shapes.RequestShape(row).data)


class RequestDoorBase(Door):
    """What the doors of one request share."""

    def one(self, pk: Any) -> Request:
        return find(queries.requests(self.asker), pk=pk)

    def answer(self, pk: Any, status: int = 200) -> Response:
        return Response(request_told(self.asker, self.one(pk)), status=status)


class RequestsDoor(RequestDoorBase):
    @told(receiving_shapes.RequestShape, many=True, filters=("dataset", "state"), summary="Requests one made or decides on", tags=["requests"])
    def get(self, request: HttpRequest) -> Response:
        names = {"dataset": "dataset__slug", "state": "state"}
        rows = queries.requests(self.asker).filter(**{names[key]: value for key, value in self.asked(*names).items()})
        pager = Pages()
        page = pager.paginate_queryset(rows, request, view=self) or []
        return pager.get_paginated_response([request_told(self.asker, row) for row in page])

    @told(receiving_shapes.RequestShape, request=receiving_shapes.NewRequest, status=201, summary="Begin a request", tags=["requests"])
    def post(self, request: HttpRequest) -> Response:
        given = self.body(receiving_shapes.NewRequest)
        dataset = find(queries.datasets(self.asker), slug=given.pop("dataset"))
        sealing.checked(given["recipient_key"])
        name = given.pop("view")
        view = find(queries.views(self.asker), dataset=dataset, name=name) if name else None
        made = access.draft_request(self.asker, dataset, view, **given)
        return self.answer(made.pk, 201)


class RequestDoor(RequestDoorBase):
    @told(receiving_shapes.RequestShape, summary="One request", tags=["requests"])
    def get(self, request: HttpRequest, pk: Any) -> Response:
        return self.answer(pk)


class SubmitDoor(RequestDoorBase):
    @told(receiving_shapes.RequestShape, request=receiving_shapes.Submit, summary="Hand a request to the stewards; its cohort is frozen", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        held, wanted = self.one(pk), self.body(receiving_shapes.Submit)["participants"]
        cohort = held.dataset.participants.filter(pk__in=wanted) if wanted is not None else None
        access.submit_request(self.asker, held, cohort)
        return self.answer(pk)


class DecideDoor(RequestDoorBase):
    scopes = {"POST": "decide"}

    @told(receiving_shapes.RequestShape, request=receiving_shapes.Decide, summary="Approve or reject a request, person by person", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        held, given = self.one(pk), self.body(receiving_shapes.Decide)
        if given["verdict"] in ("reject", "return"):
            (access.reject_request if given["verdict"] == "reject" else access.return_request)(self.asker, held, given["reason"])
        else:
            access.approve_request(self.asker, held, settle=given["settle"], leave_out=given["leave_out"], reason=given["reason"], read=given["submitted_at"])
        return self.answer(pk)


class AgreementDoor(RequestDoorBase):
    gives = False

    @told(receiving_shapes.AgreementShape, summary="The agreement to read and sign", tags=["requests"])
    def get(self, request: HttpRequest, pk: Any) -> Response:
        held = self.one(pk)
        agreement = accounts.current_agreement(held.dataset)
        if agreement is None:
            raise Invalid("no_agreement", "This dataset has no agreement yet.", "Ask its steward to publish one.")
        signed = held.signatures.filter(user=self.asker, agreement=agreement).first()
        row = {"dataset": held.dataset.slug, "version": agreement.version, "text": agreement.text, "signed_at": signed.created_at if signed else None}
        return Response(receiving_shapes.AgreementShape(row).data)


class SignDoor(RequestDoorBase):
    @told(
        receiving_shapes.EntitlementShape,
        request=receiving_shapes.Sign,
        summary="Sign the agreement: with the last signature of a team the entitlements begin",
        also={202: receiving_shapes.RequestShape},
        tags=["requests"],
    )
    def post(self, request: HttpRequest, pk: Any) -> Response:
        held, given = self.one(pk), self.body(receiving_shapes.Sign)
        if not given["accept"]:
            raise Invalid("not_accepted", "The agreement was not accepted.", "Send accept: true once you agree.")
        entitlement = access.sign_agreement(self.asker, held, given["version"])
        return Response(receiving_shapes.EntitlementShape(entitlement).data) if entitlement else self.answer(pk, 202)


class CloseDoor(RequestDoorBase):
    @told(receiving_shapes.RequestShape, request=None, summary="Be done with a request: what it entitles to ends now", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        access.close_request(self.asker, self.one(pk))
        return self.answer(pk)


class EntitlementsDoor(Door):
    gives = False

    @told(receiving_shapes.EntitlementShape, many=True, summary="Entitlements", tags=["requests"])
    def get(self, request: HttpRequest) -> Response:
        return self.listing(queries.entitlements(self.asker), receiving_shapes.EntitlementShape)


class EntitlementDoor(Door):
    gives = False

    @told(receiving_shapes.EntitlementShape, summary="One entitlement", tags=["requests"])
    def get(self, request: HttpRequest, pk: Any) -> Response:
        return Response(receiving_shapes.EntitlementShape(find(queries.entitlements(self.asker), pk=pk)).data)


class RevokeDoor(Door):
    scopes = {"POST": "decide"}

    @told(receiving_shapes.EntitlementShape, request=shapes.Why, summary="End an entitlement now", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        entitlement, given = find(queries.entitlements(self.asker), pk=pk), self.body(shapes.Why)
        access.revoke_entitlement(self.asker, entitlement, given["reason"])
        return Response(receiving_shapes.EntitlementShape(find(queries.entitlements(self.asker), pk=pk)).data)


# --- packages --------------------------------------------------------------------------------------------------------------------------------------


class PackagesDoor(Door):
    gives = False
    scopes = {"POST": "download"}

    @told(receiving_shapes.PackageShape, many=True, filters=("state",), summary="Packages", tags=["packages"])
    def get(self, request: HttpRequest) -> Response:
        return self.listing(releases.packages(self.asker).filter(**self.asked("state")), receiving_shapes.PackageShape)

    @told(receiving_shapes.PackageShape, request=receiving_shapes.NewPackage, status=202, summary="Have one's part of a release packed", tags=["packages"])
    def post(self, request: HttpRequest) -> Response:
        given = self.body(receiving_shapes.NewPackage)
        entitlement = find(queries.entitlements(self.asker), pk=given["entitlement"])
        release = find(releases.releases(self.asker), pk=given["release"]) if given["release"] else None
        return Response(receiving_shapes.PackageShape(actions.build_package(self.asker, entitlement, release)).data, status=202)


class PackageDoor(Door):
    gives = False

    @told(receiving_shapes.PackageShape, summary="One package", tags=["packages"])
    def get(self, request: HttpRequest, pk: Any) -> Response:
        return Response(receiving_shapes.PackageShape(find(releases.packages(self.asker), pk=pk)).data)


class PackageManifestDoor(Door):
    @told(receiving_shapes.PackageManifest, summary="What a package holds, signed", tags=["packages"])
    def get(self, request: HttpRequest, pk: Any) -> Response:
        package = find(releases.packages(self.asker), pk=pk)
        if not package.manifest:
            raise Invalid("package_not_ready", "This package is not made yet.", "Ask again in a moment.")
        return Response({"manifest": package.manifest, "signature": package.signature, "key": sealing.public_key(packing.key_file())})


class DownloadDoor(Door):
    """The ciphertext. The policy is asked before the first byte and for every 256 KiB; a denial closes the connection short of Content-Length."""

    scopes = {"GET": "download"}
    throttle_classes = [FilesPerUser]

    @told(
        OpenApiTypes.BINARY,
        summary="A package's bytes",
        also={206: OpenApiTypes.BINARY, 410: shapes.Problem, 416: shapes.Problem},
        parameters=[OpenApiParameter(name, str, OpenApiParameter.HEADER, required=False) for name in ("Range", "If-Range")],
        tags=["packages"],
    )
    def get(self, request: HttpRequest, pk: Any) -> HttpResponse | StreamingHttpResponse | Response:
        package = find(releases.packages(self.asker), pk=pk)
        if package.state in (Package.State.DEAD, Package.State.FAILED):
            raise Gone(package.reason or "This package is not there any more.", package.code if package.code in GONE else "package_dead")
        span = giving.span(request, package)
        if span is None:
            problem = document("range_not_satisfiable", 416, "The range lies beyond the end.", "Begin below the length that Content-Range gives.")
            return Response(problem, status=416, headers={"Content-Range": f"bytes */{package.bytes}"}, content_type="application/problem+json")
        actions.start_download(self.asker, package, span[:2])
        return giving.streamed(request, package, *span)
