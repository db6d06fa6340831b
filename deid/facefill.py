"""What stands in the place of a face: one constant value, or noise such as the volume's own air shows. Never anything made of the face.

`blank` is honest, and breaks measures of air and of background. `noise` draws, by a seed, from the values of the volume's own air, each voxel for itself:
no order of them in space is kept, so nothing of a ghost or a shadow that lay there comes along. Where a volume has no air of its own to draw from, it is blank.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deid import facezones, headfit
from spatial import pyramid
from spatial.errors import SpatialError
from spatial.resample import resample
from spatial.volumes import Volume

Mask = NDArray[np.bool_]
Fill = Literal["blank", "noise"]
NOISE = "-noise"  # a profile so named fills its zone with noise
PROFILES = tuple(sorted([*facezones.BITS, *(profile + NOISE for profile in facezones.BITS)]))
FEWEST_AIR = 2000  # voxels of air below which there is nothing to draw from


def asked(profile: str) -> tuple[str, Fill]:
    """The zone and the filling that a profile's name asks for: `face-noise` is the zone `face`, filled with noise."""
    return (profile.removesuffix(NOISE), "noise") if profile.endswith(NOISE) else (profile, "blank")


def filled(volume: Volume, zone: Mask, fill: Fill, seed: int) -> tuple[Volume, dict[str, Any]]:
    """The volume with its zone (i, j, k) filled, for every frame of a 4D volume alike, and what was put there (for the report)."""
    clean = volume.data.copy()
    air = _air(volume) & ~zone if fill == "noise" else None
    if air is None or air.sum() < FEWEST_AIR:
        clean[zone] = value = blank_value(volume.data)
        return Volume(clean, volume.affine), {"fill": "blank", "fill_value": float(value)}
    random = np.random.default_rng(seed)
    drawn = random.integers(0, int(air.sum()), int(zone.sum()))
    clean[zone] = volume.data[air][drawn]  # of a 4D volume each voxel's whole row of frames is drawn together
    put = clean[zone]
    return Volume(clean, volume.affine), {"fill": "noise", "fill_value": {"median": float(np.median(put)), "largest": float(put.max())}}


def blank_value(data: NDArray[Any]) -> Any:
    """0, or the smallest value where the volume's own scaling may not reach 0."""
    low = data.min()
    return data.dtype.type(0 if data.dtype.kind in "iu" or low <= 0 else low)


def _air(volume: Volume) -> Mask:
    """Voxels outside the outline of signal and 10 mm around it that the scanner filled (padding is no air)."""
    from scipy import ndimage

    small = pyramid.shrunk(volume)
    try:
        head = headfit.tissue(small)
    except SpatialError:
        return np.zeros(volume.shape[:3], dtype=np.bool_)
    rim = [2 * max(1, round(10 / z)) + 1 for z in small.zooms]
    away = ndimage.maximum_filter(head, size=rim)
    out = resample(Volume(away.astype(np.uint8), small.affine), volume, order="nearest").data == 0
    mean = volume.mean3d().data
    dark = mean < pyramid.threshold(small.data)
    return np.asarray(out & dark & (mean != mean.min()))
