"""Every command of a request through the API: who may is let, who may not is denied, and each denial leaves exactly one line.

The commands themselves are held by the table (`test_access_machine`); here each door is shown to reach its act, and to add nothing to who may.
"""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pyrage
import pytest
from django.utils import timezone

from registry.access import actions as access
from registry.access import pairs
from registry.access.models import Entitlement, Member, Request
from registry.accounts.models import Dataset, User
from registry.audit.models import Line
from registry.rules import Conflict

pytestmark = pytest.mark.django_db(databases="__all__")


def new_key() -> str:
    return str(pyrage.x25519.Identity.generate().to_public())


@pytest.fixture
def desk(house: Any, door: Any) -> Any:
    """Doors of everybody a request knows, and two people whom it may be granted for."""
    for _ in range(2):
        house.person()
    people = {
        "requester": house.world.user("requester"), "member": house.world.user("member"), "steward": house.steward,
        "second": house.world.steward(house.dataset), "contributor": house.contributor, "other": house.world.user("other"),
        "administrator": house.world.user("admin", is_superuser=True),
    }  # fmt: skip
    return SimpleNamespace(house=house, dataset=house.dataset, people=people, **{name: door(user) for name, user in people.items()})


def drafted(desk: Any, **fields: Any) -> str:
    told = {"dataset": desk.dataset.slug, "title": "A study", "abstract": "Why.", "purpose": "HMB", "team_countries": [], "recipient_key": new_key(), **fields}
    return str(desk.requester.post("/requests", told, 201)["id"])


def submitted(desk: Any, **fields: Any) -> str:
    request = drafted(desk, **fields)
    assert desk.requester.post(f"/requests/{request}/submit", {}, 200)["state"] == "in_review"
    return request


def active(desk: Any) -> str:
    request = submitted(desk)
    desk.steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 200)
    desk.requester.post(f"/requests/{request}/sign", {"version": 1, "accept": True}, 200)
    return request


def refused(door: Any, path: str, body: Any, status: int, code: str, method: str = "post") -> None:
    """The request is refused with this code, and leaves exactly one line where it is a denial, none where it is not."""
    before = Line.objects.count()
    answer = door.raw(method, path, body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.content
    assert Line.objects.count() - before == (1 if status in (401, 403, 404) else 0), list(Line.objects.values_list("act", flat=True))[-3:]


def test_a_draft_is_changed_and_taken_back_by_its_author_alone(desk: Any) -> None:
    request = drafted(desk)
    refused(desk.other, f"/requests/{request}/change", {"change": {"title": "Mine"}}, 404, "not_found")
    refused(desk.steward, f"/requests/{request}/withdraw", None, 404, "not_found")  # a draft is its team's alone
    assert desk.requester.post(f"/requests/{request}/change", {"change": {"title": "Another"}}, 200)["title"] == "Another"
    for change in ({"months": "many"}, {"promises": "IRB"}, {"diseases": "MONDO:0005301"}, {"state": "active"}):
        desk.requester.post(f"/requests/{request}/change", {"change": change}, 400)
    desk.requester.post(f"/requests/{request}/change", {"change": {"recipient_key": "age1" + "q" * 58}}, 400, "recipient_key_invalid")
    assert Request.objects.get(pk=request).months == 12
    assert desk.requester.post(f"/requests/{request}/withdraw", None, 200)["state"] == "withdrawn"
    refused(desk.requester, f"/requests/{request}/change", {"change": {"title": "Late"}}, 409, "request_state")


def test_a_team_each_gives_a_key_and_signs(desk: Any) -> None:
    request, email = drafted(desk), desk.people["member"].email
    refused(desk.other, f"/requests/{request}/members", {"email": email}, 404, "not_found")
    # Nobody learns whether there is such an account: they are asked.
    named = desk.requester.post(f"/requests/{request}/members", {"email": "nobody-here@example.org", "country": "SE"}, 202)
    refused(desk.requester, f"/requests/{request}/members", {"email": "nobody-here@example.org", "country": "SE"}, 409, "member_exists")
    assert desk.requester.get("/namings")["results"] == [named] and desk.other.get("/namings")["results"] == []
    refused(desk.other, f"/namings/{named['id']}", {"join": True}, 404, "not_found")
    refused(desk.requester, f"/namings/{named['id']}", {"join": True}, 403, "not_yours")
    assert desk.requester.raw("delete", f"/namings/{named['id']}").status_code == 204
    member = desk.requester.post(f"/requests/{request}/members", {"email": email, "country": "SE"}, 201)
    desk.requester.post(f"/requests/{request}/members", {"email": email}, 409, "member_exists")
    assert desk.member.get(f"/requests/{request}/members")["results"] == [member]
    refused(desk.member, f"/requests/{request}/submit", {}, 403, "not_your_request")
    desk.requester.post(f"/requests/{request}/submit", {}, 200)
    refused(desk.requester, f"/requests/{request}/members", {"email": desk.people["other"].email}, 409, "request_state")
    desk.steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 200)
    sign = {"version": 1, "accept": True}
    assert desk.requester.post(f"/requests/{request}/sign", sign, 202)["state"] == "approved_pending_signatures"
    refused(desk.steward, f"/requests/{request}/sign", sign, 403, "not_your_request")
    desk.member.post(f"/requests/{request}/sign", sign, 400, "recipient_key_missing")
    desk.member.post(f"/requests/{request}/key", {"recipient_key": "age1qqq"}, 400, "recipient_key_invalid")
    refused(desk.steward, f"/requests/{request}/key", {"recipient_key": new_key()}, 403, "not_your_request")
    desk.member.post(f"/requests/{request}/key", {"recipient_key": new_key()}, 200)
    assert desk.member.post(f"/requests/{request}/sign", sign, 200)["alive"]
    # Dropped: their entitlement is over, and the request is not theirs to see.
    refused(desk.steward, f"/members/{member['id']}", None, 403, "not_your_request", method="delete")
    assert desk.requester.raw("delete", f"/members/{member['id']}").status_code == 204
    assert not Entitlement.objects.get(user=desk.people["member"]).alive and Entitlement.objects.get(user=desk.people["requester"]).alive
    refused(desk.member, f"/requests/{request}/key", {"recipient_key": new_key()}, 404, "not_found")


def test_votes_carry_a_request_or_it_waits(desk: Any, door: Any) -> None:
    slug, board = desk.dataset.slug, desk.house.world.user("board", institution="Elsewhere")
    desk.administrator.post("/roles", {"email": board.email, "dataset": slug, "kind": "committee"}, 201)
    refused(desk.steward, f"/datasets/{slug}/votes", {"quorum": 1, "voters": "committee"}, 403, "not_admin")
    assert desk.administrator.post(f"/datasets/{slug}/votes", {"quorum": 1, "voters": "committee"}, 200)["quorum"] == 1
    request = submitted(desk)
    desk.steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 409, "quorum_missing")
    refused(desk.steward, f"/requests/{request}/vote", {"yes": True}, 403, "no_role")
    refused(desk.requester, f"/requests/{request}/vote", {"yes": True}, 403, "no_role")
    refused(door(board), f"/requests/{request}/decide", {"verdict": "approve"}, 403, "no_role")
    assert door(board).post(f"/requests/{request}/vote", {"yes": False}, 200)["yes"] is False
    desk.steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 409, "quorum_missing")
    door(board).post(f"/requests/{request}/vote", {"yes": True, "reason": "Sound."}, 200)
    assert desk.steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 200)["state"] == "approved_pending_signatures"


def test_a_question_back_and_an_answer(desk: Any) -> None:
    request = submitted(desk)
    refused(desk.requester, f"/requests/{request}/decide", {"verdict": "return", "reason": "?"}, 403, "no_role")
    desk.steward.post(f"/requests/{request}/decide", {"verdict": "return", "reason": " "}, 400, "reason_missing")
    assert desk.steward.post(f"/requests/{request}/decide", {"verdict": "return", "reason": "Which method?"}, 200)["state"] == "returned"
    desk.requester.post(f"/requests/{request}/change", {"change": {"abstract": "Lesions are counted."}}, 200)
    assert desk.requester.post(f"/requests/{request}/submit", {}, 200)["state"] == "in_review"


def test_suspended_resumed_and_revoked_by_stewards(desk: Any) -> None:
    request = active(desk)
    refused(desk.requester, f"/requests/{request}/suspend", {"reason": "A doubt."}, 403, "no_role")
    refused(desk.requester, f"/requests/{request}/revoke", {"reason": "Misuse."}, 403, "no_role")
    refused(desk.other, f"/requests/{request}/suspend", {"reason": "A doubt."}, 404, "not_found")
    refused(desk.steward, f"/requests/{request}/resume", None, 409, "request_state")
    assert desk.steward.post(f"/requests/{request}/suspend", {"reason": "A doubt."}, 200)["state"] == "suspended"
    assert not desk.requester.get("/entitlements")["results"][0]["alive"]
    refused(desk.requester, f"/requests/{request}/resume", None, 403, "no_role")
    assert desk.steward.post(f"/requests/{request}/resume", None, 200)["state"] == "active"
    assert desk.requester.get("/entitlements")["results"][0]["alive"]
    assert desk.steward.post(f"/requests/{request}/revoke", {"reason": "Misuse."}, 200)["state"] == "revoked"
    refused(desk.steward, f"/requests/{request}/resume", None, 409, "request_state")


def test_renewed_by_report_and_closed_with_a_word(desk: Any) -> None:
    request, report = active(desk), {"done": "We counted lesions.", "months": 6}
    refused(desk.requester, f"/requests/{request}/reports", report, 409, "request_state")
    Entitlement.objects.update(ends=timezone.now() + timedelta(days=20))
    access.expire()
    refused(desk.steward, f"/requests/{request}/renew", {"report": request}, 409, "report_missing")
    refused(desk.steward, f"/requests/{request}/reports", report, 403, "not_your_request")
    told = desk.requester.post(f"/requests/{request}/reports", report, 201)
    assert desk.steward.get(f"/requests/{request}/reports")["results"] == [told]
    refused(desk.requester, f"/requests/{request}/renew", {"report": told["id"]}, 403, "no_role")
    refused(desk.steward, f"/requests/{request}/renew", {"report": request}, 409, "report_changed")
    renewed = desk.steward.post(f"/requests/{request}/renew", {"report": told["id"]}, 200)
    assert (renewed["state"], renewed["months"]) == ("active", 18)
    refused(desk.requester, f"/requests/{request}/attest", {"statement": "All is deleted."}, 409, "request_state")
    refused(desk.steward, f"/requests/{request}/close", None, 403, "not_your_request")
    desk.requester.post(f"/requests/{request}/close", None, 200)
    refused(desk.steward, f"/requests/{request}/attest", {"statement": "All is deleted."}, 403, "not_your_request")
    assert desk.requester.post(f"/requests/{request}/attest", {"statement": "All is deleted."}, 200)["state"] == "closed"


def test_views_and_levels_are_set_by_those_who_may(desk: Any) -> None:
    slug = desk.dataset.slug
    view = {"name": "masks", "title": "Masks", "kinds": ["mask"], "level": "registered"}
    refused(desk.requester, f"/datasets/{slug}/views", view, 403, "no_role")
    made = desk.steward.post(f"/datasets/{slug}/views", view, 201)
    desk.steward.post(f"/datasets/{slug}/views", {**view, "name": "eyes", "kinds": ["orbit"]}, 400, "kind_needs_restricted")
    assert desk.requester.get(f"/datasets/{slug}/views")["results"] == [made]
    # At the level registered the rule alone decides: nobody stands between, but the agreement is signed.
    desk.administrator.post(f"/datasets/{slug}/level", {"level": "registered"}, 200)
    request = drafted(desk, view="masks")
    assert desk.requester.post(f"/requests/{request}/submit", {}, 200)["state"] == "approved_pending_signatures"
    refused(desk.requester, f"/views/{made['id']}", None, 403, "no_role", method="delete")
    assert desk.steward.raw("delete", f"/views/{made['id']}").status_code == 204
    assert desk.requester.get(f"/datasets/{slug}/views")["results"] == []
    refused(desk.steward, f"/datasets/{slug}/level", {"level": "closed"}, 403, "not_admin")
    assert desk.administrator.post(f"/datasets/{slug}/level", {"level": "closed"}, 200)["purpose_level"] == "closed"
    assert Dataset.objects.get(pk=desk.dataset.pk).purpose_level == "closed"


def test_a_material_agreement_stops_until_it_is_signed_again(desk: Any) -> None:
    request, slug = active(desk), desk.dataset.slug
    alive = lambda: desk.requester.get("/entitlements")["results"][0]["alive"]  # noqa: E731
    refused(desk.requester, f"/datasets/{slug}/agreement", {"text": "Mine."}, 403, "no_role")
    assert desk.steward.post(f"/datasets/{slug}/agreement", {"text": "A comma."}, 201)["version"] == 2 and alive()
    desk.steward.post(f"/datasets/{slug}/agreement", {"text": "Stricter.", "material": True, "grace_days": 7}, 201)
    assert alive()  # in the grace
    desk.steward.post(f"/datasets/{slug}/agreement", {"text": "Stricter still.", "material": True}, 201)
    assert not alive()
    refused(desk.requester, f"/requests/{request}/sign", {"version": 3, "accept": True}, 409, "agreement_changed")
    assert not alive()
    assert desk.requester.post(f"/requests/{request}/sign", {"version": 4, "accept": True}, 200)["alive"] and alive()


def test_two_people_propose_and_second(desk: Any) -> None:
    desk.administrator.post(f"/datasets/{desk.dataset.slug}/level", {"level": "restricted"}, 200)
    request = submitted(desk)
    desk.steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 409, "needs_two_people")
    proposal = {"dataset": desk.dataset.slug, "act": "restricted_approval", "object": f"request:{request}", "reason": "The purpose is sound."}
    refused(desk.requester, "/dangerous-acts", proposal, 403, "no_role")
    made = desk.steward.post("/dangerous-acts", proposal, 201)
    refused(desk.requester, f"/dangerous-acts/{made['id']}/second", None, 404, "not_found")
    refused(desk.steward, f"/dangerous-acts/{made['id']}/second", None, 403, "self_approval")
    assert desk.second.post(f"/dangerous-acts/{made['id']}/second", None, 200)["seconded_by"] == desk.people["second"].email
    assert desk.requester.get("/dangerous-acts")["results"] == [] and len(desk.steward.get("/dangerous-acts")["results"]) == 1
    assert desk.steward.post(f"/requests/{request}/decide", {"verdict": "approve"}, 200)["state"] == "approved_pending_signatures"


def test_several_requests_are_approved_together_by_two(desk: Any) -> None:
    both = [submitted(desk), submitted(desk)]
    desk.steward.post("/requests/approve", {"requests": both}, 409, "needs_two_people")
    read = desk.steward.get(f"/requests/{both[0]}")["submitted_at"]
    desk.steward.post(f"/requests/{both[0]}/decide", {"verdict": "approve", "submitted_at": "2020-01-01T00:00:00Z"}, 409, "request_changed")
    third = submitted(desk)
    desk.steward.post(f"/requests/{third}/decide", {"verdict": "approve", "submitted_at": read}, 409, "request_changed")
    desk.steward.post(f"/requests/{third}/decide", {"verdict": "approve", "submitted_at": desk.steward.get(f"/requests/{third}")["submitted_at"]}, 200)
    told = {"dataset": desk.dataset.slug, "act": "bulk_approval", "requests": both, "reason": "Alike."}
    made = desk.steward.post("/dangerous-acts", told, 201)
    desk.second.post(f"/dangerous-acts/{made['id']}/second", None, 200)
    refused(desk.requester, "/requests/approve", {"requests": both}, 403, "no_role")
    assert {row["state"] for row in desk.steward.post("/requests/approve", {"requests": both}, 200)["results"]} == {"approved_pending_signatures"}


@pytest.mark.parametrize("of_the_team", [False, True])
def test_neither_of_two_people_is_of_the_team(desk: Any, of_the_team: bool) -> None:
    """A steward who is of a team does not propose what a second steward would then wave through."""
    proposer: User = desk.house.world.steward(desk.dataset)
    Dataset.objects.filter(pk=desk.dataset.pk).update(purpose_level="restricted")
    request = Request.objects.get(pk=submitted(desk))
    if of_the_team:
        Member.objects.create(request=request, user=proposer, country="DK", recipient_key=new_key())
    pairs.second(desk.people["second"], pairs.propose(proposer, desk.dataset, "restricted_approval", request, "It is sound."))
    if of_the_team:
        with pytest.raises(Conflict, match="needs_two_people"):
            access.approve_request(desk.people["steward"], request)
    else:
        assert access.approve_request(desk.people["steward"], request).state == "approved_pending_signatures"
