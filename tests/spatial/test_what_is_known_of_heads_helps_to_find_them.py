"""A head has a shape that is known beforehand; thick slices of a defaced one, and a slab of another contrast, end where the whole T1 does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spatial import affines, poses, pyramid, register, templates, volumes
from spatial.poses import HEAD, RADIUS_MM, Frame
from spatial.volumes import Volume

FLAIR = "nifti/ms_longitudinal_patient01/raw/patient01/study2_FLAIR.nii.gz"
T1 = "nifti/ms_longitudinal_patient01/raw/patient01/study2_T1W.nii.gz"


def place(*, stretch: tuple[float, ...] = (0, 0, 0), shear: tuple[float, ...] = (0, 0, 0), turn: tuple[float, ...] = (0, 0, 0)) -> Any:
    import torch

    return torch.tensor([[[*turn, 0, 0, 0, *(RADIUS_MM * np.array([*stretch, *shear]))]]], dtype=torch.float64)


def frame(shape: poses.Shape = HEAD, *, shape_first: bool = False) -> Frame:
    return Frame([np.zeros(3)], np.zeros(3), None, "cpu", shape, shape_first=shape_first)


def test_the_usual_shape_costs_nothing_and_a_squeezed_one_does() -> None:
    usual = place(stretch=HEAD.stretch, shear=HEAD.shear)
    assert frame().prior(usual).item() < 1e-4
    assert frame().prior(usual + place(stretch=(0.2, -0.1, -0.1))).item() > 0.02
    assert frame(poses.UNKNOWN).prior(place()).item() == 0, "of other pictures nothing is known"


def test_a_child_s_head_of_the_usual_shape_costs_little() -> None:
    small = place(stretch=tuple(s + 0.26 for s in HEAD.stretch), shear=HEAD.shear)
    assert frame().prior(small).item() < 0.01


@pytest.mark.parametrize("shape_first", [False, True])
def test_a_head_on_its_side_has_the_same_shape(shape_first: bool) -> None:
    """Stretch lies along the template's axes on whichever side of the matrix the template is."""
    along_z = place(stretch=(0, 0, 0.3), turn=(0, RADIUS_MM * np.pi / 2, 0))
    matrix = frame(shape_first=shape_first).world(along_z[:, 0])[0]
    template_z = matrix[:3, 2] if shape_first else matrix[2, :3]
    assert np.linalg.norm(template_z) == pytest.approx(np.exp(0.3))
    for other in range(2):
        assert np.linalg.norm(matrix[:3, other] if shape_first else matrix[other, :3]) == pytest.approx(1)


def test_the_shape_the_other_way_round_is_the_opposite() -> None:
    assert frame(shape_first=True).shape.stretch == tuple(-s for s in HEAD.stretch)
    assert HEAD.back.back == HEAD


@pytest.fixture(scope="module")
def t1(mri: Path) -> Volume:
    return pyramid.shrunk(volumes.load(mri / T1))


@pytest.fixture(scope="module")
def true(t1: Volume) -> affines.Matrix:
    return register.align(templates.head().volume, t1, kind="affine").matrix


@pytest.mark.needs("shared-data")
def test_thick_slices_of_a_defaced_head_are_found(mri: Path, t1: Volume, true: affines.Matrix) -> None:
    """They ended 46 mm away when 1500 points chose ten places to climb from."""
    flair = volumes.load(mri / FLAIR)
    beside = register.align(t1, flair, kind="rigid", reach="near")
    found = register.align(templates.head().volume, flair, kind="affine")
    assert register.apart_mm(found.matrix, true @ beside.matrix, templates.face_box()) < 7


@pytest.mark.needs("shared-data")
def test_a_slab_with_dark_and_bright_swapped_ends_where_the_whole_head_does(t1: Volume, true: affines.Matrix) -> None:
    """The upper three quarters of a real head, in other grey values."""
    data = np.where(pyramid.foreground(t1.data), t1.data.max() * 1.1 - t1.data, t1.data).astype(np.float32)
    axis = int(np.argmax(np.abs(t1.affine[2, :3])))
    low = t1.shape[axis] // 4 if t1.affine[2, axis] > 0 else 0
    step = np.eye(4)
    step[axis, 3] = low
    cut = np.take(data, range(low, low + round(0.75 * t1.shape[axis])), axis=axis)
    found = register.align(templates.head().volume, Volume(np.ascontiguousarray(cut), t1.affine @ step), kind="affine")
    assert register.apart_mm(found.matrix, true, templates.face_box()) < 5
    assert affines.scales(found.matrix)[2] < 1.15 * affines.scales(found.matrix)[0]
