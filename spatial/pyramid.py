"""The same head at 8, 4 and 2 mm: coarse pictures to find the place, finer ones to settle in it.

Voxels are averaged in whole blocks, never below their own size, so thick slices stay thick. Grey values become bins 0 to 31 between
robust limits. A *level* is looked up (values and slopes); *samples* are drawn (points in world mm and their bins).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial import affines
from spatial.affines import Matrix
from spatial.errors import SpatialError
from spatial.volumes import Volume

BINS = 32
LEVELS_MM = (8.0, 4.0, 2.0)
AIR_MM = 40.0  # how far air is continued beyond a face of the volume that shows only air
CUT_REACH = 20  # voxels around a cut through the head in which what was never filled is not taken for air
RIM_MM = 10.0  # points are drawn in the head and this far around it


@dataclass(frozen=True, eq=False)
class Level:
    """`channels` (4, k, j, i) float32: bin value, then its slope along world x, y, z per mm; `affine` of that grid; `centre` of the head, mm."""

    channels: NDArray[np.float32]
    affine: Matrix
    centre: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Samples:
    """`points` (n, 3) world mm and their `bins` (n,) int64; `centre` of the head, mm."""

    points: NDArray[np.float64]
    bins: NDArray[np.int64]
    centre: NDArray[np.float64]


def shrink(volume: Volume, mm: float) -> Volume:
    """Average whole blocks so that voxel edges come near `mm`; what does not fill a block at the end is dropped."""
    data = volume.data
    blocks = [max(1, min(n, round(mm / z))) for n, z in zip(data.shape, volume.zooms, strict=False)]
    for axis, block in enumerate(blocks):
        if block > 1:
            data = _block_means(data, axis, block)
    step = np.diag([*blocks, 1.0])
    step[:3, 3] = [(b - 1) / 2 for b in blocks]
    return Volume(np.asarray(data, dtype=np.float32), volume.affine @ step)


def _block_means(data: NDArray[Any], axis: int, block: int) -> NDArray[np.float32]:
    """Whole slices are added up: ten times as fast as a mean over an axis of two or three."""
    along = np.moveaxis(data, axis, 0)
    whole = len(along) // block * block
    total = along[0:whole:block].astype(np.float32)
    for n in range(1, block):
        total += along[n:whole:block]
    total /= block
    return np.moveaxis(total, 0, axis)


@functools.lru_cache(maxsize=4)
def shrunk(volume: Volume) -> Volume:
    """The 3D (or time-averaged) volume at 2 mm, or its own voxel where that is coarser; kept for the last four volumes asked about (by identity)."""
    return shrink(volume.mean3d(), LEVELS_MM[-1])


def threshold(data: NDArray[np.float32]) -> float:
    """The grey value between air and head: half of Otsu's threshold, from the values below the 99th percentile (Otsu 1979, doi:10.1109/TSMC.1979.4310076).

    Raises SpatialError `empty_volume`.
    """
    low, high = np.percentile(data, (0.5, 99.0))
    if not high > low:
        raise SpatialError("empty_volume", "The volume has no contrast.")
    counts, edges = np.histogram(np.clip(data, low, high), bins=128)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)[:-1].astype(np.float64)
    above = data.size - below
    sums = np.cumsum(counts * middles)
    between = (sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)) ** 2 * below * above
    return float(low + 0.5 * (edges[1 + int(np.argmax(between))] - low))


def faint(data: NDArray[np.float32], noises: float) -> float:
    """The grey value where signal begins for somebody who looks for it: `noises` standard deviations above the air, and never above `threshold`.

    The deviation is the air's own (1.4826 times its median absolute deviation), and at least 2 % of bright tissue is asked for.
    Raises SpatialError `empty_volume`.
    """
    coarse = threshold(data)
    air = data[data < coarse]
    middle = float(np.median(air))
    noise = 1.4826 * float(np.median(np.abs(air - middle)))
    floor = middle + 0.02 * float(np.percentile(data, 99) - middle)
    return min(coarse, max(middle + noises * noise, floor))


def foreground(data: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Voxels with signal. Raises SpatialError `empty_volume`."""
    return np.asarray(data > threshold(data))


@functools.lru_cache(maxsize=2)  # the template, and the reference of the visit at hand
def levels(volume: Volume) -> tuple[Level, ...]:
    """The volume as 8, 4 and 2 mm levels to look values up in; kept for the last two volumes asked about (by identity). Raises SpatialError `empty_volume`."""
    fine = shrunk(volume)
    return tuple(_level(shrink(fine, mm)) for mm in LEVELS_MM)


def samples(volume: Volume, sizes_mm: Sequence[float], counts: Sequence[int], seed: int, *, everywhere: bool = False) -> list[Samples]:
    """Points drawn from the volume at each size: in the head and around it, or `everywhere` the scanner saw something. Raises SpatialError `empty_volume`."""
    fine = shrunk(volume)
    random = np.random.default_rng(seed)
    return [_samples(shrink(fine, mm), count, random, everywhere) for mm, count in zip(sizes_mm, counts, strict=True)]


def seen(data: NDArray[np.float32], head: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels that a scanner filled. Where other air is noisy, exact lowest values are padding near where they cut the head (a turned box, a face taken
    out); away from any cut they are air like other air, which says where a head ends."""
    from scipy import ndimage

    blank = data == data.min()
    air = ~head
    if not (air & ~blank).sum() > 0.3 * air.sum():
        return np.ones_like(blank)
    cut = ndimage.binary_opening(blank, np.ones((3, 3, 3))) & ndimage.maximum_filter(head, size=3)
    return np.asarray(~(blank & ndimage.maximum_filter(cut, size=2 * CUT_REACH + 1)))


def _binned(data: NDArray[np.float32], head: NDArray[np.bool_]) -> NDArray[np.float32]:
    low, high = float(np.percentile(data, 0.5)), float(np.percentile(data[head], 99.5))
    return np.asarray(np.clip((data - low) / max(high - low, 1e-12), 0, 1) * (BINS - 1), dtype=np.float32)


def _middle(head: NDArray[np.bool_], affine: Matrix) -> NDArray[np.float64]:
    """Centre of the foreground's box between its 2 % and 98 % voxels: stable against specks."""
    found = np.argwhere(head)
    return np.asarray(affines.apply(affine, (np.percentile(found, 2, axis=0) + np.percentile(found, 98, axis=0))[None] / 2)[0])


def _level(volume: Volume) -> Level:
    head = foreground(volume.data)
    data = _binned(volume.data, head)
    middle = _middle(head, volume.affine)
    pads = [_air(head, axis, mm) for axis, mm in enumerate(volume.zooms)]
    data = np.pad(data, pads)
    move = affines.translation([-before for before, _ in pads])
    affine = volume.affine @ move
    slopes = np.stack([np.gradient(data, axis=axis) if data.shape[axis] > 1 else np.zeros_like(data) for axis in range(3)])
    world = np.tensordot(affines.inverse(affine)[:3, :3].T, slopes, axes=1)
    channels = np.concatenate([data[None], world]).astype(np.float32)
    return Level(np.ascontiguousarray(channels.transpose(0, 3, 2, 1)), affine, middle)


def _air(head: NDArray[np.bool_], axis: int, mm: float) -> tuple[int, int]:
    """How many voxels of air to add before and after an axis: none where the head is cut by that face."""
    extra = int(np.ceil(AIR_MM / mm))
    ends = [float(np.take(head, index, axis=axis).mean()) for index in (0, -1)]
    return (extra if ends[0] < 0.03 else 0), (extra if ends[1] < 0.03 else 0)


def _samples(volume: Volume, count: int, random: np.random.Generator, everywhere: bool) -> Samples:
    from scipy import ndimage

    head = foreground(volume.data)
    wanted = seen(volume.data, head)
    if not everywhere:
        rim = [max(1, round(RIM_MM / z)) for z in volume.zooms]
        wanted &= ndimage.maximum_filter(head, size=[2 * r + 1 for r in rim])
    found = np.argwhere(wanted)
    chosen = found[random.choice(len(found), size=count, replace=len(found) < count)]
    bins = np.rint(_binned(volume.data, head)[tuple(chosen.T)]).astype(np.int64)
    return Samples(affines.apply(volume.affine, chosen), bins, _middle(head, volume.affine))
