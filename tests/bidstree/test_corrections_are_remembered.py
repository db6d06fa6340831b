"""What a person decided about a protocol holds for that site and protocol, and perfusion becomes usable that way."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bidstree import classify, corrections, perfusion
from bidstree.convert import Conversion
from bidstree.corrections import Correction, Memory
from bidstree.errors import BidsError

ODD: dict[str, Any] = {"ScanningSequence": "GR", "EchoTime": 6, "RepetitionTime": 300, "FlipAngle": 5, "SeriesDescription": "Erika special 7"}


def test_the_same_protocol_of_the_same_site_is_answered_at_once_and_no_other(tmp_path: Path) -> None:
    answer = classify.contrast({}, ODD)
    assert answer.review
    memory = Memory(tmp_path / "corrections.json")
    mark = corrections.fingerprint("kn", {}, ODD, key=b"k")
    memory.remember(mark, Correction("anat", "T2starw", {"acq": "fast"}))
    again = Memory(tmp_path / "corrections.json")
    done = corrections.apply(answer, again.of(corrections.fingerprint("kn", {}, dict(ODD), key=b"k")), {})
    assert (done.suffix, done.entities, done.review, done.confidence) == ("T2starw", {"acq": "fast"}, False, 1.0)
    others = [
        corrections.fingerprint("ge", {}, ODD, key=b"k"),
        corrections.fingerprint("kn", {}, {**ODD, "EchoTime": 12}, key=b"k"),
        corrections.fingerprint("kn", {}, {**ODD, "SeriesDescription": "another"}, key=b"k"),
        corrections.fingerprint("kn", {}, ODD, key=b"another"),
    ]
    assert len({mark, *others}) == 5
    assert all(corrections.apply(answer, again.of(other), {}) is answer for other in others)


def test_the_memory_holds_no_word_of_the_protocol(tmp_path: Path) -> None:
    Memory(tmp_path / "c.json").remember(corrections.fingerprint("kn", {}, ODD), Correction("anat", "T1w"))
    assert not re.search("erika|special", (tmp_path / "c.json").read_text(), re.IGNORECASE)


def test_an_image_can_be_kept_out_for_good() -> None:
    done = corrections.apply(classify.contrast({}, ODD), Correction(code="derived_map"), {})
    assert (done.code, done.suffix, done.review) == ("derived_map", "", True)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (Correction("anat", "bold"), "name_not_bids"),
        (Correction("anat", "T1w", {"acq": "not valid"}), "name_not_bids"),
        (Correction("anat", "T1w", {}, {"PatientName": "x"}), "correction_not_listed"),
        (Correction(code="no_such_code"), "correction_not_listed"),
        (Correction("anat", "T1w", {"acq": "Mueller"}), "correction_not_listed"),
        (Correction("anat", "T1w", {"rec": "Mueller"}), "correction_not_listed"),
        (Correction("anat", "T1w", {"ce": "Mueller"}), "correction_not_listed"),
        (Correction("anat", "T1w", {"run": 3105772046}), "correction_not_listed"),
        (Correction("anat", "T1w", {"chunk": "Mueller"}), "correction_not_listed"),
        (Correction("func", "bold", {"task": "mueller"}), "correction_not_listed"),
        (Correction("dwi", "dwi", {"dir": "Mueller"}), "correction_not_listed"),
        (Correction("func", "bold", {"task": "rest"}, {"TaskName": "Hans Mueller"}), "correction_not_listed"),
        (Correction("fmap", "phasediff", {}, {"IntendedFor": "ses-20190512/sub-MuellerHans"}), "correction_not_listed"),
    ],
)
def test_a_correction_that_could_not_be_used_is_refused_when_it_is_made(tmp_path: Path, wrong: Correction, code: str) -> None:
    with pytest.raises(BidsError) as error:
        Memory(tmp_path / "c.json").remember("0" * 32, wrong)
    assert error.value.code == code and not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    "right",
    [
        Correction("anat", "T1w", {"acq": "cspineWater3D", "rec": "norm", "ce": "gadolinium", "run": 2, "chunk": 1}, {"EchoTime": 0.002}),
        Correction("func", "bold", {"task": "rest", "dir": "AP", "echo": "2"}, {"TaskName": "rest"}),
        Correction("anat", "MTR", {"mt": "off", "part": "mag"}, {"MTState": False}),
    ],
)
def test_words_of_the_lists_are_remembered(tmp_path: Path, right: Correction) -> None:
    Memory(tmp_path / "c.json").remember("0" * 32, right)
    assert Memory(tmp_path / "c.json").of("0" * 32) == right


def test_what_is_said_beside_keeping_out_is_not_kept(tmp_path: Path) -> None:
    said = Correction("anat", "T1w", {"acq": "Mueller"}, {"TaskName": "Hans Mueller"}, code="derived_map")
    assert corrections.check(said) == Correction(code="derived_map")
    Memory(tmp_path / "c.json").remember("0" * 32, said)
    assert "ueller" not in (tmp_path / "c.json").read_text()


def test_a_damaged_memory_is_told_not_forgotten(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(BidsError) as error:
        Memory(tmp_path / "c.json")
    assert error.value.code == "corrections_unreadable"


FIELDS = {"ArterialSpinLabelingType": "PCASL", "PostLabelingDelay": 1.8, "LabelingDuration": 1.8, "BackgroundSuppression": True}
FIELDS |= {"M0Type": "Absent", "TotalAcquiredPairs": 4, "RepetitionTimePreparation": 4.5, "MRAcquisitionType": "3D"}


def test_perfusion_is_named_once_somebody_told_what_each_volume_is(converted: dict[str, Conversion]) -> None:
    image = converted["philips_enh_pcasl"].images[0]
    answer = classify.contrast(image.sidecar, {})
    assert answer.code == "perfusion_incomplete"
    told = Correction("perf", "asl", {}, dict(FIELDS), context=("control", "label"))
    done = corrections.apply(answer, told, image.sidecar, volumes=8)
    assert (done.code, done.suffix, done.context) == ("ok", "asl", ("control", "label") * 4)
    half = {key: value for key, value in FIELDS.items() if key != "PostLabelingDelay"}
    lacking = corrections.apply(answer, Correction("perf", "asl", {}, half, context=("control", "label")), image.sidecar, volumes=8)
    assert lacking.code == "perfusion_incomplete" and "PostLabelingDelay" in lacking.words
    silent = corrections.apply(answer, Correction("perf", "asl", {}, dict(FIELDS)), image.sidecar, volumes=8)
    assert silent.code == "perfusion_incomplete" and "aslcontext" in silent.words


def test_volumes_are_told_by_a_pattern_that_must_fill_them() -> None:
    assert perfusion.repeat(["m0scan", "label", "control"], 5) == ["m0scan", "label", "control", "label", "control"]
    assert perfusion.table(["cbf"]) == "volume_type\ncbf\n"
    for pattern, volumes in ((["label", "control"], 5), ([], 4), (["m0scan"], 2), (["tag", "control"], 4)):
        with pytest.raises(BidsError) as error:
            perfusion.repeat(pattern, volumes)
        assert error.value.code == "perfusion_pattern"


def test_a_pasl_and_an_included_m0_ask_for_more() -> None:
    pasl = {**FIELDS, "ArterialSpinLabelingType": "PASL", "BolusCutOffFlag": True}
    assert perfusion.missing(pasl, ["label", "control"], 2) == ["BolusCutOffDelayTime", "BolusCutOffTechnique"]
    assert perfusion.missing({**FIELDS, "M0Type": "Included"}, ["label", "control"], 2) == ["m0scan in aslcontext"]
    assert perfusion.missing({**FIELDS, "M0Type": "Estimate"}, ["label", "control"], 2) == ["M0Estimate"]
    assert perfusion.missing(FIELDS, ["label", "control"], 2) == []
