"""Somebody who takes part in two datasets leaves both; only the site learns of it, and nobody can read it from a dump without the vault's key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.conf import settings

from registry.audit.models import Line
from registry.releases import actions, certificates, departures, queries, remains
from registry.releases.models import Package, Removal
from registry.rules import Conflict, Denied
from registry.runs.models import Mail, Run
from registry.subjects import vault
from registry.subjects.models import Participant, SourceIdentifier
from tests.registry.upper.leavers import WHO, dump, in_two_datasets, shared_secrets

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def twice(house: Any, carried: Any) -> Any:
    return in_two_datasets(house, carried)


def state(person: Any) -> str:
    return str(Participant.objects.get(pk=person.pk).state)


def test_gone_from_both_and_the_site_is_told(twice: Any, carried: Any, door: Any) -> None:
    told = door(twice.contributor).post(f"/participants/{twice.leaver.pk}/withdraw", {"reason": "asked"}, 202)
    assert told["elsewhere"] == {"datasets": [twice.second.slug], "only_here": ""}
    assert [state(one) for one in (twice.leaver, twice.other, twice.stayer, twice.beside)] == ["withdrawn", "withdrawn", "active", "active"]
    carried.work()
    assert Removal.objects.filter(state="done").count() == 2 and not SourceIdentifier.objects.filter(link__in=[twice.leaver.link, twice.other.link]).exists()
    for who, dataset in ((twice.steward, twice.dataset), (twice.second_steward, twice.second)):
        removal = Removal.objects.get(participant__dataset=dataset)
        seen = door(who).get(f"/withdrawals/{removal.pk}")
        assert len(seen["at"]) == len(seen["certificate"]["withdrawn_at"]) == len("2026-01-01"), "a day, not an instant"
        assert {len(step["at"]) for step in seen["certificate"]["steps"].values()} == {10}
        assert seen["elsewhere"] == {"datasets": [], "only_here": ""} and twice.second.slug not in json.dumps(seen).replace(dataset.slug, "")
        assert "For the site" not in certificates.page(who, removal)
        page = door(who).raw("get", f"/withdrawals/{removal.pk}/certificate.html")
        assert page.status_code == 200 and removal.label.encode() in page.content
    removal = Removal.objects.get(participant=twice.leaver)
    assert door(twice.contributor).get(f"/withdrawals/{removal.pk}")["elsewhere"]["datasets"] == [twice.second.slug]
    assert twice.second.slug in certificates.page(twice.contributor, removal)
    # Each site's certificate goes to the site: of the second dataset to those who hand in for it there.
    assert set(Mail.objects.filter(subject__contains="withdrawal").values_list("to", flat=True)) == {twice.contributor.email, twice.second_hand.email}


def test_the_site_gets_the_certificate_of_what_a_steward_asked_for(twice: Any, carried: Any) -> None:
    actions.withdraw(twice.steward, twice.stayer)
    carried.work()
    assert set(Mail.objects.filter(subject__contains="withdrawal").values_list("to", flat=True)) == {twice.contributor.email, twice.steward.email}


def test_only_here_is_the_sites_word_and_stays_sealed(twice: Any, carried: Any) -> None:
    with pytest.raises(Denied, match="site_only"):
        actions.withdraw(twice.steward, twice.leaver, only_here="Two consents.")
    removal = actions.withdraw(twice.contributor, twice.leaver, only_here="Two consents.")
    carried.work()
    assert (state(twice.leaver), state(twice.other)) == ("withdrawn", "active") and vault.whole(twice.other.link)
    assert departures.elsewhere(twice.contributor, removal) == {"datasets": [twice.second.slug], "only_here": "Two consents."}
    assert [trace.where for trace in remains.search(["Two consents."])] == []
    actions.withdraw(twice.second_hand, twice.other)  # the other goes by an act of its own
    assert state(twice.other) == "withdrawn"


def test_a_steward_who_withdraws_ends_both_and_learns_of_one(twice: Any, carried: Any) -> None:
    removal = actions.withdraw(twice.steward, twice.leaver)
    carried.work()
    assert state(twice.other) == "withdrawn" and departures.elsewhere(twice.steward, removal)["datasets"] == []
    theirs = Line.objects.filter(dataset=str(twice.second.pk), act="participant.withdraw").get()
    asked = Line.objects.filter(dataset=str(twice.dataset.pk), act="participant.withdraw").get()
    assert theirs.actor == asked.actor == departures.VAULT, "nothing tells which was asked for"
    assert set(Removal.objects.values_list("requested_by", flat=True)) == {departures.VAULT}
    assert twice.steward.email not in json.dumps(dump({"audit_line"}, twice.other))


def test_who_died_between_the_two_is_finished_by_the_tick(twice: Any, monkeypatch: Any) -> None:
    class Killed(BaseException):
        pass

    def killed() -> int:
        raise Killed

    monkeypatch.setattr(departures, "leave_everywhere", killed)
    with pytest.raises(Killed):
        actions.withdraw(twice.contributor, twice.leaver)
    assert (state(twice.leaver), state(twice.other)) == ("withdrawn", "active")
    monkeypatch.undo()
    actions.tick()
    assert state(twice.other) == "withdrawn" and not vault.leaving()


def test_asked_again_after_a_kill_it_ends_the_rest(twice: Any, monkeypatch: Any) -> None:
    """A retry is refused, and takes no mark back: it finishes what the first call began."""

    class Killed(BaseException):
        pass

    def killed() -> int:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(departures, "leave_everywhere", killed)
        actions.withdraw(twice.contributor, twice.leaver)
    with pytest.raises(Conflict, match="already_withdrawn"):
        actions.withdraw(twice.contributor, twice.leaver)
    assert (state(twice.leaver), state(twice.other)) == ("withdrawn", "withdrawn") and not vault.leaving()


def test_of_two_calls_at_once_the_refused_one_takes_no_mark_back(twice: Any, monkeypatch: Any) -> None:
    """The first marks, the second comes before it and ends the first participation; the first is refused, and the rest still ends."""
    leave = departures._leave

    def overtaken(actor: Any, participant: Any, *more: Any) -> Any:
        monkeypatch.setattr(departures, "_leave", leave)
        leave(actor, participant, *more)  # the other call, before it goes on to the rest
        return leave(actor, participant, *more)

    monkeypatch.setattr(departures, "_leave", overtaken)
    with pytest.raises(Conflict, match="already_withdrawn"):
        actions.withdraw(twice.contributor, twice.leaver)
    assert state(twice.other) == "withdrawn" and not vault.leaving()


def test_a_withdrawal_that_fails_takes_back_its_own_marks_only(twice: Any, monkeypatch: Any) -> None:
    def broken(*_: Any) -> None:
        raise OSError

    vault.mark_leaving([twice.stayer.link])  # somebody else's, under way
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(departures, "_leave", broken)
        actions.withdraw(twice.contributor, twice.leaver)
    assert vault.leaving() == [twice.stayer.link] and state(twice.other) == "active"


def test_a_refused_withdrawal_ends_nobody(twice: Any, carried: Any) -> None:
    actions.withdraw(twice.contributor, twice.leaver, only_here="Apart.")
    with pytest.raises(Conflict):
        actions.withdraw(twice.contributor, twice.leaver)
    assert state(twice.other) == "active" and not vault.leaving()


def test_a_dump_does_not_say_that_they_were_one(twice: Any, carried: Any) -> None:
    """No value stands in rows of both participations that does not stand in rows of somebody else's, too. (The chain tells the order in time: `leaving.md`.)"""
    actions.withdraw(twice.contributor, twice.leaver)
    carried.work()
    actions.withdraw(twice.contributor, twice.stayer)  # two others who left, and who are not one
    actions.withdraw(twice.second_hand, twice.beside)
    carried.work()
    assert not shared_secrets(twice.leaver, twice.other, twice.stayer, twice.beside)
    removals = {one.participant_id: one for one in Removal.objects.all()}
    assert len({len(one.sealed) for one in removals.values()}) == 1  # as long for who was in one dataset as for who was in two
    # With the vault's key, and only with it, the site's certificate opens.
    sealed = removals[twice.leaver.pk].sealed
    assert vault.unshut(sealed, twice.leaver.pk)["datasets"] == [twice.second.slug]
    (Path(settings.MYELIN_KEYS) / "vault").unlink()
    with pytest.raises(Conflict, match="forgotten"):
        vault.unshut(sealed, twice.leaver.pk)


def test_what_is_left_is_the_closed_list(twice: Any, carried: Any) -> None:
    """Code, label, hashes: in the closed list alone; the identifier nowhere."""
    hashes = [file.sha256 for image in twice.leaver.visits.get().images.all() for file in image.files.all() if file.kind == "image"]
    right = twice.world.entitled(twice.dataset, twice.steward, recipient_key=str(pyrage.x25519.Identity.generate().to_public()))
    package = actions.build_package(right.user, right)
    carried.work()
    actions.start_download(right.user, Package.objects.get(pk=package.pk), (0, 1))
    actions.withdraw(twice.contributor, twice.leaver)
    carried.work()
    assert Run.objects.filter(state="done", kind="withdraw").count() == 2
    traces = remains.search([twice.leaver.code, twice.leaver.label, *hashes])
    assert {trace.kind for trace in traces} >= {"release tombstone", "audit line", "notice", "certificate", "withdrawal list"}
    assert [trace for trace in traces if not trace.kind] == []
    assert remains.search([WHO, WHO.lower()]) == [] == remains.in_vault_files([WHO, WHO.lower()])
    # The search finds what is there: the twin of the lines above.
    assert any(not trace.kind for trace in remains.search([twice.stayer.label]))
    (held,) = queries.who_has(twice.leaver)  # the notice knows what the package's list no longer says
    assert hashes[0] in {file["sha256"] for file in held.files}
    person = Participant.objects.get(pk=twice.leaver.pk)
    assert (person.sex, person.birth_year_band, person.visits.count()) == ("", "", 0)


def test_the_closed_list_names_what_there_is() -> None:
    assert {table for table, _ in remains.CLOSED} <= remains.tables()
