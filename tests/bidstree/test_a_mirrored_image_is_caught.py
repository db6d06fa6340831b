"""Each way in which a converter can be wrong, done on purpose to a right image: the witness must see it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bidstree import convert, second, witness
from bidstree import frames as reading
from bidstree.convert import Conversion

CASE = "siemens_bold_mosaic/cor/corint36"


def rewrite(source: Path, target: Path, change: Callable[[Any, Any], tuple[Any, Any]]) -> Path:
    image = nib.load(source)
    data, affine = change(np.asanyarray(image.dataobj).copy(), image.affine.copy())
    nib.save(nib.Nifti1Image(data, affine), target)
    return target


def shifted(data: Any, affine: Any) -> tuple[Any, Any]:
    affine[:3, 3] += affine[:3, :3] @ [0.05, 0, 0]
    return data, affine


def swapped_slices(data: Any, affine: Any) -> tuple[Any, Any]:
    return data[:, :, np.r_[1, 0, 2 : data.shape[2]][::-1][::-1]][:, :, ::-1], affine


WRONG: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "mirrored slices": lambda data, affine: (data[:, :, ::-1], affine),
    "mirrored columns": lambda data, affine: (data[::-1], affine),
    "mirrored rows": lambda data, affine: (data[:, ::-1], affine),
    "left is right": lambda data, affine: (data, np.diag([-1.0, 1, 1, 1]) @ affine),
    "shifted by a twentieth of a voxel": shifted,
    "a lost volume": lambda data, affine: (data[..., :1], affine),
    "a doubled volume": lambda data, affine: (np.concatenate([data, data[..., :1]], axis=3), affine),
    "a lost slice": lambda data, affine: (data[:, :, :-1], affine),
    "slices in another order": swapped_slices,
    "negative values": lambda data, affine: (-data, affine),
    "scaled by a wrong voxel size": lambda data, affine: (data, affine @ np.diag([1.02, 1, 1, 1])),
}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_image_is_not_confirmed(mri: Path, converted: dict[str, Conversion], tmp_path: Path, name: str) -> None:
    frames = reading.read(mri / "dicom" / CASE).frames
    right = witness.weigh(converted[CASE].images[0].nifti, frames)
    assert (right.geometry, right.values, right.order) == ("agrees", "equal", "as_acquired")
    wrong = witness.weigh(rewrite(converted[CASE].images[0].nifti, tmp_path / "wrong.nii", WRONG[name]), frames)
    if "a lost" in name:
        # What is left may be right in itself (a derived volume set apart is): the series as a whole must account for every frame.
        assert (witness.lost([right], frames), witness.lost([wrong], frames)) == (0, 72 - len(wrong.placings))
        assert witness.lost([wrong], frames) in {2, 36}
        return
    assert wrong.geometry == "contradicts" or wrong.values == "differ"
    assert convert.judge(wrong, "agrees", alone=True) == "disagreed"


def test_volumes_in_another_order_are_told(mri: Path, converted: dict[str, Conversion], tmp_path: Path) -> None:
    frames = reading.read(mri / "dicom" / CASE).frames
    evidence = witness.weigh(rewrite(converted[CASE].images[0].nifti, tmp_path / "w.nii", lambda data, affine: (data[..., ::-1], affine)), frames)
    assert (evidence.values, evidence.order) == ("equal", "permuted")


def test_a_reorientation_that_moves_no_voxel_in_the_world_is_no_error(mri: Path, converted: dict[str, Conversion], tmp_path: Path) -> None:
    """Flipping array and affine together is the same image."""
    source = converted[CASE].images[0].nifti
    nib.save(nib.as_closest_canonical(nib.load(source)), tmp_path / "ras.nii")
    evidence = witness.weigh(tmp_path / "ras.nii", reading.read(mri / "dicom" / CASE).frames)
    assert (evidence.geometry, evidence.values) == ("agrees", "equal")
    assert second.compare(source, tmp_path / "ras.nii").said == "agrees"


def test_without_plane_attributes_a_dissent_goes_to_a_person(series: Path, tmp_path: Path) -> None:
    """No geometry of our own, and the other converter differs: nobody settles it."""
    evidence = witness.Evidence(tmp_path / "x.nii", (4, 4, 4), "unavailable")
    assert convert.judge(evidence, "agrees", alone=True) == "agreed"
    assert convert.judge(evidence, "geometry_differs", alone=True) == "disagreed"
    assert convert.judge(evidence, "crashed", alone=True) == "one_only"


def test_the_second_opinion_can_die_or_hang_without_harm(series: Path, tmp_path: Path) -> None:
    assert second.ask(series, tmp_path / "a.nii", wall_s=0.01) == "timeout"
    assert second.ask(tmp_path / "nothing", tmp_path / "b.nii") in {"crashed", "refused"}
    assert second.ask(series, tmp_path / "c.nii") == "image"
    shutil.rmtree(series)
