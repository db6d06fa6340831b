"""Heads for the tests of quality: the average head at 2 mm with fresh noise, never a person's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spatial.resample import resample
from spatial.templates import head
from spatial.volumes import Volume

Image = NDArray[np.float32]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """The budget is one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base() -> Volume:
    """The average head on an upright 2 mm grid that holds all of it, without noise."""
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-95, -120, -115)
    return resample(head().volume, Volume(np.zeros((96, 124, 116), dtype=np.float32), affine))


def noisy(image: Image, sigma: float, seed: int) -> Image:
    """Rician noise."""
    rng = np.random.default_rng(seed)
    real = image + rng.normal(0, sigma, image.shape)
    return np.hypot(real, rng.normal(0, sigma, image.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def clean(base: Volume) -> Volume:
    """A clean scan: the head with 2 % Rician noise."""
    return Volume(noisy(base.data, 8.0, 1), base.affine)


@pytest.fixture(scope="session")
def rician() -> Callable[[Image, float, int], Image]:
    return noisy


@pytest.fixture(scope="session")
def clean_report(clean: Volume) -> dict:
    """The report of the clean scan, made once."""
    import qa

    return qa.measure(clean, "T1w")
