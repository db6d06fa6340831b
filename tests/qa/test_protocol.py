"""Conformity has three answers, and a header that was taken away is never a failure."""

from __future__ import annotations

import pytest

from qa import protocol
from qa.errors import QaError

GOOD = {
    "MagneticFieldStrength": "3",
    "MRAcquisitionType": "3D",
    "SliceThickness": "1.0",
    "PixelSpacing": ["1.0", "1.0"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
}


def states(found):
    return {c["id"]: c["status"] for c in found["checks"]}


def test_a_scan_as_recommended_conforms():
    found = protocol.check(GOOD, suffix="FLAIR")
    assert found["verdict"] == "conforms"
    assert states(found) == {"field_strength": "conforms", "brain_3d_voxel": "conforms", "brain_in_plane": "conforms"}


def test_a_scan_without_a_header_is_unknown_and_does_not_deviate():
    found = protocol.check({}, suffix="T2w")
    assert found["verdict"] == "unknown"
    assert set(states(found).values()) == {"unknown"}
    assert protocol.check(GOOD)["verdict"] == "conforms"  # contrast not told: rules that ask for one stay unknown
    assert states(protocol.check(GOOD))["brain_3d_voxel"] == "unknown"


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"MagneticFieldStrength": 1.0}, "field_strength"),
        ({"SliceThickness": 2.0}, "brain_3d_voxel"),
        ({"PixelSpacing": "1.3\\1.3"}, "brain_in_plane"),
        ({"MRAcquisitionType": "2D", "SliceThickness": 5}, "brain_2d_thickness"),
        ({"MRAcquisitionType": "2D", "SliceThickness": 3, "SpacingBetweenSlices": 3.6}, "brain_2d_gap"),
    ],
)
def test_each_rule_deviates_when_it_is_broken_and_says_what_it_found(change, rule):
    found = protocol.check(GOOD | change, suffix="T2w")
    assert found["verdict"] == "deviates"
    row = next(c for c in found["checks"] if c["id"] == rule)
    assert row["status"] == "deviates"
    assert isinstance(row["found"], float | int)
    assert row["expected"]
    assert [r for r, s in states(found).items() if s == "deviates"] == [rule]


def test_a_nominal_one_and_a_half_tesla_of_1_494_conforms():
    assert states(protocol.check({"MagneticFieldStrength": 1.494}))["field_strength"] == "conforms"


def test_the_spine_has_rules_of_its_own_by_plane():
    sagittal = {"BodyPartExamined": "CSPINE", "ImageOrientationPatient": [0, 1, 0, 0, 0, -1], "SliceThickness": 4, "MagneticFieldStrength": 3}
    found = states(protocol.check(sagittal, suffix="T2w"))
    assert found["spine_sagittal_thickness"] == "deviates"
    assert "spine_axial_thickness" not in found
    assert "brain_in_plane" not in found
    axial = sagittal | {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    assert states(protocol.check(axial, suffix="T2w"))["spine_axial_thickness"] == "conforms"


def test_the_verdict_keeps_no_header_value_but_the_numbers_it_asked_for():
    found = protocol.check(GOOD | {"PatientName": "Somebody^Real", "StationName": "ROOM7"}, suffix="T1w")
    assert "Somebody" not in str(found)
    assert "ROOM7" not in str(found)


def test_garbage_in_the_header_is_unknown():
    odd = {"MagneticFieldStrength": "three", "PixelSpacing": "1", "SliceThickness": float("nan"), "ImageOrientationPatient": "x", "MRAcquisitionType": ""}
    assert set(states(protocol.check(odd, suffix="T1w")).values()) == {"unknown"}


def test_a_visit_lacks_what_its_purpose_recommends_and_an_unknown_purpose_lacks_nothing():
    images = [{"suffix": "T2w"}, {"suffix": "T1w", "contrast_agent": False}]
    found = protocol.visit(images, "diagnosis")
    assert found["verdict"] == "deviates"
    assert {f["says"]: f["status"] for f in found["findings"]} == {
        "T2w of the brain": "present",
        "FLAIR of the brain": "missing",
        "T1w after contrast": "missing",
    }
    assert protocol.visit(images, None) == {"purpose": None, "verdict": "unknown", "findings": []}
    whole = protocol.visit([*images, {"suffix": "FLAIR"}], "diagnosis")
    assert whole["verdict"] == "conforms"


def test_a_site_brings_its_own_profile_and_an_unknown_name_is_refused(tmp_path):
    own = tmp_path / "site.toml"
    own.write_text(
        'name = "site"\ntitle = "ours"\nversion = "1"\n[[rule]]\nid = "tr"\nsays = "TR 2 s"\nvalue = "RepetitionTime"\nmin = 1900\nmax = 2100\nwhere = {}\n',
        encoding="utf-8",
    )
    assert protocol.check({"RepetitionTime": 2000}, own)["verdict"] == "conforms"
    found = protocol.check({"RepetitionTime": 2400}, own)
    assert found["verdict"] == "deviates"
    assert found["checks"][0]["expected"] == "1900 to 2100"
    assert protocol.profiles() == ["magnims-2024"]
    for name in ("nobody", "../limits"):
        with pytest.raises(QaError) as caught:
            protocol.check({}, name)
        assert caught.value.code == "unknown_profile"
