"""Masks on heads of children's sizes: the average head with half and with three quarters of the volume, the second one taller, with fresh noise."""

from __future__ import annotations

import numpy as np
import pytest

from qa.scene import Scene
from spatial.resample import resample
from spatial.templates import head
from spatial.volumes import Volume


@pytest.fixture(scope="module")
def truth(base):
    """The average brain on the grid of `base`."""
    like = Volume(np.asarray(head().brain, np.float32), head().volume.affine)
    return np.asarray(resample(like, base, order="nearest").data) > 0.5


@pytest.mark.parametrize(("size", "tall"), [(0.80, 1.0), (0.88, 1.1)])
def test_the_brain_of_a_child_is_found_at_its_size(base, truth, rician, size, tall):
    affine = base.affine @ np.diag([size, size, size * tall, 1.0])
    scene = Scene(Volume(rician(base.data, 8.0, 11), affine), "T1w")
    found = scene.brain_native.numpy()
    real = truth.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    ml = found.sum() * abs(np.linalg.det(affine[:3, :3])) / 1000
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.93
    assert ml == pytest.approx(real, rel=0.08), "not the size of an adult's"
    assert scene.brain.outside < 0.01
    field, tissue = scene.field_and_tissue
    assert tissue.mean[0] < tissue.mean[1] < tissue.mean[2], "fluid, grey and white matter from dark to bright"
    assert float(field[scene.inner].std()) < 0.1, "no shading where none is"
    assert not (scene.head_native.numpy()[:, :, -2:]).all(), "air stays air"
