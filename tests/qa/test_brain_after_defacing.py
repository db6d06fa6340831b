"""Measured at the place found before, a brain is the same brain after the face has gone, however much of the head went with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from deid import facezones, headfit
from qa import masks
from qa.scene import Scene
from spatial import affines, templates
from spatial.volumes import Volume


def test_the_brain_is_the_same_after_defacing_though_the_threshold_of_the_head_is_another(clean: Volume) -> None:
    zone = headfit.lookup(facezones.zone(), clean, np.eye(4)) > 0
    zone |= np.indices(clean.shape)[2] < 40  # most of the neck as well: the threshold moves as it did on a real head
    before = Scene(clean, "T1w", matrix=np.eye(4))
    after = Scene(Volume(np.where(zone, 0, clean.data), clean.affine), "T1w", matrix=np.eye(4), zone=zone)
    assert after.head.threshold != pytest.approx(before.head.threshold, rel=1e-3), "this test is about a threshold that moves"
    kept = before.brain.place & ~torch.from_numpy(zone)
    assert bool((before.brain.mask == after.brain.mask)[kept].all())


@pytest.mark.parametrize(("aside_mm", "least", "most"), [(0, 0.97, 1.0), (60, 0.0, 0.9)])
def test_a_brain_is_looked_for_where_there_is_an_object_only(clean: Volume, aside_mm: float, least: float, most: float) -> None:
    head = templates.head()
    place = headfit.lookup(Volume(head.brain.astype(np.uint8), head.volume.affine), clean, affines.translation((aside_mm, 0, 0))) > 0
    lit = masks._object(torch.from_numpy(clean.data), torch.from_numpy(place), None)
    assert least <= float(lit[torch.from_numpy(place)].float().mean()) <= most
