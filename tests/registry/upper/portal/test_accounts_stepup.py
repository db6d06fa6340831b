"""Stepping up: before what takes data away, decides or shows faces, at the pages and in a session's calls of the API."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from registry.accounts import stepup
from registry.accounts.models import Token
from registry.audit.models import Line
from registry.portal.pages import Page
from registry.urls import urlpatterns as ours
from tests.registry.browsers import shown, totp
from tests.registry.upper.portal.test_accounts_factors import set_up
from tests.registry.upper.test_portal import PASSWORD, acts, browser, person, send

pytestmark = pytest.mark.django_db(databases="__all__")


class Dangerous(Page):
    step_up = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("a face")

    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(f"did {request.POST.getlist('what')}")


urlpatterns = [*ours, path("dangerous", Dangerous.as_view())]


@pytest.fixture
def dangerous(settings: Any) -> None:
    settings.ROOT_URLCONF = __name__


def fields(page: str) -> dict[str, Any]:
    """The hidden fields of the form that asks, as a browser would send them."""
    found: dict[str, Any] = {}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page):
        found.setdefault(name, []).append(value)
    return found


def test_a_page_asks_in_its_place_and_goes_on_with_what_was_typed(world: Any, dangerous: None) -> None:
    client = browser(person(world))
    before = Line.objects.count()
    asked = client.get("/dangerous")
    assert asked.status_code == 403 and "a face" not in asked.content.decode()
    kept = fields(asked.content.decode())
    assert client.post("/dangerous", {**kept, "step_up-password": "another passphrase"}).status_code == 403
    assert Line.objects.count() == before + 2  # one each
    assert client.post("/dangerous", {**kept, "step_up-password": PASSWORD})["Location"] == "/dangerous"
    assert client.get("/dangerous").content == b"a face"
    assert acts().count("session.step_up") == 2  # one refused, one not
    other = browser(person(world, "otto"))
    token = fields(other.get("/account").content.decode())["csrfmiddlewaretoken"]
    asked = other.post("/dangerous", {"what": ["this", "that"], "csrfmiddlewaretoken": token, "password": "secret"})
    kept = fields(asked.content.decode())
    assert asked.status_code == 403 and kept["what"] == ["this", "that"] and "secret" not in asked.content.decode()
    assert other.post("/dangerous", {**kept, "step_up-password": PASSWORD}).content == b"did [&#x27;this&#x27;, &#x27;that&#x27;]".replace(b"&#x27;", b"'")


def test_it_holds_ten_minutes_and_for_its_own_session(world: Any, dangerous: None, monkeypatch: pytest.MonkeyPatch) -> None:
    user = person(world)
    here, there = browser(user), browser(user)
    send(here, "/account/confirm", "/account/confirm?next=/dangerous", **{"step_up-password": PASSWORD, "step_up-then": "get"})
    assert (here.get("/dangerous").status_code, there.get("/dangerous").status_code) == (200, 403)
    now = time.time() + stepup.LASTS_S + 1
    monkeypatch.setattr(stepup.time, "time", lambda: now)
    assert here.get("/dangerous").status_code == 403


def test_who_has_a_second_factor_gives_it_too_and_a_part_of_a_page_leads_the_whole(world: Any, dangerous: None) -> None:
    user = person(world)
    client = browser(user)
    secret, _ = set_up(client)
    tries = [("", 403), (totp(secret), 403), (totp(secret, time.time() + 30), 302)]  # the code that set it up is spent
    for code, status in tries:
        told = {"step_up-password": PASSWORD, "step_up-code": code, "step_up-then": "get"}
        assert send(client, "/account/second-factor", "/dangerous", **told).status_code == status
    part = browser(person(world, "otto")).get("/dangerous", headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/account?x=1"})
    assert part.status_code == 403 and part["HX-Redirect"] == "/account/confirm?next=%2Faccount" and part.content == b""


def test_guesses_are_counted_like_signing_in(world: Any, dangerous: None, settings: Any) -> None:
    client = browser(person(world))
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "login": (3, 86_400)}
    told = {"step_up-password": "another passphrase", "step_up-then": "get"}
    assert [send(client, "/account", "/dangerous", **told).status_code for _ in range(4)] == [403, 403, 403, 429]
    assert send(client, "/account", "/dangerous", **told | {"step_up-password": PASSWORD}).status_code == 429


def api(client: Client, method: str, address: str, data: Any = None) -> Any:
    return getattr(client, method)(f"/api/v1/{address}", data, *(["application/json"] if method == "post" else []))


@pytest.mark.parametrize("scope", ["download", "decide", "admin"])
def test_a_session_issues_no_dangerous_token_without_it(world: Any, scope: str) -> None:
    user = person(world)
    client = shown(Client(), user, stepped=False)
    body = {"name": "x", "scopes": [scope]}
    before = Line.objects.count()
    assert api(client, "post", "tokens", body).json()["code"] == "step_up_needed"
    assert Line.objects.count() == before + 1 and Token.objects.filter(user=user).count() == 0
    assert api(client, "post", "tokens", {"name": "x", "scopes": ["read"]}).status_code == 201
    assert api(client, "post", "session/confirm", {"password": "another passphrase"}).status_code == 401
    assert api(client, "post", "tokens", body).status_code == 403
    assert api(client, "post", "session/confirm", {"password": PASSWORD}).status_code == 200
    assert api(client, "post", "tokens", body).status_code == 201


def test_a_session_neither_decides_nor_downloads_nor_looks_at_faces_without_it(house: Any) -> None:
    image = house.image(house.person(), state="proposed")
    right = house.world.entitled(house.dataset, house.steward)
    asked = [
        (house.steward, "post", f"images/{image.pk}/refuse", {"reason": "no"}), (house.steward, "get", f"images/{image.pk}/review/0.png", None),
        (house.steward, "post", f"entitlements/{right.pk}/revoke", {"reason": "no"}), (house.contributor, "get", f"datasets/{house.dataset.slug}/own", None),
        (right.user, "post", "packages", {"entitlement": str(right.pk)}),
    ]  # fmt: skip
    for user, method, address, body in asked:
        before = Line.objects.count()
        assert api(shown(Client(), user, stepped=False), method, address, body).json()["code"] == "step_up_needed", address
        assert Line.objects.count() == before + 1
        answer = api(shown(Client(), user), method, address, body)
        assert answer.status_code != 403 or answer.json()["code"] != "step_up_needed", address


def test_signing_in_at_the_api_with_a_second_factor(world: Any) -> None:
    user = person(world)
    secret, _ = set_up(browser(user))
    client = Client()
    body = {"email": user.email, "password": PASSWORD}
    assert api(client, "post", "session", body).json()["needs"] == "code"
    assert api(client, "get", "me").json()["code"] == "second_factor_needed"
    assert api(client, "post", "session", {**body, "code": "000000"}).json()["code"] == "wrong_code"
    assert api(client, "get", "me").status_code in (401, 403)
    told = api(client, "post", "session", {**body, "code": totp(secret, time.time() + 30), "step_up": True})
    assert (told.status_code, told.json()["needs"]) == (200, "")
    assert api(client, "post", "tokens", {"name": "x", "scopes": ["download"]}).status_code == 201
