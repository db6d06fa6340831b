"""Is everything there: the field of view against the anatomy, dead, repeated and erased regions, and how the head lies.

The functions of the first half find hard facts (grades.py makes `fail` of them); those of the second half measure positions.
World coordinates are mm, RAS+, of the DICOM origin as converted: valid only before anything re-centres the image.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from qa.masks import grow, unvarying
from qa.robust import Tensor

FACES = ("L", "R", "P", "A", "I", "S")


def geometry_ok(affine: NDArray[np.float64]) -> bool:
    """Whether an affine is finite, invertible, and has voxels of 0.05 to 30 mm."""
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        return False
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    if not bool(np.all((zooms > 0.05) & (zooms < 30))):
        return False
    return bool(abs(np.linalg.det(affine[:3, :3] / zooms)) > 0.05)


def dead_slices(image: Tensor, threshold: float, axis: int, *, stacked: bool = True) -> tuple[list[int], tuple[int, int]]:
    """Slices inside the anatomy without signal along an axis, and the live extent [first, last + 1) of that axis.

    A slice is dead when it is constant, or (along an axis in which slices were stacked) when less than 2 % as many of its voxels pass the
    threshold as in the median live slice, while slices with at least a third of that median lie on both sides of it. Constant slices at the
    ends are no signal either, but outside the extent.
    """
    dims = [a for a in range(3) if a != axis]
    bright = (image > threshold).sum(dims).double()
    constant = (image.amax(dims) == image.amin(dims)).cpu()
    live = bright[bright > 0]
    if live.numel() == 0:
        return [], (0, image.shape[axis])
    typical = float(live.median())
    body = (bright >= typical / 3).cpu().nonzero().reshape(-1).tolist()
    inside = range(body[0], body[-1] + 1) if body else range(0)
    dead = [i for i in inside if bool(constant[i]) or (stacked and float(bright[i]) < 0.02 * typical)]
    if len(dead) > len(inside) // 2:
        dead = []  # several objects apart from each other, not a series with slices missing
    alive = (~constant).nonzero().reshape(-1).tolist()
    return dead, (alive[0], alive[-1] + 1) if alive else (0, image.shape[axis])


def repeated_slices(image: Tensor, threshold: float, axis: int) -> list[int]:
    """Slices that are, voxel by voxel, equal to the one before them and hold signal."""
    a, b = image.narrow(axis, 0, image.shape[axis] - 1), image.narrow(axis, 1, image.shape[axis] - 1)
    dims = [d for d in range(3) if d != axis]
    same = (a == b).flatten(1).all(1) if axis == 0 else (a == b).movedim(axis, 0).flatten(1).all(1)
    signal = (b > threshold).sum(dims) > 20
    return [i + 1 for i in (same & signal).nonzero().reshape(-1).tolist()]


def erased(image: Tensor, brain: Tensor, zooms: tuple[float, ...]) -> tuple[float, float]:
    """Volume (ml) of the largest connected region inside the brain where the image does not vary, and its value.

    A voxel does not vary when it equals its neighbours along all three axes exactly. Noise never does that; erasing always does.
    `image`, `brain`: (x, y, z) on the same grid; regions thinner than three voxels do not count.
    """
    from scipy import ndimage

    flat = unvarying(image) & brain
    if not bool(flat.any()):
        return 0.0, math.nan
    pieces, _ = ndimage.label(flat.cpu().numpy())
    sizes = np.bincount(pieces.ravel())[1:]
    biggest = int(sizes.argmax())
    value = float(image.cpu().numpy()[pieces == biggest + 1][0])
    return float(sizes[biggest]) * math.prod(zooms[:3]) / 1000, value


def faces(image: Tensor, threshold: float, live: tuple[tuple[int, int], ...]) -> dict[str, float]:
    """face_{L,R,P,A,I,S}: share of each face of the (live) field of view above the air threshold: what is cut or wraps around there."""
    found = {}
    for axis in range(3):
        for end, name in enumerate(FACES[2 * axis : 2 * axis + 2]):
            at = live[axis][0] if end == 0 else live[axis][1] - 1
            found[f"face_{name}"] = float((image.select(axis, at) > threshold).double().mean())
    return found


def world_centre(mask: Tensor, affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """World mm of the centre of mass of a mask."""
    where = mask.nonzero().double().mean(0).cpu().numpy()
    return np.asarray(affine[:3, :3] @ where + affine[:3, 3])


def position(brain: Tensor, head: Tensor, affine: NDArray[np.float64]) -> dict[str, float]:
    """z_offset_mm: world z of the brain's centre; iso_offset_mm: distance of the head's centre from the isocentre."""
    return {"z_offset_mm": float(world_centre(brain, affine)[2]), "iso_offset_mm": float(np.linalg.norm(world_centre(head, affine)))}


def pose(matrix: NDArray[np.float64]) -> dict[str, float]:
    """pitch_deg, roll_deg, yaw_deg of the head against the template, from the rotation nearest to an affine (image world -> template world).

    Roll is about the back-front axis, yaw about the foot-head axis: the two that break left-right symmetry; pose_deg is the larger of them.
    """
    u, _, vt = np.linalg.svd(matrix[:3, :3])
    r = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vt))]) @ vt
    pitch = math.degrees(math.atan2(r[2, 1], r[2, 2]))
    roll = math.degrees(math.asin(max(-1.0, min(1.0, -r[2, 0]))))
    yaw = math.degrees(math.atan2(r[1, 0], r[0, 0]))
    return {"pitch_deg": abs(pitch), "pose_deg": max(abs(roll), abs(yaw))}


def brain_ml(brain: Tensor, zooms: tuple[float, ...]) -> float:
    """Volume of the brain mask in ml."""
    return float(brain.sum()) * math.prod(zooms[:3]) / 1000


def integrity(before: Tensor, after: Tensor, brain: Tensor) -> dict[str, float]:
    """What defacing did to the brain: brain_changed, the number of brain voxels whose value differs at all (0 is right), and brain_holes, those set to 0."""
    changed = (before != after) & brain
    return {"brain_changed": float(changed.sum()), "brain_holes": float((changed & (after == 0)).sum())}


def core(mask: Tensor, zooms: tuple[float, ...], mm: float = 10.0) -> Tensor:
    """The inside of a mask, `mm` from its border."""
    return grow(mask, -mm, zooms)


@functools.cache
def _cap() -> tuple[NDArray[np.float32], NDArray[np.float64], float]:
    """Distance (mm) of each voxel of a 2 mm template from its head's outline, that grid's world -> voxel, and the world height of the brain's middle."""
    from scipy import ndimage

    from spatial.templates import head as template_head

    template = template_head()
    mask = template.head[::2, ::2, ::2]
    edge = mask & ~ndimage.binary_erosion(mask, border_value=1)
    away = ndimage.distance_transform_edt(~edge, sampling=[2 * z for z in template.volume.zooms[:3]]).astype(np.float32)
    affine = template.volume.affine @ np.diag([2.0, 2.0, 2.0, 1.0])
    brain = np.argwhere(template.brain[::4, ::4, ::4]) * 4.0
    middle = float((brain @ template.volume.affine[:3, :3].T + template.volume.affine[:3, 3])[:, 2].mean())
    return away, np.asarray(np.linalg.inv(affine), dtype=np.float64), middle


def misfit(head: Tensor, affine: NDArray[np.float64], matrix: NDArray[np.float64]) -> float:
    """How far (mm, 97th percentile) the head's outline lies from the template's, above the brain's middle: distortion, or a rare head.

    `head`: mask on the grid of `affine` (voxel -> world); `matrix`: image world -> template world. NaN where hardly any outline is in view.
    """
    from scipy import ndimage

    away, back, middle = _cap()
    mask = head.cpu().numpy()
    edge = np.argwhere(mask & ~ndimage.binary_erosion(mask, border_value=1)).astype(np.float64)
    there = matrix @ affine
    world = edge @ there[:3, :3].T + there[:3, 3]
    at = (world @ back[:3, :3].T + back[:3, 3])[world[:, 2] > middle]
    if len(at) < 200:
        return math.nan
    found = ndimage.map_coordinates(away, at.T, order=1, mode="nearest")
    return float(np.percentile(found, 97))
