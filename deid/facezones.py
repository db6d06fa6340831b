"""Which parts of the template head are a face, and how far that stays from the brain.

Voxels of the template (i to the right, j to the front, k up, about 1 mm; 88 is the middle) belong to a zone by where they lie and how deep under the
skin. Every zone goes on into the air before it, so a longer nose than the template's is in it too, and below the template as at its lower edge. Reasons,
and the smallest distance to the template's brain mask (`margin_mm`; a test holds these figures):

- `pydeface` (11.8 mm): pydeface's own mask: nose, mouth, chin and all behind them; it leaves eyes, brow, forehead and ears.
- `face` (5.0 mm, default): that, and what people know each other by: lids, the front of the globes and the orbital rim, brow, skin of the forehead,
  temples, cheeks, jaw and what is under the chin, ears with their bowls down to the canal and the skin around. It keeps the orbit behind the globes, for
  the optic nerve is the fifth topography of the McDonald criteria of 2024.
- `face-eyes-ears` (5.0 mm): that, and the whole orbit.

On scans of a patient whose brain others had drawn it stays more than 3 mm away from that brain too (`tests/measure/faces_margin_rows.py`).
`python -m deid.facezones` draws the zones again into `deid/masks/face_zones.nii.gz`; a test holds that the file is what the rules say.
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

MARGIN_MM, EAR_MARGIN_MM, CONCHA_MARGIN_MM = 5.0, 6.0, 10.0  # scalp and skull are thinnest at the forehead, where 9 mm of the template are all there is
SKIN_MM, RIM_MM, EAR_MM = 9.0, 13.0, 9.0  # how deep each shell goes under the skin
CONCHA, CONCHA_MM = ((112, 80), (26, 24)), 18.0  # the bowl of the ear and the first part of its canal lie deeper: an ellipse round them (j, k)
ORBIT_MARGIN_MM = 6.0
PINNA_MM = 16.0  # what an opening with a ball of this radius takes off the head is ear or nose
CHIN_FLOOR = 14  # below this slice the template ends, and what is taken there is taken all the way down: chin and jaw, never the spine
UNDER_CHIN, JAW = 166, 140  # how far back that goes in the middle, and at most at the sides
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
    return float(_away()[zone(profile).data > 0].min())


@functools.cache
def _away() -> NDArray[np.float32]:
    """Distance of every voxel of the template from its brain, mm."""
    from scipy import ndimage

    head = templates.head()
    return np.asarray(ndimage.distance_transform_edt(~head.brain, sampling=head.volume.zooms), dtype=np.float32)


@functools.cache
def _drawn() -> Volume:
    return volumes.load(DATA)


def build() -> NDArray[np.uint8]:
    """All zones as bits on the template's grid."""
    head = templates.head()
    depth, away = depth_mm(head.head), _away()
    front = _lower(head.face) | _eyes(depth) | _forehead(depth) | _temples(depth) | _cheeks(depth)
    ears, bowls = _ears(head.head)
    face = (front & (away >= MARGIN_MM)) | (ears & (away >= EAR_MARGIN_MM)) | (bowls & (away >= CONCHA_MARGIN_MM))
    orbits = face | (_orbits(head.head.shape) & (away >= ORBIT_MARGIN_MM))
    return np.asarray(head.face * 1 + face * 2 + orbits * 4, dtype=np.uint8)


def _grid(shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    i, j, k = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return i, j, k


def _lower(face: Mask) -> Mask:
    """Nose, mouth, chin and what lies behind them: pydeface's mask; at the lower edge of the picture all of chin and jaw, in a wedge before the throat."""
    i, j, k = _grid(face.shape)
    return np.asarray(face | ((k <= CHIN_FLOOR) & (j > np.maximum(JAW, UNDER_CHIN - abs(i - MIDDLE) // 2))))


def _eyes(depth: NDArray[np.float32]) -> Mask:
    """Lids, front of the globes (the half before their middle), root of the nose, and the rims of the orbits."""
    _, j, k = _grid(depth.shape)
    level = (k >= 76) & (k <= 120)
    return np.asarray(level & ((j > 203) | ((j > 168) & (depth < RIM_MM))))


def _forehead(depth: NDArray[np.float32]) -> Mask:
    """Brow and skin of the forehead up to the hairline."""
    _, j, k = _grid(depth.shape)
    return np.asarray((k > 104) & (k < 172) & (j > 160) & (depth < SKIN_MM))


def _temples(depth: NDArray[np.float32]) -> Mask:
    """Skin between cheek, brow and ear, back to where the ear begins: without it the shape of the temples is a rest of the face."""
    _, j, k = _grid(depth.shape)
    return np.asarray((k > 96) & (k < 142) & (j > 126) & (depth < SKIN_MM))


def _cheeks(depth: NDArray[np.float32]) -> Mask:
    """Skin of cheeks and jaw up to before the ears, and of the corner of the jaw under them."""
    _, j, k = _grid(depth.shape)
    return np.asarray((k < 100) & (k > CHIN_FLOOR) & (j > np.where(k <= 40, 118, 130)) & (depth < SKIN_MM))


def _ears(head: Mask) -> tuple[Mask, Mask]:
    """The auricles (what stands out of a head without small shapes) with the skin they stand on, and deeper their bowls with the rims of the canals."""
    i, j, k = _grid(head.shape)
    box = (abs(i - MIDDLE) > 52) & (j > 58) & (j < 141) & (k > 36) & (k < 130)
    (y, z), (long, high) = CONCHA
    bowl = ((j - y) / long) ** 2 + ((k - z) / high) ** 2 < 1
    depth = depth_mm(_without_ears(head))
    return np.asarray(box & (depth < EAR_MM)), np.asarray(box & bowl & (depth < CONCHA_MM))


def _without_ears(head: Mask) -> Mask:
    """The head without small shapes: what a ball of `PINNA_MM` fits into."""
    from scipy import ndimage

    floor = int(PINNA_MM) + 4
    wide = np.pad(head, ((floor, floor), (0, 0), (floor, 0)), mode="edge")
    deep = ndimage.distance_transform_edt(wide) > PINNA_MM
    return np.asarray((ndimage.distance_transform_edt(~deep) <= PINNA_MM)[floor:-floor, :, floor:])


def _orbits(shape: tuple[int, ...]) -> Mask:
    """Globes, and the cones behind them to the apex."""
    i, j, k = _grid(shape)
    out = np.zeros(shape, dtype=np.bool_)
    for side in (-1, 1):
        out |= ellipsoid(shape, (MIDDLE + side * 30.0, 196, 97), (19, 20, 18))
        out |= ellipsoid(shape, (MIDDLE + side * 26.0, 180, 97), (14, 22, 13))
    wall = abs(i - MIDDLE) < 18 + 0.75 * (j - 160)  # behind it lies the temporal pole, in a living head further forward than in the mean one
    return np.asarray(out & wall & (j > 158) & (abs(i - MIDDLE) > 8) & (k > 76))


def main() -> int:
    """Draw the file again."""
    DATA.parent.mkdir(exist_ok=True)
    volumes.save(Volume(build(), templates.head().volume.affine), DATA)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
