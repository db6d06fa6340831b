"""A place in the world has one value, whichever way the voxels are stored."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from spatial import affines
from spatial.errors import SpatialError
from spatial.resample import resample
from spatial.volumes import Volume

TILTED = affines.translation((-20, 7, 11)) @ affines.rotation((10, -20, 30)) @ affines.scaling((1.0, 1.5, 3.0))


def ramp(shape: tuple[int, int, int], affine: affines.Matrix) -> Volume:
    """A volume whose value is a linear function of the place: linear interpolation must give it exactly."""
    at = affines.apply(affine, np.stack(np.indices(shape), axis=-1).reshape(-1, 3)).reshape(*shape, 3)
    return Volume((at @ [1.0, -2.0, 0.5] + 300).astype(np.float32), affine)


def test_the_same_grid_gives_the_same_values() -> None:
    volume = Volume(np.random.default_rng(0).integers(0, 999, (6, 7, 8)).astype(np.int16), TILTED)
    np.testing.assert_array_equal(resample(volume, volume, order="nearest").data, volume.data)
    np.testing.assert_allclose(resample(volume, volume).data, volume.data, atol=0.01)


def test_a_linear_field_is_read_exactly_on_another_grid() -> None:
    wide = ramp((40, 40, 40), affines.translation((-30, -30, -30)) @ affines.scaling(1.7))
    other = ramp((9, 8, 7), affines.rotation((15, 5, -25)) @ affines.scaling(1.3))
    np.testing.assert_allclose(resample(wide, other).data, other.data, atol=0.01)


def test_a_matrix_says_where_in_the_moving_world_to_look() -> None:
    wide = ramp((40, 40, 40), affines.translation((-30, -30, -30)) @ affines.scaling(1.7))
    small = ramp((5, 5, 5), np.eye(4))
    move = affines.translation((4.0, 0, 0))
    np.testing.assert_allclose(resample(wide, small, move).data, small.data + 4.0, atol=0.01)


def test_all_48_orders_and_flips_of_the_axes_are_the_same_picture() -> None:
    volume = Volume(np.random.default_rng(1).random((5, 6, 7)).astype(np.float32), TILTED)
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            data = volume.data.transpose(order)[tuple(slice(None, None, f) for f in flips)]
            step = np.zeros((4, 4))
            step[3, 3] = 1
            for new, old in enumerate(order):
                step[old, new] = flips[new]
                step[old, 3] = 0 if flips[new] == 1 else volume.shape[old] - 1
            turned = Volume(np.ascontiguousarray(data), volume.affine @ step)
            np.testing.assert_array_equal(resample(turned, volume, order="nearest").data, volume.data)


def test_time_is_carried_and_outside_is_zero() -> None:
    volume = Volume(np.ones((4, 4, 4, 3), dtype=np.float32), np.eye(4))
    far = Volume(np.zeros((4, 4, 4)), affines.translation((2, 0, 0)))
    out = resample(volume, far).data
    assert out.shape == (4, 4, 4, 3) and out[:2].min() == 1 and out[2:].max() == 0


def test_a_device_that_is_not_there_is_said() -> None:
    volume = Volume(np.ones((2, 2, 2), dtype=np.float32), np.eye(4))
    resample(volume, volume, device="cpu")
    with pytest.raises(SpatialError) as caught:
        resample(volume, volume, device="abacus")
    assert caught.value.code == "no_device"


def test_polar_decomposition_takes_turn_and_stretch_apart() -> None:
    matrix = affines.rotation((0, 0, 25)) @ affines.scaling((0.9, 1.0, 1.2))
    assert affines.angle_deg(matrix) == pytest.approx(25)
    assert affines.scales(matrix) == pytest.approx((0.9, 1.0, 1.2))
    assert affines.scales(matrix @ affines.scaling((-1, 1, 1)))[0] < 0, "a mirror is no turn"
