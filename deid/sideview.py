"""A neck seen from the side: where the outline of signal ends in front and behind, on a 2 mm grid along the picture's own axes.

x is the axis nearest to the right, y to the front, z up; all lengths are mm from the grid's first voxel. Nothing is aligned to any template.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deid import skin
from spatial import affines, pyramid
from spatial.affines import Matrix
from spatial.resample import resample
from spatial.volumes import Volume

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

STEP_MM = 2.0
MIDDLE_MM = 10.0  # planes this near to the middle make the profile
AIRS = 4.0  # tenth centiles of a picture with much air: well above its noise


@dataclass(frozen=True, eq=False)
class SideView:
    """The outline of signal on the 2 mm grid `affine` (to world mm): `solid` and `seen` (x, y, z); `front` and `back` (x, z) the y in mm of the outermost
    tissue (NaN: none), `cut` and `cut_back` whether the picture ends there."""

    affine: Matrix
    solid: Mask
    seen: Mask
    front: Floats
    back: Floats
    cut: Mask
    cut_back: Mask

    def along(self, axis: int) -> Floats:
        """The mm of the grid's voxels along an axis."""
        return np.asarray(STEP_MM * np.arange(self.solid.shape[axis], dtype=np.float64))


def level(volume: Volume) -> float:
    """The grey value where skin begins: as `deid.skin` says, or lower where muscle is dark and much is air. Raises SpatialError `empty_volume`."""
    data = pyramid.shrunk(volume).data
    low, high = np.percentile(data, (10, 99))
    edge = skin.level(volume)
    return edge if low <= 0.002 * high else min(edge, max(AIRS * float(low), 0.02 * float(high)))


def grid_along(volume: Volume) -> Volume:
    """An empty 2 mm grid along the volume's own axes, in the order and direction nearest to right, front, up."""
    edges = volume.affine[:3, :3] / volume.zooms
    order = max(itertools.permutations(range(3)), key=lambda p: sum(abs(edges[world, own]) for world, own in enumerate(p)))
    turn = np.stack([edges[:, own] * np.sign(edges[world, own]) for world, own in enumerate(order)], axis=1)
    turn, _ = affines.polar(np.block([[turn, np.zeros((3, 1))], [np.zeros((1, 3)), np.ones((1, 1))]]))
    corners = affines.corners(volume.shape, volume.affine) @ turn
    low, high = corners.min(axis=0), corners.max(axis=0)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * STEP_MM, turn @ low
    return Volume(np.broadcast_to(np.uint8(0), [int(n) for n in np.floor((high - low) / STEP_MM) + 1]), affine)


def look(volume: Volume, edge: float) -> SideView:
    from scipy import ndimage

    small = pyramid.shrunk(volume)
    grid = grid_along(small)
    seen = resample(Volume(np.ones(small.shape, dtype=np.float32), small.affine), grid).data > 0.6
    values = ndimage.gaussian_filter(resample(small, grid).data, 0.7)
    bright = ndimage.binary_opening((values > edge) & seen, structure=np.ones((2, 2, 2)))
    labels, count = ndimage.label(bright)
    solid = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])) if count else bright
    front, last = _outermost(solid), _outermost(seen)
    back, first = _outermost(solid[:, ::-1]), _outermost(seen[:, ::-1])
    n = grid.shape[1] - 1
    return SideView(grid.affine, solid, seen, STEP_MM * front, STEP_MM * (n - back), front >= last - 1, back >= first - 1)


def _outermost(solid: Mask) -> Floats:
    """Largest index along y per (x, z); NaN where there is none."""
    n = solid.shape[1]
    return np.where(solid.any(axis=1), n - 1.0 - np.argmax(solid[:, ::-1], axis=1), np.nan)


def middle_of(body: SideView) -> float:
    """x of the middle: of the body where both its sides are in view, else of the picture."""
    row, lit = np.asarray(body.solid.any(axis=1)), np.asarray(body.seen.any(axis=1))
    mids = []
    for k in np.flatnonzero(row.any(axis=0)):
        found, view = np.flatnonzero(row[:, k]), np.flatnonzero(lit[:, k])
        if found[0] > view[0] + 1 and found[-1] < view[-1] - 1:
            mids.append((found[0] + found[-1]) / 2)
    at = float(np.median(mids)) if len(mids) >= 10 else (body.solid.shape[0] - 1) / 2
    return float(STEP_MM * at)


def profile(body: SideView, middle: float) -> tuple[Floats, Floats]:
    """Heights and depths (mm) of the skin in front, seen from the side around the middle, upward; without gaps at the ends."""
    from scipy import ndimage

    near = abs(body.along(0) - middle) <= MIDDLE_MM
    rows = body.front[near]
    enough = np.isfinite(rows).sum(axis=0) >= max(2, near.sum() // 3)
    if enough.sum() < 8:
        return np.empty(0), np.empty(0)
    depth = np.full(rows.shape[1], np.nan)
    depth[enough] = np.nanmedian(rows[:, enough], axis=0)
    z = body.along(2)
    first, last = np.flatnonzero(enough)[[0, -1]]
    depth = np.interp(z, z[enough], depth[enough])[first : last + 1]
    return z[first : last + 1], np.asarray(ndimage.median_filter(depth, 3, mode="nearest"))


def back_at(body: SideView, z: float, middle: float) -> float:
    """The y of the skin behind at a height; minus infinity where the picture ends before it."""
    row = int(np.clip(round(z / STEP_MM), 0, body.solid.shape[2] - 1))
    near = abs(body.along(0) - middle) <= MIDDLE_MM
    back, cut = body.back[near, row], body.cut_back[near, row]
    known = np.isfinite(back) & ~cut
    return float(np.median(back[known])) if known.sum() >= max(2, near.sum() // 3) else -np.inf


def depth_over_width(body: SideView) -> float | None:
    """Largest ratio over the upper half of the rows in which the body is seen whole; None where it is in too few."""
    out = []
    row, lit = np.asarray(body.solid.any(axis=1)), np.asarray(body.seen.any(axis=1))
    for k in np.flatnonzero(row.any(axis=0)):
        found, view = np.flatnonzero(row[:, k]), np.flatnonzero(lit[:, k])
        whole = found[0] > view[0] + 1 and found[-1] < view[-1] - 1 and not (body.cut[found, k].any() or body.cut_back[found, k].any())
        if whole:
            out.append((np.nanmax(body.front[:, k]) - np.nanmin(body.back[:, k])) / (STEP_MM * (found[-1] - found[0] + 1)))
    return float(np.max(out[len(out) // 2 :])) if len(out) >= 8 else None
