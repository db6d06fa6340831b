"""Pictures of a head's surface: as one sees a person, before and after at the same level, black where there is nothing."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from deid import render, skin
from spatial import affines
from spatial.volumes import Volume


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def lump() -> Volume:
    """A ball with a nose to the front (+y) and a knob on its right side (+x), 3 mm voxels."""
    x, y, z = (np.indices((70, 70, 70)) - 35) * 3.0
    ball = x**2 + y**2 + z**2 < 60**2
    nose = (x**2 + (y - 65) ** 2 + z**2) < 14**2
    knob = ((x - 65) ** 2 + y**2 + z**2) < 14**2
    return Volume((500.0 * (ball | nose | knob)).astype(np.float32), affines.translation((-105,) * 3) @ affines.scaling(3))


def outline(picture: np.ndarray) -> tuple[int, int]:
    """How far the head reaches to the left and to the right of the middle, in pixels."""
    columns = np.flatnonzero((picture > 0).any(axis=0))
    return skin.SIDE_VOXELS // 2 - int(columns[0]), int(columns[-1]) - skin.SIDE_VOXELS // 2


def test_the_person_is_seen_as_by_somebody_before_them() -> None:
    left, right = outline(render.strip(lump(), (0.0,)))
    assert left > right + 5, "the right side of the person is on the viewer's left"


@pytest.mark.parametrize(("angle", "nose_on_the_left"), [(90.0, True), (-90.0, False)])
def test_both_profiles_are_drawn(angle: float, nose_on_the_left: bool) -> None:
    left, right = outline(render.strip(lump(), (angle,)))
    assert (left > right + 5) is nose_on_the_left and (right > left + 5) is not nose_on_the_left


def test_depth_is_where_the_skin_is() -> None:
    depth, shade = render.surface(lump(), 0.0)
    middle = skin.SIDE_VOXELS // 2
    assert 0 < 131 - 80.5 - depth[middle, middle] < 6, "80.5 mm before the middle of the cube, and up to two voxels of blur more"
    assert np.isnan(depth[2, 2]) and shade[2, 2] == 0 and shade[middle, middle] > 0.3


def test_five_views_stand_side_by_side_and_are_always_the_same() -> None:
    first = render.render(lump())
    assert first == render.render(lump())
    assert Image.open(io.BytesIO(first)).size == (5 * skin.SIDE_VOXELS * render.ZOOM, skin.SIDE_VOXELS * render.ZOOM)


def test_before_stands_above_after_at_the_same_level() -> None:
    before = lump()
    data = before.data.copy()
    data[:, 50:, :] = 0
    after = Volume(data * 0.9, before.affine)
    rows = np.asarray(Image.open(io.BytesIO(render.pair(before, after, (90.0,)))))
    half = rows.shape[0] // 2
    assert rows.shape[0] == 2 * skin.SIDE_VOXELS * render.ZOOM
    assert (rows[:half] > 0).sum() > (rows[half:] > 0).sum() > 0
    np.testing.assert_array_equal(rows[:half], np.asarray(Image.open(io.BytesIO(render.render(before, (90.0,))))))


def test_nothing_is_black() -> None:
    empty = Volume(np.zeros((20, 20, 20), dtype=np.int16), affines.scaling(3))
    assert not np.asarray(Image.open(io.BytesIO(render.render(empty)))).any()
    assert not np.asarray(Image.open(io.BytesIO(render.pair(empty, empty)))).any()


@pytest.mark.parametrize("angle", [90.0, -90.0, 180.0, -180.0, 270.0])
def test_a_right_angle_turned_voxel_by_voxel_shows_what_a_hair_more_shows(angle: float) -> None:
    (depth, shade), (other_depth, other_shade) = render.surfaces(lump(), (angle, angle + 1e-4))
    np.testing.assert_array_equal(np.isfinite(depth), np.isfinite(other_depth))
    np.testing.assert_allclose(shade, other_shade, atol=1e-2)
    np.testing.assert_allclose(depth, other_depth, atol=skin.STEP_MM)
    (front, _), (wrong, _) = render.surfaces(lump(), (0.0, angle))
    assert np.nansum(abs(front - wrong) > 5) > 20, "another side looks otherwise"
