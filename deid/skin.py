"""Where the skin is: the outermost voxels with signal, as points, and what an eye sees of them from any side.

The volume is averaged to 2 mm; what lies above the noise of the air, in one piece, is solid; its outer voxels, moved along the slope of the signal to
where that crosses the level, are the skin. Where a solid is only cut by the edge of the picture there is no skin, but it hides what lies behind.
Seen from a side (an orthographic look along one axis of a turned frame), points fall into pixels of 3 mm and the nearest to the eye wins.
Nothing is aligned to any template here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial import affines, pyramid
from spatial.affines import Matrix
from spatial.resample import resample
from spatial.volumes import Volume

STEP_MM = 2.0
SIDE_VOXELS = 132  # of the cube of 2 mm in which a head is looked at
PIXEL_MM = 3.0
SIDE_PIXELS = 88
NOISES = 6.0  # standard deviations of the air's noise

Points = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Skin:
    """`points` (n, 3) of skin and `ends` (m, 3) where the picture ends inside the head, both in mm."""

    points: Points
    ends: Points

    def placed(self, matrix: Matrix) -> Skin:
        """The same skin in another frame."""
        return Skin(affines.apply(matrix, self.points), affines.apply(matrix, self.ends))

    @property
    def middle(self) -> NDArray[np.float64]:
        """Median place (3,) of the skin."""
        return np.asarray(np.median(self.points, axis=0))


def level(volume: Volume) -> float:
    """The grey value where skin begins for somebody who looks for it: well above the noise of the air, and never above half of Otsu's threshold.

    Raises SpatialError `empty_volume`.
    """
    return pyramid.faint(pyramid.shrunk(volume).data, NOISES)


def turned(volume: Volume, angle_deg: float) -> tuple[Volume, Volume]:
    """The volume averaged to 2 mm, and that on a cube of 2 mm voxels along the world's axes, turned by the angle about the vertical through its middle."""
    small = pyramid.shrink(volume.mean3d(), STEP_MM)
    middle = affines.centre(small.shape, small.affine)
    half = (SIDE_VOXELS - 1) / 2 * STEP_MM
    grid = affines.translation(middle) @ affines.rotation((0, 0, angle_deg)) @ affines.translation((-half,) * 3) @ affines.scaling(STEP_MM)
    return small, resample(small, Volume(np.broadcast_to(np.uint8(0), (SIDE_VOXELS,) * 3), grid))


def solid(smooth: NDArray[Any], threshold: float) -> NDArray[np.bool_]:
    """The head without specks of ghost in the air: the largest piece that is nowhere thin, and what is thin within 6 mm of it (ears, lids)."""
    from scipy import ndimage

    above = smooth > threshold
    thick = ndimage.binary_opening(above, iterations=1)
    labels, count = ndimage.label(thick)
    if count > 1:
        thick = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return np.asarray(ndimage.binary_dilation(thick, iterations=3, mask=above) if count else thick)


def at_the_end(small: Volume, grid: Matrix, found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the voxels (..., 3) of a grid lie in the outermost voxels of the picture."""
    at = affines.apply(affines.inverse(small.affine) @ grid, found.reshape(-1, 3)).reshape(found.shape)
    rim = np.maximum(0.8, STEP_MM * 1.2 / np.array(small.zooms))
    return np.asarray(((at < rim) | (at > np.array(small.shape[:3]) - 1 - rim)).any(axis=-1))


def find(volume: Volume, threshold: float | None = None) -> Skin:
    """The skin of a volume in world mm, inner surfaces included. Raises SpatialError `empty_volume`."""
    from scipy import ndimage

    small, cube = turned(volume, 0.0)
    edge = level(volume) if threshold is None else threshold
    smooth = ndimage.gaussian_filter(cube.data, 0.7)
    whole = solid(smooth, edge)
    at = np.argwhere(whole & ~ndimage.binary_erosion(whole))
    end = at_the_end(small, cube.affine, at)
    slope = np.stack([part[tuple(at.T)] for part in np.gradient(smooth)], axis=-1)
    steep = np.linalg.norm(slope, axis=1) + 1e-6
    way = np.clip((edge - smooth[tuple(at.T)]) / steep, -1.0, 1.0)
    places = affines.apply(cube.affine, at + slope / steep[:, None] * way[:, None])
    return Skin(places[~end], places[end])


def depth(skin: Skin, turn: NDArray[np.float64]) -> NDArray[np.float64]:
    """What an eye on the +y axis sees after a turn (3, 3): y in mm of the nearest point, (x, z) in pixels of 3 mm; NaN where nothing or no skin is."""
    from scipy import ndimage

    near, end = _nearest(skin.points @ turn.T), ndimage.maximum_filter(_nearest(skin.ends @ turn.T), 3)
    empty = ~np.isfinite(near)
    between = empty & (ndimage.uniform_filter((~empty).astype(np.float64), 3) > 0.5)
    near[between] = ndimage.maximum_filter(near, 3)[between]
    return np.where(np.isfinite(near) & (near >= end), near, np.nan)


def _nearest(seen: Points) -> NDArray[np.float64]:
    """Largest y of the points in every pixel, minus infinity where none is."""
    x, z = (np.rint(seen[:, axis] / PIXEL_MM).astype(np.int64) + SIDE_PIXELS // 2 for axis in (0, 2))
    inside = (x >= 0) & (x < SIDE_PIXELS) & (z >= 0) & (z < SIDE_PIXELS)
    out = np.full((SIDE_PIXELS, SIDE_PIXELS), -np.inf)
    np.maximum.at(out, (x[inside], z[inside]), seen[inside, 1])
    return out


def slopes(seen: NDArray[np.float64]) -> NDArray[np.float32]:
    """How the skin leans: the x and z part (2, x, z) of its unit normal at every pixel, 0 where nothing is seen."""
    from scipy import ndimage

    known = np.isfinite(seen)
    share = np.maximum(ndimage.gaussian_filter(known.astype(np.float64), 0.7), 1e-6)
    filled = np.where(known, ndimage.gaussian_filter(np.where(known, seen, 0.0), 0.7) / share, np.nan)
    along_x, along_z = np.gradient(filled, PIXEL_MM)
    lean = -np.stack([along_x, along_z])
    lean = np.where(np.isfinite(lean).all(axis=0), lean, 0.0)
    return np.asarray(lean / np.sqrt(1 + (lean**2).sum(axis=0)), dtype=np.float32)
