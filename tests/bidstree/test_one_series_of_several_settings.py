"""Opposite polarities, or several inversion or repetition times, in one series: images of their own where each is whole, refused where not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bidstree import classify, convert
from bidstree.classify import Contrast
from pipeline.rooms import since_injection
from tests.pipeline.made import scan

GE: dict[str, Any] = {"Manufacturer": "GE MEDICAL SYSTEMS", "ScanningSequence": ["EP", "SE"], "EchoTime": 60, "RepetitionTime": 3000, "FlipAngle": 90}
SE: dict[str, Any] = {"ScanningSequence": ["SE", "IR"], "EchoTime": 100, "RepetitionTime": 9000, "FlipAngle": 150, "Rows": 8}


def volume(folder: Path, first: int, slices: int = 4, **values: Any) -> None:
    for n in range(slices):
        at = {"ImagePositionPatient": [0.0, 0.0, 2.0 * n], "SliceThickness": 2.0, "SpacingBetweenSlices": 2.0}
        scan(folder / f"{first + n:03d}.dcm", instance=first + n, shown=first * 31 + n, **at, FrameOfReferenceUID="1.2.3", **values)


def shapes(done: convert.Conversion) -> list[tuple[int, ...]]:
    return [tuple(image.measures["shape"]) for image in done.images]


def test_a_series_of_one_setting_stays_one_image(tmp_path: Path) -> None:
    for n in range(2):
        volume(tmp_path / "in", 1 + 4 * n, **GE, RectilinearPhaseEncodeReordering="LINEAR")
    done = convert.series(tmp_path / "in", tmp_path / "out", ask_second=False)
    assert (done.code, shapes(done)) == ("ok", [(8, 8, 4, 2)]) and "split_by" not in done.images[0].measures


def test_two_polarities_become_two_images(tmp_path: Path) -> None:
    volume(tmp_path / "in", 1, **GE, RectilinearPhaseEncodeReordering="LINEAR")
    volume(tmp_path / "in", 5, **GE, RectilinearPhaseEncodeReordering="REVERSE_LINEAR")
    done = convert.series(tmp_path / "in", tmp_path / "out", ask_second=False)
    assert (done.code, shapes(done)) == ("ok", [(8, 8, 4), (8, 8, 4)])
    assert {image.measures["split_by"] for image in done.images} == {"polarity"}
    assert sorted(len(image.files) for image in done.images) == [4, 4] and not set(done.images[0].files) & set(done.images[1].files)


def test_two_inversion_times_become_two_images_and_an_unfinished_second_one_is_refused(tmp_path: Path) -> None:
    for case, second in (("whole", 4), ("half", 2)):
        volume(tmp_path / case, 1, **SE, InversionTime=2500)
        volume(tmp_path / case, 5, second, **SE, InversionTime=400)
    done = convert.series(tmp_path / "whole", tmp_path / "out", ask_second=False)
    assert [image.sidecar["InversionTime"] for image in done.images] == [0.4, 2.5] and done.images[0].measures["split_by"] == "inversion time"
    half = convert.series(tmp_path / "half", tmp_path / "out2", ask_second=False)
    assert half.verdict == "refused" and half.code in ("mixed_contrast", "interrupted_series")


@pytest.mark.parametrize(("times", "apart"), [((500, 4000), True), ((3000, 3010), False), ((900, 950, 1010, 1100, 1200), False)])
def test_repetition_times_that_follow_a_pulse_are_no_settings(tmp_path: Path, times: tuple[int, ...], apart: bool) -> None:
    """dcm2niix tears the volumes of such a series apart all the same; our geometry does not let that pass."""
    plain = SE | {"ScanningSequence": "SE"}
    for n, time in enumerate(times):
        volume(tmp_path / "in", 1 + 4 * n, **(plain | {"RepetitionTime": time}))
    done = convert.series(tmp_path / "in", tmp_path / "out", ask_second=False)
    assert {"split_by" in image.measures for image in done.images} == {apart}
    assert done.verdict == ("agreed" if apart else "disagreed")


def test_many_inversion_times_are_no_image_of_one_contrast(tmp_path: Path) -> None:
    for n in range(10):
        volume(tmp_path / "in", 1 + 4 * n, **SE, InversionTime=100 * (n + 1))
    done = convert.series(tmp_path / "in", tmp_path / "out", ask_second=False)
    assert (done.verdict, done.code) == ("refused", "mixed_contrast") and "inversion time" in done.reason


def test_images_of_one_series_that_differ_in_polarity_say_so_in_their_names() -> None:
    both = [Contrast("dwi", "dwi", {}, 0.9, ""), Contrast("dwi", "dwi", {}, 0.9, "")]
    assert [one.entities for one in classify.directed(both, ["AP", "PA"])] == [{"dir": "AP"}, {"dir": "PA"}]
    assert [one.entities for one in classify.directed(both, ["AP", "AP"])] == [{}, {}]
    (alone,) = classify.directed([Contrast("fmap", "epi", {}, 0.9, "")], ["PA"])
    assert alone.entities == {"dir": "PA"}
    (said,) = classify.directed([Contrast("fmap", "epi", {"dir": "AP"}, 0.9, "")], ["PA"])
    assert said.entities == {"dir": "AP"}


AGENT: dict[str, Any] = {"ContrastBolusAgent": "Gadovist"}
GRADIENT: dict[str, Any] = {"ScanningSequence": ["GR", "IR"], "EchoTime": 3, "RepetitionTime": 2000, "InversionTime": 900, "FlipAngle": 9, **AGENT}


@pytest.mark.parametrize(
    ("begun", "taken", "minutes"),
    [("101000", "101730.5", 8), ("235500", "000500", 10), ("102000", "101000", -10), ("", "101000", None), ("040000", "101000", None)],
)
def test_minutes_since_the_injection_are_kept_and_the_times_are_not(tmp_path: Path, begun: str, taken: str, minutes: int | None) -> None:
    path = scan(tmp_path / "1.dcm", ContrastBolusStartTime=begun, AcquisitionTime=taken, **AGENT)
    found = since_injection(path, AGENT)
    assert found == ({} if minutes is None else {"MinutesSinceInjection": minutes})
    answer = classify.contrast({}, GRADIENT | found)
    assert answer.fields.get("MinutesSinceInjection") == (minutes if minutes is not None and minutes >= 0 else None)
    assert answer.entities["ce"] == "gadolinium" and answer.review == (minutes == -10)
    assert since_injection(path, {}) == {}


def test_water_and_fat_of_one_series_become_two_images_with_names_of_their_own(tmp_path: Path) -> None:
    for n, kind in enumerate(("W", "F", "IP", "OP")):
        volume(tmp_path / "in", 1 + 4 * n, **(SE | {"ScanningSequence": "SE"}), ImageType=["DERIVED", "PRIMARY", kind])
    done = convert.series(tmp_path / "in", tmp_path / "out", ask_second=False)
    assert (done.verdict, shapes(done)) == ("agreed", [(8, 8, 4)] * 4) and done.images[0].measures["split_by"] == "Dixon kind"
    facts = {"ScanningSequence": "SE", "EchoTime": 10, "RepetitionTime": 500}
    answers = [classify.contrast(image.sidecar, facts) for image in done.images]
    assert sorted(str(one.entities["acq"]) for one in answers) == ["fat", "inphase", "outphase", "water"]
