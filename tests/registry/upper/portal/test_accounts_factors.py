"""The second factor: who needs it gets nothing before, a code counts once, guesses are counted, and its owner is never kept out."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core.management import call_command
from django.test import Client
from django.urls import get_resolver

from registry.access import actions as access
from registry.accounts import factors
from registry.accounts.models import User
from registry.audit.models import Line
from tests.registry.browsers import totp
from tests.registry.upper.test_every_request_is_on_record import filled, patterns
from tests.registry.upper.test_portal import PASSWORD, acts, browser, person, send

pytestmark = pytest.mark.django_db(databases="__all__")
FACTOR = "/account/second-factor"


def set_up(client: Client, at: float | None = None, page: str = FACTOR) -> tuple[str, list[str]]:
    """Sets an authenticator up through the page; its secret, and the recovery codes."""
    shown = client.get(page).content.decode()
    secret = re.search(r"<code>([A-Z2-7 ]+)</code>", shown)
    assert secret and "data:image/svg+xml;base64," in shown
    answer = send(client, page, page, code=totp(secret[1], at))
    assert answer.status_code == 200, answer.content
    codes = re.findall(r"<code>(\w{5}-\w{5})</code>", answer.content.decode())
    assert len(codes) == 10
    return secret[1], codes


def later(monkeypatch: pytest.MonkeyPatch, seconds: int) -> None:
    """Time goes on, for codes alone."""
    now = time.time() + seconds
    monkeypatch.setattr(factors.time, "time", lambda: now)


@pytest.fixture
def steward(world: Any) -> User:
    user = person(world)
    access.give_role("test", user, world.dataset(world.site()), "steward")
    return user


@pytest.fixture
def enrolled(steward: User, monkeypatch: pytest.MonkeyPatch) -> tuple[User, str, list[str]]:
    """A steward with an authenticator, a minute after it was set up."""
    secret, codes = set_up(browser(steward))
    later(monkeypatch, 90)
    return steward, secret, codes


def code(secret: str) -> str:
    """What the authenticator shows at the time that the registry sees."""
    return totp(secret, factors.time.time())


def test_who_decides_is_led_to_set_it_up_and_gets_nothing_before(steward: User, world: Any, settings: Any) -> None:
    settings.MYELIN_ADMIN = True
    client, plain = browser(steward), browser(person(world, "otto"))
    for page in ("/", "/account", "/account/sessions", "/invitations", "/admin/"):
        answer = client.get(page)
        assert answer.status_code == 302 and answer["Location"].startswith(f"{FACTOR}?next="), page
        assert steward.email not in answer.content.decode()
    assert plain.get("/account").status_code == 200
    set_up(client)
    assert client.get("/account").status_code == 200
    assert "factor.set_up" in acts()


def test_no_address_of_the_api_answers_a_session_before_it(steward: User, settings: Any) -> None:
    """Every door there is: 403 with the code, or one that a stranger gets too."""
    settings.MYELIN_LIMITS = dict.fromkeys(settings.MYELIN_LIMITS, (10_000, 60))
    client, stranger = Client(), Client()
    client.force_login(steward)
    refused = 0
    for address, view in patterns(get_resolver()):
        if not address.startswith("api/v1/") or view is None or not hasattr(view, "get"):
            continue
        path = filled(address, {"slug": "none", "user": steward.pk})
        answer = client.get(path)
        if answer.status_code == 403 and answer.json()["code"] == "second_factor_needed":
            refused += 1
        elif path != "/api/v1/session":  # it says what the account needs
            assert answer.status_code == stranger.get(path).status_code, path
    assert refused > 40
    assert client.get("/api/v1/session").json()["needs"] == "set_up"
    assert client.post("/api/v1/tokens", {"name": "x", "scopes": ["read"]}, "application/json").json()["code"] == "second_factor_needed"


def test_a_role_given_meanwhile_asks_for_it_at_once(world: Any) -> None:
    user = person(world)
    client = browser(user)
    assert client.get("/account").status_code == 200
    access.give_role("test", user, world.dataset(world.site()), "steward")
    assert client.get("/account")["Location"].startswith(FACTOR)


def test_the_administrations_own_sign_in_is_no_way_around(world: Any, settings: Any) -> None:
    settings.MYELIN_ADMIN = True
    admin = person(world, "admin")
    User.objects.filter(pk=admin.pk).update(is_staff=True, is_superuser=True)
    client = Client()
    assert client.post("/admin/login/", {"username": admin.email, "password": PASSWORD}).status_code == 302
    assert client.get("/admin/accounts/user/")["Location"].startswith(FACTOR)
    client.post("/sign-out")
    client = browser(admin)
    set_up(client)
    assert client.get("/admin/accounts/user/").status_code == 200


def test_password_alone_signs_nobody_in_who_has_a_second_factor(enrolled: Any) -> None:
    user, secret, _ = enrolled
    client = browser(user)
    assert client.get("/account/password")["Location"] == "/sign-in/code?next=%2Faccount%2Fpassword"
    assert "myelin_device" not in client.cookies
    for page in (FACTOR, "/account/second-factor/another", "/account/second-factor/codes"):
        assert client.post(page).status_code in (302, 403), page
    assert client.get(FACTOR)["Location"] == "/sign-in/code" and factors.enrolled(user)
    assert send(client, "/sign-in/code", "/sign-in/code", code="000000").status_code == 403
    assert Line.objects.order_by("-seq")[0].detail == {"denied": "wrong_code"}
    assert send(client, "/sign-in/code", "/sign-in/code", code=code(secret), next="/account/password")["Location"] == "/account/password"
    assert client.get("/account/password").status_code == 200
    assert "myelin_device" in client.cookies and acts()[-1] == "session.factor"


def test_a_code_counts_once_and_so_does_none_before_it(enrolled: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user, secret, _ = enrolled
    now = code(secret)
    assert factors.spend(user, now) == "totp"
    assert factors.spend(user, now) == ""
    assert factors.spend(user, totp(secret, factors.time.time() - 30)) == ""
    later(monkeypatch, 120)
    assert factors.spend(user, code(secret)) == "totp"


def test_the_code_of_the_setting_up_signs_nobody_in(steward: User) -> None:
    secret, _ = set_up(browser(steward))
    assert factors.spend(steward, totp(secret)) == ""


def test_a_recovery_code_works_once(enrolled: Any) -> None:
    user, _, codes = enrolled
    for written, status in ((codes[0].upper(), 302), (codes[0], 403), (codes[1].replace("-", " "), 302)):
        client = browser(user)
        assert send(client, "/sign-in/code", "/sign-in/code", code=written).status_code == status
    assert factors.codes_left(user) == 8
    assert [line.detail.get("how") for line in Line.objects.filter(act="session.factor") if "how" in line.detail] == ["recovery", "recovery"]


def test_neither_secret_nor_codes_lie_in_the_database(enrolled: Any) -> None:
    user, secret, codes = enrolled
    kept = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret.replace(" ", "") not in kept
    assert not any(one in kept or one.replace("-", "") in kept for one in codes)
    other = User.objects.create(email="other@example.org")
    row = Authenticator.objects.get(user=user, type="totp")
    Authenticator.objects.create(user=other, type="totp", data={**row.data, "used": 0})  # moved to another account it opens nothing
    with pytest.raises(Exception, match="second_factor_unreadable"):
        factors.spend(other, code(secret))


def test_guesses_at_a_code_are_held_and_the_owner_is_not(enrolled: Any, settings: Any) -> None:
    user, secret, _ = enrolled
    owner = browser(user)
    assert send(owner, "/sign-in/code", "/sign-in/code", code=code(secret)).status_code == 302
    wide = {"login": (1000, 86_400), "login-account": (1000, 86_400)}
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, **wide, "code": (5, 86_400)}  # two are spent: the setting up, the owner's
    thief = browser(user)  # who knows the password
    assert [send(thief, "/sign-in/code", "/sign-in/code", code=f"{n:06}").status_code for n in range(5)] == [403, 403, 403, 429, 429]
    device = owner.cookies["myelin_device"].value
    again = Client(enforce_csrf_checks=True)
    again.cookies["myelin_device"] = device
    assert send(again, "/sign-in", "/sign-in", email=user.email, password=PASSWORD).status_code == 302
    assert send(again, "/sign-in/code", "/sign-in/code", code=totp(secret, factors.time.time() + 30)).status_code == 302
    assert again.get("/account").status_code == 200


def test_who_decides_replaces_it_and_does_not_remove_it(enrolled: Any, world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user, secret, _ = enrolled
    client = browser(user)
    send(client, "/sign-in/code", "/sign-in/code", code=code(secret))
    later(monkeypatch, 150)
    fields = {"step_up-password": PASSWORD, "step_up-code": code(secret), "step_up-then": "post"}
    assert send(client, FACTOR, "/account/second-factor/remove", **fields).status_code == 409
    assert factors.enrolled(user)
    page = "/account/second-factor/another"
    new = re.search(r"<code>([A-Z2-7 ]+)</code>", client.get(page).content.decode())
    assert new and new[1] != secret
    assert send(client, page, page, code=code(new[1])).status_code == 200
    later(monkeypatch, 240)
    assert factors.spend(user, code(secret)) == "" and factors.spend(user, code(new[1])) == "totp"
    plain = person(world, "otto")
    here = browser(plain)
    own, _ = set_up(here, factors.time.time())
    later(monkeypatch, 330)
    assert send(here, FACTOR, "/account/second-factor/remove", **fields | {"step_up-code": code(own)}).status_code == 302
    assert not factors.enrolled(plain) and here.get("/account").status_code == 200


def test_an_administrator_takes_a_lost_one_away_and_nobody_else_does(enrolled: Any, world: Any) -> None:
    user, _, _ = enrolled
    with pytest.raises(Exception, match="not_admin"):
        access.forget_factor(person(world, "otto"), user)
    assert factors.enrolled(user)
    access.forget_factor(world.user("admin", is_superuser=True), user)
    assert not factors.enrolled(user) and acts()[-1] == "factor.forget"
    assert browser(user).get("/account")["Location"].startswith(FACTOR)
    secret, _ = set_up(browser(user))
    call_command("accounts", "forget-factor", user.email)
    assert secret and not factors.enrolled(user)


def test_tokens_that_decide_wait_for_it_but_for_those_of_an_operator(steward: User) -> None:
    def told(text: str, path: str = "/api/v1/users") -> str:
        answer = Client().post(path, {}, "application/json", HTTP_AUTHORIZATION=f"Bearer {text}")
        return str(answer.json()["code"])

    _, mine = access.issue_token(steward, "mine", ["read", "write", "decide", "admin"])
    _, theirs = access.issue_token(steward, "theirs", ["read", "write", "decide", "admin"], by_operator=True)
    assert told(mine) == "second_factor_needed" and told(theirs) == "invalid"
    assert Client().get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {mine}").status_code == 200
    set_up(browser(steward))
    assert told(mine) == "invalid"


def test_sessions_are_listed_and_all_others_end_at_a_word(world: Any) -> None:
    user = person(world)
    here, there = browser(user), browser(user)
    assert here.get("/account/sessions").content.decode().count("<td>no</td>") == 1
    send(here, "/account/sessions", "/account/sessions")
    assert (here.get("/account").status_code, there.get("/account").status_code) == (200, 401)
    assert "<td>no</td>" not in here.get("/account/sessions").content.decode() and "session.end_others" in acts()
    here.get("/account")
    third = browser(user)
    send(third, "/account", "/sign-out")
    assert here.get("/account/sessions").content.decode().count("<td>no</td>") == 0
