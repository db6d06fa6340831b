"""Where on the template does each volume of a visit lie?

The best picture of the whole head is aligned to the template head (affine), the others of the visit to it (rigid); what does not fit that way is aligned on
its own. A volume that shows a brain and no skin (a diffusion image with fat suppressed, a picture stripped by others) is aligned to the template's brain.
A phase, or a map whose air is noise (UNIT1 of MP2RAGE, a computed map), lies where the magnitude on its grid lies. An image whose own content tells no
place (a small view of the orbits) lies where the shared scanner frame says, and only to be told apart, never to be cut by. Whether a place is believed
is asked of outlines (`deid.headfit`), not of the alignment.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from deid import flirt, headfit
from spatial import affines, register, templates, volumes
from spatial.affines import Matrix
from spatial.errors import SpatialError
from spatial.poses import Kind, Reach
from spatial.register import Alignment
from spatial.volumes import Volume

BACKENDS = ("torch", "pydeface")
# Runs that ended further apart than this found no place. Right fits of real heads: 4.9 mm and less (44 cases); wrong ones 9.4 and more, a ball 14 to 49.
LOST_MM = 9.0
MOST_NEGATIVE = 0.1  # share of negative values above which a volume holds angles (interpolation leaves a few)
COMPUTED = frozenset({"UNIT1", "fieldmap"})


@dataclass(frozen=True)
class HeadImage:
    """One volume of a visit with its BIDS suffix (T1w, FLAIR, dwi, ...) and datatype (anat, dwi, ...); `region`: `orbit` or
    `spine` where its header says so; `frame`: its FrameOfReferenceUID (or what stands for it): equal ones share the scanner's coordinates;
    `claimed`: what it is was said by somebody, not read from the scanner's header."""

    volume: Volume
    suffix: str = "T1w"
    datatype: str = "anat"
    region: str = ""
    frame: str = ""
    claimed: bool = False


@dataclass(frozen=True)
class Place:
    """`matrix`: world of the volume -> the template's world; `fit`: how well that fits; `how` it was found, in a word; `spread_mm` of the alignment that
    found it; `reference`: the volume of the visit it was aligned to, by `rigid` (world of this -> world of that)."""

    matrix: Matrix
    fit: headfit.Fit
    how: str
    spread_mm: float
    reference: str | None = None
    rigid: Matrix | None = None


def places(images: Mapping[str, HeadImage], device: str, seed: int, backend: str = "torch") -> dict[str, Place | None]:
    """The place of every volume, None where it has none. Raises SpatialError `no_device`, `no_template`; for backend `pydeface` `no_fsl`, `fsl_failed`."""
    out: dict[str, Place | None] = {}
    reference: str | None = None
    for name in sorted(images, key=lambda n: (_rank(images[n]), n)):
        place = _twin(images[name], images, out)
        known = out[reference] if reference is not None else None
        if place is None and reference is not None and known is not None:
            place = _beside(images[name], reference, images[reference], known, device, seed) or _by_header(images[name], reference, images[reference], known)
        if place is None and not is_phase(images[name]):
            place = _alone(images[name], device, seed, backend)
        out[name] = place
        if reference is None and place is not None and not place.how.startswith("brain"):
            reference = name
    return out


def _rank(image: HeadImage) -> tuple[int, float]:
    """Small is good: a whole head in fine voxels of a contrast with clear skin."""
    small = min(image.volume.extent) < 120
    order = {"T1w": 0, "T2w": 1, "FLAIR": 1, "PDw": 1}.get(image.suffix, 2 if image.datatype == "anat" else 3)
    order += 10 * (not is_outlined(image))
    return order + 4 * small, float(max(image.volume.zooms))


def is_phase(image: HeadImage) -> bool:
    """Whether the values are angles: such a volume shows no outline, and is of the same moment as its magnitude."""
    return image.suffix.startswith("phase") or bool((image.volume.data[::3, ::3, ::3] < 0).mean() > MOST_NEGATIVE)


def is_outlined(image: HeadImage) -> bool:
    """Whether head and air differ by their values: neither angles nor ratios, whose air is noise."""
    return not (is_phase(image) or image.suffix in COMPUTED or image.suffix.endswith("map"))


def _twin(image: HeadImage, images: Mapping[str, HeadImage], known: Mapping[str, Place | None]) -> Place | None:
    """A volume without an outline lies where one on its grid lies that has one."""
    if is_outlined(image):
        return None
    for name, place in known.items():
        if place is not None and is_outlined(images[name]) and volumes.same_grid(images[name].volume, image.volume):
            return replace(place, how="same_grid", reference=name, rigid=np.eye(4))
    return None


@functools.cache
def _brain() -> Volume:
    """The template's brain alone."""
    head = templates.head()
    return Volume(np.where(head.brain, head.volume.data, 0), head.volume.affine)


def _alone(image: HeadImage, device: str, seed: int, backend: str) -> Place | None:
    if backend == "pydeface":
        return _by_flirt(image)
    head, bare = templates.head().volume, image.datatype in ("dwi", "func", "perf")
    # A search that ended where no head can lie is begun once more from other points before the head is sought lying down.
    tries: list[tuple[Volume, Kind, Reach, int, str]] = [
        (head, "affine", "wide", seed, "template"),
        (head, "affine", "wide", seed + 1, "template"),
        (head, "affine", "any", seed, "template_turned"),
    ]
    if bare:  # no stretch: where fat is suppressed the outline says too little of a head's shape
        tries.insert(1, (_brain(), "rigid", "wide", seed, "brain_rigid"))
    elif _stripped(image.volume):
        tries.insert(1, (_brain(), "affine", "wide", seed, "brain"))
    for template, kind, reach, points, how in tries:
        found = _aligned(template, image.volume, kind, device, points, reach)
        if found is None:
            return None
        fit = headfit.measure(image.volume, found.matrix, found, of="brain" if template is not head else "head")
        lost = found.spread_mm > (register.DOUBTFUL_MM if bare and kind == "affine" else LOST_MM)
        if fit.plausible and not lost:
            return Place(found.matrix, fit, how, found.spread_mm)
    return None


def _stripped(volume: Volume) -> bool:
    """Whether most of the volume holds exactly its lowest value, as after somebody took a brain out of its head."""
    data = volume.data if volume.data.ndim == 3 else volume.data[..., 0]
    return bool((data == data.min()).mean() > 0.5)


def _aligned(moving: Volume, fixed: Volume, kind: Kind, device: str, seed: int, reach: Reach) -> Alignment | None:
    """The alignment, or None where the two have nothing to do with each other."""
    try:
        return register.align(moving, fixed, kind=kind, device=device, seed=seed, reach=reach)
    except SpatialError as error:
        if error.code == "no_device":
            raise
        return None


def _by_flirt(image: HeadImage) -> Place | None:
    """Where pydeface itself, with FSL's flirt, puts the template. Raises SpatialError `no_fsl`, `fsl_failed`."""
    matrix = flirt.place(image.volume)
    found = Alignment(matrix, float("nan"), affines.scales(matrix), affines.angle_deg(matrix), float("nan"))
    fit = headfit.measure(image.volume, matrix, found)
    return Place(matrix, fit, "flirt", float("nan")) if fit.plausible else None


def _beside(image: HeadImage, name: str, reference: HeadImage, known: Place, device: str, seed: int) -> Place | None:
    """Rigid to the reference of the visit, first near the shared scanner frame, then wide."""
    reaches: tuple[Reach, ...] = ("near", "wide")
    for reach in reaches:
        found = _aligned(reference.volume, image.volume, "rigid", device, seed, reach)
        if found is None:
            continue
        matrix = known.matrix @ found.matrix
        fit = headfit.measure(image.volume, matrix, replace(found, scale=affines.scales(matrix)), of="known")
        if fit.plausible and not found.spread_mm > LOST_MM:
            return Place(matrix, fit, "reference", found.spread_mm, name, found.matrix)
    return None


def _by_header(image: HeadImage, name: str, reference: HeadImage, known: Place) -> Place | None:
    """Where the shared scanner frame puts a view that shows too little to be aligned: the orbits, or what lies far from any face. Only where both
    headers name one frame of reference: somebody who got up in between lies elsewhere (DICOM PS3.3 C.7.4.1)."""
    if not image.frame or image.frame != reference.frame:
        return None
    view = headfit.view(image.volume, known.matrix)
    if view.orbital or view.clear_of_face:
        fit = replace(known.fit, nmi=float("nan"), overlap=float("nan"))
        return Place(known.matrix, fit, "header", float("nan"), name, np.eye(4))
    return None
