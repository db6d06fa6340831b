"""The portal's pages as a browser without scripts meets them: who gets in, what is shown, what the browser is told it may load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client

from registry.access import actions as access
from registry.accounts.models import Kind, Token, User
from registry.audit.models import Line

pytestmark = pytest.mark.django_db(databases="__all__")
PASSWORD = "a long enough passphrase"
ROOT = Path(__file__).resolve().parents[3]


def person(world: Any, name: str = "rosa") -> User:
    user: User = world.user(name)
    User.objects.filter(pk=user.pk).update(password=make_password(PASSWORD))
    user.refresh_from_db()
    return user


def browser(user: User | None = None) -> Client:
    """A browser that keeps to CSRF, signed in through the page."""
    client = Client(enforce_csrf_checks=True)
    if user:
        assert send(client, "/sign-in", "/sign-in", email=user.email, password=PASSWORD).status_code == 302
    return client


def send(client: Client, page: str, to: str, **fields: Any) -> Any:
    """Loads the page, then sends its form."""
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(page).content.decode())
    assert found
    return client.post(to, {"csrfmiddlewaretoken": found[1], **fields})


def acts() -> list[str]:
    return list(Line.objects.order_by("seq").values_list("act", flat=True))


def test_address_and_password_sign_in_and_a_wrong_password_does_not(world: Any) -> None:
    user = person(world)
    client = browser()
    before = len(acts())
    assert send(client, "/sign-in", "/sign-in", email=user.email, password="another passphrase").status_code == 401
    assert acts()[before:] == ["session.refused"]
    assert client.get("/account").status_code == 401
    assert send(client, "/sign-in", "/sign-in", email=user.email, password=PASSWORD)["Location"] == "/"
    assert acts()[-1] == "session.begin"
    assert user.email in client.get("/account").content.decode()
    assert send(client, "/account", "/sign-out").status_code == 302
    assert client.get("/account").status_code == 401


@pytest.mark.parametrize(("wanted", "led"), [("/account/password", "/account/password"), ("https://elsewhere.example/", "/"), ("//elsewhere.example", "/")])
def test_signing_in_leads_only_to_pages_of_this_registry(world: Any, wanted: str, led: str) -> None:
    user = person(world)
    assert send(browser(), "/sign-in", "/sign-in", email=user.email, password=PASSWORD, next=wanted)["Location"] == led


def test_a_stranger_sees_the_sign_in_where_a_page_is_not_theirs_and_that_leaves_one_line(world: Any) -> None:
    before = len(acts())
    answer = Client().get("/account/password")
    assert answer.status_code == 401
    assert 'value="/account/password"' in answer.content.decode()
    assert len(acts()) == before + 1
    assert Client().get("/").status_code == 200


def test_a_form_without_its_csrf_token_is_refused_and_says_so_in_plain_words(world: Any) -> None:
    answer = browser().post("/sign-in", {"email": person(world).email, "password": PASSWORD})
    assert answer.status_code == 403
    assert "The form was too old" in answer.content.decode()


def test_guesses_at_the_page_are_held_as_at_the_api(world: Any, settings: Any) -> None:
    user = person(world)
    client = browser()
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "login": (2, 86_400)}
    assert [send(client, "/sign-in", "/sign-in", email=user.email, password="another passphrase").status_code for _ in range(3)] == [401, 401, 429]
    assert send(client, "/sign-in", "/sign-in", email=user.email, password=PASSWORD).status_code == 429


def test_a_token_is_shown_once_and_revoked_at_once(world: Any) -> None:
    user = person(world)
    client = browser(user)
    answer = send(client, "/account", "/account", name="notebook", scopes=["read"], days=30)
    text = re.search(r"myelin_[\w-]+", answer.content.decode())
    assert text
    assert "no-store" in answer["Cache-Control"]
    assert text[0] not in client.get("/account").content.decode()
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {text[0]}"}
    assert Client().get("/api/v1/me", **bearer).status_code == 200
    assert send(client, "/account", f"/account/tokens/{Token.objects.get(user=user).pk}/revoke").status_code == 302
    assert Client().get("/api/v1/me", **bearer).status_code == 401


def test_nobody_revokes_the_token_of_another(world: Any) -> None:
    token, _ = access.issue_token(world.user("other"), "theirs")
    assert send(browser(person(world)), "/account", f"/account/tokens/{token.pk}/revoke").status_code == 404
    token.refresh_from_db()
    assert token.alive


@pytest.mark.parametrize(("scope", "password", "made"), [("read", "", 1), ("download", "", 0), ("decide", "another passphrase", 0), ("admin", PASSWORD, 1)])
def test_a_token_that_takes_data_or_decides_needs_the_password_again(world: Any, scope: str, password: str, made: int) -> None:
    user = person(world)
    send(browser(user), "/account", "/account", name="notebook", scopes=[scope], days=30, password=password)
    assert Token.objects.filter(user=user).count() == made


def test_another_password_ends_the_other_sessions_and_leaves_a_line(world: Any) -> None:
    user = person(world)
    here, there = browser(user), browser(user)
    new = "quite another long one"
    assert send(here, "/account/password", "/account/password", old_password=PASSWORD, new_password1=new, new_password2=new).status_code == 302
    assert acts()[-1] == "account.password"
    assert (here.get("/account").status_code, there.get("/account").status_code) == (200, 401)


def test_a_weak_password_is_not_taken(world: Any) -> None:
    here = browser(person(world))
    answer = send(here, "/account/password", "/account/password", old_password=PASSWORD, new_password1="short", new_password2="short")
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()


def test_a_session_ends_with_a_role_of_its_account_and_no_other_session_does(world: Any) -> None:
    site = world.site()
    dataset = world.dataset(site)
    user, other = person(world), person(world, "otto")
    roles = [access.give_role("test", one, dataset, Kind.RESEARCHER) for one in (user, other)]
    ended, lives = browser(user), browser(other)
    assert ended.get("/account").status_code == 200
    access.end_role("test", roles[0])
    assert ended.get("/account").status_code == 401
    assert ended.get("/api/v1/me").status_code in (401, 403)
    assert (lives.get("/account").status_code, lives.get("/api/v1/me").status_code) == (200, 200)
    assert browser(user).get("/account").status_code == 200  # who still has an account signs in again


def test_a_session_ends_with_its_account(world: Any) -> None:
    user, other = person(world), person(world, "otto")
    ended, lives = browser(user), browser(other)
    access.disable_account("test", user)
    assert (ended.get("/account").status_code, lives.get("/account").status_code) == (401, 200)
    assert send(browser(), "/sign-in", "/sign-in", email=user.email, password=PASSWORD).status_code == 401


@pytest.mark.parametrize("path", ["/", "/sign-in", "/account", "/nowhere", "/admin/login/", "/api/v1/docs", "/api/v1/health"])
def test_every_answer_forbids_scripts_from_elsewhere_or_written_into_a_page(world: Any, path: str) -> None:
    answer = Client().get(path)
    policy = dict(part.strip().split(" ", 1) for part in answer["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == ("DENY", "nosniff")


def test_no_template_holds_a_script_or_a_style_of_its_own() -> None:
    pages = sorted((ROOT / "registry/portal/templates").rglob("*.html"))
    assert len(pages) >= 9
    inline = re.compile(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|javascript:", re.I)
    assert inline.search('<a onclick="x">')
    assert inline.search("<script>x</script>")
    assert not inline.search('<script src="/static/x.js"></script>')
    assert [page.name for page in pages if inline.search(re.sub("{%.*?%}", "", page.read_text("utf-8")))] == []  # `with one=row` is no handler


def test_pages_that_say_what_went_wrong_are_plain(world: Any, settings: Any) -> None:
    settings.DEBUG = False
    answer = Client().get("/nowhere")
    assert answer.status_code == 404
    assert "Nothing is here" in answer.content.decode()


def guesses(email: str, number: int, cookie: str = "") -> list[int]:
    """Answers to wrong passwords, each from another address."""
    client = Client()
    if cookie:
        client.cookies["myelin_device"] = cookie
    told = []
    for n in range(number):
        body = {"email": email, "password": "another passphrase"}
        told.append(client.post("/sign-in", body, REMOTE_ADDR=f"10.{n // 250}.{n % 250}.1").status_code)
    return told


def test_a_thousand_guesses_from_elsewhere_hold_the_guesser_and_not_the_owner(world: Any, settings: Any) -> None:
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "login-account": (20, 86_400)}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = person(world)
    owner = browser(user)
    told = guesses(user.email, 1000)
    assert told[:10] == [401] * 10
    assert set(told[20:]) == {429}
    assert send(browser(), "/sign-in", "/sign-in", email=user.email, password=PASSWORD).status_code == 429  # a device nobody knows waits
    owner.cookies.pop("sessionid")
    assert send(owner, "/sign-in", "/sign-in", email=user.email, password=PASSWORD).status_code == 302


def test_a_device_cookie_is_good_for_its_own_account_unforged_and_for_few_guesses(world: Any, settings: Any) -> None:
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "login": (3, 86_400), "login-account": (1, 86_400)}
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user, other = person(world), person(world, "otto")
    cookie = browser(user).cookies["myelin_device"].value
    assert guesses(user.email, 5, cookie) == [401, 401, 401, 429, 429]
    assert guesses(other.email, 3, cookie) == [401, 429, 429]
    assert guesses(user.email, 1, cookie[:-1] + ("A" if cookie[-1] != "A" else "B")) == [429]
