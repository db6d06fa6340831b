"""The dictionary decides what a clinical value may be: at the act, at the database's door, and in the table that goes out."""

from __future__ import annotations

import json
from datetime import date
from importlib import import_module
from typing import Any

import pytest
from django.db import connection

from registry.audit.models import Line
from registry.clinical import actions, derived, dictionary, queries
from registry.clinical.models import ClinicalRecord
from registry.rules import Denied, Invalid

SYSTEMS = dict.fromkeys(derived.SYSTEMS, 0)


@pytest.mark.parametrize("total", [0, 1, 1.5, 6.5, 10])
def test_a_total_on_the_scale_stands(total: float) -> None:
    assert dictionary.faults("edss", {"edss_total": total}) == []


@pytest.mark.parametrize("total", [0.5, -1, 10.5, 2.25, "3", None, True, float("nan"), float("inf"), 10**400, [], {}, "unknown"])
def test_a_total_off_the_scale_does_not(total: Any) -> None:
    found = dictionary.faults("edss", {"edss_total": total})
    assert [fault.field for fault in found] == ["values.edss_total"]
    assert str(total) not in found[0].reason or total in (None, True, 0.5)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"edss_total": 2, "edss_visual": 7}, "edss_visual"),
        ({"edss_total": 2, "edss_visual": 1.5}, "edss_visual"),
        ({"edss_total": 2, "edss_visual": "unknown"}, None),
        ({"edss_total": 2, "edss_visual": "not_done"}, None),
        ({"edss_total": 2, "edss_visual": "blind"}, "edss_visual"),
        ({"edss_total": 2, "edss_relapse_30d": "perhaps"}, "edss_relapse_30d"),
        ({"edss_total": 2, "edss_relapse_30d": "no"}, None),
    ],
)
def test_fields(values: dict[str, Any], field: str | None) -> None:
    assert [fault.field for fault in dictionary.faults("edss", values)] == ([f"values.{field}"] if field else [])


def test_unknown_fields_and_instruments_are_refused_without_naming_them() -> None:
    (fault,) = dictionary.faults("edss", {"edss_total": 2, "patient_name": "Doe"})
    assert "Doe" not in fault.reason and "patient" not in fault.reason
    assert dictionary.faults("pet", {})[0].field == "instrument"
    assert dictionary.faults("edss", [1])[0].field == "values"


def test_treatment_codes_and_days() -> None:
    good = {"substance": "fingolimod", "atc": "L04AE01", "atc_year": 2024, "start_day": -20, "stop_day": 40, "stop_reason": "efficacy"}
    assert dictionary.faults("treatment", good) == []
    assert dictionary.faults("treatment", {**good, "stop_day": -21})[0].field == "values.stop_day"
    for wrong in ("l04ae01", "L04AE1", "L04AE01\n", "2021-03-04"):
        assert dictionary.faults("treatment", {**good, "atc": wrong})[0].field == "values.atc"


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("treatment", {"substance": "fingolimod", "atc": "L04AE01"}, "atc_year"),
        ("treatment", {"substance": "fingolimod", "atc": "unknown"}, None),
        ("treatment", {"substance": "other", "start_day": 0, "stop_day": -100, "start_precision": "year"}, None),  # 2019, and March 2019
        ("treatment", {"substance": "other", "start_day": 0, "stop_day": -100, "start_precision": "month"}, "stop_day"),
        ("history", {"onset_day": 0, "diagnosis_day": -1}, "diagnosis_day"),
        ("history", {"onset_day": 0, "diagnosis_day": -30, "onset_precision": "month", "diagnosis_precision": "month"}, None),
        ("history", {"onset_day": 0, "progression_day": -400}, "progression_day"),
        ("mri", {"region": "brain", "cvs_count": 3, "cvs_assessed": 2}, "cvs_count"),
        ("mri", {"region": "brain", "cvs_count": 2, "cvs_assessed": 2}, None),
        ("demographics", {"age_months": 215, "age_years": 17}, None),
        ("demographics", {"age_months": 215, "age_years": 18}, "age_months"),
    ],
)
def test_values_that_do_not_go_together(name: str, values: dict[str, Any], field: str | None) -> None:
    assert [fault.field for fault in dictionary.faults(name, values)] == ([f"values.{field}"] if field else [])


@pytest.mark.parametrize(
    ("grades", "step"),
    [
        ([0] * 7, 0.0), ([1] + [0] * 6, 1.0), ([1, 1] + [0] * 5, 1.5), ([2] + [1] * 6, 2.0), ([2, 2] + [1] * 5, 2.5), ([3] + [1] * 6, 3.0),
        ([2] * 3 + [0] * 4, 3.0), ([2] * 4 + [0] * 3, 3.0), ([3, 2] + [0] * 5, 3.5), ([3, 2, 2] + [0] * 4, 3.5), ([3, 3] + [1] * 5, 3.5),
        ([2] * 5 + [0] * 2, 3.5), ([2] * 6 + [0], 4.0), ([4] + [0] * 6, 4.0), ([3, 3, 2] + [0] * 4, 4.0), ([3, 3, 3] + [0] * 4, 4.0),
        ([3, 2, 2, 2] + [0] * 3, 4.0),
    ],
)  # fmt: skip
def test_the_step_that_systems_imply(grades: list[int], step: float) -> None:
    assert derived.functional_step(grades) == step


def test_the_mismatch_is_computed_and_never_typed() -> None:
    assert derived.of_record("edss", {**SYSTEMS, "edss_total": 0}) == {"edss_fs_step": 0.0, "edss_fs_mismatch": 0}
    assert derived.of_record("edss", {**SYSTEMS, "edss_pyramidal": 3, "edss_total": 1})["edss_fs_mismatch"] == 1
    assert derived.of_record("edss", {**SYSTEMS, "edss_pyramidal": 3, "edss_total": 6})["edss_fs_mismatch"] == 0  # above 4 walking decides
    assert derived.of_record("edss", {**SYSTEMS, "edss_visual": 6, "edss_total": 4})["edss_fs_step"] == 4.0  # visual 6 counts as 4
    assert derived.of_record("edss", {"edss_total": 3}) == {} and derived.of_record("edss", {**SYSTEMS, "edss_visual": "unknown", "edss_total": 3}) == {}
    assert dictionary.faults("edss", {"edss_total": 3, "edss_fs_mismatch": 0})


def test_every_column_that_goes_out_is_explained() -> None:
    for name in dictionary.names():
        explained = dictionary.sidecar(name, most=2)
        for number in (1, 2):
            assert set(dictionary.row(name, {}, number)) <= set(explained)
        assert all(column["Description"] for column in explained.values())
        assert all(field["privacy"] in ("none", "quasi", "sensitive") for field in dictionary.instrument(name)["fields"].values())


def test_every_field_says_all_that_it_must() -> None:
    words = dictionary.load()
    for name in dictionary.names():
        spec = dictionary.instrument(name)
        assert spec["title"] and spec["description"] and set(spec["rules"]) <= set(dictionary.RULES) and ("key" in spec) == spec["repeats"]
        assert set(spec.get("key", ())) <= set(spec["fields"])
        for key, field in spec["fields"].items():
            assert field["label"] and field["description"] and field["type"] in dictionary.CHECKS and field["privacy"] in words["privacy"], key
            # A code of a standard stands only where it was looked up in the list named beside it; none was, so none is guessed.
            assert not field["code"] or field["code_list"]
            assert not set(field.get("levels", {})) & set(words["missing"])
            assert not key.endswith("_date") and field["privacy"] not in ("direct", "free")
    assert all(field["version"] and field["description"] for field in words["derived"].values())
    assert not set(words["derived"]) & {key for name in dictionary.names() for key in dictionary.instrument(name)["fields"]}
    assert set(dictionary.RULES) <= set(dictionary.ADVICE)


def test_forms_come_from_the_dictionary() -> None:
    asked = {field["name"]: field for field in dictionary.form("treatment")}
    assert list(asked) == list(dictionary.instrument("treatment")["fields"])
    assert asked["substance"]["input"] == "select" and asked["substance"]["required"] and asked["substance"]["choices"][-1] == ["other", "another"]
    assert asked["dose"]["choices"] == [[code, words] for code, words in dictionary.load()["missing"].items()] and asked["dose"]["unit"] == "mg"
    assert asked["start_day"]["date"] == "start_date" and asked["atc"]["input"] == "text" and "date" not in asked["dose"]
    assert {field["name"]: field for field in dictionary.form("edss")}["edss_total"]["step"] == 0.5


def test_an_older_release_is_described_as_it_was() -> None:
    first = "myelin-clinical-1"
    assert set(dictionary.tables(first)) == {"edss", "course", "treatment", "relapse"} and dictionary.DERIVED in dictionary.tables()
    assert "disease_duration" in dictionary.sidecar("course", 1, first) and "disease_duration" not in dictionary.sidecar("course")
    with pytest.raises(KeyError):
        dictionary.load("myelin-clinical-0")


@pytest.mark.django_db(databases="__all__")
def test_what_course_kept_of_the_beginning_goes_to_history(house: Any) -> None:
    from django.apps import apps

    visit = house.visit(house.person())
    record = actions.record(house.contributor, [actions.Row(visit, "course", {"course": "RRMS"})])[0]
    table = ClinicalRecord._meta.db_table
    old = {"course": "RRMS", "criteria": "McDonald2017", "disease_duration": 400, "onset_age_band": "20-29"}
    with connection.cursor() as cursor:
        cursor.execute(f'UPDATE {table} SET "values" = %s WHERE instrument = %s', [json.dumps(old), "course"])
    import_module("registry.clinical.migrations.0003_history").to_history(apps, None)
    record.refresh_from_db()
    assert record.values == {"course": "RRMS"}
    told = {"criteria": "McDonald2017", "onset_age_band": "20-29", "onset_day": -400, "onset_precision": "year"}
    assert ClinicalRecord.objects.get(instrument="history").values == told


@pytest.mark.django_db(databases="__all__")
def test_all_or_none_and_again_changes_nothing(house: Any) -> None:
    visit = house.visit(house.person())
    rows = [actions.Row(visit, "edss", {"edss_total": 2}), actions.Row(visit, "edss", {"edss_total": 0.5})]
    with pytest.raises(Invalid) as refused:
        actions.record(house.contributor, rows)
    assert refused.value.errors == [{"field": "records.1.values.edss_total", "reason": "is never 0.5: the scale goes from 0 to 1.0"}]
    assert not ClinicalRecord.objects.exists()
    for _ in range(2):
        actions.record(house.contributor, rows[:1])
    assert ClinicalRecord.objects.count() == 1
    actions.record(house.contributor, [actions.Row(visit, "edss", {"edss_total": 3})])
    assert ClinicalRecord.objects.get().values == {"edss_total": 3}
    assert "3" not in str([line.detail for line in Line.objects.filter(act="clinical.record")]).replace(str(ClinicalRecord.objects.get().pk), "")


@pytest.mark.django_db(databases="__all__")
def test_one_edss_a_visit_but_many_relapses(house: Any) -> None:
    visit = house.visit(house.person())
    with pytest.raises(Invalid):
        actions.record(house.contributor, [actions.Row(visit, "edss", {"edss_total": 2}, 2)])
    actions.record(house.contributor, [actions.Row(visit, "relapse", {"onset_day": -n}, n) for n in (1, 2, 3)])
    assert ClinicalRecord.objects.count() == 3


@pytest.mark.django_db(databases="__all__")
def test_the_databases_door_asks_the_dictionary_too(house: Any) -> None:
    visit = house.visit(house.person())
    with pytest.raises(ValueError, match="edss_total"):
        ClinicalRecord.objects.create(visit=visit, instrument="edss", values={"edss_total": 99}, dictionary="x", recorded_by="x")
    kept = ClinicalRecord.objects.create(visit=visit, instrument="edss", values={"edss_total": 9}, dictionary="x", recorded_by="x")
    wrong, right = (ClinicalRecord(visit=visit, instrument="sdmt", values={"correct": n}, dictionary="x", recorded_by="x") for n in (400, 40))
    with pytest.raises(ValueError, match="correct"):
        ClinicalRecord.objects.bulk_create([wrong])
    assert ClinicalRecord.objects.bulk_create([right])
    kept.values = {"edss_total": 99}
    with pytest.raises(ValueError, match="edss_total"):
        ClinicalRecord.objects.bulk_update([kept], ["values"])
    with pytest.raises(ValueError, match="one by one"):
        ClinicalRecord.objects.update(values={})
    assert ClinicalRecord.objects.update(recorded_by="y") == 2


@pytest.mark.django_db(databases="__all__")
def test_who_writes_and_who_reads(house: Any) -> None:
    person = house.person()
    visit = house.visit(person)
    row = [actions.Row(visit, "edss", {"edss_total": 2})]
    for who in (house.steward, house.world.user()):
        with pytest.raises(Denied):
            actions.record(who, row)
    actions.record(house.contributor, row)
    assert [queries.records(who).count() for who in (house.contributor, house.steward, house.world.user(), None)] == [1, 1, 0, 0]
    right = house.world.entitled(house.dataset, house.steward)
    assert queries.records(right.user).count() == 1


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize(
    ("text", "day", "precision"), [("2021-02-22", -10, "day"), ("2021-03-04", 0, "day"), ("2021-02", -17, "month"), ("2019", -611, "year")]
)
def test_a_date_becomes_days_from_the_visits_day_zero_with_its_precision(house: Any, text: str, day: int, precision: str) -> None:
    person = house.person()
    house.visit(person, day=date(2021, 3, 4))
    later = house.visit(person, "m12", date(2022, 3, 4))
    (kept,) = actions.record(house.contributor, [actions.Row(later, "relapse", {"onset_date": text})])
    assert kept.values == {"onset_day": day, "onset_precision": precision}


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("text", ["2021-13", "yesterday", "04.03.2021", 2019, "2021-02-30"])
def test_what_is_no_date_is_refused_without_being_repeated(house: Any, text: Any) -> None:
    visit = house.visit(house.person())
    with pytest.raises(Invalid) as error:
        actions.record(house.contributor, [actions.Row(visit, "relapse", {"onset_date": text})])
    assert str(text) not in str(error.value) and error.value.errors[0]["field"] == "records.0.values.onset_date"


@pytest.mark.django_db(databases="__all__")
@pytest.mark.parametrize("beside", [{"onset_day": -3}, {"onset_precision": "year"}, {"onset_day": -10, "onset_precision": "day"}])
def test_a_date_beside_the_day_that_it_would_replace_is_refused(house: Any, beside: dict[str, Any]) -> None:
    visit = house.visit(house.person(), day=date(2021, 3, 4))
    with pytest.raises(Invalid) as error:
        actions.record(house.contributor, [actions.Row(visit, "relapse", {"onset_date": "2021-02-22", **beside})])
    assert {row["field"] for row in error.value.errors} == {f"records.0.values.{name}" for name in beside} and not queries.records(house.contributor).exists()
    both = {"onset_day": -10, "onset_precision": "day"}
    assert [one.values for one in actions.record(house.contributor, [actions.Row(visit, "relapse", both)])] == [both]
