"""INNI: four sites in one dataset, each of which sees its own people alone, and a board whose votes decide on requests."""

from __future__ import annotations

from typing import Any

import pyrage
import pytest

from registry.access import actions as access
from registry.access.models import Request
from registry.accounts.models import Dataset, User
from registry.releases.models import Release
from registry.subjects.models import Participant
from tests.registry.upper.conftest import House
from tests.registry.upper.desks import Desk, at_desk, opened, package_of, released

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
SIZES = {"milan": 14, "rome": 13, "naples": 12, "siena": 11}
QUORUM = 3


def test_four_sites_and_a_board_that_votes(world: Any, live_server: Any, carried: Any) -> None:
    sites = {code: world.site(code, "IT") for code in SIZES}
    dataset = world.dataset(*sites.values(), slug="inni")
    steward = world.steward(dataset)
    desks = {code: at_desk(live_server, world.contributor(dataset, site)) for code, site in sites.items()}
    people = {code: handed_in(world, dataset, sites[code], desks[code], steward) for code in SIZES}

    check_views(world, live_server, desks, people, at_desk(live_server, steward))
    release = released(House(world, sites["milan"], dataset, steward, steward))
    assert release.state == Release.State.VALIDATED

    # A request is decided by the board, and by nobody of the team.
    access.agree_votes("system:test", dataset, QUORUM, "committee")
    team = [world.user("seeker", institution="University of Turin", country="IT"), world.user("member", institution="University of Padua", country="IT")]
    board = [world.user("board", institution=f"Institute {n}", country="IT") for n in range(QUORUM + 1)]
    colleague = world.user("colleague", institution=" university of TURIN ", country="IT")
    for user in (*team, *board, colleague):
        access.give_role("system:test", user, dataset, "committee")
    request, key = asked(at_desk(live_server, team[0]), at_desk(live_server, team[1]), team)
    votes(live_server, request, team, board, colleague, steward, world.user("stranger"))

    # Each of the team signs, and has a package for a key of their own.
    ends = signed(live_server, request, team)
    _, told = package_of(ends[0], rights(ends[0])[0], carried)
    sealed = ends[0].raw("get", told["download"]).content
    files = opened(sealed, key)
    assert sum(name.endswith("T1w.nii.gz") for name in files) == sum(SIZES.values())
    with pytest.raises(pyrage.DecryptError):
        opened(sealed, pyrage.x25519.Identity.generate())


def handed_in(world: Any, dataset: Dataset, site: Any, desk: Desk, steward: User) -> list[str]:
    """People, visits and consents of a site in one call each, and an accepted image of each."""
    place = {"dataset": "inni", "site": site.code}
    asked_for = [{"patient_id": f"{site.code}-{n:04d}", "sex": "FM"[n % 2]} for n in range(SIZES[site.code])]
    made = [one["id"] for one in desk.post("/participants", {**place, "participants": asked_for}, 201)["results"]]
    desk.post("/visits", {"visits": [{"participant": one, "label": "m00", "date": "2021-03-04"} for one in made]}, 201)
    paper = {"kind": "given", "permission": "HMB", "evidence_sha256": "a" * 64}
    desk.post("/consents", {"consents": [{"participant": one, **paper} for one in made]}, 201)
    house = House(world, site, dataset, steward, steward)
    for person in Participant.objects.filter(pk__in=made):
        house.image(person)
    return made


def listed(desk: Desk, path: str) -> list[dict[str, Any]]:
    """All pages of a list."""
    found: list[dict[str, Any]] = []
    page: str | None = path
    while page:
        told = desk.get(page)
        found, page = found + told["results"], told.get("next")
    return found


def check_views(world: Any, live_server: Any, desks: dict[str, Desk], people: dict[str, list[str]], steward: Desk) -> None:
    """Lists, single things and counts of a site are its own; a steward has all, and a stranger about how many."""
    codes = list(SIZES)
    for n, code in enumerate(codes):
        desk, other = desks[code], codes[n - 1]
        assert {one["id"] for one in listed(desk, "/participants?dataset=inni")} == set(people[code])
        images = listed(desk, "/images?dataset=inni")
        assert {one["participant"] for one in images} == set(people[code])
        assert desk.get(f"/participants/{people[code][0]}")["site"] == code and desk.get(f"/images/{images[0]['id']}")
        desk.refused(f"/participants/{people[other][0]}", 404, "not_found")
        desk.refused(f"/images/{desks[other].get('/images')['results'][0]['id']}", 404, "not_found")
        told = desk.get(f"/datasets/inni/count?site={code}")
        desk.refused(f"/datasets/inni/count?site={other}", 403, "no_role")
        assert (told["counts"], told["exact"]) == ([{"value": None, "count": SIZES[code]}], True)
        place = {"dataset": "inni", "site": other}
        desk.post("/participants", {**place, "participants": [{"patient_id": "X-1"}]}, 403)
    assert len(listed(steward, "/participants?dataset=inni")) == sum(SIZES.values())
    assert steward.get("/datasets/inni/count")["counts"] == [{"value": None, "count": sum(SIZES.values())}]
    stranger = at_desk(live_server, world.user("stranger"))
    assert stranger.get("/datasets/inni/count")["exact"] is False and listed(stranger, "/participants?dataset=inni") == []


def asked(desk: Desk, other: Desk, team: list[User]) -> tuple[Request, Any]:
    """The request, handed in with one more member, who is of another institution and joins by their own word; and the key of its requester."""
    key = pyrage.x25519.Identity.generate()
    wanted = {"dataset": "inni", "title": "Thalamus", "abstract": "We measure.", "purpose": "HMB", "recipient_key": str(key.to_public())}
    made = desk.post("/requests", wanted, 201)
    named = desk.post(f"/requests/{made['id']}/members", {"email": team[1].email, "country": "IT"}, 202)
    other.post(f"/namings/{named['id']}", {"join": True}, 200)
    desk.post(f"/requests/{made['id']}/submit", {}, 200)
    return Request.objects.get(pk=made["id"]), key


def votes(live_server: Any, request: Request, team: list[User], board: list[User], colleague: User, steward: User, stranger: User) -> None:
    """Nobody of the team, nor of an institution of it, nor without a role votes; one yes too few does not carry; then it does."""
    ballot = f"/requests/{request.pk}/vote"
    for who, code in ((team[0], "self_approval"), (team[1], "self_approval"), (colleague, "own_institution"), (steward, "no_role")):
        at_desk(live_server, who).post(ballot, {"yes": True}, 403, code)
    at_desk(live_server, stranger).post(ballot, {"yes": True}, 404, "not_found")
    desks = [at_desk(live_server, one) for one in board[:QUORUM]]
    desk, decision = at_desk(live_server, steward), {"verdict": "approve", "reason": "The board decided."}
    for one in desks[:-1]:
        one.post(ballot, {"yes": True}, 200)
    desk.post(f"/requests/{request.pk}/decide", decision, 409, "quorum_missing")
    desks[-1].post(ballot, {"yes": False, "reason": "Not yet."}, 200)
    desk.post(f"/requests/{request.pk}/decide", decision, 409, "quorum_missing")
    desks[-1].post(ballot, {"yes": True}, 200)  # a vote may be changed until the decision
    desks[0].post(f"/requests/{request.pk}/decide", decision, 403, "no_role")
    desk.post(f"/requests/{request.pk}/decide", decision, 200)


def signed(live_server: Any, request: Request, team: list[User]) -> list[Desk]:
    """The first signature entitles nobody, the last all."""
    desks = [at_desk(live_server, user) for user in team]
    access.set_recipient_key(team[1], request, str(pyrage.x25519.Identity.generate().to_public()))
    version = desks[0].get(f"/requests/{request.pk}/agreement")["version"]
    access.sign_agreement(team[1], request, version)
    assert rights(desks[0]) == rights(desks[1]) == []
    desks[0].post(f"/requests/{request.pk}/sign", {"version": version, "accept": True}, 200)
    assert len(rights(desks[0])) == len(rights(desks[1])) == 1
    return desks


def rights(desk: Desk) -> list[str]:
    return [row["id"] for row in desk.get("/entitlements")["results"]]
