"""Ways in that were tried and worked once: each is closed, and what it must leave open still goes."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from registry.access import actions as access
from registry.access import groups, inviting, queries
from registry.access.models import Request
from registry.accounts import factors, sealed, stepup
from registry.accounts.models import Invitation, Role
from registry.audit.models import Line
from registry.intake import actions as intake
from registry.runs.models import Mail
from tests.registry.browsers import shown
from tests.registry.upper.portal.test_accounts_factors import code, later, set_up
from tests.registry.upper.portal.test_looking import lines
from tests.registry.upper.portal.test_looking import person as reader
from tests.registry.upper.portal.test_tus import Sender
from tests.registry.upper.test_portal import PASSWORD, browser, person, send

pytestmark = pytest.mark.django_db(databases="__all__")
API = "/api/v1"


# --- stepping up -----------------------------------------------------------------------------------------------------------------------------------


def test_signing_in_anew_with_the_password_alone_is_no_step_up_of_a_session_that_gave_its_code(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An open browser, and the password known: the API's sign-in with `step_up` took the code given an hour ago for one given now."""
    user = person(world)
    secret, _codes = set_up(browser(user))
    later(monkeypatch, 90)
    client = browser(user)
    assert send(client, "/sign-in/code", "/sign-in/code", code=code(secret)).status_code == 302
    told = client.get(f"{API}/session").json()
    sent = {"email": user.email, "password": PASSWORD, "step_up": True}
    answer = client.post(f"{API}/session", sent, content_type="application/json", HTTP_X_CSRFTOKEN=told["csrf"])
    assert answer.status_code == 200 and answer.json()["needs"] == "code"
    assert stepup.AT not in client.session and factors.PASSED not in client.session
    later(monkeypatch, 180)
    again = {**sent, "code": code(secret)}
    assert client.post(f"{API}/session", again, content_type="application/json", HTTP_X_CSRFTOKEN=answer.json()["csrf"]).json()["needs"] == ""
    assert stepup.AT in client.session  # with its code it is one


def test_the_page_that_changes_the_password_is_no_place_to_guess_it(world: Any, settings: Any) -> None:
    user = person(world)
    client, other = browser(user), browser(user)
    new = {"new_password1": "quite another passphrase", "new_password2": "quite another passphrase"}
    guesses = [send(client, "/account/password", "/account/password", old_password=f"guess {n}", **new).status_code for n in range(8)]
    assert guesses[0] == 200 and guesses[-1] == 429
    assert send(client, "/account/password", "/account/password", old_password=PASSWORD, **new).status_code == 429
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "login": (50, 300)}
    assert send(other, "/account/password", "/account/password", old_password=PASSWORD, **new).status_code == 302


def test_an_open_browser_neither_withdraws_anybody_nor_reads_all_of_them_through_the_api(house: Any) -> None:
    one = house.person(patient_id="P-1")
    whose = {"dataset": house.dataset.slug, "site": house.site.code, "patient_id": "P-1"}
    asked = {f"{API}/participants/{one.pk}/withdraw": ({}, 202), f"{API}/person-report": (whose, 200)}
    asked[f"{API}/studies/{uuid.uuid4()}/move"] = ({"reason": "Mixed up."}, 404)  # of a study that is one: tests/registry/upper/test_rebinding.py
    idle, fresh = shown(Client(), house.contributor, stepped=False), shown(Client(), house.contributor)
    for path, (body, status) in reversed(asked.items()):
        answer = idle.post(path, body, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (403, "step_up_needed"), path
        assert fresh.post(path, body, content_type="application/json").status_code == status, path


# --- a second factor -------------------------------------------------------------------------------------------------------------------------------


def test_a_password_alone_takes_no_role_by_an_invitation_where_there_is_a_second_factor(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user, dataset = person(world), world.dataset(world.site())
    secret, _codes = set_up(browser(user))
    later(monkeypatch, 90)
    inviting.invite(world.user("admin", is_superuser=True), user.email, "DK", roles=[inviting.Promise(dataset, "steward")])
    link = f"/invitations/open/{sealed.link('invitation', Invitation.objects.get().pk)}"
    client = browser(user)
    client.get(link)
    answer = client.post("/invitations/accept", HTTP_X_CSRFTOKEN=client.cookies["csrftoken"].value)
    assert answer.status_code == 302 and "/sign-in/code" in answer["Location"]
    assert not Role.objects.filter(user=user).exists()
    assert send(client, "/sign-in/code", "/sign-in/code", code=code(secret)).status_code == 302
    assert send(client, "/invitations/accept", "/invitations/accept")["Location"] == "/account"
    assert Role.objects.filter(user=user, kind="steward").exists()


# --- numbers ---------------------------------------------------------------------------------------------------------------------------------------


def test_a_voter_of_the_team_does_not_see_their_own_request_in_exact_numbers(house: Any) -> None:
    access.agree_votes("system:test", house.dataset, 1, "committee")
    house.dataset.refresh_from_db()
    voter, other = house.world.user("voter"), house.world.user("other")
    for one in (voter, other):
        access.give_role("system:test", one, house.dataset, "committee")
    house.image(house.person())
    mine: Request = house.world.request(house.dataset, requester=voter)
    assert reader(other).get(f"/requests/{mine.pk}/decide").status_code == 200 and groups.of(other, mine)
    assert reader(voter).get(f"/requests/{mine.pk}/decide").status_code == 403 and groups.of(voter, mine) == []


def test_what_was_decided_on_one_request_is_not_read_off_the_catalogue(house: Any) -> None:
    def decided(n: int, state: str) -> None:
        for _ in range(n):
            one = house.world.request(house.dataset)
            now = timezone.now()
            Request.objects.filter(pk=one.pk).update(state=state, submitted_at=now - timedelta(days=3), decided_at=now, decided_by=house.steward)

    house.person()
    decided(5, "active")
    before = queries.pace([house.dataset])[house.dataset.pk]
    assert (before.decided, before.granted) == (5, 1.0)
    decided(1, "rejected")
    assert queries.pace([house.dataset])[house.dataset.pk] == before  # one more request: nothing moves
    decided(4, "rejected")
    assert queries.pace([house.dataset])[house.dataset.pk].granted == 0.5


# --- the log ---------------------------------------------------------------------------------------------------------------------------------------


def test_a_form_that_is_wrong_shows_nobody_without_a_line(house: Any) -> None:
    one = house.person()
    house.image(one)
    client = reader(house.contributor)
    before = Line.objects.count()
    answer = client.post(f"/participants/{one.pk}/visits", {})
    assert answer.status_code == 400 and one.label in answer.content.decode()
    assert lines(before) == ["http.post"] and Line.objects.latest("seq").dataset == str(house.dataset.pk)
    place = f"/hand-in/{house.dataset.slug}/{house.site.code}"
    before = Line.objects.count()
    answer = client.post(f"{place}/people", {})
    assert answer.status_code == 400 and one.label in answer.content.decode() and lines(before) == ["http.post"]
    before = Line.objects.count()
    sent = {"visit-label": "m12", "visit-date": "2026-01-02"}
    assert client.post(f"/participants/{one.pk}/visits", sent).status_code == 302 and lines(before) == ["visit.add"]
    request = house.world.request(house.dataset)
    before = Line.objects.count()
    assert reader(request.requester).post(f"/requests/{request.pk}/key", {}).status_code == 400 and lines(before) == ["http.post"]


# --- bytes -----------------------------------------------------------------------------------------------------------------------------------------


def test_who_declares_little_and_sends_much_is_held_by_the_quota_of_the_site(house: Any, door: Any, settings: Any) -> None:
    settings.MYELIN_SITE_QUOTA_MB = 1
    small = intake.begin_upload(house.contributor, house.dataset, house.site, 1, 1000)
    none = intake.begin_upload(house.contributor, house.dataset, house.site)
    knock = door(house.contributor)
    for upload in (small, none):
        refused = Sender(knock, str(upload.pk)).begin(5 << 20, 413, kind="file", number=9)
        assert refused.json()["code"] == "quota_exceeded"
        Sender(knock, str(upload.pk)).begin(1000, kind="file", number=1)
    big = Sender(knock, str(none.pk))
    big.begin(600 << 10, kind="file", number=2)
    assert big.begin(600 << 10, 413, kind="file", number=3).json()["code"] == "quota_exceeded"  # what was begun counts, too


def test_a_table_that_no_spreadsheet_makes_is_told_so(house: Any) -> None:
    to = f"/hand-in/{house.dataset.slug}/{house.site.code}/paste/people"
    client = reader(house.contributor)
    for table in ("patient_id\n" + "x" * 200_000, 'patient_id\n"' + "x\n" * 100_000, ",".join(f"c{n}" for n in range(50_000))):
        answer = client.post(to, {"table": table})
        assert answer.status_code == 422 and len(answer.content) < 2_000_000, answer.status_code
    assert client.post(to, {"table": "patient_id\nP-1"}).status_code == 200


# --- the owner is not kept out ---------------------------------------------------------------------------------------------------------------------


def test_a_stranger_who_asks_for_letters_does_not_keep_the_owner_from_theirs(world: Any) -> None:
    user = person(world)
    mine = browser(user)
    for n in range(6):
        stranger = Client(enforce_csrf_checks=True, REMOTE_ADDR=f"198.51.100.{n}")
        assert send(stranger, "/account/forgotten", "/account/forgotten", email=user.email).status_code == 200
    assert Mail.objects.filter(to=user.email).count() == 5
    mine.post("/sign-out", HTTP_X_CSRFTOKEN=mine.cookies["csrftoken"].value)
    assert send(mine, "/account/forgotten", "/account/forgotten", email=user.email).status_code == 200
    assert Mail.objects.filter(to=user.email).count() == 6


def test_the_administration_has_no_second_place_to_change_a_password(house: Any, settings: Any) -> None:
    settings.MYELIN_ADMIN = True
    root = house.world.user("root")
    type(root).objects.filter(pk=root.pk).update(is_staff=True, is_superuser=True)
    root.refresh_from_db()
    client = reader(root)
    assert client.get("/admin/").status_code == 200
    for answer in (client.get("/admin/password_change/"), client.post("/admin/password_change/", {"old_password": "x"})):
        assert (answer.status_code, answer["Location"]) == (302, "/account/password")
