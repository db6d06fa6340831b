"""Head and brain of the template, drawn once by rule and kept as a small file, so that anybody can draw them again and compare.

The template is the mean T1-weighted head of pydeface's wheel (MIT, `mean_reg2mean.nii.gz`, 176 x 256 x 256, about 1 mm): 88 is the middle in i,
the nose points to high j, the crown to high k. Being a mean, its skull is a dark band between scalp and brain, so:

- head: brighter than 75 after light smoothing, largest piece, notches of up to 9 voxels closed, filled slice by slice from below;
- brain: a watershed from seeds laid inside the lobes against seeds in scalp, orbits, sinuses, muscle and neck, then only what is bright
  (above 125: the skull is not), opened, closed, filled, and
  nowhere within 9 mm of the skin. It is generous: it holds sulci, ventricles and the brain stem down to k = 40.

`python -m spatial.template_masks` writes `spatial/data/template_masks.nii.gz` again (bit 1 head, bit 2 brain); a test holds that it is the same.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Place = tuple[float, float, float]
HEAD_BIT, BRAIN_BIT = 1, 2
DATA = Path(__file__).with_name("data") / "template_masks.nii.gz"

HEAD_LEVEL, BRAIN_LEVEL = 75, 125
UNDER_SKIN_MM = 9.0  # scalp and skull together are nowhere thinner on the template
# (centre, half axes) in template voxels
BRAIN_SEEDS: tuple[tuple[Place, Place], ...] = (
    ((88, 115, 140), (48, 68, 48)),  # hemispheres
    ((88, 75, 85), (35, 20, 15)),  # cerebellum
    ((50, 140, 95), (9, 12, 8)),  # temporal poles
    ((128, 140, 95), (9, 12, 8)),
    ((88, 113, 85), (10, 9, 14)),  # pons
    ((76, 188, 122), (8, 9, 8)),  # frontal base
    ((100, 188, 122), (8, 9, 8)),
    ((88, 105, 55), (4, 4, 8)),  # medulla
)
OTHER_SEEDS: tuple[tuple[Place, Place], ...] = (
    ((58, 195, 98), (14, 16, 10)),  # globes
    ((118, 195, 98), (14, 16, 10)),
    ((88, 165, 92), (12, 14, 10)),  # sphenoid sinus
)


def head_mask(template: NDArray[np.float32]) -> Mask:
    """Everything inside the skin, air passages included."""
    from scipy import ndimage

    bright = ndimage.binary_opening(ndimage.gaussian_filter(template, 0.7) > HEAD_LEVEL, iterations=2)
    head = _closed(_largest(bright), 9, pad=10, floor=True)
    for k in range(head.shape[2]):
        head[:, :, k] = ndimage.binary_fill_holes(head[:, :, k])
    return np.asarray(ndimage.binary_opening(head, iterations=2))


def brain_mask(template: NDArray[np.float32], head: Mask) -> Mask:
    """The brain with its ventricles and sulci, down to the medulla."""
    from scipy import ndimage

    seeds = np.zeros(template.shape, dtype=np.int16)
    seeds[_not_brain(head)] = 2
    seeds[_union(template.shape, BRAIN_SEEDS)] = 1
    cost = np.clip(255 - ndimage.gaussian_filter(template, 0.5) * 0.7, 0, 255).astype(np.uint8)
    flooded = ndimage.watershed_ift(cost, seeds) == 1
    bright = flooded & (ndimage.gaussian_filter(template, 0.7) > BRAIN_LEVEL)
    brain = _largest(ndimage.binary_opening(bright, iterations=3))
    filled = ndimage.binary_fill_holes(_closed(brain, 5, pad=12))
    return np.asarray(filled & (depth_mm(head) > UNDER_SKIN_MM))


def depth_mm(head: Mask) -> NDArray[np.float32]:
    """Distance from the skin for voxels inside, 0 outside; the cut through the neck is no skin."""
    from scipy import ndimage

    longer = np.pad(head, ((0, 0), (0, 0), (20, 0)), mode="edge")
    return np.asarray(ndimage.distance_transform_edt(longer, sampling=(1.0, 0.976, 0.976))[:, :, 20:], dtype=np.float32)


def ellipsoid(shape: tuple[int, ...], centre: Place, radii: Place) -> Mask:
    """Voxels inside an ellipsoid along the grid's axes."""
    parts = [((np.arange(n) - c) / r) ** 2 for n, c, r in zip(shape, centre, radii, strict=True)]
    return np.asarray(parts[0][:, None, None] + parts[1][None, :, None] + parts[2][None, None, :] < 1)


def _union(shape: tuple[int, ...], seeds: tuple[tuple[Place, Place], ...]) -> Mask:
    out = np.zeros(shape, dtype=np.bool_)
    for centre, radii in seeds:
        out |= ellipsoid(shape, centre, radii)
    return out


def _not_brain(head: Mask) -> Mask:
    """Scalp and air, orbits and sinuses, the face, the neck and the muscles below the skull."""
    i, j, k = np.ogrid[: head.shape[0], : head.shape[1], : head.shape[2]]
    below = ((k < 72) & (j > 135)) | (k < 38) | ((k < 95) & (j > 165)) | ((k < 55) & (abs(i - 88) > 35)) | ((k < 60) & (j < 60))
    return np.asarray(below | (depth_mm(head) < 6) | _union(head.shape, OTHER_SEEDS))


def _largest(mask: Mask) -> Mask:
    from scipy import ndimage

    labels, count = ndimage.label(mask)
    sizes = ndimage.sum_labels(mask, labels, range(1, count + 1))
    return np.asarray(labels == 1 + int(np.argmax(sizes)))


def _closed(mask: Mask, steps: int, *, pad: int, floor: bool = False) -> Mask:
    from scipy import ndimage

    wide = np.pad(mask, pad)
    if floor:  # the neck goes on below the picture
        wide[:, :, :pad] = wide[:, :, pad : pad + 1]
    return np.asarray(ndimage.binary_closing(wide, iterations=steps))[pad:-pad, pad:-pad, pad:-pad]


def build() -> NDArray[np.uint8]:
    """Both masks as bits on the template's grid."""
    from spatial.templates import read_template

    template = np.asarray(read_template().data, dtype=np.float32)
    head = head_mask(template)
    brain = brain_mask(template, head)
    return np.asarray(head * HEAD_BIT + brain * BRAIN_BIT, dtype=np.uint8)


def main() -> int:
    """Write the file again."""
    from spatial import volumes
    from spatial.templates import read_template

    DATA.parent.mkdir(exist_ok=True)
    volumes.save(volumes.Volume(build(), read_template().affine), DATA)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
