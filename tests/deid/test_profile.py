"""The policy is Table E.1-1 with the options we claim, or says why not; and it can be read in English."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import DicomDictionary

from deid import elements, errors, headers, objects, profile, reference, signing
from deid.actions import ACTIONS
from deid.tree import Element

ROWS: dict[str, dict[str, str]] = json.loads((profile.HERE / "confidentiality.json").read_text())["rows"]
PLAIN = {int(tag, 16): row for tag, row in ROWS.items() if re.fullmatch("[0-9a-f]{8}", tag)}


def asked(row: dict[str, str], vr: str) -> set[str]:
    """The actions by which the options we claim (113105, 113107, 113111) are obeyed, read from the row alone."""
    if row.get("modified_dates") == "C":
        return {"DA": {"date"}, "TM": {"time"}, "DT": {"datetime"}}.get(vr, set())
    if row.get("descriptors") == "C":
        return {"clean", "items"}
    if row["basic"] == "U":
        return {"uid"}
    if row["basic"] == "X":
        return {"remove", "by_type"}  # by_type: a required attribute is emptied or replaced, or the object would not be valid
    if "U*" in row["basic"]:
        return {"items", "by_type"}
    return {"by_type"}


def test_every_row_of_the_standard_table_is_obeyed_or_departed_from_with_a_reason():
    assert len(ROWS) == 621
    policy, silent, departures = profile.load(), [], 0
    for tag, row in PLAIN.items():
        if tag >> 16 in (0, 2, 4):
            assert tag not in policy.rules, "command, file meta and directory groups are never part of a data set"
            continue
        rule = policy.rules[tag]
        assert rule.action in ACTIONS and rule.row == row
        if rule.action in asked(row, rule.vr):
            continue
        departures += 1
        if not (len(rule.why) > 30 and (rule.source == "rule" or "the objects taken do not name it" in rule.why or "cannot be cleaned" in rule.why)):
            silent.append((rule.keyword, rule.action, row))
    assert silent == []
    assert departures > 50, "the test sees departures; a policy without any would be another policy"


def test_a_departure_without_a_reason_would_be_seen(monkeypatch):
    policy = profile.load()
    rule = policy.rules[0x00100030]
    assert rule.action == "empty" and rule.action not in asked(rule.row, rule.vr) and rule.source == "rule"
    assert profile.load().rules[0x00080050].action in asked(PLAIN[0x00080050], "SH")


def test_the_four_rows_that_are_patterns_are_whole_groups_here():
    patterns = {tag for tag in ROWS if not re.fullmatch("[0-9a-f]{8}", tag)}
    assert len(patterns) == 4
    assert not [tag for tag in profile.load().rules if tag >> 24 in (0x50, 0x60) and tag >> 16 not in (0x5200, 0x5400, 0x5600)]


@pytest.mark.parametrize(
    ("basic", "kind", "way"),
    [
        ("X/Z/D", "1", "D"), ("X/Z/D", "1C", "D"), ("X/Z/D", "2", "Z"), ("X/Z/D", "2C", "Z"), ("X/Z/D", "3", "X"),
        ("X", "3", "X"), ("X", "2", "Z"), ("X", "1", "D"), ("Z", "3", "Z"), ("Z", "1", "D"), ("D", "3", "D"), ("D", "2", "D"),
        ("Z/D", "3", "Z"), ("X/D", "2", "Z"), ("X/Z", "1", "D"), ("X/Z/U*", "3", "X"),
    ],
)  # fmt: skip
def test_x_z_and_d_follow_the_type_so_that_the_object_stays_valid(basic, kind, way):
    assert profile.resolve(basic, kind) == way


def value_for(vr: str) -> bytes:
    return {
        "DA": b"20190101", "TM": b"101112", "DT": b"20190101101112", "UI": b"1.2.3.4.5.6", "DS": b"3.5 ", "IS": b"7 ", "AS": b"057Y", "CS": b"ZQVEX ",
        "FD": struct.pack("<d", 2.5), "FL": struct.pack("<f", 2.5), "US": b"\1\0", "UL": b"\1\0\0\0", "SL": b"\1\0\0\0", "SS": b"\1\0", "AT": b"\x08\0\x18\0",
    }.get(vr, b"Zq77vex ")  # fmt: skip


def test_the_engine_does_to_every_row_what_the_policy_says(mr, saved, clean, tmp_path):
    """All rows at once, planted at the top level of an MR image: what is to go has gone, what is to be empty is empty, no planted text is left."""
    policy = profile.load()
    file = elements.parse(saved(mr()).read_bytes())
    standing = {e.tag for e in file.elements}
    planted = {
        tag: DicomDictionary[tag][0][:2]
        for tag in PLAIN
        if tag >> 16 not in (0, 2, 4) and tag < 0x7FE00010 and tag not in (*standing, objects.DOCUMENT) and DicomDictionary[tag][0][:2] != "SQ"
    }
    whole = sorted([*file.elements, *(Element(tag, vr, value_for(vr)) for tag, vr in planted.items())], key=lambda e: e.tag)
    source = tmp_path / "all.dcm"
    source.write_bytes(
        b"".join([elements.head(elements.EXPLICIT, headers.identify(saved(mr())).sop_class, "1.2.3", "1.2.3", "X"), *elements.body(whole, None)])
    )
    product, done = clean(source)
    assert b"q77vex" not in product.read_bytes().lower() and len(planted) > 500
    fresh = elements.read(product).top()
    wrong = []
    for tag in planted:
        rule = policy.rules[tag]
        if tag in signing.WRITTEN_ANEW:
            continue
        kind = policy.type_of("mr-image", "", rule.keyword)
        way = {"remove": "X", "by_type": rule.resolve(kind)}.get(rule.action, "")
        left = fresh.get(tag)
        right = {
            "X": left is None,
            "Z": left is not None and not left.bytes,
            "D": left is not None and left.bytes.strip(b" \0") in (b"REMOVED", b"OTHER", b"0", b""),
        }
        if not right.get(way, True):
            wrong.append((rule.keyword, way))
        if rule.action in ("date", "datetime", "uid") and (left is None or left.bytes == value_for(planted[tag])):
            wrong.append((rule.keyword, rule.action))
    assert wrong == []
    assert {row["keyword"] for row in done.account["elements"]} >= {policy.rules[tag].keyword for tag in planted}, "the account names every one"


def test_patient_characteristics_are_claimed_in_part_and_named_one_by_one(mr, saved, clean):
    """113108 only if every attribute of its column that says K is kept; else what is kept is named in (0012,0063), and the code is not written."""
    policy = profile.load()
    column = {policy.rules[tag].keyword: policy.rules[tag].action for tag, row in PLAIN.items() if row.get("patient") == "K" and tag in policy.rules}
    kept = {keyword for keyword, action in column.items() if action in ("keep", "age")}
    assert 0 < len(kept) < len(column) == 9
    assert "113108" not in dict(policy.claimed)
    (line,) = [line for line in policy.method if "PatientSex" in line]
    assert set(line.removeprefix("Kept: ").split()) == kept
    data = pydicom.dcmread(clean(saved(mr()))[0])
    assert line in list(data.DeidentificationMethod)


def test_explain_speaks_english_about_every_rule():
    policy = profile.load()
    for tag in policy.rules:
        text = policy.explain(tag)
        assert text.startswith("(") and text.endswith(".") and len(text) > 40
    assert "participant's code" in policy.explain("PatientID")
    assert "private" in policy.explain("(0029,1010)") and "removed" in policy.explain(0x00189999)
    with pytest.raises(errors.ProfileError, match="unknown_tag"):
        policy.explain("NoSuchThing")
    with pytest.raises(errors.ProfileError, match="unknown_profile"):
        profile.load("../secret")


def test_the_reference_page_is_the_one_the_profile_makes():
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "deidentification.md"
    assert page.read_text(encoding="utf-8") == reference.page(profile.load())
