"""What a passer-by would recognise: the surface of the head, lit from the front.

The volume is resampled to 2 mm, turned, and looked at along -y; the first voxel with signal is the skin, shaded by the slope of the smoothed signal there.
Pictures are as one sees a person: their right hand on the left. A picture of a head with a face is itself identifying: it belongs in the review
zone and nowhere else.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import skin
from spatial import affines
from spatial.errors import SpatialError
from spatial.resample import resample
from spatial.volumes import Volume

VIEWS_DEG = (0.0, 40.0, -40.0, 90.0, -90.0)  # front, both three-quarters, both profiles (90: the person's left side)
ZOOM = 3

Picture = NDArray[np.uint8]
Depth = NDArray[np.float32]


def render(volume: Volume, views: tuple[float, ...] = VIEWS_DEG) -> bytes:
    """Front, three-quarter and profile views side by side, as PNG bytes (grey). An empty volume gives black views."""
    return _png([strip(volume, views)])


def pair(before: Volume, after: Volume, views: tuple[float, ...] = VIEWS_DEG) -> bytes:
    """The same views before (above) and after, as PNG bytes: skin begins at the same grey value in both."""
    try:
        threshold = skin.level(before)
    except SpatialError:
        threshold = None
    return _png([strip(before, views, threshold), strip(after, views, threshold)])


def strip(volume: Volume, views: tuple[float, ...] = VIEWS_DEG, threshold: float | None = None) -> Picture:
    """The views side by side, rows from the crown down, columns from the viewer's left."""
    try:
        seen = [shade for _, shade in surfaces(volume, views, threshold)]
    except SpatialError:
        seen = [np.zeros((skin.SIDE_VOXELS, skin.SIDE_VOXELS), dtype=np.float32)] * len(views)
    return np.concatenate([np.asarray(shade[::-1].T[::-1] * 255, dtype=np.uint8) for shade in seen], axis=1)


def surface(volume: Volume, angle_deg: float, threshold: float | None = None) -> tuple[Depth, Depth]:
    """Depth (x, z) in mm from the front plane to the skin, and the shade 0 to 1 there, for the head turned about the vertical.

    Depth is NaN where nothing is met, and where what is met is only the end of the picture and no skin. Raises SpatialError `empty_volume`.
    """
    return surfaces(volume, (angle_deg,), threshold)[0]


def surfaces(volume: Volume, angles_deg: tuple[float, ...], threshold: float | None = None) -> list[tuple[Depth, Depth]]:
    """`surface` for several angles of one volume."""
    from scipy import ndimage

    level = skin.level(volume) if threshold is None else threshold
    small, cube = skin.turned(volume, 0.0)
    smooth = ndimage.gaussian_filter(cube.data, 0.7)
    near = ndimage.binary_dilation(skin.solid(smooth, level))  # no speck of ghost in the air, and the slope at the skin as it is
    low = float(smooth.min())
    layers = np.stack([np.where(near, smooth, low), ndimage.gaussian_filter(smooth, 1.0)], axis=-1)
    return [_looked_at(Volume(layers, cube.affine), small, angle, level) for angle in angles_deg]


def _looked_at(layers: Volume, small: Volume, angle_deg: float, level: float) -> tuple[Depth, Depth]:
    """`layers` (x, y, z, 2): the head alone, and smoother for its slopes. Right angles turn voxel onto voxel and need no resampling."""
    middle = affines.centre(layers.shape, layers.affine)
    spin = affines.translation(middle) @ affines.rotation((0, 0, angle_deg)) @ affines.translation(-middle)
    grid = spin @ layers.affine
    quarters, rest = divmod(angle_deg, 90)
    if rest:
        turned = resample(layers, Volume(np.broadcast_to(np.uint8(0), layers.shape[:3]), grid)).data
    else:
        turned = np.rot90(layers.data, -int(quarters))
    towards = turned[:, ::-1, :, 0] > level
    first = towards.argmax(axis=1)
    hit = towards.any(axis=1)
    x, z = np.indices(hit.shape)
    at: tuple[NDArray[Any], ...] = (np.asarray(x), np.where(hit, turned.shape[1] - 1 - first, 0), np.asarray(z))
    skin_met = hit & ~skin.at_the_end(small, grid, np.stack(at, axis=-1))
    depth = np.where(skin_met, first * skin.STEP_MM, np.nan).astype(np.float32)
    return depth, np.where(hit, 0.15 + 0.85 * _light(turned[..., 1], at), 0).astype(np.float32)


def _light(smooth: NDArray[np.float32], at: tuple[NDArray[Any], ...]) -> NDArray[np.float32]:
    """Brightness 0 to 1 of a lamp above the viewer's shoulder, by the slope of the signal at the voxels `at`."""
    slopes = []
    for axis in range(3):
        ahead, behind = (list(at) for _ in range(2))
        ahead[axis] = np.minimum(at[axis] + 1, smooth.shape[axis] - 1)
        behind[axis] = np.maximum(at[axis] - 1, 0)
        slopes.append(smooth[tuple(ahead)] - smooth[tuple(behind)])
    length = np.sqrt(sum(s**2 for s in slopes)) + 1e-9
    return np.asarray(np.clip((-slopes[1] * 0.85 - slopes[2] * 0.35 + slopes[0] * 0.2) / length, 0, 1))


def _png(rows: list[Picture]) -> bytes:
    from PIL import Image

    whole = np.concatenate(rows, axis=0)
    image = Image.fromarray(whole).resize((whole.shape[1] * ZOOM, whole.shape[0] * ZOOM), Image.Resampling.BICUBIC)
    sink = io.BytesIO()
    image.save(sink, format="PNG", optimize=False)
    return sink.getvalue()
