"""MSBase: a register's export comes in through the command at the site's desk, over the real API, and goes out as BIDS tables and in its own columns."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from client import cli
from registry.access import actions as access
from registry.clinical.models import ClinicalRecord
from registry.subjects.models import Participant, SourceIdentifier, Visit
from tests.registry.upper import clinical_tables as tables

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
RELAPSES: dict[str, Any] = {
    "delimiter": ";",
    "participant": {"column": "pcode"},
    "visit": {"first": True},
    "records": [
        {
            "instrument": "relapse",
            "fields": {"onset_date": {"column": "relapse", "order": "DMY"}, "steroid": {"column": "steroids", "codes": {"1": "yes", "0": "no"}}},
        }
    ],
}


def test_a_register_hands_in_its_table(house: Any, live_server: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    _, token = access.issue_token(house.contributor, "desk", ["read", "write"], 1)
    for name, value in {"MYELIN_REGISTRY": live_server.url, "MYELIN_TOKEN": token, "MYELIN_DESK": str(tmp_path / "desk")}.items():
        monkeypatch.setenv(name, value)
    place = ["--dataset", house.dataset.slug, "--site", "aarhus"]

    def myelin(*words: str) -> tuple[int, Any]:
        capsys.readouterr()
        code = cli.run(["--json", *words])
        return code, json.loads(capsys.readouterr().out)

    def file(name: str, text: str) -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    assert myelin("map", file("map.json", json.dumps(tables.MSBASE)), "--name", "msbase", *place)[1]["number"] == 1
    rows = tables.msbase(40)
    wide = ["table", "--mapping", "msbase", *place]

    # A column of names is refused whole, and the desk can cut it off before anything is sent.
    named = tables.text([{**row, "LastName": "Kryptonim"} for row in rows], [*tables.HEADER, "LastName"])
    code, told = myelin(*wide, file("named.csv", named), "--apply")
    assert code == 1 and [one["column"] for one in told["error"]["errors"]] == ["LastName"] and not Participant.objects.exists()
    assert myelin(*wide, file("named.csv", named), "--cut")[0] == 0

    # A dry run names each fault; taking it is refused; mended it is taken, once.
    spoiled, planted = tables.spoil(rows, 5)
    code, told = myelin(*wide, file("spoiled.csv", tables.text(spoiled)))
    assert code == 1 and [(one["row"], one["column"], one["rule"]) for one in told["faults"]] == planted
    code, told = myelin(*wide, file("spoiled.csv", tables.text(spoiled)), "--apply")
    assert code == 1 and told["error"]["code"] == "table_faulty" and not (Participant.objects.exists() or SourceIdentifier.objects.exists())
    good = file("good.csv", tables.text(rows))
    assert myelin(*wide, good, "--apply")[1]["changes"]["visits"] == {"new": 40, "changed": 0, "same": 0}
    # The same people in another spelling are the same people: they are known by a keyed hash.
    shouted = file("shouted.csv", tables.text([{**row, "pcode": f" {row['pcode'].lower()} "} for row in rows]))
    for again in (good, shouted):
        changes = myelin(*wide, again, "--apply")[1]["changes"]
        assert [(one["new"], one["changed"]) for one in changes.values()] == [(0, 0)] * 3
    assert (Participant.objects.count(), Visit.objects.count(), SourceIdentifier.objects.count()) == (10, 40, 10)

    # Relapses, a table of their own, counted from the day zero that the visits have; a new one is added beside the old.
    assert myelin("map", file("rel.json", json.dumps(RELAPSES)), "--name", "relapses", *place)[0] == 0
    relapses = [{"pcode": rows[0]["pcode"], "relapse": day, "steroids": "1"} for day in ("03.2011", rows[0]["visit_date"])]
    listed = ["table", "--mapping", "relapses", *place, "--apply"]
    for table, expected in ((relapses[:1], 1), (relapses[::-1], 1), (relapses, 0)):
        text = tables.text(table, ["pcode", "relapse", "steroids"])
        assert myelin(*listed, file("rel.csv", text))[1]["changes"]["records"]["new"] == expected
    kept = [record.values for record in ClinicalRecord.objects.filter(instrument="relapse").order_by("number")]
    assert [(one["onset_precision"], one["steroid"]) for one in kept] == [("month", "yes"), ("day", "yes")] and kept[1]["onset_day"] == 0 > kept[0]["onset_day"]

    # Out again: BIDS tables with their dictionaries, and the mapped columns byte for byte.
    out = tmp_path / "out"
    assert myelin("clinical", "--dataset", house.dataset.slug, "--out", str(out))[0] == 0
    check_tables(out, rows)
    check_columns(house, rows, tmp_path)
    assert "MSB-0" not in "".join(path.read_text() for path in out.rglob("*") if path.is_file())

    # The same through the command at the registry's own machine.
    call_command("clinical", "import", house.dataset.slug, "aarhus", "msbase", good, "--as", house.contributor.email, "--apply")
    call_command("clinical", "privacy", house.dataset.slug, "--as", house.steward.email)
    printed = capsys.readouterr().out
    assert '"changed": 0' in printed and '"below"' in printed


def check_tables(out: Path, rows: list[dict[str, str]]) -> None:
    people = (out / "participants.tsv").read_text().splitlines()
    assert len(people) == 11 and people[0].split("\t") == ["participant_id", "species", "sex", "birth_year_band"]
    edss = list(csv.DictReader(io.StringIO((out / "phenotype/edss_d0.tsv").read_text()), delimiter="\t"))
    assert sorted(row["edss_total"] for row in edss) == sorted(row["edss"] for row in rows[::4])
    assert json.loads((out / "phenotype/edss_d0.json").read_text())["edss_total"]["LongName"] == "EDSS"
    derived = list(csv.DictReader(io.StringIO((out / "phenotype/derived_d0.tsv").read_text()), delimiter="\t"))
    assert len(derived) == 10 and all(float(row["disease_duration"]) > 0 for row in derived)
    assert "myelin-duration-1" in json.loads((out / "phenotype/derived_d0.json").read_text())["disease_duration"]["Description"]
    assert len(list(out.glob("sub-*/sub-*_sessions.tsv"))) == 10
    text = "".join(path.read_text() for path in out.rglob("*.tsv"))
    assert not [row["visit_date"] for row in rows if row["visit_date"] in text]


def check_columns(house: Any, rows: list[dict[str, str]], folder: Path) -> None:
    """Every column that the mapping reads and the registry keeps, in the words and bytes that the site sent."""
    from registry.clinical.queries import mappings
    from registry.releases import exporting

    saved = mappings(house.contributor).get(name="msbase")
    back = list(csv.DictReader(io.StringIO(exporting.as_mapped(house.contributor, saved)), delimiter=";"))
    gone = {"pcode", "visit_date", "onset", "diagnosed", "source"}
    kept = [name for name in tables.HEADER if name not in gone]

    def cells(table: list[dict[str, str]]) -> list[list[str]]:
        return sorted([row[name] for name in kept] for row in table)

    assert cells(back) == cells(rows)
