"""The look-up of a value with its slope says what torch's own sampling of the four pictures says, at edges, outside, and in pictures one voxel thin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spatial import affines
from spatial.agreement import Table
from spatial.pyramid import Level, Samples


@pytest.mark.parametrize("shape", [(9, 8, 7), (5, 6, 1), (1, 4, 5)], ids=str)
def test_all_four_at_once_are_what_grid_sample_gives(shape):
    random = np.random.default_rng(4)
    channels = random.normal(size=(4, *shape[::-1])).astype(np.float32)
    points = random.uniform(-3, 14, (500, 3))
    level = Level(channels, affines.translation([1.0, 2.0, 0.5]), np.zeros(3))
    table = Table([Samples(points, np.zeros(500, dtype=np.int64), np.zeros(3))], level, torch.device("cpu"), 32)
    turned = np.eye(4)
    turned[:3, :3] = [[0.98, -0.2, 0.0], [0.2, 0.98, 0.0], [0.0, 0.0, 1.1]]
    matrices = torch.from_numpy(turned[None, None, :3])
    four, inside = table.look(matrices, slope=True)
    one, also_inside = table.look(matrices, slope=False)
    assert inside.sum() < 500 and torch.equal(inside, also_inside)
    assert torch.allclose(four[:1], one, atol=1e-5)

    index = (points @ turned[:3, :3].T - [1.0, 2.0, 0.5] + 0.5) * 2 / np.array(shape) - 1
    at = torch.from_numpy(index.astype(np.float32)).reshape(1, -1, 1, 1, 3)
    said = torch.nn.functional.grid_sample(torch.from_numpy(channels)[None], at, padding_mode="border", align_corners=False)
    assert torch.allclose(four.reshape(4, -1), said.reshape(4, -1), atol=2e-5)
