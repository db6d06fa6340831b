"""Doors of a request's life beside its author and decision: its team, keys, votes, suspension, renewal and end; views, levels, and acts by two people."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework.request import Request as HttpRequest
from rest_framework.response import Response

from registry.access import actions as access
from registry.access import deciding, pairs, papers, queries
from registry.access.models import Naming
from registry.api import account_shapes, receiving_shapes, shapes
from registry.api import team_shapes as team
from registry.api.doors import Door, find, find_all, told
from registry.api.parsers import Bytes
from registry.api.receiving_doors import RequestDoorBase, request_told
from registry.releases import sealing

REQUEST = receiving_shapes.RequestShape


class ChangeDoor(RequestDoorBase):
    @told(REQUEST, request=team.Change, summary="Change a request that was not handed in, or came back", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        held, checked = self.one(pk), receiving_shapes.NewRequest(data=self.body(team.Change)["change"], partial=True)
        checked.is_valid(raise_exception=True)
        if "recipient_key" in checked.validated_data:
            sealing.checked(checked.validated_data["recipient_key"])
        access.change_request(self.asker, held, **checked.validated_data)
        return self.answer(pk)


class TakeBackDoor(RequestDoorBase):
    @told(REQUEST, request=None, summary="Take a request back before anything was given", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        access.withdraw_request(self.asker, self.one(pk))
        return self.answer(pk)


class MembersDoor(RequestDoorBase):
    gives = False

    @told(team.MemberShape, many=True, summary="The other members of a team", tags=["requests"])
    def get(self, request: HttpRequest, pk: Any) -> Response:
        return self.listing(self.one(pk).members.filter(dropped_at=None).select_related("user"), team.MemberShape)

    @told(
        team.MemberShape,
        request=team.NewMember,
        status=201,
        summary="Name a member of the team: a colleague of one's institution is of it at once, anybody else once they say so (202)",
        also={202: team.NamingShape},
        tags=["requests"],
    )
    def post(self, request: HttpRequest, pk: Any) -> Response:
        held, given = self.one(pk), self.body(team.NewMember)
        named = access.invite_member(self.asker, held, given["email"], given["country"])
        if isinstance(named, Naming):
            return Response(team.NamingShape(named).data, status=202)
        return Response(team.MemberShape(named).data, status=201)


class MemberDoor(Door):
    @told(None, status=204, summary="Drop a member; their entitlement ends", tags=["requests"])
    def delete(self, request: HttpRequest, pk: Any) -> Response:
        access.drop_member(self.asker, find(queries.members(self.asker), pk=pk))
        return Response(status=204)


class NamingsDoor(Door):
    @told(team.NamingShape, many=True, summary="Teams one was named for, and whom one named, as long as nobody answered", tags=["requests"])
    def get(self, request: HttpRequest) -> Response:
        return self.listing(queries.namings(self.asker), team.NamingShape)


class NamingDoor(Door):
    @told(team.MemberShape, request=team.Answer, summary="Say whether one will be of a team one was named for", also={204: None}, tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        naming, given = find(queries.namings(self.asker), pk=pk), self.body(team.Answer)
        if given["join"]:
            return Response(team.MemberShape(access.join_team(self.asker, naming)).data)
        access.decline(self.asker, naming)
        return Response(status=204)

    @told(None, status=204, summary="Take back that one named somebody", tags=["requests"])
    def delete(self, request: HttpRequest, pk: Any) -> Response:
        access.take_naming_back(self.asker, find(queries.namings(self.asker), pk=pk))
        return Response(status=204)


class PaperDoor(RequestDoorBase):
    """The document of an ethics board. What it says is never trusted: it comes back as a file to be saved."""

    parser_classes = [Bytes]

    @told(OpenApiTypes.BINARY, summary="The document of an ethics board", tags=["requests"])
    def get(self, request: HttpRequest, pk: Any) -> HttpResponse:
        paper = find(queries.papers(self.asker), request=self.one(pk))
        headers = {"Content-Disposition": f'attachment; filename="ethics-{paper.pk}.pdf"', "Content-Security-Policy": "default-src 'none'; sandbox"}
        return HttpResponse(papers.read(paper), content_type="application/octet-stream", headers={**headers, "Cache-Control": "private, no-store"})

    @told(
        team.PaperShape,
        request={"application/octet-stream": OpenApiTypes.BINARY},
        summary="Put the document of an ethics board (PDF, at most 10 MiB) to a draft",
        tags=["requests"],
    )
    def put(self, request: HttpRequest, pk: Any) -> Response:
        held = self.one(pk)
        data = request._request.read(papers.MOST_BYTES + 1)
        return Response(team.PaperShape(access.attach_paper(self.asker, held, data)).data)

    @told(None, status=204, summary="Take the document off again", tags=["requests"])
    def delete(self, request: HttpRequest, pk: Any) -> Response:
        access.take_paper_off(self.asker, self.one(pk))
        return Response(status=204)


class KeyDoor(RequestDoorBase):
    @told(REQUEST, request=team.NewKey, summary="Give the key that one's packages are encrypted to", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        access.set_recipient_key(self.asker, self.one(pk), sealing.checked(self.body(team.NewKey)["recipient_key"]))
        return self.answer(pk)


class VoteDoor(RequestDoorBase):
    scopes = {"POST": "decide"}

    @told(team.VoteShape, request=team.NewVote, summary="Vote on a request, or change one's vote", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        return Response(team.VoteShape(access.vote(self.asker, self.one(pk), **self.body(team.NewVote))).data)


class SuspendDoor(RequestDoorBase):
    scopes = {"POST": "decide"}

    @told(REQUEST, request=shapes.Why, summary="Stop for now what a request gives", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        access.suspend_request(self.asker, self.one(pk), self.body(shapes.Why)["reason"])
        return self.answer(pk)


class ResumeDoor(RequestDoorBase):
    scopes = {"POST": "decide"}

    @told(REQUEST, request=None, summary="Let a suspended request go on", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        access.resume_request(self.asker, self.one(pk))
        return self.answer(pk)


class RevokeRequestDoor(RequestDoorBase):
    scopes = {"POST": "decide"}

    @told(REQUEST, request=shapes.Why, summary="End what a request gives, for the whole team", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        access.revoke_request(self.asker, self.one(pk), self.body(shapes.Why)["reason"])
        return self.answer(pk)


class ReportsDoor(RequestDoorBase):
    gives = False

    @told(team.ReportShape, many=True, summary="Reports on the use of the data", tags=["requests"])
    def get(self, request: HttpRequest, pk: Any) -> Response:
        return self.listing(self.one(pk).renewals.all(), team.ReportShape)

    @told(team.ReportShape, request=team.NewReport, status=201, summary="Say what was done, and ask for more time", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        return Response(team.ReportShape(access.report(self.asker, self.one(pk), **self.body(team.NewReport))).data, status=201)


class RenewDoor(RequestDoorBase):
    scopes = {"POST": "decide"}

    @told(REQUEST, request=team.Renew, summary="Accept the report that was read: a new end", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        access.renew_request(self.asker, self.one(pk), self.body(team.Renew)["report"])
        return self.answer(pk)


class AttestDoor(RequestDoorBase):
    @told(REQUEST, request=team.Statement, summary="Say that the team has deleted everything", tags=["requests"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        access.attest_deletion(self.asker, self.one(pk), self.body(team.Statement)["statement"])
        return self.answer(pk)


class ApproveManyDoor(Door):
    scopes = {"POST": "decide"}

    @told(REQUEST, request=team.ApproveMany, bulk=True, summary="Approve several requests; needs two people", tags=["requests"])
    def post(self, request: HttpRequest) -> Response:
        given = self.body(team.ApproveMany)
        found = find_all(queries.requests(self.asker), given["requests"], "requests[{}]")
        access.approve_requests(self.asker, list(found.values()), given["reason"])
        return Response({"results": [request_told(self.asker, find(queries.requests(self.asker), pk=pk)) for pk in found]})


# --- what a dataset asks for -----------------------------------------------------------------------------------------------------------------------


class ViewsDoor(Door):
    gives = False
    scopes = {"POST": "decide"}

    @told(team.ViewShape, many=True, summary="Views of a dataset: kinds of file with a level of their own", tags=["administration"])
    def get(self, request: HttpRequest, slug: str) -> Response:
        return self.listing(queries.views(self.asker).filter(dataset__slug=slug), team.ViewShape)

    @told(team.ViewShape, request=team.NewView, status=201, summary="Open a view", tags=["administration"])
    def post(self, request: HttpRequest, slug: str) -> Response:
        dataset = find(queries.datasets(self.asker), slug=slug)
        return Response(team.ViewShape(access.open_view(self.asker, dataset, **self.body(team.NewView))).data, status=201)


class ViewDoor(Door):
    scopes = {"DELETE": "decide"}

    @told(None, status=204, summary="End a view: no new request names it", tags=["administration"])
    def delete(self, request: HttpRequest, pk: Any) -> Response:
        access.end_view(self.asker, find(queries.views(self.asker), pk=pk))
        return Response(status=204)


class LevelDoor(Door):
    scopes = {"POST": "admin"}

    @told(account_shapes.DatasetShape, request=team.NewLevel, summary="How strictly a dataset is given out", tags=["administration"])
    def post(self, request: HttpRequest, slug: str) -> Response:
        dataset = find(queries.datasets(self.asker), slug=slug)
        return Response(account_shapes.DatasetShape(access.set_level(self.asker, dataset, **self.body(team.NewLevel))).data)


class VotesDoor(Door):
    scopes = {"POST": "admin"}

    @told(account_shapes.DatasetShape, request=team.NewVotes, summary="How many yes votes an approval needs, and whose", tags=["administration"])
    def post(self, request: HttpRequest, slug: str) -> Response:
        dataset = find(queries.datasets(self.asker), slug=slug)
        return Response(account_shapes.DatasetShape(access.agree_votes(self.asker, dataset, **self.body(team.NewVotes))).data)


class PublishDoor(Door):
    scopes = {"POST": "decide"}

    @told(team.AgreementMade, request=team.NewAgreement, status=201, summary="Publish the next version of the agreement", tags=["administration"])
    def post(self, request: HttpRequest, slug: str) -> Response:
        dataset = find(queries.datasets(self.asker), slug=slug)
        return Response(team.AgreementMade(access.publish_agreement(self.asker, dataset, **self.body(team.NewAgreement))).data, status=201)


# --- two people ------------------------------------------------------------------------------------------------------------------------------------


class ProposalsDoor(Door):
    gives = False
    scopes = {"POST": "decide"}

    @told(team.ProposalShape, many=True, filters=("act",), summary="Acts that need two people", tags=["two people"])
    def get(self, request: HttpRequest) -> Response:
        return self.listing(queries.dangerous_acts(self.asker).filter(**self.asked("act")), team.ProposalShape)

    @told(team.ProposalShape, request=team.NewProposal, status=201, summary="Propose an act that needs two people", tags=["two people"])
    def post(self, request: HttpRequest) -> Response:
        given = self.body(team.NewProposal)
        dataset = find(queries.datasets(self.asker), slug=given["dataset"])
        thing = given["object"] or deciding.bulk(find_all(queries.requests(self.asker), given["requests"], "requests[{}]").values())
        return Response(team.ProposalShape(pairs.propose(self.asker, dataset, given["act"], thing, given["reason"])).data, status=201)


class SecondDoor(Door):
    scopes = {"POST": "decide"}

    @told(team.ProposalShape, request=None, summary="Agree to what somebody else proposed", tags=["two people"])
    def post(self, request: HttpRequest, pk: Any) -> Response:
        proposal = find(queries.dangerous_acts(self.asker), pk=pk)
        return Response(team.ProposalShape(pairs.second(self.asker, proposal)).data)
