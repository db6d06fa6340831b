"""Accounts, roles, tokens, keys of datasets, and limits that stay true when two workers count at once."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import textwrap
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections, transaction
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from registry.access import actions as access
from registry.access import policy
from registry.accounts import keys, limits, queries, throttles
from registry.accounts.authentication import BearerToken
from registry.accounts.models import Counter, Dataset, Role, Token, User
from registry.audit.models import Line
from registry.rules import Conflict, Denied, Invalid
from tests.registry.browsers import shown

pytestmark = pytest.mark.django_db(databases="__all__")
ROOT = Path(__file__).resolve().parents[2]


# --- accounts ------------------------------------------------------------------------------------------------------------------------------------


def test_an_address_has_one_account_however_it_is_written() -> None:
    access.open_account("system:test", "Ada@Example.org")
    with pytest.raises(Conflict):
        access.open_account("system:test", "ada@example.org")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="ADA@example.org")
    assert User.objects.get_by_natural_key("ADA@EXAMPLE.ORG").email == "ada@example.org"


@pytest.mark.parametrize("fields", [{"email": "no address"}, {"password": "short"}, {"password": "password1234"}, {"country": "Denmark"}])
def test_an_account_that_makes_no_sense_is_refused_field_by_field(fields: dict[str, str]) -> None:
    with pytest.raises(Invalid) as refused:
        access.open_account("system:test", **{"email": "ada@example.org", **fields})
    assert all(value not in str(refused.value) + str(refused.value.errors) for value in fields.values())
    assert access.open_account("system:test", "ada@example.org", "a long and winding phrase", country="DK").check_password("a long and winding phrase")


def test_only_who_runs_the_registry_opens_accounts_sites_and_datasets(world: Any) -> None:
    nobody, admin = world.user(), world.user("admin", is_superuser=True)
    acts = [
        lambda who: access.open_account(who, "new@example.org"),
        lambda who: access.open_site(who, "odense", "Hospital", "DK"),
        lambda who: access.open_dataset(who, "ms", "MS"),
    ]
    for act in acts:
        with pytest.raises(Denied):
            act(nobody)
        act(admin)


def test_roles_are_given_by_stewards_and_not_to_oneself(world: Any) -> None:
    site = world.site()
    dataset, other = world.dataset(site), world.dataset(site)
    steward, someone = world.steward(dataset), world.user()
    for kind in ("researcher", "auditor"):
        assert access.give_role(steward, someone, dataset, kind)
    for kind, where in (("contributor", site), ("steward", None), ("committee", None)):
        with pytest.raises(Denied, match="not_admin"):
            access.give_role(steward, someone, dataset, kind, where)
        assert access.give_role(world.user("admin", is_superuser=True), someone, dataset, kind, where)
    with pytest.raises(Denied):
        access.give_role(steward, someone, other, "researcher")
    with pytest.raises(Denied):
        access.give_role(steward, steward, dataset, "auditor")
    with pytest.raises(Denied):
        access.give_role(world.user(), someone, dataset, "researcher")


def test_a_contributor_has_a_site_of_the_dataset_and_nobody_else_has_one(world: Any) -> None:
    site, foreign = world.site("aarhus"), world.site("oslo")
    dataset, someone = world.dataset(site), world.user()
    for kind, where in (("contributor", None), ("steward", site), ("contributor", foreign)):
        with pytest.raises(Invalid):
            access.give_role("system:test", someone, dataset, kind, where)
    with pytest.raises(IntegrityError), transaction.atomic():
        Role.objects.create(user=someone, dataset=dataset, kind="contributor")
    with pytest.raises(IntegrityError), transaction.atomic():
        Role.objects.create(user=someone, dataset=dataset, kind="steward", site=site)
    assert access.give_role("system:test", someone, dataset, "contributor", site) == access.give_role("system:test", someone, dataset, "contributor", site)


def test_a_role_that_ended_and_an_account_that_was_disabled_answer_nothing_from_the_next_question_on(world: Any) -> None:
    site = world.site()
    dataset = world.dataset(site)
    steward, other = world.steward(dataset), world.steward(dataset)
    assert policy.ask_in(steward, "decide", dataset).permitted
    access.end_role("system:test", Role.objects.get(user=steward))
    assert not policy.ask_in(steward, "decide", dataset).permitted
    assert policy.ask_in(other, "decide", dataset).permitted
    access.disable_account("system:test", other)
    assert not policy.ask_in(other, "decide", dataset).permitted  # the object in hand still says it is active


def test_acts_on_accounts_are_on_record(world: Any) -> None:
    world.steward(world.dataset(world.site()))
    assert [line.act for line in Line.objects.all()] == ["site.open", "dataset.open", "account.open", "role.give"]


# --- datasets ------------------------------------------------------------------------------------------------------------------------------------


def test_each_dataset_has_keys_of_its_own_that_stay(world: Any) -> None:
    one, other = world.dataset(), world.dataset()
    assert keys.code_key(one).code("a", "", "4711") != keys.code_key(other).code("a", "", "4711")
    before = Path(keys.paths(one)["code"]).read_bytes()
    keys.make(one)
    assert Path(keys.paths(one)["code"]).read_bytes() == before != Path(keys.paths(one)["pseudonym"]).read_bytes()


def test_the_database_holds_a_dataset_to_its_policy() -> None:
    for fields in ({"min_count": 1}, {"retention_days": 0}, {"retention_days": 366}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Dataset.objects.create(slug="x", name="x", **fields)
    Dataset.objects.create(slug="x", name="x")


def test_agreements_are_numbered_and_old_ones_stay(world: Any) -> None:
    dataset = world.dataset(agreement="one")
    steward = world.steward(dataset)
    assert access.publish_agreement(steward, dataset, "two").version == 2
    assert [one.text for one in dataset.agreements.all()] == ["one", "two"]
    with pytest.raises(Denied):
        access.publish_agreement(world.user(), dataset, "three")


# --- tokens --------------------------------------------------------------------------------------------------------------------------------------


def bearer(text: str) -> Any:
    return BearerToken().authenticate(APIView().initialize_request(APIRequestFactory().get("/", HTTP_AUTHORIZATION=f"Bearer {text}")))


def test_a_token_opens_once_shown_and_is_kept_as_a_hash_only(world: Any) -> None:
    user = world.user()
    token, text = access.issue_token(user, "script")
    assert bearer(text) == (user, token)
    stored = str(list(Token.objects.values()))
    assert text not in stored and text.removeprefix("myelin_") not in stored
    assert text not in str(list(Line.objects.values()))


@pytest.mark.parametrize("end", ["expired", "revoked", "disabled", "altered", "empty"])
def test_a_token_that_is_over_opens_nothing(world: Any, end: str) -> None:
    from rest_framework.exceptions import AuthenticationFailed

    user = world.user()
    token, text = access.issue_token(user, "script")
    bearer(text)
    if end == "expired":
        Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    if end == "revoked":
        access.revoke_token(user, token)
    if end == "disabled":
        access.disable_account("system:test", user)
    if end == "altered":
        text = text[:-1] + ("a" if text[-1] != "a" else "b")
    if end == "empty":
        text = ""
    with pytest.raises(AuthenticationFailed):
        bearer(text)


def test_tokens_are_revoked_by_their_owner_or_who_runs_the_registry(world: Any) -> None:
    user = world.user()
    for who, works in ((world.user(), False), (world.user("admin", is_superuser=True), True)):
        token, _ = access.issue_token(user, "script")
        if not works:
            with pytest.raises(Denied):
                access.revoke_token(who, token)
        else:
            access.revoke_token(who, token)


@pytest.mark.parametrize("fields", [{"scopes": []}, {"scopes": ["everything"]}, {"days": 0}, {"days": 400}])
def test_a_token_has_known_scopes_and_an_end(world: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        access.issue_token(world.user(), "x", **fields)
    assert access.issue_token(world.user(), "x", ["write", "read"])[0].scopes == ["read", "write"]


def test_using_a_token_is_noted_at_most_once_a_minute(world: Any, django_assert_num_queries: Any) -> None:
    _, text = access.issue_token(world.user(), "script")
    queries.token(text)
    assert Token.objects.get().last_used_at is not None
    with django_assert_num_queries(1):
        queries.token(text)


# --- limits --------------------------------------------------------------------------------------------------------------------------------------


def test_the_sixth_of_five_is_refused_and_the_next_window_begins_anew() -> None:
    answers = [limits.hit("login", "somebody", 5, 60, now=1_000_000.0) for _ in range(6)]
    assert [one.allowed for one in answers] == [True] * 5 + [False]
    assert answers[0].left == 4 and 0 < answers[-1].wait_s <= 61
    assert limits.hit("login", "somebody else", 5, 60, now=1_000_000.0).allowed
    assert limits.hit("login", "somebody", 5, 60, now=1_000_061.0).allowed
    assert "somebody" not in str(list(Counter.objects.values()))


def test_old_counters_are_forgotten_and_new_ones_kept() -> None:
    limits.hit("a", "x", 5, 60, now=1_000_000.0)
    limits.hit("b", "x", 5, 60)
    assert limits.forget_old() == 1
    assert Counter.objects.count() == 1


HITTER = """
    import os, sys, django
    os.environ["DJANGO_SETTINGS_MODULE"] = "registry.settings"
    from django.conf import settings
    django.setup()
    from django.db import connections
    for alias in connections:
        connections[alias].settings_dict["NAME"] = sys.argv[1].split("|")[list(connections).index(alias)]
    from registry.accounts import limits
    print(sum(limits.hit("race", "somebody", 150, 600, now=2_000_000.0).allowed for _ in range(100)))
"""


def test_two_workers_count_as_one(committed: None, home: Path) -> None:
    names = "|".join(str(connections[alias].settings_dict["NAME"]) for alias in connections)
    command = [sys.executable, "-c", textwrap.dedent(HITTER), names]
    environment = {**os.environ, "MYELIN_HOME": str(home)}
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment) for _ in range(2)]
    counts = [int(worker.communicate(timeout=120)[0]) for worker in workers]
    assert sum(counts) == 150


def test_requests_beyond_the_limit_wait(world: Any, settings: Any) -> None:
    settings.MYELIN_LIMITS = {**settings.MYELIN_LIMITS, "user": (2, 3600), "address": (1, 3600)}
    user, request = world.user(), APIView().initialize_request(APIRequestFactory().get("/"))
    request.user = user
    throttle = throttles.PerUser()
    assert [throttle.allow_request(request, APIView()) for _ in range(3)] == [True, True, False]
    assert throttle.wait() > 0
    assert throttles.PerAddress().allow_request(request, APIView())  # signed in: not counted by address
    from django.contrib.auth.models import AnonymousUser

    request.user = AnonymousUser()
    assert [throttles.PerAddress().allow_request(request, APIView()) for _ in range(2)] == [True, False]


# --- the shell -----------------------------------------------------------------------------------------------------------------------------------


def test_the_commands_open_what_the_api_needs_to_begin_with() -> None:
    def run(*words: str) -> str:
        out = io.StringIO()
        call_command("accounts", *words, stdout=out)
        return out.getvalue().strip()

    run("site", "aarhus", "Aarhus", "DK")
    run("dataset", "ms", "MS", "--sites", "aarhus")
    run("user", "c@example.org", "--institution", "Aarhus", "--country", "DK")
    run("role", "c@example.org", "ms", "contributor", "--site", "aarhus")
    text = run("token", "c@example.org")
    found = queries.token(text)
    assert found is not None and found.user.email == "c@example.org"
    with pytest.raises(CommandError):
        run("site", "aarhus", "Aarhus", "DK")
    with pytest.raises(CommandError):
        run("role", "c@example.org", "ms", "steward", "--site", "aarhus")
    with pytest.raises(CommandError):
        run("token", "nobody@example.org")


def test_django_s_administration_shows_and_changes_nothing(world: Any, settings: Any) -> None:
    settings.MYELIN_ADMIN = True
    admin = world.user("admin", is_superuser=True, is_staff=True)
    world.participant(world.dataset(site := world.site()), site)
    browser = Client()
    shown(browser, admin)
    for page in ("accounts/user", "accounts/token", "runs/run", "runs/mail", "audit/line"):
        assert browser.get(f"/admin/{page}/").status_code == 200, page
        assert browser.get(f"/admin/{page}/add/").status_code == 403, page
    for page in ("subjects/participant", "consent/consentevent", "access/request"):
        assert browser.get(f"/admin/{page}/").status_code == 404, page
