"""Doors of deciding: images and their pictures, releases, the audit log."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request
from rest_framework.response import Response

from registry.access import policy, queries
from registry.api import deciding_shapes, receiving_shapes, shapes
from registry.api.doors import BySeq, Door, find, find_all, told
from registry.api.errors import Gone
from registry.audit import queries as audit
from registry.audit.models import Head
from registry.imaging import queries as imaging
from registry.intake import actions as intake
from registry.intake import queries as work
from registry.releases import actions
from registry.releases import queries as releases
from registry.rules import Denied, Invalid


class ImagesDoor(Door):
    @told(
        deciding_shapes.ImageShape,
        many=True,
        filters=("dataset", "state", "participant", "visit", "suffix", "grade", "study"),
        summary="Images",
        tags=["images"],
    )
    def get(self, request: Request) -> Response:
        names = {"dataset": "visit__participant__dataset__slug", "participant": "visit__participant", "visit": "visit", "study": "study_id"}
        names |= {"state": "state", "suffix": "suffix", "grade": "grade"}
        given = {names[key]: value for key, value in self.asked(*names).items()}
        return self.listing(imaging.images(self.asker).filter(**given), deciding_shapes.ImageShape)


class ImageDoor(Door):
    @told(deciding_shapes.ImageWhole, summary="One image with its provenance", tags=["images"])
    def get(self, request: Request, pk: Any) -> Response:
        return Response(deciding_shapes.ImageWhole(find(imaging.images(self.asker), pk=pk)).data)


class AcceptDoor(Door):
    scopes = {"POST": "decide"}

    @told(deciding_shapes.ImageShape, request=deciding_shapes.Note, summary="Take an image", tags=["images"])
    def post(self, request: Request, pk: Any) -> Response:
        image, given = find(imaging.images(self.asker), pk=pk), self.body(deciding_shapes.Note)
        intake.accept_image(self.asker, image, given["note"])
        return Response(deciding_shapes.ImageShape(find(imaging.images(self.asker), pk=pk)).data)


class RefuseDoor(Door):
    scopes = {"POST": "decide"}

    @told(deciding_shapes.ImageShape, request=shapes.Why, summary="Do not take an image", tags=["images"])
    def post(self, request: Request, pk: Any) -> Response:
        image, given = find(imaging.images(self.asker), pk=pk), self.body(shapes.Why)
        intake.refuse_image(self.asker, image, given["reason"])
        return Response(deciding_shapes.ImageShape(find(imaging.images(self.asker), pk=pk)).data)


class ReturnImageDoor(Door):
    scopes = {"POST": "decide"}

    @told(deciding_shapes.ImageShape, request=shapes.Why, summary="Give an image back to its site with a question", tags=["images"])
    def post(self, request: Request, pk: Any) -> Response:
        image, given = find(imaging.images(self.asker), pk=pk), self.body(shapes.Why)
        intake.return_image(self.asker, image, given["reason"])
        return Response(deciding_shapes.ImageShape(find(imaging.images(self.asker), pk=pk)).data)


class AnswerImageDoor(Door):
    @told(deciding_shapes.ImageShape, request=shapes.Why, summary="Answer what a steward asked about an image", tags=["images"])
    def post(self, request: Request, pk: Any) -> Response:
        image, given = find(imaging.images(self.asker), pk=pk), self.body(shapes.Why)
        intake.answer_image(self.asker, image, given["reason"])
        return Response(deciding_shapes.ImageShape(find(imaging.images(self.asker), pk=pk)).data)


class CorrectDoor(Door):
    @told(
        deciding_shapes.CorrectionShape,
        request=deciding_shapes.NewCorrection,
        summary="Say what the images of this protocol are; later uploads know it",
        tags=["images"],
    )
    def post(self, request: Request, pk: Any) -> Response:
        image, given = find(imaging.images(self.asker), pk=pk), self.body(deciding_shapes.NewCorrection)
        return Response(deciding_shapes.CorrectionShape(intake.correct(self.asker, image, given)).data)


class CorrectionsDoor(Door):
    gives = False

    @told(deciding_shapes.CorrectionShape, many=True, filters=("dataset", "site"), summary="What was said about protocols", tags=["images"])
    def get(self, request: Request) -> Response:
        names = {"dataset": "dataset__slug", "site": "site__code"}
        rows = work.corrections(self.asker).filter(**{names[key]: value for key, value in self.asked(*names).items()})
        return self.listing(rows, deciding_shapes.CorrectionShape)


class AcceptManyDoor(Door):
    scopes = {"POST": "decide"}

    @told(deciding_shapes.ImageShape, bulk=True, request=deciding_shapes.AcceptMany, summary="Take several images, all or none", tags=["images"])
    def post(self, request: Request) -> Response:
        given = self.body(deciding_shapes.AcceptMany)
        found = find_all(imaging.images(self.asker), given["images"], "images.{}")
        intake.accept_images(self.asker, list(found.values()), given["note"])
        rows = imaging.images(self.asker).filter(pk__in=found)
        return Response({"results": deciding_shapes.ImageShape(rows, many=True).data})


class QualityDoor(Door):
    @told(OpenApiTypes.BINARY, summary="The quality strip", tags=["images"])
    def get(self, request: Request, pk: Any) -> HttpResponse:
        picture = intake.quality(find(imaging.images(self.asker), pk=pk))
        if picture is None:
            raise Gone("There is no quality report to draw.", "no_picture")
        return png(picture)


class QualityPageDoor(Door):
    @told(OpenApiTypes.BINARY, summary="The quality report as a page", tags=["images"])
    def get(self, request: Request, pk: Any) -> HttpResponse:
        page = imaging.quality_page(find(imaging.images(self.asker), pk=pk))
        if page is None:
            raise Gone("There is no quality report to show.", "no_picture")
        policy_ = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
        headers = {"Cache-Control": "no-store", "Content-Security-Policy": policy_, "X-Content-Type-Options": "nosniff"}
        return HttpResponse(page, content_type="text/html; charset=utf-8", headers=headers)


class AfterDoor(Door):
    @told(OpenApiTypes.BINARY, summary="A rendering of what would be given out", tags=["images"], also={410: shapes.Problem})
    def get(self, request: Request, pk: Any) -> HttpResponse:
        picture = intake.view_after(self.asker, find(imaging.images(self.asker), pk=pk))
        if picture is None:
            raise Gone("The renderings of this image are destroyed, or it has none.", "review_gone")
        return png(picture)


class ReviewDoor(Door):
    scopes = {"GET": "decide"}

    @told(OpenApiTypes.BINARY, summary="A rendering with a face, for the dataset's steward", tags=["images"], also={410: shapes.Problem})
    def get(self, request: Request, pk: Any, number: int) -> HttpResponse:
        picture = intake.look(self.asker, find(imaging.images(self.asker), pk=pk), number)
        if picture is None:
            raise Gone("The renderings of this image are destroyed, or it has none.", "review_gone")
        return png(picture)


def png(picture: bytes) -> HttpResponse:
    """A picture that nobody keeps on the way, and that can run nothing."""
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff"}
    return HttpResponse(picture, content_type="image/png", headers=headers)


class ReleasesDoor(Door):
    gives = False
    scopes = {"POST": "decide"}

    @told(deciding_shapes.ReleaseShape, many=True, filters=("dataset", "state"), summary="Releases", tags=["releases"])
    def get(self, request: Request) -> Response:
        names = {"dataset": "dataset__slug", "state": "state"}
        rows = releases.releases(self.asker).filter(**{names[key]: value for key, value in self.asked(*names).items()})
        return self.listing(rows, deciding_shapes.ReleaseShape)

    @told(deciding_shapes.ReleaseShape, request=deciding_shapes.NewRelease, status=202, summary="Freeze the next release", tags=["releases"])
    def post(self, request: Request) -> Response:
        given = self.body(deciding_shapes.NewRelease)
        release = actions.freeze(self.asker, find(queries.datasets(self.asker), slug=given["dataset"]), given["changes"], given["part"])
        return Response(deciding_shapes.ReleaseShape(release).data, status=202)


class ReleaseDoor(Door):
    gives = False

    @told(deciding_shapes.ReleaseShape, summary="One release", tags=["releases"])
    def get(self, request: Request, pk: Any) -> Response:
        return Response(deciding_shapes.ReleaseShape(find(releases.releases(self.asker), pk=pk)).data)


class DryRunDoor(Door):
    scopes = {"POST": "decide"}

    @told(deciding_shapes.DryRun, request=deciding_shapes.NewRelease, summary="What a release made now would be; nothing is written", tags=["releases"])
    def post(self, request: Request) -> Response:
        given = self.body(deciding_shapes.NewRelease)
        dataset = find(queries.datasets(self.asker), slug=given["dataset"])
        return Response(actions.dry_run(self.asker, dataset, given["changes"], given["part"]))


class ReleaseAccountDoor(Door):
    @told(deciding_shapes.Account, summary="What stands behind a release: left out, consents, versions, privacy", tags=["releases"])
    def get(self, request: Request, pk: Any) -> Response:
        release = self.watched(pk)
        return Response({"release": release.pk, "version": release.version, "sha256": release.account_sha256, "account": release.account})

    def watched(self, pk: Any) -> Any:
        """A release of a dataset whose record the asker reads. Raises Denied."""
        release = find(releases.releases(self.asker), pk=pk)
        if not policy.ask_in(self.asker, "read_audit", release.dataset).permitted:
            raise Denied("no_role", "Stewards and auditors of the dataset read what stands behind a release.")
        return release


class DifferenceDoor(ReleaseAccountDoor):
    @told(deciding_shapes.Difference, summary="What differs from an earlier release, in numbers", tags=["releases"])
    def get(self, request: Request, pk: Any, other: Any) -> Response:
        newer, older = self.watched(pk), self.watched(other)
        if newer.dataset_id != older.dataset_id:
            raise Invalid("other_dataset", "Both releases must be of one dataset.", "Name two releases of one dataset.")
        return Response(actions.freezing.difference(older, newer))


class DataCiteDoor(Door):
    gives = False

    @told(OpenApiTypes.OBJECT, summary="How a release is cited: DataCite metadata, as JSON", tags=["releases"])
    def get(self, request: Request, pk: Any) -> Response:
        return Response(find(releases.releases(self.asker), pk=pk).account.get("datacite") or {})


class ReleaseVerifyDoor(Door):
    @told(deciding_shapes.Verified, request=None, summary="Is a release still what it was? Every file is hashed anew", tags=["releases"])
    def post(self, request: Request, pk: Any) -> Response:
        return Response(actions.verify(self.asker, find(releases.releases(self.asker), pk=pk)))


class CitationDoor(Door):
    scopes = {"POST": "decide"}

    @told(deciding_shapes.Citation, request=deciding_shapes.Citation, summary="How releases of a dataset are cited from now on", tags=["releases"])
    def post(self, request: Request, slug: str) -> Response:
        given = self.body(deciding_shapes.Citation)
        return Response({"citation": actions.cite(self.asker, find(queries.datasets(self.asker), slug=slug), given["citation"]).citation})


class ValidateDoor(Door):
    scopes = {"POST": "decide"}

    @told(
        deciding_shapes.ReleaseShape,
        request=None,
        status=202,
        summary="Have a frozen release validated again, where that came to nothing",
        tags=["releases"],
    )
    def post(self, request: Request, pk: Any) -> Response:
        release = actions.validate(self.asker, find(releases.releases(self.asker), pk=pk))
        return Response(deciding_shapes.ReleaseShape(release).data, status=202)


class ReleaseManifestDoor(Door):
    @told(deciding_shapes.ReleaseManifest, summary="Every path and hash of a release", tags=["releases"])
    def get(self, request: Request, pk: Any) -> Response:
        release = find(releases.releases(self.asker), pk=pk)
        if not policy.ask_in(self.asker, "read_audit", release.dataset).permitted:
            raise Denied("no_role", "Stewards and auditors of the dataset read a release's manifest.")
        files = release.files.order_by("path")
        told_files = deciding_shapes.ReleaseFileShape(files, many=True).data
        answer = {"release": release.pk, "version": release.version, "sha256": release.sha256, "tombstones": files.filter(tombstone=True).count()}
        return Response({**answer, "files": told_files})


class LinesDoor(Door):
    @told(receiving_shapes.LineShape, many=True, filters=("dataset", "object"), summary="The audit log, newest first", tags=["audit"])
    def get(self, request: Request) -> Response:
        readable = queries.datasets_of(self.asker, "steward", "auditor")
        if "dataset" in (given := self.asked("dataset", "object")):
            readable &= {str(find(queries.datasets(self.asker), slug=given["dataset"]).pk)}
        rows = audit.of_datasets(readable)
        if "object" in given:
            rows = rows.filter(object=given["object"])
        return self.listing(rows, receiving_shapes.LineShape, BySeq)


class DeadMailsDoor(Door):
    @told(receiving_shapes.MailShape, many=True, summary="Mails that could not be delivered", tags=["leaving"])
    def get(self, request: Request) -> Response:
        return self.listing(queries.dead_mails(self.asker), receiving_shapes.MailShape)


class VerifyDoor(Door):
    @told(receiving_shapes.Verified, summary="Does the chain hold?", tags=["audit"])
    def post(self, request: Request) -> Response:
        if not (self.asker.is_superuser or queries.datasets_of(self.asker, "steward", "auditor")):
            raise Denied("no_role", "Stewards, auditors and administrators verify the log.")
        problems = [{"field": f"line {found.seq}", "reason": found.code} for found in audit.verify()]
        head = Head.objects.filter(pk=1).first()
        return Response({"ok": not problems, "lines": head.count if head else 0, "head": head.last if head else "", "problems": problems})
