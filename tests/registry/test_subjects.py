"""People by code and label only, visits without dates, and a vault that can forget."""

from __future__ import annotations

import json
import random
import sqlite3
import uuid
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from registry import keyfiles
from registry.accounts import keys
from registry.rules import Conflict, Invalid
from registry.runs import ticking
from registry.subjects import actions, queries, vault
from registry.subjects.models import Participant, SourceIdentifier, Visit

pytestmark = pytest.mark.django_db(databases="__all__")
MRN = "  4711-Kryptonim  "


@pytest.fixture
def place(world: Any) -> tuple[Any, Any]:
    site = world.site("aarhus")
    return world.dataset(site), site


def test_equal_identifiers_make_one_person_however_they_are_written(place: Any) -> None:
    dataset, site = place
    one = actions.register(dataset, site, MRN, issuer="Hosp", sex="F", birth_year_band="1980-1984")
    assert one.code == keys.code_key(dataset).code("aarhus", "HOSP", "4711-kryptonim")
    assert queries.match(dataset, one.code) == one
    with pytest.raises(Conflict) as refused:
        actions.register(dataset, site, "4711-KRYPTONIM", issuer="hosp")
    assert refused.value.code == "already_registered"
    assert actions.register(dataset, site, "4711-Kryptonim", issuer="another issuer") != one


def test_a_refused_registration_leaves_nothing_in_the_vault(place: Any, home: Path) -> None:
    dataset, site = place
    actions.register(dataset, site, MRN)
    with pytest.raises(Conflict):
        actions.register(dataset, site, MRN)
    assert SourceIdentifier.objects.count() == 1
    assert len(list((home / "keys" / "participants").iterdir())) == 1


@pytest.mark.parametrize(
    "fields", [{"patient_id": ""}, {"patient_id": "anonymous"}, {"patient_id": "x" * 201}, {"sex": "female"}, {"birth_year_band": "1983-1987"}]
)
def test_what_names_nobody_or_says_too_much_is_invalid(place: Any, fields: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        actions.register(*place, **{"patient_id": MRN, **fields})
    assert actions.register(*place, patient_id=MRN, sex="F", birth_year_band="1980-1984").sex == "F"


def test_labels_say_nothing_and_are_unlike_codes(place: Any) -> None:
    people = [actions.register(*place, patient_id=f"MRN-88{n}17") for n in range(20)]
    assert len({one.label for one in people}) == 20
    assert all(len(one.label) == 8 and one.label not in one.code and set(one.label) <= set(actions.ALPHABET) for one in people)
    assert len({one.key for one in people}) == 20


def test_the_database_itself_allows_one_code_and_one_label_per_dataset(place: Any, world: Any) -> None:
    dataset, site = place
    one = actions.register(dataset, site, MRN)
    for clash in ({"code": one.code, "label": "other"}, {"code": "a" * 26, "label": one.label}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Participant.objects.create(dataset=dataset, site=site, **clash)
    Participant.objects.create(dataset=world.dataset(site), site=site, code=one.code, label=one.label)


# --- visits --------------------------------------------------------------------------------------------------------------------------------------


def test_visits_keep_days_and_codes_and_forget_dates(place: Any) -> None:
    one = actions.register(*place, patient_id=MRN)
    first = date(2019, 3, 14)
    assert actions.add_visit(one, "m12", first).day == 0
    assert actions.add_visit(one, "m24", first + timedelta(days=365)).day == 365
    assert actions.add_visit(one, "m00", first - timedelta(days=366)).day == -366
    found = queries.visit_on(one, keys.code_key(one.dataset).day_code(one.code, first + timedelta(days=365)))
    assert found is not None and found.label == "m24"
    stored = str(list(Visit.objects.values()))
    assert all(word not in stored for word in ("2019-03-14", "20190314", "2019, 3, 14"))


def test_days_are_found_up_to_a_hundred_years_away_and_not_further(place: Any) -> None:
    one = actions.register(*place, patient_id=MRN)
    first = date(1999, 12, 31)
    actions.add_visit(one, "a", first)
    for days in random.Random(7).sample(range(-36_000, 36_000), 3):
        assert actions.add_visit(one, f"d{days % 100_000}", first + timedelta(days=days)).day == days
    with pytest.raises(Invalid) as refused:
        actions.add_visit(one, "far", date(2109, 1, 1))
    assert refused.value.code == "visit_too_far"


def test_a_visit_has_a_label_and_a_day_of_its_own(place: Any) -> None:
    one, other = (actions.register(*place, patient_id=f"{MRN}{n}") for n in (1, 2))
    actions.add_visit(one, "m00", date(2020, 2, 29))
    for label, day in (("m00", date(2020, 3, 1)), ("m01", date(2020, 2, 29))):
        with pytest.raises(Conflict):
            actions.add_visit(one, label, day)
    actions.add_visit(other, "m00", date(2020, 2, 29))
    for label in ("", "m-00", "M00", "m" * 33, "visit one"):
        with pytest.raises(Invalid):
            actions.add_visit(one, label, date(2021, 1, 5))


# --- the vault -----------------------------------------------------------------------------------------------------------------------------------


def test_the_vault_knows_who_it_is_and_nothing_else_does(place: Any) -> None:
    one = actions.register(*place, patient_id=MRN, issuer="Hosp")
    assert one.link is not None
    assert vault.unseal(one.link) == ("aarhus", "Hosp", MRN)
    row = SourceIdentifier.objects.get()
    # Four digits stand in a random UUID now and then; the word does not.
    assert b"Kryptonim" not in bytes(row.sealed) and "kryptonim" not in row.person
    assert "kryptonim" not in str(list(Participant.objects.values())).lower()


def test_who_has_left_is_forgotten_and_who_takes_part_is_not(place: Any) -> None:
    one, other = (actions.register(*place, patient_id=f"{MRN}{n}") for n in (1, 2))
    with pytest.raises(Conflict):
        actions.forget(one)
    link = one.link
    assert link is not None and other.link is not None
    assert actions.mark_withdrawn(one) and not actions.mark_withdrawn(one)
    assert actions.forget(one) and not actions.forget(one)
    assert not vault.key_file(link).exists()
    with pytest.raises(Conflict):
        vault.unseal(link)
    assert vault.unseal(other.link)[2] == f"{MRN}2"


def test_a_row_that_comes_back_from_a_backup_opens_nothing_without_its_key(place: Any) -> None:
    one = actions.register(*place, patient_id=MRN)
    assert one.link is not None
    backup = SourceIdentifier.objects.get()
    actions.mark_withdrawn(one)
    actions.forget(one)
    backup.save(force_insert=True)
    keyfiles.make(vault.key_file(one.link))  # even a new key in its place
    with pytest.raises(Conflict):
        vault.unseal(one.link)


def test_sealed_bytes_moved_to_another_person_open_nothing(place: Any) -> None:
    one, other = (actions.register(*place, patient_id=f"{MRN}{n}") for n in (1, 2))
    assert one.link is not None and other.link is not None
    SourceIdentifier.objects.filter(link=other.link).update(sealed=SourceIdentifier.objects.get(link=one.link).sealed)
    with pytest.raises(Conflict):
        vault.unseal(other.link)
    assert vault.unseal(one.link)[2] == f"{MRN}1"


def test_forgetting_leaves_no_trace_in_the_vault_s_files(place: Any, committed: None) -> None:
    one = actions.register(*place, patient_id=MRN)
    sealed, person = (bytes(SourceIdentifier.objects.get().sealed), SourceIdentifier.objects.get().person)
    actions.mark_withdrawn(one)
    actions.forget(one)
    connection = connections["vault"]
    if connection.vendor != "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'subjects_sourceidentifier'")
            assert SourceIdentifier.objects.count() == 0
        return
    path = Path(str(connection.settings_dict["NAME"]))
    held = b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert sealed not in held and sealed[12:40] not in held and person.encode() not in held


def test_the_tick_finishes_what_was_left_half_done(place: Any, settings: Any) -> None:
    one, _ = actions.register(*place, patient_id=MRN), actions.register(*place, patient_id="somebody who stays")
    assert one.link is not None
    actions.mark_withdrawn(one)
    lost = uuid.uuid4()
    vault.seal(lost, "aarhus", "", "somebody whose registration was rolled back")
    assert actions.finish_forgetting() == {"forgotten": 1, "orphans": 0, "unsealed": 0}
    SourceIdentifier.objects.filter(link=lost).update(created_at="2020-05-05T00:00:00Z")
    assert actions.finish_forgetting() == {"forgotten": 0, "orphans": 1, "unsealed": 0}
    assert not vault.key_file(lost).exists() and not vault.key_file(one.link).exists()


def test_a_half_that_the_vault_lost_is_counted_and_put_back_by_registering_again(place: Any) -> None:
    one = actions.register(*place, patient_id=MRN)
    assert one.link is not None and vault.whole(one.link)
    for lose in (lambda: SourceIdentifier.objects.filter(link=one.link).delete(), lambda: vault.key_file(one.link).unlink()):
        lose()
        assert not vault.whole(one.link) and actions.finish_forgetting() == {"forgotten": 0, "orphans": 0, "unsealed": 1}
        with pytest.raises(Conflict):
            actions.register(*place, patient_id=MRN)
        assert vault.unseal(one.link)[2] == MRN and actions.finish_forgetting()["unsealed"] == 0
    actions.mark_withdrawn(one)
    SourceIdentifier.objects.filter(link=one.link).delete()
    with pytest.raises(Conflict):
        actions.register(*place, patient_id=MRN)
    assert not vault.whole(one.link)


def test_reconcile_finishes_both_halves(place: Any, capsys: Any) -> None:
    actions.register(*place, patient_id=MRN)
    lost = uuid.uuid4()
    vault.seal(lost, "aarhus", "", "somebody whose registration was rolled back")
    SourceIdentifier.objects.filter(link=lost).update(created_at="2020-05-05T00:00:00Z")
    call_command("reconcile")
    assert json.loads(capsys.readouterr().out)["vault"] == {"forgotten": 0, "orphans": 1, "unsealed": 0}


def seen(many: int, place: Any) -> list[actions.Sealed]:
    """That many people in the vault, for years."""
    sealed = actions.seal_all(*place, [{"patient_id": f"MRN-{n:05d}"} for n in range(many)])
    SourceIdentifier.objects.update(created_at="2020-05-05T00:00:00Z")
    return sealed


@pytest.mark.parametrize(("many", "known", "erases"), [(1, 0, False), (2, 1, True), (5, 3, False), (5, 4, True), (40, 37, False), (40, 38, True)])
def test_a_registry_that_is_not_the_vault_s_erases_nobody(place: Any, many: int, known: int, erases: bool) -> None:
    sealed = seen(many, place)
    for one in sealed[:known]:
        actions.enter(one)
    if erases:
        assert actions.finish_forgetting()["orphans"] == many - known
    else:
        with pytest.raises(Conflict) as refused:
            actions.finish_forgetting()
        assert refused.value.code == "vault_strange" and refused.value.advice
    left = known if erases else many
    assert SourceIdentifier.objects.count() == left == len([one for one in sealed if vault.key_file(one.link).exists()])


def test_an_empty_database_empties_no_vault_unless_told_so(place: Any, capsys: Any) -> None:
    """Nobody is erased a few at a time either, while the rows grow old one after the other; who left is forgotten all the same."""
    gone, sealed = actions.register(*place, patient_id=MRN), seen(4, place)
    actions.mark_withdrawn(gone)
    SourceIdentifier.objects.exclude(link=sealed[0].link).update(created_at=timezone.now())
    with pytest.raises(CommandError, match="vault_strange"):
        call_command("reconcile")
    assert SourceIdentifier.objects.count() == 4 and not vault.key_file(gone.link).exists()
    assert "vault_strange" in ticking.tick("one", force=True)["vault"]["error"]
    SourceIdentifier.objects.update(created_at="2020-05-05T00:00:00Z")
    call_command("reconcile", "--erase-orphans")
    assert json.loads(capsys.readouterr().out)["vault"]["orphans"] == 4
    assert not SourceIdentifier.objects.exists() and not [one for one in sealed if vault.key_file(one.link).exists()]


def test_one_person_in_two_datasets_has_two_codes_and_only_the_vault_knows(place: Any, world: Any) -> None:
    dataset, site = place
    here, there = actions.register(dataset, site, MRN), actions.register(world.dataset(site), site, MRN)
    stranger = actions.register(dataset, site, "MRN-99-17")
    assert here.code != there.code
    assert queries.same_person(here) == [there]
    assert queries.same_person(stranger) == []


def test_key_files_are_for_their_owner_alone(place: Any, home: Path) -> None:
    one = actions.register(*place, patient_id=MRN)
    for path in (home / "keys").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path.name
    assert one.link is not None
    vault.key_file(one.link).chmod(0o644)
    with pytest.raises(Conflict):
        vault.unseal(one.link)
