"""A head moved by a known matrix is found again, whatever its contrast, slices and field of view; what shows nothing is said to."""

from __future__ import annotations

import numpy as np
import pytest

from spatial import affines, register, templates
from spatial.errors import SpatialError
from spatial.resample import resample
from spatial.volumes import Volume

POSE = affines.translation((12, -25, 18)) @ affines.rotation((14, -8, 10)) @ affines.scaling((0.93, 1.04, 0.9))


def apart_mm(found: affines.Matrix, truth: affines.Matrix) -> float:
    """Mean distance of the face box's corners under two matrices head world -> template world."""
    box = templates.face_box()
    ways = [affines.apply(affines.inverse(m), box) for m in (found, truth)]
    return float(np.sqrt(((ways[0] - ways[1]) ** 2).sum(axis=1)).mean())


def posed(pose: affines.Matrix, zooms: tuple[float, float, float] = (2, 2, 2), rows: slice = slice(None), seed: int = 0) -> Volume:
    """The template as another scanner would see it: its world is moved by `pose`, sampled on a grid of its own."""
    head = templates.head()
    shape = [round(230 / z) for z in zooms]
    middle = affines.apply(pose, affines.centre(head.volume.shape, head.volume.affine)[None])[0]
    grid = affines.translation(middle - 115) @ affines.scaling(zooms)
    like = Volume(np.zeros(shape, dtype=np.uint8), grid)
    data = resample(head.volume, like, affines.inverse(pose)).data + np.random.default_rng(seed).normal(0, 6, shape).astype(np.float32)
    return Volume(data[:, :, rows], grid @ affines.translation((0, 0, rows.start or 0)))


CASES = {
    "isotropic": ((2.0, 2.0, 2.0), slice(None), False),
    "thick axial slices": ((1.5, 1.5, 5.0), slice(None), False),
    "thick sagittal slices": ((4.8, 1.5, 1.5), slice(None), False),
    "upper half only": ((2.0, 2.0, 2.0), slice(50, 115), False),
    "inverted contrast": ((2.0, 2.0, 2.0), slice(None), True),
}


@pytest.mark.parametrize("case", CASES)
def test_a_known_pose_is_found(case: str) -> None:
    zooms, rows, inverted = CASES[case]
    volume = posed(POSE, zooms, rows)
    if inverted:
        volume = Volume(np.where(volume.data > 40, 480 - volume.data, volume.data), volume.affine)
    found = register.align(templates.head().volume, volume, kind="affine")
    assert apart_mm(found.matrix, affines.inverse(POSE)) < 2.0
    assert found.rotation_deg == pytest.approx(affines.angle_deg(POSE), abs=1.5) and not found.doubtful


def test_the_measure_of_this_test_sees_a_wrong_answer() -> None:
    assert apart_mm(affines.translation((0, 5, 0)) @ affines.inverse(POSE), affines.inverse(POSE)) > 4


def test_two_pictures_of_one_visit_are_aligned_rigidly() -> None:
    first = posed(np.eye(4))
    moved = affines.translation((3, -4, 5)) @ affines.rotation((4, 2, -5))
    second = posed(moved, (1.5, 1.5, 4.0), seed=1)
    found = register.align(first, second, kind="rigid", reach="near")
    assert found.scale == pytest.approx((1, 1, 1), abs=1e-9)
    assert apart_mm(found.matrix, affines.inverse(moved)) < 1.5


def test_a_head_lying_on_its_side_is_found_when_asked_to_look_everywhere() -> None:
    lying = affines.rotation((0, 90, 0))
    found = register.align(templates.head().volume, posed(lying), kind="affine", reach="any")
    assert apart_mm(found.matrix, affines.inverse(lying)) < 3


def test_the_same_seed_gives_the_same_matrix() -> None:
    volume = posed(POSE, (3, 3, 3))
    first, second = (register.align(templates.head().volume, volume, kind="affine", seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.matrix, second.matrix)


def test_a_slab_and_the_whole_head_find_each_other_either_way_round() -> None:
    """Points come from the slab both times, so one is the inverse of the other."""
    volume = posed(POSE, (3, 3, 3), slice(40, 72))
    there = register.align(templates.head().volume, volume, kind="affine").matrix
    back = register.align(volume, templates.head().volume, kind="affine").matrix
    np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-6)


def test_an_empty_volume_is_said_to_be_empty() -> None:
    blank = Volume(np.zeros((20, 20, 20), dtype=np.int16), affines.scaling(4))
    with pytest.raises(SpatialError) as caught:
        register.align(templates.head().volume, blank)
    assert caught.value.code == "empty_volume"
