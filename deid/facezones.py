"""Which parts of the template head are a face, and how far that stays from the brain.

Voxels of the template (i to the right, j to the front, k up, about 1 mm; 88 is the middle) belong to a zone by where they lie and how deep under the
skin. Every zone goes on into the air before it, so a longer nose than the template's is in it too. Reasons:

- `pydeface`: pydeface's own mask: nose, mouth, chin and all behind them; it leaves eyes, brow, forehead and ears.
- `face` (default): that, and what people know each other by: lids, the front of the globes and the orbital rim, brow, skin of the forehead,
  cheeks, ears. It keeps the orbit behind the globes, for the optic nerve is the fifth topography of the McDonald criteria of 2024.
- `face-eyes-ears`: that, and the whole orbit.

No voxel of a zone is nearer than `MARGIN_MM` to the template's brain mask. `python -m deid.facezones` draws the zones again into
`deid/masks/face_zones.nii.gz`; a test holds that the file is what the rules say, and measures the margin.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spatial import templates, volumes
from spatial.template_masks import depth_mm, ellipsoid
from spatial.volumes import Volume

Mask = NDArray[np.bool_]
BITS: dict[str, int] = {"pydeface": 1, "face": 2, "face-eyes-ears": 4}
DEFAULT = "face"
DATA = Path(__file__).with_name("masks") / "face_zones.nii.gz"

MARGIN_MM = 4.5
SKIN_MM, RIM_MM, EAR_MM = 9.0, 13.0, 8.0  # how deep each shell goes under the skin
PINNA_MM = 16.0  # what an opening with a ball of this radius takes off the head is ear or nose
CHIN_FLOOR = 14  # below this slice the template ends: only its front is taken further down, never the throat and the spine
MIDDLE = 88

# Where on the template each feature lies (voxels), for showing that it is gone.
LANDMARKS: dict[str, tuple[int, int, int]] = {
    "nose": (88, 230, 58),
    "mouth": (88, 219, 30),
    "chin": (88, 213, 16),
    "right_lid": (118, 211, 98),
    "left_lid": (58, 211, 98),
    "brow": (88, 218, 112),
    "forehead": (88, 218, 138),
    "right_ear": (165, 102, 82),
    "left_ear": (11, 102, 82),
}


def zone(profile: str = DEFAULT) -> Volume:
    """The zone of a profile on the template's grid, as uint8 0 or 1. Raises KeyError for a profile that does not exist."""
    drawn = _drawn()
    return Volume(((drawn.data & BITS[profile]) > 0).astype(np.uint8), drawn.affine)


def margin_mm(profile: str = DEFAULT) -> float:
    """Smallest distance between the zone and the brain mask on the template."""
    from scipy import ndimage

    head = templates.head()
    away = ndimage.distance_transform_edt(~head.brain, sampling=head.volume.zooms)
    return float(away[zone(profile).data > 0].min())


@functools.cache
def _drawn() -> Volume:
    return volumes.load(DATA)


def build() -> NDArray[np.uint8]:
    """All zones as bits on the template's grid."""
    from scipy import ndimage

    head = templates.head()
    depth = depth_mm(head.head)
    away = ndimage.distance_transform_edt(~head.brain, sampling=head.volume.zooms)
    face = (_lower(head.face) | _eyes(depth) | _forehead(depth) | _cheeks(depth) | _ears(head.head)) & (away >= MARGIN_MM)
    orbits = (face | _orbits(head.head.shape)) & (away >= MARGIN_MM)
    return np.asarray(head.face * 1 + face * 2 + orbits * 4, dtype=np.uint8)


def _grid(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return i, j, k


def _lower(face: Mask) -> Mask:
    """Nose, mouth and chin with what lies behind them: pydeface's mask, down to the lower edge of the picture."""
    return face


def _eyes(depth: NDArray[np.float32]) -> Mask:
    """Lids, front of the globes (the half before their middle), root of the nose, and the rims of the orbits."""
    _, j, k = _grid(depth.shape)
    level = (k >= 76) & (k <= 120)
    return np.asarray(level & ((j > 203) | ((j > 168) & (depth < RIM_MM))))


def _forehead(depth: NDArray[np.float32]) -> Mask:
    """Brow and skin of the forehead up to the hairline, and of the temples."""
    _, j, k = _grid(depth.shape)
    return np.asarray((k > 104) & (k < 172) & (j > 160) & (depth < SKIN_MM))


def _cheeks(depth: NDArray[np.float32]) -> Mask:
    """Skin of cheeks and jaw up to before the ears."""
    _, j, k = _grid(depth.shape)
    return np.asarray((k < 100) & (k > CHIN_FLOOR) & (j > 130) & (depth < SKIN_MM))


def _ears(head: Mask) -> Mask:
    """The auricles: what stands out of a head without small shapes, and the skin they stand on."""
    from scipy import ndimage

    i, j, _ = _grid(head.shape)
    k = np.arange(head.shape[2])[None, None, :]
    floor = int(PINNA_MM) + 4
    wide = np.pad(head, ((floor, floor), (0, 0), (floor, 0)), mode="edge")
    deep = ndimage.distance_transform_edt(wide) > PINNA_MM
    core = (ndimage.distance_transform_edt(~deep) <= PINNA_MM)[floor:-floor, :, floor:]
    box = (abs(i - MIDDLE) > 52) & (j > 68) & (j < 136) & (k > 40) & (k < 126)
    return np.asarray(box & (depth_mm(core) < EAR_MM))


def _orbits(shape: tuple[int, ...]) -> Mask:
    """Globes, and the cones behind them to the apex."""
    i, j, k = _grid(shape)
    out = np.zeros(shape, dtype=np.bool_)
    for side in (-1, 1):
        out |= ellipsoid(shape, (MIDDLE + side * 30.0, 196, 97), (19, 20, 18))
        out |= ellipsoid(shape, (MIDDLE + side * 26.0, 180, 97), (14, 22, 13))
    return np.asarray(out & (j > 158) & (abs(i - MIDDLE) > 8) & (k > 76))


def main() -> int:
    """Draw the file again."""
    DATA.parent.mkdir(exist_ok=True)
    volumes.save(Volume(build(), templates.head().volume.affine), DATA)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
