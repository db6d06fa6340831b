"""What a passer-by would recognise: the surface of the head, lit from the front.

The volume is resampled to 2 mm, turned, and looked at along -y; the first voxel with signal is the skin, shaded by the slope of the smoothed signal there.
A picture of a head with a face is itself identifying: it belongs in the review zone and nowhere else.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial import affines, pyramid
from spatial.errors import SpatialError
from spatial.resample import resample
from spatial.volumes import Volume

STEP_MM = 2.0
SIDE_VOXELS = 132
VIEWS_DEG = (0.0, 40.0, -40.0)
ZOOM = 3
NOISES = 6.0  # standard deviations of the air's noise


def render(volume: Volume, views: tuple[float, ...] = VIEWS_DEG) -> bytes:
    """Front and two three-quarter views side by side, as PNG bytes (grey). An empty volume gives black views."""
    from PIL import Image

    pictures = [_view(volume, angle) for angle in views]
    strip = np.concatenate(pictures, axis=1)
    image = Image.fromarray(strip).resize((strip.shape[1] * ZOOM, strip.shape[0] * ZOOM), Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    image.save(sink, format="PNG", optimize=False)
    return sink.getvalue()


def surface(volume: Volume, angle_deg: float, threshold: float | None = None) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth (x, z) in mm from the front plane to the skin, and the shade 0 to 1 there, for the head turned about the vertical.

    Depth is NaN where nothing is met, and where what is met is only the end of the picture and no skin.
    """
    from scipy import ndimage

    small = pyramid.shrink(volume.mean3d(), STEP_MM)
    level = skin_level(volume) if threshold is None else threshold
    turned, grid = _turned(small, angle_deg)
    smooth = ndimage.gaussian_filter(turned, 0.7)
    solid = _largest(ndimage.binary_opening(smooth > level, iterations=1))
    towards = solid[:, ::-1, :]
    first = towards.argmax(axis=1)
    hit = towards.any(axis=1)
    where = np.where(hit, solid.shape[1] - 1 - first, 0)
    x, z = np.indices(where.shape)
    slopes = [np.asarray(s)[x, where, z] for s in np.gradient(ndimage.gaussian_filter(smooth, 1.0))]
    length = np.sqrt(sum(s**2 for s in slopes)) + 1e-9
    light = np.clip((-slopes[1] * 0.85 - slopes[2] * 0.35 + slopes[0] * 0.2) / length, 0, 1)
    skin = hit & ~_at_the_end(small, grid, np.stack([x, where, z], axis=-1))
    depth = np.where(skin, first * STEP_MM, np.nan).astype(np.float32)
    return depth, np.where(hit, 0.15 + 0.85 * light, 0).astype(np.float32)


def skin_level(volume: Volume) -> float:
    """The grey value where skin begins for somebody who looks for it: well above the noise of the air, and never above half of Otsu's threshold.

    Raises SpatialError `empty_volume`.
    """
    data = pyramid.shrunk(volume).data
    coarse = pyramid.threshold(data)
    air = data[data < coarse]
    middle = float(np.median(air))
    noise = 1.4826 * float(np.median(np.abs(air - middle)))
    floor = middle + 0.02 * float(np.percentile(data, 99) - middle)
    return min(coarse, max(middle + NOISES * noise, floor))


def _largest(solid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The head without specks of ghost in the air."""
    from scipy import ndimage

    labels, count = ndimage.label(solid)
    if count < 2:
        return solid
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


def _at_the_end(small: Volume, grid: affines.Matrix, found: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the places (x, z, 3) of the turned cube lie in the outermost voxels of the picture."""
    step = affines.inverse(small.affine) @ grid
    at = affines.apply(step, found.reshape(-1, 3)).reshape(found.shape)
    rim = np.maximum(0.8, STEP_MM * 1.2 / np.array(small.zooms))
    return np.asarray(((at < rim) | (at > np.array(small.shape[:3]) - 1 - rim)).any(axis=-1))


def _turned(small: Volume, angle_deg: float) -> tuple[NDArray[Any], affines.Matrix]:
    """The volume on a cube of 2 mm voxels along the world's axes, turned about its middle, and the affine of that cube."""
    middle = affines.centre(small.shape, small.affine)
    half = (SIDE_VOXELS - 1) / 2 * STEP_MM
    grid = affines.translation(middle) @ affines.rotation((0, 0, angle_deg)) @ affines.translation((-half,) * 3) @ affines.scaling(STEP_MM)
    like = Volume(np.broadcast_to(np.uint8(0), (SIDE_VOXELS,) * 3), grid)
    return resample(small, like).data, grid


def _view(volume: Volume, angle_deg: float) -> NDArray[np.uint8]:
    try:
        _, shade = surface(volume, angle_deg)
    except SpatialError:
        shade = np.zeros((SIDE_VOXELS, SIDE_VOXELS), dtype=np.float32)
    return np.asarray(shade.T[::-1] * 255, dtype=np.uint8)
