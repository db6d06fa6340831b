"""The pictures a reader needs, as small grey arrays: the background with its ghosts made visible, and the brain.

A whole head before defacing shows a face. `brain` mosaics never do: axial slices of the upper half of the brain and a coronal one, all else black.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qa.errors import QaError
from qa.robust import Tensor, quantile
from qa.scene import Scene

TILES = 6
SIDE = 128
"""Edge of one tile in pixels."""


def of(scene: Scene, stage: str) -> dict[str, NDArray[np.uint8]]:
    """`whole` (three planes through the middle), `background` (the same, air enhanced), `brain` (axial slices inside the mask).

    A picture that cannot be made is left out. `whole` and `background` of stage pre-deface can show a face: the caller keeps them in the review zone.
    """
    found = {}
    top = max(quantile(scene.work, 0.995), 1e-9)
    found["whole"] = row([grey(plane, 0.0, top) for plane in _planes(scene)])
    faint = max(quantile(scene.work, 0.90) * 0.35, 1e-9)
    found["background"] = row([grey(plane, 0.0, faint) for plane in _planes(scene)])
    try:
        found["brain"] = row(_brain_tiles(scene))
        found["masks"] = row(_mask_tiles(scene))
    except QaError:
        pass
    return found


def _planes(scene: Scene) -> list[NDArray[np.float32]]:
    """Three axial slices, one coronal and one sagittal, through the middle of the object: head up, left on the left, aspect true, float."""
    try:
        mask = scene.head.mask
        where = mask.nonzero()
        low, high = where.min(0).values.tolist(), where.max(0).values.tolist()
    except QaError:
        low, high = [0, 0, 0], [n - 1 for n in scene.work.shape]
    at = [(a + b) // 2 for a, b in zip(low, high, strict=True)]
    levels = [round(low[2] + f * (high[2] - low[2])) for f in (0.35, 0.6, 0.8)]
    z = scene.work_zooms
    axial = [_upright(scene.work[:, :, k], z[0], z[1]) for k in levels]
    return [*axial, _upright(scene.work[:, at[1], :], z[0], z[2]), _upright(scene.work[at[0]], z[1], z[2])]


def _brain_tiles(scene: Scene) -> list[NDArray[np.uint8]]:
    mask = scene.brain.place  # all of the brain's place: what is missing there must show
    where = mask.nonzero()
    low, high = int(where[:, 2].min()), int(where[:, 2].max())
    inside = scene.work[mask]
    top = max(quantile(inside, 0.995) * 1.05, 1e-9)
    z = scene.work_zooms
    box = (int(where[:, 0].min()), int(where[:, 0].max()) + 1, int(where[:, 1].min()), int(where[:, 1].max()) + 1)
    tiles = []
    for f in np.linspace(0.5, 0.92, TILES - 1):
        k = round(low + float(f) * (high - low))
        part = (scene.work[:, :, k] * mask[:, :, k])[box[0] : box[1], box[2] : box[3]]
        tiles.append(grey(_upright(part, z[0], z[1]), 0.0, top))
    middle = int(where[:, 1].double().mean())
    part = (scene.work[:, middle] * mask[:, middle])[box[0] : box[1], low : high + 1]
    tiles.append(grey(_upright(part, z[0], z[2]), 0.0, top))
    return tiles


def _mask_tiles(scene: Scene) -> list[NDArray[np.uint8]]:
    """The same axial slices as labels: the brain's place dark grey, tissue from fluid to white matter brighter. They show no face."""
    field, classes = scene.field_and_tissue
    probability = classes.posterior(scene.work / field)
    label = 40.0 * scene.brain.place + sum(scene.inner * p * v for p, v in ((probability["csf"], 30), (probability["gm"], 110), (probability["wm"], 200)))
    where = scene.brain.place.nonzero()
    low, high = where.min(0).values.tolist(), (where.max(0).values + 1).tolist()
    levels = [round(low[2] + float(f) * (high[2] - 1 - low[2])) for f in np.linspace(0.5, 0.92, TILES)]
    z = scene.work_zooms
    return [grey(_upright(label[low[0] : high[0], low[1] : high[1], k], z[0], z[1]), 0.0, 255.0) for k in levels]


def _upright(plane: Tensor, across_mm: float, up_mm: float) -> NDArray[np.float32]:
    """(a, b) with b pointing up -> rows from the top, resized to true aspect within SIDE x SIDE, padded with black."""
    import torch

    flat = plane.T.flip(0)[None, None].float()
    height, width = flat.shape[2] * up_mm, flat.shape[3] * across_mm
    scale = SIDE / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = torch.nn.functional.interpolate(flat, size=size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
    out = np.zeros((SIDE, SIDE), dtype=np.float32)
    top, left = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    out[top : top + size[0], left : left + size[1]] = small
    return out


def grey(x: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Linear window to 0..255."""
    return np.asarray(np.clip((x - low) / (high - low), 0, 1) * 255, dtype=np.uint8)


def row(tiles: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Tiles side by side with two black pixels between."""
    gap = np.zeros((tiles[0].shape[0], 2), dtype=np.uint8)
    parts = [p for tile in tiles for p in (tile, gap)]
    return np.concatenate(parts[:-1], axis=1)
