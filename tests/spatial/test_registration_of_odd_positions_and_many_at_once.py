"""Infants, side and prone positions, any order of axes, padding: found all the same; and what cannot be known says so."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from spatial import affines, pyramid, register, templates
from spatial.errors import SpatialError
from spatial.resample import resample
from spatial.volumes import Volume


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seen(pose: affines.Matrix, mm: float = 3.0, size: float = 230.0, seed: int = 0) -> Volume:
    """The template in another pose, in an upright box of its own, with noise in the air."""
    head = templates.head().volume
    n = round(size / mm)
    middle = affines.apply(pose, affines.centre(head.shape, head.affine)[None])[0]
    grid = affines.translation(middle - size / 2) @ affines.scaling(mm)
    data = resample(head, Volume(np.zeros((n, n, n), dtype=np.uint8), grid), affines.inverse(pose)).data
    noise = np.random.default_rng(seed).normal(0, 6, (2, n, n, n))
    return Volume(np.hypot(data + noise[0], noise[1]).astype(np.float32), grid)


def error_mm(matrix: affines.Matrix, pose: affines.Matrix) -> float:
    return register.apart_mm(matrix, affines.inverse(pose), templates.face_box())


POSES = {
    "an infant's head": ("wide", affines.scaling(0.72)),
    "a large head": ("wide", affines.scaling(1.2)),
    "lying on the side": ("any", affines.rotation((0, 90, 0)) @ affines.translation((5, 10, -8))),
    "lying on the face": ("any", affines.rotation((0, 180, 0)) @ affines.rotation((10, 0, 5))),
    "30 degrees and 40 mm": ("wide", affines.translation((20, -30, 17)) @ affines.rotation((28, 8, -6))),
}


@pytest.mark.parametrize("name", POSES)
def test_an_odd_head_is_found(name: str) -> None:
    reach, pose = POSES[name]
    found = register.align(templates.head().volume, seen(pose), kind="affine", reach=reach)  # type: ignore[arg-type]
    assert error_mm(found.matrix, pose) < 2.5


@pytest.mark.parametrize(("order", "flips"), [((2, 0, 1), (1, -1, 1)), ((1, 2, 0), (-1, -1, -1))])
def test_the_order_and_direction_of_the_axes_do_not_matter(order: tuple[int, int, int], flips: tuple[int, int, int]) -> None:
    volume = seen(np.eye(4))
    turned = volume.data.transpose(order)[tuple(slice(None, None, f) for f in flips)]
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for new, old in enumerate(order):
        step[old, new] = flips[new]
        step[old, 3] = 0 if flips[new] == 1 else volume.shape[old] - 1
    other = Volume(np.ascontiguousarray(turned), volume.affine @ step)
    assert error_mm(register.align(templates.head().volume, other, kind="affine").matrix, np.eye(4)) < 1.0


def test_padding_with_zeros_is_not_taken_for_air_but_clean_air_is() -> None:
    volume = seen(np.eye(4))
    padded = volume.data.copy()
    padded[:, :, :14] = 0
    head = pyramid.foreground(padded)
    assert not pyramid.seen(padded, head)[:, :, :14].any() and pyramid.seen(padded, head)[:, :, 14:].all()
    clean = np.where(head, padded, 0).astype(np.float32)
    assert pyramid.seen(clean, head).all(), "a volume whose air is all zero shows air"
    found = register.align(templates.head().volume, Volume(padded, volume.affine), kind="affine")
    assert error_mm(found.matrix, np.eye(4)) < 2.0


def test_many_at_once_are_the_same_as_one_by_one_and_a_bad_one_stands_alone() -> None:
    template = templates.head().volume
    poses = [np.eye(4), affines.translation((10, 5, -12)) @ affines.rotation((10, 5, -9))]
    volumes = [seen(pose, 4.0, seed=n) for n, pose in enumerate(poses)]
    blank = Volume(np.zeros((30, 30, 30), dtype=np.float32), affines.scaling(4))
    together = register.align_many(template, [volumes[0], blank, volumes[1]])
    assert isinstance(together[1], SpatialError) and together[1].code == "empty_volume"
    for found, volume, pose in zip((together[0], together[2]), volumes, poses, strict=True):
        alone = register.align(template, volume, kind="affine")
        assert isinstance(found, register.Alignment)
        assert register.apart_mm(found.matrix, alone.matrix, templates.face_box()) < 0.1
        assert error_mm(found.matrix, pose) < 2.0


def test_a_head_in_noise_that_hides_it_is_doubtful_and_a_clear_one_is_not() -> None:
    clear = seen(np.eye(4))
    random = np.random.default_rng(1)
    noise = Volume(np.abs(random.normal(0, 100, clear.shape)).astype(np.float32), clear.affine)
    template = templates.head().volume
    assert not register.align(template, clear, kind="affine").doubtful
    assert register.align(template, noise, kind="affine").doubtful
