"""Is this really a head, and does it lie where the alignment says? Asked of outlines, which the alignment never looked at.

The alignment made grey values predict each other; here the volume's own outline of signal is laid over the template's head and brain, above the face
(whose shape differs between people, and which may be gone). Overlaps are counted on a 4 mm grid, inside the common field of view only.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deid import facezones
from spatial import affines, pyramid, templates
from spatial.affines import Matrix
from spatial.register import Alignment
from spatial.resample import resample
from spatial.volumes import Volume

Mask = NDArray[np.bool_]
Of = Literal["head", "known", "brain"]
GRID_MM = 4.0
MOST_BLANK_AIR = 0.9  # of the air at one lowest value: the scanner or a tool zeroed it all
# Of the air, above which there is signal. At 4 mm three right fits of noisy, dim heads have 0.91 to 0.96 of the outline so, 0.81 to 0.84 by half of Otsu.
NOISES = 3.0
SKULL_FROM = 90  # template slice above which a head is mostly skull and brain

SMALLEST_SCALE, LARGEST_SCALE, LARGEST_TURN_DEG = 0.72, 1.28, 50.0
SMALLEST_SURE, LARGEST_SURE = 0.68, 1.45  # giants and infants: believed where the information is that of a head; a person looks (`deid.proof`)
LEAST_BRAIN_ML, LEAST_SIGNAL = 250.0, 0.8
LEAST_DICE, LEAST_DICE_KNOWN = 0.85, 0.8  # 0.87 and more on 8 real heads aligned on their own; 0.83 with the head pitched 60 degrees
# 42 right fits of real heads, as they are, turned, scaled, cut and thick (2026-11-22): 1.093 and more, 1.082 inverted or noisy; 5 wrong ones 1.064 to
# 1.082, all refused by outline or shape as well. So the value refuses gross failures only.
LEAST_NMI, LEAST_NMI_TURNED, LEAST_NMI_UNUSUAL = 1.05, 1.085, 1.1
# Largest over smallest stretch: 1.12 or less on 8 real and 13 made heads, 1.20 or more on two real phantoms, a ball and a bottle fitted to the template
ROUNDEST = 1.17
CROP_MM = 130.0  # a box with no longer edge is a crop, not a head
# A brain laid on the template's brain alone: 1.12 and more, 1.50 l and less on a real b0 and a real brain stripped by our mask; whole heads squeezed into it
# (5 real ones) 1.11 and less, 2.33 l and more.
LEAST_NMI_BRAIN, MOST_BRAIN_ML = 1.115, 2100.0
SMALL_VIEW_L, ORBITS_SEEN, OFF_CENTRE_MM = 2.7, 0.5, 45.0  # an orbit series: 180 x 180 x 80 mm at most, both orbits, its middle near theirs
FEWEST_ML = 0.3  # less tissue than this in a zone is noise
CLEAR_MM = 30.0  # how far a view must stay from every face for a header alone to say that there is none


@dataclass(frozen=True)
class Fit:
    """How a volume lies on the template.

    Principal `scale`, `rotation_deg`, `nmi`, `overlap` of the alignment; `head_dice`: own outline against the template's head (or, where fat is
    suppressed, its brain) above the face; `brain_signal`: share of the template's brain in view that has signal; `brain_ml` of it in view;
    `of`: whether the whole head was aligned, or one `known` to be this head by another picture, or the `brain` alone.
    """

    scale: tuple[float, float, float]
    rotation_deg: float
    nmi: float
    overlap: float
    head_dice: float
    brain_signal: float
    brain_ml: float
    of: Of = "head"

    @property
    def plausible(self) -> bool:
        """Whether a head can lie so, by size, shape, outline, signal and information together."""
        usual = self.scale[0] >= SMALLEST_SCALE and self.scale[2] <= LARGEST_SCALE
        sure = self.scale[0] >= SMALLEST_SURE and self.scale[2] <= LARGEST_SURE and self.nmi >= LEAST_NMI_UNUSUAL
        size = (usual or sure) and self.scale[2] <= ROUNDEST * self.scale[0]
        outline = self.head_dice >= (LEAST_DICE if self.of == "head" else LEAST_DICE_KNOWN) and self.brain_signal >= LEAST_SIGNAL
        amount = self.brain_ml >= LEAST_BRAIN_ML and (self.of != "brain" or self.brain_ml <= MOST_BRAIN_ML)
        least = LEAST_NMI_BRAIN if self.of == "brain" else LEAST_NMI_TURNED if self.rotation_deg > LARGEST_TURN_DEG else LEAST_NMI
        return bool(size and outline and amount and not self.nmi < least)  # FSL tells no such value (NaN)

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        names = ("rotation_deg", "nmi", "overlap", "head_dice", "brain_signal", "brain_ml")
        numbers = {name: round(float(value), 4) if np.isfinite(value := getattr(self, name)) else None for name in names}
        return {**numbers, "scale": [round(s, 4) for s in self.scale]}


@functools.cache
def _coarse() -> tuple[Volume, Mask, Mask]:
    """Template grid at 4 mm with head above the face and brain, and room around it."""
    head = templates.head()
    small = pyramid.shrink(Volume(head.head.astype(np.float32), head.volume.affine), GRID_MM)
    brain = pyramid.shrink(Volume(head.brain.astype(np.float32), head.volume.affine), GRID_MM)
    return small, small.data > 0.5, brain.data > 0.5


def measure(volume: Volume, matrix: Matrix, found: Alignment, *, of: Of = "head") -> Fit:
    """Lay the volume's outline over the template. `matrix`: world of the volume -> world of the template.

    Of two outlines the one that fits better is believed: half of Otsu's threshold, which loses the dim half of a head under a strong coil or noise, and what
    stands out from the air's own noise, which takes in the ghosts around a clean one. `of` `known`: it was aligned to a picture already known to be this
    head, so the outline of the brain alone (fat suppressed) will do; `brain`: to the template's brain alone.
    """
    grid, head, brain = _coarse()
    small = pyramid.shrink(pyramid.shrunk(volume), GRID_MM)
    back = affines.inverse(matrix)
    seen = resample(Volume(np.ones(small.shape, dtype=np.float32), small.affine), grid, back).data > 0.5
    above = seen & (np.arange(grid.shape[2]) >= SKULL_FROM / GRID_MM)[None, None, :]
    inside = brain & seen
    ml = abs(float(np.linalg.det((back @ grid.affine)[:3, :3]))) / 1000
    told = []
    for outline in (tissue(small), _filled(small.data > pyramid.faint(small.data, NOISES))):
        own = resample(Volume(outline.astype(np.float32), small.affine), grid, back).data > 0.5
        dice = max(_dice(own & above, part & above) for part in ((head,) if of == "head" else (head, brain)))
        told.append((dice, float((own & inside).sum()) / max(1.0, float(inside.sum()))))
    dice, signal = max(told)
    return Fit(found.scale, affines.angle_deg(matrix), found.nmi, found.overlap, dice, signal, float(inside.sum()) * ml, of)


@dataclass(frozen=True)
class View:
    """What of the template lies in a volume's box: share of the `orbits` and of the `brain`, litres of the box, distance of its middle from that of the orbits,
    and smallest distance from the tissue of any face."""

    orbits: float
    brain: float
    litres: float
    off_centre_mm: float
    face_away_mm: float

    @property
    def orbital(self) -> bool:
        """Whether the orbits are what the volume was made for: a small view with both of them in its middle."""
        return bool(self.litres <= SMALL_VIEW_L and self.orbits >= ORBITS_SEEN and self.off_centre_mm <= OFF_CENTRE_MM)

    @property
    def clear_of_face(self) -> bool:
        """Whether no part of a face can be in view, with room for a person who moved."""
        return self.face_away_mm >= CLEAR_MM

    def as_json(self) -> dict[str, float]:
        """For the report."""
        return {f"view_{name}": round(float(value), 3) for name, value in vars(self).items()}


@functools.cache
def _points() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """World points of the template in the orbits (behind what the profile `face` takes), in the brain, and in the tissue of the face."""
    head = templates.head()
    wide, face = facezones.zone("face-eyes-ears").data > 0, facezones.zone("face").data > 0
    parts = (np.argwhere(wide & ~face)[::17], np.argwhere(head.brain)[::499], np.argwhere(wide & head.head)[::97])
    orbits, brain, tissue_points = (affines.apply(head.volume.affine, part) for part in parts)
    return orbits, brain, tissue_points


def view(volume: Volume, matrix: Matrix) -> View:
    """What a volume's box shows of the template, if it lies so. `matrix`: world of the volume -> world of the template."""
    step = affines.inverse(matrix @ volume.affine)
    size = np.array(volume.shape[:3])
    orbits, brain, face = _points()
    inside = [((at >= -0.5) & (at <= size - 0.5)).all(axis=1).mean() for at in (affines.apply(step, points) for points in (orbits, brain))]
    at = affines.apply(step, face)
    away = np.linalg.norm((at - np.clip(at, -0.5, size - 0.5)) * volume.zooms, axis=1).min()
    middle = affines.apply(matrix, affines.centre(volume.shape, volume.affine)[None])[0]
    litres = float(np.prod(volume.extent)) / 1e6
    return View(float(inside[0]), float(inside[1]), litres, float(np.linalg.norm(middle - orbits.mean(axis=0))), float(away))


def _dice(a: Mask, b: Mask) -> float:
    return 2 * float((a & b).sum()) / max(1.0, float(a.sum() + b.sum()))


def tissue(volume: Volume) -> Mask:
    """Voxels inside the outline of signal: above the threshold, and holes filled in slices along each axis."""
    return _filled(pyramid.foreground(volume.mean3d().data))


def _filled(bright: Mask) -> Mask:
    """With what it closes in, slice by slice along each axis."""
    from scipy import ndimage

    out = bright.copy()
    for axis in range(3):
        for piece, source in zip(np.moveaxis(out, axis, 0), np.moveaxis(bright, axis, 0), strict=True):
            piece |= ndimage.binary_fill_holes(source)
    return np.asarray(out)


def lookup(mask: Volume, like: Volume, matrix: Matrix) -> NDArray[np.uint8]:
    """Bits of the template (nearest voxel; beyond its edge as at the edge) on the 3D grid of `like`; `matrix`: world of like -> world of the template."""
    from scipy import ndimage

    step = affines.inverse(mask.affine) @ matrix @ like.affine
    out = np.empty(like.shape[:3], dtype=np.uint8)
    ndimage.affine_transform(mask.data, step[:3, :3], step[:3, 3], output=out, output_shape=out.shape, order=0, mode="nearest", prefilter=False)
    return out


def margin_mm(gone: Mask, brain: Mask, affine: Matrix) -> float | None:
    """Smallest distance between removed voxels and the brain, mm (centre to centre); None where one of them is not in view."""
    from scipy import ndimage, spatial

    brain_skin = np.argwhere(brain & ~ndimage.binary_erosion(brain))
    if not gone.any() or not len(brain_skin):
        return None
    low, high = brain_skin.min(axis=0), brain_skin.max(axis=0)
    around = np.ceil(15 / np.array(affines.zooms(affine))).astype(int)
    box = tuple(slice(max(0, int(a)), int(b) + 1) for a, b in zip(low - around, high + around, strict=True))
    gone_skin = np.argwhere(gone[box] & ~ndimage.binary_erosion(gone[box], border_value=1)) + [b.start for b in box]
    if not len(gone_skin):
        return None
    away, _ = spatial.cKDTree(affines.apply(affine, brain_skin)).query(affines.apply(affine, gone_skin), distance_upper_bound=30.0)
    return round(float(np.min(away)), 2) if np.isfinite(away).any() else 30.0


def removed_ml(gone: Mask, volume: Volume) -> float:
    """Millilitres of tissue (inside the outline of signal) in the removed zone, counted at about 2 mm."""
    small = pyramid.shrunk(volume)
    share = pyramid.shrink(Volume(gone.astype(np.float32), volume.affine), pyramid.LEVELS_MM[-1])
    return round(float(share.data[tissue(small)].sum()) * abs(float(np.linalg.det(small.affine[:3, :3]))) / 1000, 2)


@functools.cache
def _face_core() -> NDArray[np.float64]:
    """World points of the template deep in nose, mouth and chin."""
    from scipy import ndimage

    head = templates.head()
    core = ndimage.binary_erosion(head.head & (facezones.zone("pydeface").data > 0), iterations=4)
    points = np.argwhere(core)[::23]
    return affines.apply(head.volume.affine, points)


def empty_share(volume: Volume, matrix: Matrix) -> float | None:
    """Share of nose, mouth and chin that holds no more than the air around the head; None where too little of them is in view."""
    small = pyramid.shrunk(volume)
    found = _in_the_core(small, matrix)
    return None if found is None else round(float((found < pyramid.faint(small.data, NOISES)).mean()), 3)


def blank_share(volume: Volume, matrix: Matrix) -> float | None:
    """Share of nose, mouth and chin that holds the volume's one lowest value, as after somebody blanked them; None where too little of them is in view, or
    where most air holds that value as well and it tells nothing."""
    found = _in_the_core(volume, matrix)
    frame = volume.data if volume.data.ndim == 3 else volume.data[..., 0]
    air = frame[frame < pyramid.threshold(np.asarray(frame, dtype=np.float32))]
    if found is None or float((air == frame.min()).mean()) > MOST_BLANK_AIR:
        return None
    return round(float((found == frame.min()).mean()), 3)


def _in_the_core(volume: Volume, matrix: Matrix) -> NDArray[Any] | None:
    """The values deep in nose, mouth and chin (of the first frame), or None where less than a fifth of them is in view."""
    points = _face_core()
    at = np.rint(affines.apply(affines.inverse(matrix @ volume.affine), points)).astype(np.int64)
    at = at[((at >= 0) & (at < np.array(volume.shape[:3]))).all(axis=1)]
    frame = volume.data if volume.data.ndim == 3 else volume.data[..., 0]
    return None if len(at) < 0.2 * len(points) else np.asarray(frame[tuple(at.T)])


def skin_share(volume: Volume) -> float:
    """Share of the volume that is air connected with one of its faces: without any, no skin is in view."""
    from scipy import ndimage

    air = ndimage.binary_opening(~pyramid.foreground(pyramid.shrunk(volume).data))
    labels, count = ndimage.label(air)
    if count == 0:
        return 0.0
    edge = np.zeros(air.shape, dtype=np.bool_)
    for axis in range(3):
        np.moveaxis(edge, axis, 0)[[0, -1]] = True
    outer = np.unique(labels[edge & air])
    return round(float(np.isin(labels, outer[outer > 0]).mean()), 4)
