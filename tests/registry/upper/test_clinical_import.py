"""A site's table comes in whole or not at all, every fault is named by row and column, and the same table again changes nothing."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from registry.accounts import keys
from registry.audit.models import Head, Line
from registry.clinical import actions as clinical
from registry.clinical import privacy
from registry.clinical.models import ClinicalRecord, Mapping
from registry.intake import importing
from registry.releases import exporting
from registry.rules import Denied, Invalid, Refusal
from registry.subjects import actions as subjects
from registry.subjects import vault
from registry.subjects.models import Participant, SourceIdentifier, Visit
from tests.registry.upper import clinical_tables as tables

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def msbase(house: Any) -> Mapping:
    return clinical.save_mapping(house.contributor, house.dataset, house.site, "msbase", tables.MSBASE)


def everything() -> str:
    """All that an import could have changed."""
    people = list(Participant.objects.order_by("pk").values("pk", "code", "label", "sex", "birth_year_band", "epoch"))
    visits = list(Visit.objects.order_by("pk").values("pk", "label", "day", "day_code"))
    records = list(ClinicalRecord.objects.order_by("pk").values("pk", "instrument", "number", "values", "recorded_at"))
    return json.dumps([people, visits, records, SourceIdentifier.objects.count()], default=str)


def test_every_planted_fault_is_named_and_nothing_is_written_until_all_are_mended(house: Any, msbase: Mapping, home: Path) -> None:
    rows = tables.msbase(120)
    spoiled, planted = tables.spoil(rows, len(tables.FAULTS))
    before = everything()
    report = importing.try_table(house.contributor, msbase, tables.text(spoiled))
    assert [(one.row, one.column, one.rule) for one in report.faults] == sorted(planted)
    assert all(one.advice and one.reason for one in report.faults) and report.faulty == len(planted)
    cells = {cell for column, cell, _ in tables.FAULTS if len(cell) > 3}
    assert not [cell for cell in cells if cell in json.dumps(report.told()["faults"])]
    with pytest.raises(Invalid) as refused:
        importing.take_table(house.contributor, msbase, tables.text(spoiled))
    assert refused.value.code == "table_faulty" and len(refused.value.errors) == len(planted)
    assert everything() == before and not list((home / "keys" / "participants").glob("?" * 32))

    tried = importing.try_table(house.contributor, msbase, tables.text(rows))
    assert everything() == before and tried.faulty == 0 and not tried.applied
    taken = importing.take_table(house.contributor, msbase, tables.text(rows))
    assert taken.applied and taken.counts == tried.counts and taken.counts["participants"] == {"new": 30, "changed": 0, "same": 0}
    assert Visit.objects.count() == taken.counts["visits"]["new"] == 120 and ClinicalRecord.objects.count() == taken.counts["records"]["new"]
    assert all(vault.whole(one.link) for one in Participant.objects.all() if one.link)
    after = everything()
    again = importing.take_table(house.contributor, msbase, tables.text(rows))
    assert {name: (count["new"], count["changed"]) for name, count in again.counts.items()} == dict.fromkeys(("participants", "visits", "records"), (0, 0))
    assert everything() == after


def take(house: Any, spec: dict[str, Any], table: str, who: Any = None) -> importing.Report:
    saved = clinical.save_mapping(house.contributor, house.dataset, house.site, "one", spec)
    return importing.take_table(who or house.contributor, saved, table)


def faults(house: Any, spec: dict[str, Any], table: str) -> list[tuple[int, str, str]]:
    saved = clinical.save_mapping(house.contributor, house.dataset, house.site, "one", spec)
    return [(one.row, one.column, one.rule) for one in importing.try_table(house.contributor, saved, table).faults]


REDCAP: dict[str, Any] = {
    "format": "redcap",
    "participant": {"column": "record_id", "register": True, "sex": {"column": "sex", "codes": {"0": "M", "1": "F"}}},
    "visit": {"date": "visit_date", "label": {"column": "redcap_event_name", "codes": {"baseline_arm_1": "m00", "month_12_arm_1": "m12"}}, "add": True},
    "records": [
        {"instrument": "edss", "fields": {"edss_total": "edss"}},
        {
            "instrument": "treatment",
            "form": "drugs",
            "fields": {"substance": {"column": "drug", "codes": {"4": "natalizumab", "7": "ocrelizumab"}}, "start_date": "drug_start"},
        },
    ],
}
EXPORT = """record_id,redcap_event_name,redcap_repeat_instrument,redcap_repeat_instance,sex,visit_date,edss,drug,drug_start,visit_complete,drugs_complete
R-201,baseline_arm_1,,,1,2019-05-02,2.0,,,2,
R-201,baseline_arm_1,drugs,1,,,,4,2017,,2
R-201,baseline_arm_1,drugs,2,,,,7,2019-04,,2
R-201,month_12_arm_1,,,,2020-05-01,2.5,,,2,
R-202,baseline_arm_1,,,0,2018-01-30,0,,,2,
"""


def test_a_redcap_export_with_events_and_repeating_instruments(house: Any) -> None:
    assert take(house, REDCAP, EXPORT).counts["records"] == {"new": 5, "changed": 0, "same": 0}
    assert sorted(Visit.objects.values_list("label", "day")) == [("m00", 0), ("m00", 0), ("m12", 365)]
    drugs = list(ClinicalRecord.objects.filter(instrument="treatment").order_by("number").values_list("values", flat=True))
    assert [(one["substance"], one["start_precision"]) for one in drugs] == [("natalizumab", "year"), ("ocrelizumab", "month")]
    assert drugs[1]["start_day"] == -17
    assert take(house, REDCAP, EXPORT).counts["records"] == {"new": 0, "changed": 0, "same": 5}
    grown = EXPORT + "R-202,baseline_arm_1,drugs,1,,,,7,2018-02-01,,2\n"
    assert take(house, REDCAP, grown).counts["records"] == {"new": 1, "changed": 0, "same": 5}
    assert take(house, REDCAP, grown.replace(",2.5,", ",3.0,")).counts["records"] == {"new": 0, "changed": 1, "same": 5}
    wrong = EXPORT.replace("drugs,2,,,,7", "drugs,0,,,,7").replace("month_12_arm_1", "month_24_arm_1")
    assert faults(house, REDCAP, wrong) == [(4, "redcap_repeat_instance", "repeat_number"), (5, "redcap_event_name", "visit_label")]


SIMPLE: dict[str, Any] = {
    "participant": {"column": "code", "register": True, "sex": "sex"},
    "visit": {"label": "visit", "date": "day", "add": True},
    "records": [{"instrument": "edss", "fields": {"edss_total": "edss"}}],
}


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        ("PatientName", "identifier_column"), ("Geburtsdatum", "identifier_column"), ("date_of_birth", "identifier_column"), ("e-mail", "identifier_column"),
        ("hospital number", "identifier_column"), ("remarks", "free_text_column"), ("drug_name", "column_unread"), ("birth_year", "column_unread"),
    ],
)  # fmt: skip
def test_columns_that_name_people_are_refused_even_where_they_are_ignored(house: Any, column: str, rule: str) -> None:
    table = f"code,sex,visit,day,edss,{column}\nA-10,F,m00,2020-01-02,2,x\n"
    ignoring = {**SIMPLE, "ignore": [column]}
    assert faults(house, SIMPLE, table) == [(1, column, rule)]
    assert faults(house, ignoring, table) == ([] if rule == "column_unread" else [(1, column, rule)])
    if rule == "column_unread":
        assert faults(house, {**ignoring, "identifiers": [column]}, table) == [(1, column, "identifier_column")]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (["A-10,F,m00,2020-01-02,2", "A-10,M,m12,2021-01-02,2"], [(3, "sex", "contradicts")]),
        (["A-10,F,m00,2020-01-02,2", "A-10,F,m00,2020-01-02,3"], [(3, "code", "row_twice")]),
        (["A-10,F,m00,2020-01-02,2", "a-10 ,F,m00,2020-01-02,2"], []),
        (["A-10,F,m00,2020-01-02,2", "A-10,F,m12,2020-01-02,3"], [(3, "visit", "visit_contradicts")]),
        (["A-10,F,m00,2020-01-02,2", "A-10,F,m00,2021-01-02,3"], [(3, "day", "visit_contradicts")]),
        (["A-10,F,m00,2020-01-02,2", "A-10,F,m12,,3"], [(3, "visit", "unknown_visit")]),
        (["A-10,F,Month 1,2020-01-02,2"], [(2, "visit", "visit_label")]),
        (["0123,F,p0123m00,2020-01-02,2"], [(2, "visit", "identifier_label")]),
        (["A-10,F,a10m00,2020-01-02,2", "A-11,F,m00,2020-01-02,2"], [(2, "visit", "identifier_label")]),
        (["12,F,m12,2020-01-02,2"], [(2, "visit", "identifier_label")]),
        (["12,F,m12,2020-01-02,2", "13,F,m12,2020-01-02,2"], []),
        (["98765,F,m00,2020-01-02,2", "98765,F,m12,2021-01-02,3"], []),
        (["A-10,F,m00,2020-01-02"], [(2, "", "cells")]),
        (["A-10,F,m00,2020-01-02,x A-10"], [(2, "edss", "number")]),
        (["A-104711,F,m00,2020-01-02,x A-104711"], [(2, "edss", "identifier_value"), (2, "edss", "number")]),
        (['A-10,F,m00,2020-01-02,"2'], [(2, "", "quoting")]),
        ([], [(1, "", "empty")]),
    ],
)  # fmt: skip
def test_rows_that_contradict_each_other(house: Any, rows: list[str], expected: list[tuple[int, str, str]]) -> None:
    assert faults(house, SIMPLE, "\n".join(["code,sex,visit,day,edss", *rows])) == expected


def test_a_label_that_the_mapping_lists_is_no_person(house: Any) -> None:
    table = "code,sex,visit,day,edss\n12,F,m12,2020-01-02,2\n"
    listed = {**SIMPLE, "visit": {**SIMPLE["visit"], "label": {"column": "visit", "codes": {"m12": "m12"}}}}
    assert faults(house, SIMPLE, table) == [(2, "visit", "identifier_label")]
    assert take(house, listed, table).counts["visits"]["new"] == 1 and Visit.objects.get().label == "m12"


def test_who_is_there_already_is_met_and_never_overruled(house: Any, world: Any) -> None:
    known = house.person(patient_id="A-10")
    house.visit(known)  # 2021-03-04
    gone, elsewhere = house.person(patient_id="A-11"), world.site("odense")
    house.dataset.sites.add(elsewhere)
    world.participant(house.dataset, elsewhere, "A-12")
    Participant.objects.filter(pk=gone.pk).update(state="withdrawn")
    head = "code,sex,visit,day,edss\n"
    assert faults(house, SIMPLE, f"{head}A-11,F,m00,2021-03-04,2\n") == [(2, "code", "unknown_participant")]
    unregistering = clinical.save_mapping(house.contributor, house.dataset, house.site, "two", {**SIMPLE, "participant": {"column": "code", "sex": "sex"}})
    told = importing.try_table(house.contributor, unregistering, f"{head}A-11,F,m00,2021-03-04,2\nA-99,F,m00,2021-03-04,2\n")
    assert len({(one.rule, one.reason, one.advice) for one in told.faults}) == 1 and told.faulty == 2, "who left is told of as who never came"
    assert faults(house, SIMPLE, f"{head}A-12,F,m00,2021-03-04,2\n") == []  # another site's A-12 is another person
    assert faults(house, {**SIMPLE, "participant": {"column": "code", "sex": "sex"}}, f"{head}A-12,F,m00,2021-03-04,2\n") == [
        (2, "code", "unknown_participant")
    ]
    told = take(house, SIMPLE, f"{head}A-10,F,m12,2022-03-04,2\n").counts
    assert told["participants"] == {"new": 0, "changed": 1, "same": 0} and Visit.objects.get(participant=known, label="m12").day == 365
    known.refresh_from_db()
    assert known.sex == "F"
    assert faults(house, SIMPLE, f"{head}A-10,M,m12,2022-03-04,2\n") == [(2, "sex", "contradicts")]


def test_what_the_mapping_does_not_speak_of_stays(house: Any) -> None:
    head = "code,sex,visit,day,edss"
    take(house, SIMPLE, f"{head}\nA-10,F,m00,2020-01-02,2\n")
    only = {**SIMPLE, "records": [{"instrument": "edss", "fields": {"edss_visual": "fs"}}]}
    assert take(house, only, "code,sex,visit,day,fs\nA-10,F,m00,2020-01-02,1\n").counts["records"]["changed"] == 1
    assert ClinicalRecord.objects.get().values == {"edss_total": 2, "edss_visual": 1}
    both = {**SIMPLE, "records": [{"instrument": "edss", "fields": {"edss_total": "edss", "edss_visual": "fs"}}]}
    take(house, both, f"{head},fs\nA-10,F,m00,2020-01-02,3,\n")
    assert ClinicalRecord.objects.get().values == {"edss_total": 3}


def test_who_may(house: Any, world: Any, msbase: Mapping) -> None:
    other = world.site("odense")
    house.dataset.sites.add(other)
    table = tables.text(tables.msbase(4))
    for who in (house.steward, world.user(), world.contributor(house.dataset, other)):
        for act in (importing.try_table, importing.take_table):
            with pytest.raises(Denied):
                act(who, msbase, table)
        with pytest.raises(Denied):
            clinical.save_mapping(who, house.dataset, house.site, "msbase", tables.MSBASE)
    assert not Participant.objects.exists()
    assert importing.take_table(house.contributor, msbase, table).applied
    line = Line.objects.filter(act="clinical.import").get()
    assert set(line.detail) == {"records", "mapping"} and Line.objects.filter(act="table.import").count() == 1


def test_to_try_a_table_and_to_be_refused_leave_one_line_each(house: Any, msbase: Mapping) -> None:
    rows = tables.msbase(4)
    spoiled = tables.text([{**rows[0], "edss": "0.5"}, *rows[1:]])
    importing.try_table(house.contributor, msbase, tables.text(rows))
    importing.try_table(house.contributor, msbase, spoiled)
    with pytest.raises(Invalid):
        importing.take_table(house.contributor, msbase, spoiled)
    lines = list(Line.objects.filter(act="table.try").order_by("seq"))
    assert [line.detail for line in lines] == [{"site": "aarhus", "rows": 4, "faulty": faulty} for faulty in (0, 1, 1)]
    assert {(line.object, line.dataset) for line in lines} == {(f"mapping:{msbase.pk}", str(house.dataset.pk))}
    assert importing.take_table(house.contributor, msbase, tables.text(rows)).applied and Line.objects.filter(act="table.try").count() == 3
    head = Head.objects.get()
    Head.objects.update(mac="0" * 64)
    with pytest.raises(Refusal):
        importing.try_table(house.contributor, msbase, tables.text(rows))
    Head.objects.update(mac=head.mac)


def test_what_cannot_be_recorded_is_not_done_and_leaves_nobody_in_the_vault(house: Any, msbase: Mapping, home: Path) -> None:
    before = everything()
    head = Head.objects.get()
    Head.objects.update(mac="0" * 64)
    with pytest.raises(Refusal):
        importing.take_table(house.contributor, msbase, tables.text(tables.msbase(4)))
    assert everything() == before and not list((home / "keys" / "participants").glob("?" * 32))
    Head.objects.update(mac=head.mac)
    assert importing.take_table(house.contributor, msbase, tables.text(tables.msbase(4))).applied


def test_what_changes_between_looking_and_writing_is_seen(house: Any, msbase: Mapping, monkeypatch: Any, world: Any) -> None:
    """Somebody leaves, or is registered by another, after the table was planned and before it is written."""
    rows, seal = tables.msbase(8), importing._seal
    known = house.person(patient_id=rows[0]["pcode"])

    def leave(*args: Any) -> Any:
        Participant.objects.filter(pk=known.pk).update(state="withdrawn")
        return seal(*args)

    def register(*args: Any) -> Any:
        sealed = seal(*args)
        world.participant(house.dataset, house.site, rows[4]["pcode"])
        return sealed

    monkeypatch.setattr(importing, "_seal", leave)
    with pytest.raises(Invalid) as refused:
        importing.take_table(house.contributor, msbase, tables.text(rows))
    assert [error["rule"] for error in refused.value.errors] == ["unknown_participant"] * 4
    assert Line.objects.filter(act="table.try").count() == 1
    assert not Visit.objects.exists() and SourceIdentifier.objects.count() == 1
    Participant.objects.filter(pk=known.pk).update(state="active")
    monkeypatch.setattr(importing, "_seal", register)
    assert importing.take_table(house.contributor, msbase, tables.text(rows)).counts["participants"]["new"] == 0
    assert (Participant.objects.count(), SourceIdentifier.objects.count(), Visit.objects.count()) == (2, 2, 8)
    assert all(vault.whole(one.link) for one in Participant.objects.all() if one.link)


def test_day_zero_is_searched_before_the_lock_and_only_verified_under_it(house: Any, monkeypatch: Any) -> None:
    """Years after the first visit the search takes thousands of hashes a person: nobody waits for the lock meanwhile."""
    known = house.person(patient_id="A-10")
    first, searched, seal = house.visit(known), [], importing._seal  # 2021-03-04
    between = subjects.days_between
    monkeypatch.setattr(subjects, "days_between", lambda *args: searched.append(args[2]) or between(*args))
    table = "code,sex,visit,day,edss\nA-10,F,m48,2025-03-04,2\n"
    take(house, SIMPLE, table)
    assert len(searched) == 1 and Visit.objects.get(label="m48").day == 1461

    def move(*args: Any) -> Any:
        """The first visit turns out to have been a day earlier: what the first plan found does not hold any more."""
        Visit.objects.filter(pk=first.pk).update(day_code=keys.code_key(house.dataset).day_code(known.code, date(2021, 3, 3)))
        return seal(*args)

    monkeypatch.setattr(importing, "_seal", move)
    take(house, SIMPLE, table.replace("m48,2025-03-04", "m49,2025-04-04"))
    assert len(searched) == 3 and Visit.objects.get(label="m49").day == 1493


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"records": [{"instrument": "pet", "fields": {"a": "b"}}]}, "records.0.instrument"),
        ({"records": [{"instrument": "edss", "fields": {"edss": "b"}}]}, "records.0.fields.edss"),
        ({"records": [{"instrument": "edss", "number": "n", "fields": {"edss_total": "b"}}]}, "records.0"),
        ({"records": [{"instrument": "relapse", "fields": {"onset_date": "b", "onset_day": "c"}}]}, "records.0.fields.onset_date"),
        ({"records": [{"instrument": "edss", "fields": {"edss_total": "Surname"}}]}, "column Surname"),
        ({"visit": {"label": "a", "add": True}}, "visit.add"),
        ({"visit": {}}, "visit"),
        ({"delimiter": "x"}, "delimiter"),
        ({"participant": {}}, "participant"),
        ({"visit": {"label": "code", "date": "day", "add": True}}, "visit.label"),
        ({"visit": {"label": {"column": "code", "codes": {"A-10": "m00"}}, "date": "day"}}, "visit.label"),
        ({"participant": {"column": "code", "sex": "code"}}, "participant.sex"),
        ({"records": [{"instrument": "treatment", "fields": {"substance": "drug", "dose": "code"}}]}, "records.0.fields.dose"),
        ({"records": [{"instrument": "relapse", "number": "code", "fields": {"onset_date": "b"}}]}, "records.0.number"),
        ({"records": [{"instrument": "edss", "when": {"code": ["A-10"]}, "fields": {"edss_total": "edss"}}]}, "records.0.when"),
        ({"format": "redcap", "participant": {"column": "redcap_event_name"}}, "participant.column"),
        ({"visit": {"label": {"column": "visit", "codes": {"Mueller, Hans 1970-01-01 hans@x.de": "m00"}}}}, "visit.label.codes"),
        ({"missing": {"123-45-6789": None}}, "missing"),
        ({"records": [{"instrument": "edss", "when": {"arm": ["x", "+45 87 12 34 56"]}, "fields": {"edss_total": "edss"}}]}, "records.0.when.arm.1"),
        ({"visit": {"label": {"value": "hans@x.de"}}}, "visit.label.value"),
    ],
)
def test_a_mapping_that_is_none_is_refused_where_it_is_wrong(house: Any, change: dict[str, Any], place: str) -> None:
    with pytest.raises(Invalid) as refused:
        clinical.save_mapping(house.contributor, house.dataset, house.site, "one", {**SIMPLE, **change})
    assert [error["field"] for error in refused.value.errors] == [place]
    saved = [clinical.save_mapping(house.contributor, house.dataset, house.site, "one", spec).number for spec in (SIMPLE, SIMPLE, REDCAP)]
    assert saved == [1, 1, 2]
    for name, spec in (("../one", SIMPLE), ("two", {**SIMPLE, "ignore": ["x" * 200] * 400})):
        with pytest.raises(Invalid):
            clinical.save_mapping(house.contributor, house.dataset, house.site, name, spec)


def test_a_child_is_counted_in_months_and_its_years_must_agree(house: Any) -> None:
    fields = {"age_months": "months", "age_years": "years"}
    child = {**SIMPLE, "records": [{"instrument": "demographics", "fields": fields}, {"instrument": "history", "fields": {"onset_date": "onset"}}]}
    head = "code,sex,visit,day,months,years,onset\n"
    assert faults(house, child, f"{head}A-10,F,m00,2020-06-02,150,13,2019-06\n") == [(2, "months", "months_fit_years")]
    assert faults(house, child, f"{head}A-10,F,m00,2020-06-02,216,18,2019-06\n") == [(2, "months", "range")]
    take(house, child, f"{head}A-10,F,m00,2020-06-02,150,12,2019-06\n")
    files = {entry.path: (entry.text or b"").decode() for entry in exporting.clinical(house.contributor, house.dataset)}
    (derived,) = csv.DictReader(io.StringIO(files["phenotype/derived_m00.tsv"]), delimiter="\t")
    assert (derived["onset_age"], derived["onset_before_18"], derived["disease_duration"]) == ("11.0", "1.0", "1.0")
    (sessions,) = (text for path, text in files.items() if path.endswith("_sessions.tsv"))
    assert "12.5" in sessions and "150" in files["phenotype/demographics_m00.tsv"]


def test_what_a_person_is_stands_in_the_participants_table(house: Any) -> None:
    spec = {**SIMPLE, "records": [{"instrument": "demographics", "fields": {"group": "group", "handedness": {"column": "hand", "codes": {"R": "right"}}}}]}
    take(house, spec, "code,sex,visit,day,group,hand\nA-10,F,m00,2020-06-02,control_healthy,R\nA-11,M,m00,2020-06-02,,\n")
    files = {entry.path: (entry.text or b"").decode() for entry in exporting.clinical(house.contributor, house.dataset)}
    rows = sorted((row["sex"], row["handedness"], row["group"]) for row in csv.DictReader(io.StringIO(files["participants.tsv"]), delimiter="\t"))
    assert rows == [("F", "right", "control_healthy"), ("M", "n/a", "n/a")]
    assert "control_healthy" in json.loads(files["participants.json"])["group"]["Levels"]


def test_the_doors(house: Any, world: Any, door: Any) -> None:
    site, desk, nobody = door(house.contributor), door(house.steward), door(world.user())
    place = {"dataset": house.dataset.slug, "site": "aarhus"}
    assert site.post("/mappings", {**place, "name": "one", "spec": SIMPLE}, 201)["number"] == 1
    site.post("/mappings", {**place, "name": "one", "spec": {}}, 400, code="mapping")
    desk.post("/mappings", {**place, "name": "one", "spec": SIMPLE}, 403, code="no_role")
    nobody.post("/mappings", {**place, "name": "one", "spec": SIMPLE}, 403, code="no_role")
    table = {**place, "mapping": "one", "table": "code,sex,visit,day,edss\nA-10,F,m00,2020-01-02,0.5\n"}
    told = site.post("/tables", table, 200)
    assert [(one["row"], one["column"]) for one in told["faults"]] == [(2, "edss")] and not told["applied"]
    before = Line.objects.count()
    refused = site.post("/tables", {**table, "apply": True}, 422, code="table_faulty")
    assert Line.objects.count() == before + 1
    assert refused["errors"][0]["field"] == "row 2, edss" and refused["errors"][0]["advice"]
    desk.post("/tables", table, 403, code="no_role")
    nobody.post("/tables", table, 404, code="not_found")
    site.post("/tables", {**table, "mapping": "two"}, 404, code="not_found")
    assert site.post("/tables", {**table, "table": table["table"].replace("0.5", "1.5"), "apply": True}, 200)["applied"]
    assert [one["name"] for one in site.get("/mappings?name=one")["results"]] == [one["name"] for one in desk.get("/mappings")["results"]] == ["one"]
    assert nobody.get("/mappings")["results"] == []
    saved = site.get("/mappings")["results"][0]["id"]
    assert site.get(f"/mappings/{saved}/table")["text"].splitlines()[1].endswith(",F,m00,,1.5")
    nobody.get(f"/mappings/{saved}/table", 404)
    paths = [file["path"] for file in site.get(f"/datasets/{house.dataset.slug}/clinical")["files"]]
    assert {"participants.tsv", "participants.json", "phenotype/edss_m00.tsv", "phenotype/edss_m00.json"} <= set(paths)
    nobody.get(f"/datasets/{house.dataset.slug}/clinical", 403)
    assert desk.get(f"/datasets/{house.dataset.slug}/privacy")["participants"] == 1
    site.get(f"/datasets/{house.dataset.slug}/privacy", 403)
    assert site.get("/forms/edss")["fields"][0]["name"] == "edss_total"
    site.get("/forms/pet", 404)


def test_exports_and_the_privacy_report_are_for_who_works_here(house: Any, world: Any, msbase: Mapping) -> None:
    importing.take_table(house.contributor, msbase, tables.text(tables.msbase(8)))
    world.consent(Participant.objects.first())
    right = world.entitled(house.dataset, house.steward)
    for who in (right.user, world.user()):
        with pytest.raises(Denied):
            exporting.clinical(who, house.dataset)
    for who in (house.contributor, right.user):
        with pytest.raises(Denied):
            privacy.report(who, house.dataset)
    assert exporting.clinical(house.steward, house.dataset) and exporting.clinical(house.contributor, house.dataset)
    told = privacy.report(house.steward, house.dataset)
    assert told["participants"] == 2 and {one["field"] for one in told["fields"]} >= {"sex", "onset_day"} and told["together"]["min_count"] == 2
    assert set(told["classes"]) <= {"none", "quasi", "sensitive"}
