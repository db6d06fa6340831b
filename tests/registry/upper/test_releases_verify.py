"""Whether a release is still what it was: rebuilt from the store, what has left told apart from what is damaged."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.clinical import actions as clinical
from registry.imaging import store
from registry.releases import actions, freezing, verifying
from registry.releases.models import Release, ReleaseFile
from registry.rules import Conflict

pytestmark = pytest.mark.django_db(databases="__all__")


def two_people(house: Any) -> tuple[Any, Any, Release]:
    first, second = house.person(), house.person()
    for person in (first, second):
        house.image(person, seed="the same bytes")
        clinical.record(house.contributor, [clinical.Row(person.visits.get(), "edss", {"edss_total": 3.0})])
    return first, second, house.release()


def test_a_release_is_what_it_was_also_after_later_ones(house: Any) -> None:
    person, _, release = two_people(house)
    clinical.record(house.contributor, [clinical.Row(person.visits.get(), "edss", {"edss_total": 4.0})])
    house.release()
    told = verifying.verify(release)
    assert told["ok"] and not any(told[name] for name in ("tombstones", "remade", "missing", "changed")) and told["files"] == release.files.count()


@pytest.mark.parametrize("harm", ["missing", "changed"])
def test_damage_to_an_image_is_found_and_named(house: Any, harm: str) -> None:
    person, _, release = two_people(house)
    row = release.files.get(participant=person, path__endswith=".nii.gz")
    file = store.path(person, row.sha256)
    file.chmod(0o600)
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(b"x" * row.bytes)
    told = verifying.verify(release)
    assert not told["ok"] and told[harm] == [row.path]


def test_damage_to_facts_is_found_with_the_tables_made_from_them(house: Any) -> None:
    person, other, release = two_people(house)
    file = store.path(person, release.people.get(participant=person).facts_sha256)
    file.chmod(0o600)
    file.unlink()
    told = verifying.verify(release)
    assert not told["ok"] and "participants.tsv" in told["missing"]
    assert any(person.label in path for path in told["missing"]) and not any(other.label in path for path in told["missing"])


def test_a_changed_row_and_a_changed_account_are_found(house: Any) -> None:
    *_, release = two_people(house)
    ReleaseFile.objects.filter(release=release, path="README").update(bytes=1)
    assert not verifying.verify(release)["list"]
    release.account["left_out"] = {}
    release.account["more"] = 1
    told = verifying.verify(release)
    assert not told["account"] and not told["ok"]


def test_what_is_asked_of_the_database_does_not_grow_with_the_people(house: Any) -> None:
    asked = []
    for more in (1, 4):
        for _ in range(more):
            house.image(house.person())
        with CaptureQueriesContext(connection) as seen:
            freezing.plan(Release(dataset=house.dataset, number=1, created_by="test"), lambda: None)
        asked.append(len(seen))
    assert asked[0] == asked[1] < 20


def test_who_left_is_a_tombstone_and_whoever_has_the_same_bytes_still_verifies(house: Any, carried: Any) -> None:
    first, second, release = two_people(house)
    actions.withdraw(house.steward, first)
    carried.work()
    release.refresh_from_db()
    told = verifying.verify(release)
    gone = set(release.files.filter(tombstone=True).values_list("path", flat=True))
    assert told["ok"] and told["tombstones"] == len(gone) and all(first.label in path for path in gone)
    assert "participants.tsv" in told["remade"] and not any(second.label in path for path in told["remade"])
    out = StringIO()
    call_command("release_verify", house.dataset.slug, release.version, stdout=out)
    assert f" {len(gone)} tombstones, " in out.getvalue() and "remade\tparticipants.tsv" in out.getvalue()
    Release.objects.filter(pk=release.pk).update(manifest={**release.manifest, "name": "another"})
    assert "README" in verifying.verify(Release.objects.get(pk=release.pk))["changed"], "what tells of nobody is the same after a departure"
    Release.objects.filter(pk=release.pk).update(manifest=release.manifest)
    ReleaseFile.objects.filter(release=release, participant=first).update(tombstone=False)
    assert set(verifying.verify(release)["missing"]) >= {path for path in gone if path.endswith(".nii.gz")}
    with pytest.raises(CommandError):
        call_command("release_verify", house.dataset.slug, release.version, stdout=out)
    with pytest.raises(CommandError):
        call_command("release_verify", house.dataset.slug, "9.9.9", stdout=out)


def test_what_takes_too_long_is_not_hashed_while_somebody_waits(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, release = two_people(house)
    assert actions.verify(house.steward, release)["ok"]
    size = sum(release.files.exclude(image_id=None).values_list("bytes", flat=True))
    monkeypatch.setattr(actions, "VERIFIED_AT_ONCE", size - 1)
    with pytest.raises(Conflict, match="release_too_large"):
        actions.verify(house.steward, release)
    assert actions.verify("system:test", release)["ok"]
    monkeypatch.setattr(actions, "VERIFIED_AT_ONCE", size)
    assert actions.verify(house.steward, release)["ok"]
