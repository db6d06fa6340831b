"""Orders and outcomes keep to their schemas, the schemas in the documentation are those in the package, and every code is listed with reason and advice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import order, outcome
from pipeline.codes import CODES, kept, verdict
from pipeline.order import BadOrder, Order
from pipeline.outcome import BadOutcome, FileRow, Outcome

ROOT = Path(__file__).resolve().parents[2]
CODE = "a" * 26

SORT: dict[str, Any] = {
    "schema": 1,
    "run": "r1a2",
    "attempt": 1,
    "kind": "sort",
    "input": "/zone/quarantine/UPLOAD",
    "site": "aarhus",
    "keys": {"code": "/keys/ds1/code", "pseudonym": "/keys/ds1/pseudonym"},
    "profile": "myelin-2026",
    "device": "cpu",
    "jobs": 2,
}
STUDY = SORT | {"kind": "study", "study": CODE, "participant": {"code": CODE, "label": "k3w9x0ab"}, "session": "m00", "files": [{"n": 1, "sha256": "0" * 64}]}


@pytest.mark.parametrize("name", ["order.schema.json", "outcome.schema.json"])
def test_the_schema_in_the_documentation_is_the_one_in_force(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_bytes() == (ROOT / "pipeline" / name).read_bytes()


@pytest.mark.parametrize("value", [SORT, STUDY, STUDY | {"deface": "face-eyes-ears"}, SORT | {"keys": {"file": "/k"}}])
def test_an_order_is_read_and_written_without_loss(value: dict[str, Any]) -> None:
    assert order.parse(order.parse(value).as_json()) == order.parse(value)
    for key in value:
        assert order.parse(value).as_json()[key] == value[key]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"schema": 2}, "schema"),
        ({"kind": "everything"}, "kind"),
        ({"run": "../../etc"}, "run"),
        ({"input": "relative"}, "input"),
        ({"device": "tpu"}, "device"),
        ({"jobs": 0}, "jobs"),
        ({"surprise": 1}, "its top level"),
        ({"keys": {"code": "/a"}}, "keys"),
        ({"session": "m 00"}, "session"),
        ({"participant": {"code": CODE, "label": "../x"}}, "participant/label"),
        ({"files": []}, "files"),
        ({"files": [{"n": 1, "sha256": "Jensen"}]}, "files/0/sha256"),
    ],
)
def test_an_order_that_breaks_the_schema_is_not_carried_out(change: dict[str, Any], place: str) -> None:
    with pytest.raises(BadOrder) as caught:
        order.parse(STUDY | change)
    assert caught.value.place == place
    assert "Jensen" not in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 100_000, b"null"])
def test_what_is_no_order_is_not_read(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "order.json").write_bytes(raw)
    with pytest.raises(BadOrder):
        order.read(tmp_path / "order.json")


def test_an_outcome_is_written_whole_and_the_same_each_time(tmp_path: Path) -> None:
    files = [FileRow(2, "1" * 64, 5, verdict("empty_file")), FileRow(1, "0" * 64, 3)]
    for name in ("a", "b"):
        Outcome("r1", 1, "sort", files=files).write(tmp_path / name)
        files.reverse()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    value = outcome.read(tmp_path / "a")
    assert [row["n"] for row in value["files"]] == [1, 2]
    assert value["files"][1]["verdict"] == "refused"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("rows", [[FileRow(1, "", 0), FileRow(1, "", 0)], [FileRow(0, "", 0)], [FileRow(1, "Jensen", 0)]])
def test_an_outcome_that_does_not_account_for_every_file_once_is_not_written(tmp_path: Path, rows: list[FileRow]) -> None:
    with pytest.raises(BadOutcome) as caught:
        Outcome("r1", 1, "sort", files=rows).write(tmp_path / "o")
    assert not (tmp_path / "o").exists()
    assert "Jensen" not in str(caught.value)


def test_the_outcome_in_the_architecture_page_keeps_to_the_schema() -> None:
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    block = page[page.index('{"schema": 1, "run": "r1a2", "attempt": 1, "kind": "sort", "status"') :]
    text = block[: block.index("```")]
    for shown, said in (
        ("…", "0" * 64),
        ("kept|refused|waiting|failed", "kept"),
        ("kept|waiting", "kept"),
        ("26chars or null", CODE),
        ("daycode or null", CODE),
    ):
        text = text.replace(shown, said)
    for shown in ("agreed|one_only|disagreed", "defaced|no_face|exempt|review|orbit_restricted|withheld", "pass|review|fail"):
        text = text.replace(shown, shown.partition("|")[0])
    value = json.loads(text.replace("STUDYCODE", CODE).replace('"code": "' + "0" * 64, '"code": "ok'))
    outcome.check(value)


def test_every_code_of_the_pipeline_says_why_and_what_to_do() -> None:
    for code, (word, reason, advice) in CODES.items():
        assert word in ("kept", "refused", "waiting", "failed")
        assert code == "ok" or (reason.endswith(".") and advice.endswith("."))
    assert kept().code == "ok"


def test_a_code_of_a_room_below_keeps_its_own_words() -> None:
    assert verdict("missing_slices", "2 slices are missing.", "Hand in the rest.").reason == "2 slices are missing."
    assert verdict("dicomdir").reason
    assert verdict("missing_slices").verdict == "refused"


def test_an_order_defaults_to_one_core_without_a_graphics_card() -> None:
    plain = Order("r", 1, "sort", Path("/x"), "s", {"file": "/k"})
    assert (plain.device, plain.jobs) == ("cpu", 1)


def test_an_order_says_what_a_mask_shows_where_its_file_name_was_not_sent() -> None:
    files = ((1, "a" * 64), (2, "b" * 64))
    plain = Order("r", 1, "study", Path("/x"), "s", {"file": "/k"}, study="a" * 26, participant="b" * 26, label="x", session="y", files=files)
    drawn = replace(plain, said={2: {"annotation": "lesion", "rater": "r1", "labels": {"lesion": 1}, "beside": 1, "session": "m12"}})
    assert order.parse(drawn.as_json()) == drawn and order.parse(plain.as_json()) == plain
    for name in ("annotation", "contrast", "body", "session", "rater", "labels", "beside"):
        with pytest.raises(BadOrder):
            order.parse(replace(plain, said={2: {name: "Hansen, Ole"}}).as_json())


def test_an_order_carries_what_people_decided_about_protocols() -> None:
    plain = order.parse(STUDY)
    decided = replace(plain, corrections={"0" * 32: {"datatype": "perf", "suffix": "asl", "entities": {}, "fields": {}, "context": ["label"], "code": "ok"}})
    assert order.parse(decided.as_json()) == decided and "corrections" not in plain.as_json()
    for wrong in ({"Hansen": {}}, {"0" * 32: {"who": "Hansen"}}, {"0" * 32: {"code": "Hansen"}}):
        with pytest.raises(BadOrder):
            order.parse(replace(plain, corrections=wrong).as_json())
