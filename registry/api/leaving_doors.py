"""Doors of leaving and calling back: withdrawals and recalls with their certificates, and the notices that past recipients answer."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import queries as access
from registry.accounts.models import Site
from registry.api import handing_shapes
from registry.api import receiving_shapes as shapes
from registry.api.doors import ByTime, Door, find, find_all, told
from registry.api.handing_doors import people, visits
from registry.imaging import queries as imaging
from registry.intake import queries as intake
from registry.releases import actions, certificates, own, queries, reporting
from registry.rules import Invalid


def withdrawal_told(asker: Any, removal: Any) -> Any:
    """A departure, with what only the site may know of it."""
    return shapes.WithdrawalShape(removal, context={"asker": asker}).data


class WithdrawDoor(Door):
    step_up = ("POST",)

    @told(
        shapes.WithdrawalShape,
        request=shapes.Withdraw,
        status=202,
        summary="A participant leaves, in every dataset of theirs: consent and packages end before this answers",
        tags=["leaving"],
    )
    def post(self, request: Request, pk: Any) -> Response:
        person, given = find(people(self.asker), pk=pk), self.body(shapes.Withdraw)
        removal = actions.withdraw(self.asker, person, given["only_here"])
        return Response(withdrawal_told(self.asker, removal), status=202)


class RecallDoor(Door):
    scopes = {"POST": "decide"}

    @told(
        shapes.RecallShape,
        request=shapes.Recall,
        status=202,
        summary="Call an image back, or one of its masks: nobody is given it from now on",
        tags=["leaving"],
    )
    def post(self, request: Request, pk: Any) -> Response:
        image, given = find(imaging.images(self.asker), pk=pk), self.body(shapes.Recall)
        return Response(shapes.RecallShape(actions.recall(self.asker, image, given["cause"], given["reason"], given["path"])).data, status=202)


class MoveDoor(Door):
    step_up = ("POST",)

    @told(handing_shapes.StudyShape, request=shapes.Move, summary="Take a wrongly bound study from where it is, to the right visit or back", tags=["uploads"])
    def post(self, request: Request, pk: Any) -> Response:
        study, given = find(intake.studies(self.asker), pk=pk), self.body(shapes.Move)
        visit = find_all(visits(self.asker), [given["visit"]], "visit")[given["visit"]] if given["visit"] else None
        actions.rebind(self.asker, study, visit, given["reason"])
        return Response(handing_shapes.StudyShape(find(intake.studies(self.asker), pk=pk)).data)


class NoticesDoor(Door):
    @told(shapes.NoticeShape, many=True, summary="What one has been told to delete", tags=["leaving"])
    def get(self, request: Request) -> Response:
        return self.listing(queries.notices(self.asker), shapes.NoticeShape)


class AcknowledgeDoor(Door):
    @told(shapes.NoticeShape, request=shapes.Acknowledge, summary="Attest that one has deleted it", tags=["leaving"])
    def post(self, request: Request, pk: Any) -> Response:
        notice, given = find(queries.notices(self.asker), pk=pk), self.body(shapes.Acknowledge)
        if not given["deleted"]:
            raise Invalid("not_deleted", "A notice is acknowledged once the files are deleted.", "Delete them, then send deleted: true.")
        return Response(shapes.NoticeShape(actions.acknowledge(self.asker, notice, given["statement"])).data)


class Removals(Door):
    """What the doors of departures and of recalls share."""

    kind = "withdrawal"

    def one(self, pk: Any) -> Any:
        return find(queries.removals(self.asker, self.kind), pk=pk)

    def rows(self) -> Any:
        rows = queries.removals(self.asker, self.kind)
        slug = self.asked("dataset").get("dataset")
        return rows.filter(participant__dataset__slug=slug) if slug else rows


class WithdrawalsDoor(Removals):
    @told(shapes.WithdrawalShape, many=True, filters=("dataset",), summary="Departures", tags=["leaving"])
    def get(self, request: Request) -> Response:
        return self.listing(self.rows(), shapes.WithdrawalShape, ByTime)


class WithdrawalDoor(Removals):
    @told(shapes.WithdrawalShape, summary="One departure, step by step", tags=["leaving"])
    def get(self, request: Request, pk: Any) -> Response:
        return Response(withdrawal_told(self.asker, self.one(pk)))


class RecallsDoor(Removals):
    kind = "recall"

    @told(shapes.RecallShape, many=True, filters=("dataset",), summary="Recalls", tags=["leaving"])
    def get(self, request: Request) -> Response:
        return self.listing(self.rows(), shapes.RecallShape, ByTime)


class OneRecallDoor(Removals):
    kind = "recall"

    @told(shapes.RecallShape, summary="One recall, step by step", tags=["leaving"])
    def get(self, request: Request, pk: Any) -> Response:
        return Response(shapes.RecallShape(self.one(pk)).data)


class CertificateDoor(Removals):
    """The certificate as a page to be printed and filed."""

    @told(OpenApiTypes.STR, summary="The certificate of a departure, to be printed", tags=["leaving"])
    def get(self, request: Request, pk: Any) -> HttpResponse:
        page = certificates.page(self.asker, self.one(pk))
        policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        return HttpResponse(page, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})


class PersonReportDoor(Door):
    """The identifier comes in the body: no address and no log holds it."""

    step_up = ("POST",)

    @told(shapes.PersonReport, request=shapes.WhoseReport, summary="All that is held of a person, why, and who had it: for their site", tags=["people"])
    def post(self, request: Request) -> Response:
        given = self.body(shapes.WhoseReport)
        dataset, site = find(access.datasets(self.asker), slug=given["dataset"]), find(Site.objects.all(), code=given["site"])
        report = reporting.person_report(self.asker, dataset, site, given["patient_id"], given["issuer"])
        return Response(reporting.plain(report), headers={"Cache-Control": "no-store"})


class OwnDataDoor(Door):
    """A site's own data as a tar."""

    scopes = {"GET": "download"}

    @told(OpenApiTypes.BINARY, summary="A site's own images, tables and receipts, as a tar", filters=("site",), tags=["people"])
    def get(self, request: Request, slug: str) -> StreamingHttpResponse:
        dataset = find(access.datasets(self.asker), slug=slug)
        site = find(Site.objects.all(), code=self.asked("site").get("site", ""))
        chunks = own.download(self.asker, dataset, site)
        headers = {"Content-Disposition": f'attachment; filename="{slug}-{site.code}.tar"', "Cache-Control": "private, no-store"}
        return StreamingHttpResponse(chunks, content_type="application/x-tar", headers=headers)
