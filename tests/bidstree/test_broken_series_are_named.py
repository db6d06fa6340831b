"""What is not whole is named and not converted; the same series, whole, goes through."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from bidstree import convert
from tests.bidstree.known import EDGES, folders

Spoil = Callable[[list[Path]], None]


def change(path: Path, **values: Any) -> None:
    ds = pydicom.dcmread(path)
    for keyword, value in values.items():
        setattr(ds, keyword, value)
    ds.save_as(path)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda path: float(pydicom.dcmread(path, specific_tags=["ImagePositionPatient"]).ImagePositionPatient[2]))


def lose_a_slice(paths: list[Path]) -> None:
    paths[1].unlink()


def double_a_slice(paths: list[Path]) -> None:
    shutil.copyfile(paths[0], paths[0].with_name("again.dcm"))


def cut_pixels(paths: list[Path]) -> None:
    ds = pydicom.dcmread(paths[0])
    ds.PixelData = ds.PixelData[: len(ds.PixelData) // 2]
    ds.save_as(paths[0])


def turn_a_slice(paths: list[Path]) -> None:
    change(paths[0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])


def move_a_slice(paths: list[Path]) -> None:
    ds = pydicom.dcmread(paths[0])
    first, second = (pydicom.dcmread(path).ImagePositionPatient for path in paths[:2])
    change(paths[0], ImagePositionPatient=[a + 0.3 * (b - a) for a, b in zip(first, second, strict=True)])
    assert ds


def push_a_slice_aside(paths: list[Path]) -> None:
    ds = pydicom.dcmread(paths[1])
    right = ds.ImageOrientationPatient[:3]
    change(paths[1], ImagePositionPatient=[p + 12 * r for p, r in zip(ds.ImagePositionPatient, right, strict=True)])


def forget_a_position(paths: list[Path]) -> None:
    ds = pydicom.dcmread(paths[0])
    del ds.ImagePositionPatient
    ds.save_as(paths[0])


def turn_another_angle(paths: list[Path]) -> None:
    for n, path in enumerate(paths):
        change(path, FlipAngle=90 if n else 20)


def name_another_series(paths: list[Path]) -> None:
    change(paths[0], SeriesInstanceUID="1.2.3")


def name_another_frame_of_reference(paths: list[Path]) -> None:
    change(paths[0], FrameOfReferenceUID="1.2.3")


def stop_in_the_second_volume(paths: list[Path]) -> None:
    for n, path in enumerate(paths[:2]):
        copy = path.with_name(f"second{n}.dcm")
        shutil.copyfile(path, copy)
        change(copy, SOPInstanceUID=f"1.2.3.{n}", InstanceNumber=10 + n)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lose_a_slice, "missing_slices"),
        (double_a_slice, "duplicate_images"),
        (cut_pixels, "pixels_truncated"),
        (turn_a_slice, "mixed_orientation"),
        (move_a_slice, "uneven_spacing"),
        (push_a_slice_aside, "slices_shifted"),
        (forget_a_position, "position_unknown"),
        (turn_another_angle, "mixed_contrast"),
        (name_another_series, "several_series"),
        (name_another_frame_of_reference, "several_frames_of_reference"),
        (stop_in_the_second_volume, "interrupted_series"),
    ],
)
def test_a_spoiled_series_is_refused_by_its_name(series: Path, tmp_path: Path, spoil: Spoil, code: str) -> None:
    assert convert.series(series, tmp_path / "before", ask_second=False).code == "ok"
    spoil(files(series))
    done = convert.series(series, tmp_path / "after", ask_second=False)
    assert (done.verdict, done.code, done.images) == ("refused", code, [])
    assert done.reason.endswith(".") and done.advice


def test_the_visit_with_a_lost_slice_is_refused_and_its_whole_series_are_not(mri: Path, tmp_path: Path) -> None:
    """The shared visit lacks slice 35 of its T2w and slice 115 of its T1w (its own README says 56 slices, 55 are there)."""
    codes = {}
    for path in sorted((mri / "dicom/siemens_visit_face").iterdir()):
        if path.suffix == ".dcm" or path.suffix == "":
            uid = pydicom.dcmread(path, specific_tags=["SeriesNumber"]).SeriesNumber
            folder = tmp_path / "in" / str(uid)
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / path.name)
    for folder in sorted((tmp_path / "in").iterdir()):
        codes[folder.name] = convert.series(folder, tmp_path / "out" / folder.name, ask_second=False).code
    assert codes == {"5": "missing_slices", "6": "missing_slices", "17": "ok", "18": "ok"}


def test_edge_cases_never_crash_and_are_answered(mri: Path, tmp_path: Path) -> None:
    answers = {
        folder.relative_to(mri / "edge").as_posix(): convert.series(folder, tmp_path / str(n), ask_second=False).code
        for n, folder in enumerate(folders(mri / "edge"))
    }
    assert answers == EDGES


def test_a_capture_without_a_place_is_no_volume(mri: Path, tmp_path: Path) -> None:
    """One secondary capture of the shared data, alone in a folder: dcm2niix makes an image of it, of no known orientation."""
    (tmp_path / "in").mkdir()
    shutil.copyfile(mri / "edge/pydicom_charset/chrFren.dcm", tmp_path / "in/1.dcm")
    assert convert.series(tmp_path / "in", tmp_path / "out", ask_second=False).code in {"position_unknown", "no_image"}


def test_three_planes_are_a_localizer(series: Path, tmp_path: Path) -> None:
    paths = files(series)
    change(paths[0], ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    change(paths[1], ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    assert convert.series(series, tmp_path / "out", ask_second=False).code == "localizer"


def test_a_folder_of_letters_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "letter.txt").write_text("no DICOM")
    assert convert.series(tmp_path / "in", tmp_path / "out").code == "no_image"


def test_files_beside_a_series_are_left_out_and_told(series: Path, tmp_path: Path) -> None:
    (series / "notes.txt").write_text("not DICOM")
    done = convert.series(series, tmp_path / "out", ask_second=False)
    assert done.code == "ok" and [path.name for path in done.unused] == ["notes.txt"]
    assert len(done.images[0].files) == 4
