"""A desk's labels and day zero are fixed when first given: later visits, and earlier ones found later, change nothing of what was told before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.labels import Labels, Unreadable
from pipeline.sort import Study

ANNA, BO = "a" * 26, "b" * 26


def study(code: str, day: str, who: str = ANNA) -> Study:
    return Study(code, who, None, day)


def rows(labels: Labels) -> dict[str, object]:
    return {f"{row['participant_id'][4]} {row['session_id']}": row["day"] for row in labels.rows()}


def test_an_earlier_visit_found_later_gets_a_label_of_its_own_and_a_negative_day(tmp_path: Path) -> None:
    first = [study("s1", "19200110"), study("s2", "19200710"), study("t1", "19210101", BO)]
    Labels(tmp_path / "key").assign(first)
    assert [one.session for one in first] == ["19200110", "19200710", "19210101"]
    later = [study("s0", "19191231"), study("s1", "19200110"), study("s3", "19200710")]
    labels = Labels(tmp_path / "key")
    labels.assign(later)
    assert [one.session for one in later] == ["19191231", "19200110", "19200710x2"]
    assert rows(labels) == {"a ses-19191231": -10, "a ses-19200110": 0, "a ses-19200710": 182, "a ses-19200710x2": 182, "b ses-19210101": 0}


def test_the_order_of_arrival_changes_no_label(tmp_path: Path) -> None:
    for code, day in (("z", "19200110"), ("a", "19200110")):
        Labels(tmp_path / "key").assign([study(code, day)])
    again = [study("a", "19200110"), study("z", "19200110")]
    Labels(tmp_path / "key").assign(again)
    assert [one.session for one in again] == ["19200110x2", "19200110"]


def test_a_visit_without_a_date_has_a_label_and_no_day(tmp_path: Path) -> None:
    labels = Labels(tmp_path / "key")
    labels.assign([study("s1", "undated"), study("s2", "19200101")])
    assert rows(labels) == {"a ses-undated": None, "a ses-19200101": 0}


def test_the_file_is_its_owner_s_alone_and_a_damaged_one_is_not_begun_anew(tmp_path: Path) -> None:
    Labels(tmp_path / "key").assign([study("s1", "19200110")])
    path = tmp_path / "key.sessions.json"
    assert path.stat().st_mode & 0o777 == 0o600 and sorted(one.name for one in tmp_path.iterdir()) == [path.name]
    whole = path.read_bytes()
    for damage in (whole[:20], b"{}", json.dumps({"participants": {ANNA: {"zero": 3}}}).encode()):
        path.write_bytes(damage)
        with pytest.raises(Unreadable):
            Labels(tmp_path / "key").assign([study("s1", "19200110")])
        assert path.read_bytes() == damage
