"""Signing in by a provider, against a real one on loopback (`oidc_provider.py`): only who is linked gets in, and only by an answer that can be believed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from registry import environment
from registry.access import actions as access
from registry.access import inviting
from registry.accounts.models import User
from registry.audit.models import Line
from tests.registry.browsers import shown
from tests.registry.upper.portal.test_accounts_factors import set_up
from tests.registry.upper.portal.test_accounts_invitations import follow, link
from tests.registry.upper.test_portal import acts, browser, person, send

pytestmark = pytest.mark.django_db(databases="__all__")
SUBJECT = "0000-0002-1825-0097"


@pytest.fixture
def provider(settings: Any) -> Iterator[str]:
    """The provider's address; it runs in a process of its own for this test."""
    command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("oidc_provider.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            issuer = json.loads(process.stdout.readline())
            named = {"MYELIN_OIDC_ISSUER": issuer, "MYELIN_OIDC_CLIENT_ID": "myelin", "MYELIN_OIDC_CLIENT_SECRET": "a secret between two"}
            settings.SOCIALACCOUNT_PROVIDERS = environment.providers(environment.oidc({**named, "MYELIN_OIDC_NAME": "ORCID"}))
            yield issuer
        finally:
            process.kill()


def away(client: Client, page: str, to: str, **fields: Any) -> str:
    """Presses the button, and the address at the provider that it leads to."""
    answer = send(client, page, to, **fields)
    assert answer.status_code == 200, answer.content
    return str(answer["Refresh"]).removeprefix("0;url=")


def vouched(url: str, subject: str = SUBJECT, email: str = "") -> str:
    """Signs in at the provider as a person would; the path it sends the browser back to."""
    told = requests.post(url, {"sub": subject, "email": email}, allow_redirects=False, timeout=10)
    assert told.status_code == 302, told.text
    parts = urlsplit(told.headers["Location"])
    assert (parts.netloc, parts.path) == ("testserver", "/sign-in/provider/back")
    return f"{parts.path}?{parts.query}"


def linked(user: User) -> Client:
    """A browser of somebody who has linked the provider through the page."""
    client = shown(Client(enforce_csrf_checks=True), user)
    back = client.get(vouched(away(client, "/account/sessions", "/account/provider/link")))
    assert back["Location"] == "/account/sessions" and "You can sign in by ORCID" in client.get("/account/sessions").content.decode()
    return client


def by_provider(client: Client | None = None, subject: str = SUBJECT, email: str = "") -> tuple[Client, Any]:
    client = client or Client(enforce_csrf_checks=True)
    return client, client.get(vouched(away(client, "/sign-in", "/sign-in/provider", next="/account/password"), subject, email))


def test_who_linked_it_signs_in_and_nobody_else_does(world: Any, provider: str) -> None:
    user = person(world)
    _, stranger = by_provider(email=user.email)  # the address of an account is no account
    assert stranger.status_code == 403 and "No account here is linked" in stranger.content.decode()
    linked(user)
    assert acts()[-1] == "account.link"
    client, answer = by_provider()
    assert answer["Location"] == "/account/password" and client.get("/account/password").status_code == 200
    assert Line.objects.order_by("-seq")[0].detail == {"via": "provider"}
    _, other = by_provider(subject="0000-0001-5109-3700")
    assert other.status_code == 403 and SUBJECT not in str(list(Line.objects.values("object", "detail")))
    access.disable_account("test", user)
    assert by_provider()[1].status_code == 403


def test_the_second_factor_is_asked_for_after_it(world: Any, provider: str) -> None:
    user = person(world)
    linked(user)
    access.give_role("test", user, world.dataset(world.site()), "steward")
    client, _ = by_provider()
    assert client.get("/account")["Location"].startswith("/account/second-factor")
    set_up(client)
    again, _ = by_provider()
    assert again.get("/account")["Location"].startswith("/sign-in/code") and "myelin_device" not in again.cookies


def test_an_answer_of_another_browser_another_time_or_another_nonce_is_refused(world: Any, provider: str) -> None:
    linked(person(world))
    begun, other = Client(enforce_csrf_checks=True), Client()
    path = vouched(away(begun, "/sign-in", "/sign-in/provider"))
    assert other.get(path).status_code == 403 and "begun in this browser" in other.get(path).content.decode()
    assert begun.get(re.sub(r"state=[^&]+", "state=another", path)).status_code == 403
    assert begun.get(path).status_code == 302
    assert begun.get(path).status_code == 403  # once
    client = Client(enforce_csrf_checks=True)
    path, session = vouched(away(client, "/sign-in", "/sign-in/provider")), client.session
    next(iter(session["socialaccount_states"].values()))[0]["nonce"] = "of another sign-in"
    session.save()
    refused = client.get(path)
    assert refused.status_code == 403 and "belongs to another sign-in" in refused.content.decode()
    assert client.get("/account").status_code == 401


def test_a_token_that_another_key_signed_or_another_provider_sent_is_refused(world: Any, provider: str, settings: Any) -> None:
    linked(person(world))
    assert by_provider()[1].status_code == 302
    requests.post(f"{provider}/another-key", timeout=10).raise_for_status()
    client, answer = by_provider()
    assert answer.status_code == 403 and "can be believed" in answer.content.decode() and client.get("/account").status_code == 401
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["provider_id"] = "https://orcid.org"
    settings.SOCIALACCOUNT_PROVIDERS = dict(settings.SOCIALACCOUNT_PROVIDERS)
    assert "another one than was agreed" in send(Client(), "/sign-in", "/sign-in/provider").content.decode()


def test_what_the_code_was_asked_with_is_asked_of_who_brings_it(world: Any, provider: str) -> None:
    linked(person(world))
    client = Client(enforce_csrf_checks=True)
    url = away(client, "/sign-in", "/sign-in/provider")
    assert "code_challenge_method=S256" in url and "scope=openid&" in f"{url}&" and "nonce=" in url
    path, session = vouched(url), client.session
    next(iter(session["socialaccount_states"].values()))[0]["verifier"] = "x" * 50
    session.save()
    assert client.get(path).status_code == 403
    assert requests.get(re.sub(r"&code_challenge=[^&]+", "", url), timeout=10).status_code == 400


def test_one_subject_is_one_account_and_the_last_way_in_stays(world: Any, provider: str) -> None:
    user, other = person(world), person(world, "otto")
    client = linked(user)
    theirs = shown(Client(enforce_csrf_checks=True), other)
    assert theirs.get(vouched(away(theirs, "/account/sessions", "/account/provider/link"))).status_code == 403
    assert SocialAccount.objects.get().user == user
    begun = shown(Client(enforce_csrf_checks=True), other)
    path = vouched(away(begun, "/account/sessions", "/account/provider/link"), "0000-0001-5109-3700")
    assert shown(begun, user).get(path).status_code == 403  # begun for another account
    assert browser(other).post("/account/provider/link").status_code == 403
    assert send(client, "/account/sessions", "/account/provider/unlink").status_code == 302
    assert by_provider()[1].status_code == 403


def test_an_invitation_is_accepted_by_the_provider(house: Any, provider: str) -> None:
    inviting.invite(house.steward, "new@example.org", "DK", roles=[inviting.Promise(house.dataset, "researcher")])
    client, _ = follow(link())
    answer = client.get(vouched(away(client, "/invitations/accept", "/invitations/accept/provider")))
    user = User.objects.get(email="new@example.org")
    assert answer.status_code == 302 and not user.has_usable_password() and user.roles.count() == 1
    assert client.get("/account").status_code == 200
    assert by_provider()[1].status_code == 302
    refused = shown(client, user).get("/account/sessions")
    assert refused.status_code == 200
    assert send(client, "/account/sessions", "/account/provider/unlink").status_code == 409  # the only way in


@pytest.mark.parametrize(
    ("named", "fits"),
    [
        ({}, True),
        ({"ISSUER": "https://orcid.org", "CLIENT_ID": "a", "CLIENT_SECRET": "b"}, True),
        ({"ISSUER": "http://127.0.0.1:1", "CLIENT_ID": "a", "CLIENT_SECRET": "b"}, True),
        ({"ISSUER": "https://orcid.org", "CLIENT_ID": "a"}, False),
        ({"CLIENT_SECRET": "b"}, False),
        ({"NAME": "ORCID"}, False),
        ({"ISSUER": "http://orcid.org", "CLIENT_ID": "a", "CLIENT_SECRET": "b"}, False),
        ({"ISSUER": "https://orcid.org?x=1", "CLIENT_ID": "a", "CLIENT_SECRET": "b"}, False),
    ],
)
def test_half_a_provider_is_refused_at_the_start(named: dict[str, str], fits: bool) -> None:
    told = {f"MYELIN_OIDC_{name}": value for name, value in named.items()}
    if fits:
        assert bool(environment.oidc(told)) == bool(named)
        return
    with pytest.raises(environment.Misconfigured, match="MYELIN_OIDC"):
        environment.oidc(told)


def test_production_takes_no_provider_without_encryption() -> None:
    told = {"MYELIN_ENV": "production", "MYELIN_OIDC_ISSUER": "http://127.0.0.1:1", "MYELIN_OIDC_CLIENT_ID": "a", "MYELIN_OIDC_CLIENT_SECRET": "b"}
    with pytest.raises(environment.Misconfigured, match="https"):
        environment.oidc(told)


def test_without_a_provider_there_is_no_button_and_no_way(world: Any) -> None:
    client = browser()
    assert "provider" not in client.get("/sign-in").content.decode()
    assert send(client, "/sign-in", "/sign-in/provider").status_code == 403
    assert client.get("/sign-in/provider/back?state=x&code=y").status_code == 403
