"""What is wrong with an image whatever the scanner: only these facts make a grade `fail` (codes: `qa.errors.CODES`)."""

from __future__ import annotations

import math

import numpy as np

from qa import artifacts, cord, coverage
from qa.errors import QaError
from qa.grades import Fact
from qa.masks import anatomy, grow, lag, spread, unvarying
from qa.robust import Tensor
from qa.scene import Scene, canonical
from qa.subject import Subject

CONTRASTS = ("T1w", "T2w", "FLAIR", "PDw", "T2starw")
"""Suffixes that are meant to cover the brain."""
CUT_LIMIT = 0.05
"""Share of the template's brain outside the field of view from which `brain_cut` is a fact; below it, limits.toml asks for a look."""
PICTURE_LEAST, NEIGHBOUR_LEAST = 0.3, 0.2
"""Below these correlations there is no picture. Provisional: set between pure-noise test series and the scans at hand, not calibrated on others."""
ERASED_ML, GONE_ML = 2.0, 20.0


def facts_of(subject: Subject) -> list[Fact]:
    """Everything about an image that is wrong whatever the scanner: see `qa.errors.CODES`."""
    data = subject.volume.data
    if min(data.shape[:3]) < 2:
        return [Fact("wrong_shape", f"It is {' x '.join(str(n) for n in data.shape)}.")]
    found = []
    bad = 0 if data.dtype.kind in "iub" else int(data.size - np.isfinite(data).sum())
    if bad:
        found.append(Fact("not_finite", f"{bad} of {data.size} are not."))
    if data.size == 0 or float(np.nanmax(data)) == float(np.nanmin(data)):
        return [*found, Fact("constant")]
    if data.ndim == 4:
        dead = [t for t in range(data.shape[3]) if data[..., t].max() == data[..., t].min()]
        if dead:
            found.append(Fact("volumes_dead", f"{len(dead)} of {data.shape[3]}, the first is number {dead[0] + 1}."))
    if subject.kind == "map":
        return found
    drowned = _drowned(subject.scene)
    if drowned:
        return [*found, drowned]
    return [*found, *_slices_facts(subject), *_brain_facts(subject), *_cord_facts(subject)]


def doubts_of(subject: Subject) -> list[Fact]:
    """What leaves a head unjudged and asks for a look: a contrast made to cover the brain in which no brain could be placed."""
    if subject.kind != "structural" or subject.suffix not in CONTRASTS or not subject.scene.brain_wanted:
        return []
    try:
        _ = subject.scene.brain
    except QaError as error:
        return [Fact("no_brain")] if error.code == "no_brain" else []
    return []


def _drowned(scene: Scene) -> Fact | None:
    """Whether nothing can be told from the noise: no picture at 8 mm, or inside the object a voxel says next to nothing about its neighbour."""
    picture = anatomy(scene.work, scene.work_zooms)
    if picture < PICTURE_LEAST:
        return Fact("no_anatomy", f"Neighbouring blocks of 8 mm correlate by {picture:.2f} (below {PICTURE_LEAST}: no picture).")
    try:
        inside = lag(scene.image, scene.head_native)
    except QaError as error:
        return Fact(error.code)
    if inside < NEIGHBOUR_LEAST:
        return Fact("no_anatomy", f"Inside the object neighbouring voxels correlate by {inside:.2f}: noise has more power than tissue.")
    return None


def _slices_facts(subject: Subject) -> list[Fact]:
    scene = subject.scene
    found = []
    for axis, name in enumerate(artifacts.AXES):
        dead, _ = scene.extent[axis]
        if dead:
            found.append(Fact("dead_slices", f"{len(dead)} along {name}, from slice {dead[0] + 1} of {scene.shape[axis]}."))
        twice = coverage.repeated_slices(scene.image, scene.head.threshold, axis)
        if twice:
            found.append(Fact("repeated_slices", f"{len(twice)} along {name}, from slice {twice[0] + 1} of {scene.shape[axis]}."))
    return found


def _brain_facts(subject: Subject) -> list[Fact]:
    scene = subject.scene
    try:
        brain = scene.brain
    except QaError:
        return []
    found = []
    varies = ~_ceiling(scene)
    # Inside the object a little is enough; beyond it (half a head gone) the template's place must be empty far from its rim, as a skull-stripped
    # or shrunken brain does not fill it.
    for mask, mm, least in ((brain.mask, 4.0, ERASED_ML), (brain.place, 8.0, GONE_ML)):
        if mask is brain.place and subject.suffix not in CONTRASTS:
            continue
        ml, value = coverage.erased(scene.image, spread(grow(mask, -mm, scene.work_zooms), scene.by, scene.shape) & varies, scene.zooms)
        if ml > least:
            found.append(Fact("brain_erased", f"{ml:.0f} ml have the value {value:.6g}."))
            break
    if subject.kind == "structural" and subject.suffix in CONTRASTS and brain.outside > CUT_LIMIT:
        worst = max(brain.cut, key=lambda side: brain.cut[side])
        found.append(Fact("brain_cut", f"{100 * brain.outside:.0f} % of it, most at the {FACE_WORDS[worst]} end."))
    return found


FRAYED, RISING = 0.17, 0.72
"""What tells a piece that was clipped from one that was written, at its edge: the share of voxels that are at the maximum too (noise frays the edge of what
reached a ceiling), or the share of the maximum that 95 % of the voxels beside it have (brightness runs up to a ceiling, and jumps to what somebody wrote).
Either is enough: with little noise nothing frays, and in thick slices of real heads much that is dark lies beside what is clipped.

Seen where 2 to 40 % of the brain was clipped: frayed 0.18 to 0.38 (four real heads, the template's with 3 and 5 % noise); rising 0.80 to 0.90, and 0.73 where
77 % was (the template's).
Around boxes, balls and blobs of the maximum where up to 2 % is clipped: frayed 0.00 to 0.14, rising 0.07 to 0.69.
"""


def _ceiling(scene: Scene) -> Tensor:
    """Voxels of the brain at the ceiling of the receiver, a soft thing (`sat_frac`) that is no erasing: unvarying pieces of the maximum that were clipped.

    Each piece is judged by its own edge: what was clipped elsewhere says nothing of a region that somebody wrote.
    """
    import torch
    from scipy import ndimage

    place = spread(scene.brain.place, scene.by, scene.shape).cpu().numpy()
    image = scene.image.cpu().numpy()
    at = image >= image.max()
    pieces, _ = ndimage.label(unvarying(scene.image).cpu().numpy() & at & place)
    soft = np.zeros_like(at)
    for number in 1 + np.flatnonzero(np.bincount(pieces.ravel())[1:] * math.prod(scene.zooms) / 1000 > ERASED_ML):
        solid = ndimage.binary_dilation(pieces == number)  # with the neighbours that made it unvarying: at the maximum, all of them
        edge = ndimage.binary_dilation(solid, np.ones((3, 3, 3))) & ~solid & place
        below = image[ndimage.binary_dilation(solid) & ~at & place]
        if at[edge].sum() >= FRAYED * edge.sum() > 0 or (below.size and np.quantile(below, 0.05) >= RISING * image.max()):
            soft |= solid
    return torch.from_numpy(soft).to(scene.image.device)


def _cord_facts(subject: Subject) -> list[Fact]:
    """Whether the cord segment claimed is cut: asked of pictures of the spine, not of series over time."""
    import torch

    if subject.kind != "spine":
        return []
    scene = subject.scene
    drawn = None
    if subject.cord is not None:
        flat, _, _ = canonical(subject.cord, np.asarray(subject.volume.affine, dtype=np.float64))
        drawn = torch.from_numpy(np.ascontiguousarray(flat)).to(scene.image.device)
    said = cord.cut(scene, subject.body, drawn)
    return [Fact("cord_cut", said)] if said else []


FACE_WORDS = {"L": "left", "R": "right", "P": "back", "A": "front", "I": "lower", "S": "upper"}
