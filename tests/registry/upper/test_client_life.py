"""The client's calls and commands against the real registry: a request's whole life, views, recalls and moves."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.db import transaction
from django.utils import timezone

from client.api import Registry
from client.cli import run
from client.errors import Refused
from client.package import read_identity
from client.records import Member, Naming
from registry.access import actions as access
from registry.access.models import Entitlement
from registry.accounts.models import User
from registry.releases import actions as releases
from registry.releases import packing
from registry.releases.models import Package
from tests.registry.upper.conftest import House
from tests.registry.upper.desks import SCOPES

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
ASKED = {"title": "A study", "abstract": "Why.", "purpose": "HMB", "recipient_key": str(pyrage.x25519.Identity.generate().to_public())}


@pytest.fixture
def line(live_server: Any) -> Any:
    lines: list[Registry] = []

    def to(user: User) -> Registry:
        lines.append(Registry(live_server.url, access.issue_token(user, "desk", SCOPES, 5, by_operator=True)[1], attempts=1))
        return lines[-1]

    yield to
    for one in lines:
        one.close()


def refused(code: str, call: Any, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(Refused) as error:
        call(*args, **kwargs)
    assert error.value.code == code, error.value


def test_a_request_lives_from_its_team_to_its_attestation(house: House, line: Any, tmp_path: Path) -> None:
    house.image(house.person("GRU"))
    colleague, guest = house.world.user("otto"), house.world.user("eve", institution="Elsewhere", country="SE")
    rosa, eve, steward, stranger = line(house.world.user("rosa")), line(guest), line(house.steward), line(house.world.user("stranger"))
    draft = rosa.draft(dataset=house.dataset.slug, **ASKED)
    assert rosa.change(draft.id, title="Another").title == "Another"
    assert isinstance(rosa.name_member(draft.id, colleague.email), Member)
    named = rosa.name_member(draft.id, guest.email, "SE")
    assert isinstance(named, Naming) and [one.id for one in eve.namings()] == [named.id] and stranger.namings() == []
    refused("not_found", stranger.join, named.id)
    assert eve.join(named.id).country == "SE" and {one.email for one in rosa.team(draft.id)} == {colleague.email, guest.email}
    rosa.drop_member(rosa.team(draft.id)[0].id)
    rosa.take_naming_back(rosa.name_member(draft.id, "nobody@example.org", "SE").id)
    (tmp_path / "board.pdf").write_bytes(b"%PDF-1.7 approved")
    assert rosa.attach(draft.id, tmp_path / "board.pdf")["bytes"] == 17
    read = rosa.submit(draft.id)
    assert steward.paper(draft.id) == b"%PDF-1.7 approved"
    refused("not_found", stranger.paper, draft.id)

    # A decision on what was read, not on what came after it.
    steward.decide(steward.request(draft.id), "return", "Which lesions?")
    rosa.submit(draft.id)
    refused("request_changed", steward.decide, read, "approve", "")
    assert steward.decide(steward.request(draft.id), "approve", "").state == "approved_pending_signatures"
    eve.give_key(draft.id, ASKED["recipient_key"])
    for one in (rosa, eve):
        one.sign(draft.id, one.agreement(draft.id).version)
    assert rosa.request(draft.id).state == "active"

    Entitlement.objects.update(ends=timezone.now() + timedelta(days=10))
    access.expire()
    report = rosa.report(draft.id, "We counted.", months=6)
    assert [one.done for one in steward.reports(draft.id)] == ["We counted."]
    assert steward.renew(draft.id, report.id).state == "active"
    refused("not_your_request", steward.close_request, draft.id)
    assert rosa.close_request(draft.id).state == "closing"
    assert rosa.attest(draft.id, "All copies.").state == "closed"
    refused("request_state", rosa.take_back, draft.id)


def test_views_recalls_and_moves(house: House, line: Any, carried: Any) -> None:
    image = house.image(house.person("GRU"))
    steward, contributor = line(house.steward), line(house.contributor)
    refused("no_role", contributor.open_view, house.dataset.slug, "masks", "Masks", ["mask"], "restricted")
    view = steward.open_view(house.dataset.slug, "masks", "Masks", ["mask"], "restricted")
    assert [one.name for one in steward.views(house.dataset.slug)] == ["masks"] and view.kinds == ["mask"]
    draft = line(house.world.user("rosa")).draft(dataset=house.dataset.slug, view="masks", **ASKED)
    assert (draft.view, draft.level) == ("masks", "restricted")
    steward.end_view(view.id)
    assert [one.ended_at is not None for one in steward.views(house.dataset.slug)] == [True]
    refused("no_role", contributor.recall, str(image.pk), "face", "An ear is left.")
    recall = steward.recall(str(image.pk), "face", "An ear is left.")
    assert [one.id for one in steward.recalls(dataset=house.dataset.slug)] == [recall.id] and len(recall.files) == 2
    refused("not_found", contributor.move, "00000000-0000-4000-8000-000000000000", "Wrong visit.")


def test_commands_make_a_key_and_open_what_the_browser_downloads(
    house: House, live_server: Any, carried: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    house.image(house.person("GRU"))
    with transaction.atomic():
        house.release()
    rosa = house.world.user("rosa")
    monkeypatch.setenv("MYELIN_DESK", str(tmp_path / "desk"))
    monkeypatch.setenv("MYELIN_REGISTRY", live_server.url)
    monkeypatch.setenv("MYELIN_TOKEN", access.issue_token(rosa, "desk", SCOPES, 5)[1])

    def told(*words: str, status: int = 0) -> Any:
        assert run([*words, "--json"]) == status, capsys.readouterr()
        return json.loads(capsys.readouterr().out)

    held = access.draft_request(rosa, house.dataset, **{**ASKED, "recipient_key": ""})
    made = told("key", str(tmp_path / "my.key"), "--request", str(held.pk))
    identity = read_identity(tmp_path / "my.key")
    held.refresh_from_db()
    assert held.recipient_key == made["recipient_key"] == str(identity.to_public()) and (tmp_path / "my.key").stat().st_mode & 0o777 == 0o600
    assert told("key", str(tmp_path / "my.key"), status=2)["error"]["code"] == "file_exists"
    assert told("team", str(held.pk), "--name", "nobody@example.org", "--country", "SE")["email"] == "nobody@example.org"
    assert [one["email"] for one in told("team", str(held.pk))["named"]] == ["nobody@example.org"]
    access.approve_request(house.steward, access.submit_request(rosa, held))
    right = access.sign_agreement(rosa, held, 1)
    assert told("query", "entitlements")[0]["id"] == str(right.pk)
    package = releases.build_package(rosa, right)
    carried.work()
    (tmp_path / "got.tar.age").write_bytes(packing.place(package.pk).read_bytes())
    opened = told("open", str(tmp_path / "got.tar.age"), "--identity", str(tmp_path / "my.key"), "--out", str(tmp_path / "data"))
    assert opened["files"] == len(Package.objects.get().manifest["files"]) and Path(opened["folder"]).is_dir()
    told("key", str(tmp_path / "other.key"))
    again = told("open", str(tmp_path / "got.tar.age"), "--identity", str(tmp_path / "other.key"), "--out", str(tmp_path / "no"), status=1)
    assert again["error"]["code"]
    assert told("close", str(held.pk), "--deleted", "All copies.")["state"] == "closed"
