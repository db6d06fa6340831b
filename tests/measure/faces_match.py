"""Would a stranger with photographs of 50 people pick the right one? A matcher that sees nothing but rendered surfaces.

Fifty people are bent from one head, so their skulls are alike and only faces and ears differ; the gallery is one scan of each, the probe another
scan of one of them (other contrast, noise, pose and voxels). Both are seen from the front, three-quarters and the sides as slopes of the skin. The
matcher is a strong one: it knows the pose up to a small error (skulls can be laid over each other), the average of all faces, and tries
small shifts; what is left after taking the average off is compared by correlation. A defaced probe is the same scan without the zone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from faces_people import Scan, base, defaced, person, scan
from numpy.typing import NDArray

from deid import faces, skin
from deid.faces import HeadImage
from spatial import affines, templates
from spatial.volumes import Volume

PEOPLE = 50
VIEWS_DEG = (0.0, 40.0, -40.0, 90.0, -90.0)
ERROR_DEG, ERROR_MM = 1.0, 1.5
SHIFTS = (-1, 0, 1)  # pixels of 3 mm
CROP = slice(14, 74)

Look = NDArray[np.float32]


def look(volume: Volume, place: affines.Matrix, random: np.random.Generator) -> Look:
    """Slopes (views, 2, x, z) of the skin in the template's pose, off by a small error."""
    middle = affines.centre(templates.head().volume.shape, templates.head().volume.affine)
    seen = skin.find(volume).placed(affines.translation(random.normal(0, ERROR_MM, 3) - middle) @ place)
    error = affines.rotation(random.normal(0, ERROR_DEG, 3))[:3, :3]
    turns = [affines.rotation((0, 0, angle))[:3, :3] @ error for angle in VIEWS_DEG]
    return np.stack([skin.slopes(skin.depth(seen, turn)) for turn in turns]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Probes:
    """Looks (n, views, 2, x, z): one of every person in the gallery; and of `whose` people from other scans, with face (the first ones) and without.

    `real`: how many of `bare`, the first ones, were defaced by `faces.deface_visit`; `withheld`: how many it did not let pass (no looks of those).
    """

    gallery: Look
    whose: list[int]
    whole: Look
    bare: Look
    real: int
    withheld: int


def probes(of: str, count: int, seed: int, people: int = PEOPLE, *, whole: int, real: int = 0) -> Probes:
    """A gallery of people of one base, and `count` probes of them in turn: `whole` of them also with their faces, `real` defaced by our own defacing."""
    random = np.random.default_rng(seed)
    who = [person(base(of), seed + n) for n in range(people)]
    gallery = np.stack([_look(scan(one, seed + 1000 + n), random) for n, one in enumerate(who)])
    whose, kept, with_face, bare, passed = [], 0, [], [], 0
    for n in range(count):
        seen = scan(who[n % people], seed + 2000 + n)
        without = by_ourselves(seen) if n < real else defaced(seen, seed + n)
        if without is None:
            kept += 1
            continue
        passed += n < real
        whose.append(n % people)
        bare.append(look(without, seen.place, random))
        if len(with_face) < whole:
            with_face.append(_look(seen, random))
    return Probes(gallery, whose, np.stack(with_face), np.stack(bare), passed, kept)


def by_ourselves(seen: Scan) -> Volume | None:
    """The scan as `faces.deface_visit` releases it, its place unknown; None where it is withheld."""
    return faces.deface_visit({"probe": HeadImage(seen.volume)})["probe"].volume


def _look(seen: Scan, random: np.random.Generator) -> Look:
    return look(seen.volume, seen.place, random)


def ranked_first(gallery: Look, probe: Look) -> int:
    """Whose face is most like the probe's: correlation of what differs from the average, best of small shifts."""
    mean = gallery.mean(axis=0)
    known = _flat(gallery - mean)
    scores = np.full(len(gallery), -np.inf)
    for dx in SHIFTS:
        for dz in SHIFTS:
            moved = _flat((np.roll(probe, (dx, dz), axis=(-2, -1)) - mean)[None])[0]
            scores = np.maximum(scores, known @ moved)
    return int(np.argmax(scores))


def _flat(rest: Look) -> NDArray[np.float32]:
    """Rows of length one, strong differences held back (they are edges, not faces)."""
    rows = np.clip(rest[..., CROP, CROP], -0.5, 0.5).reshape(len(rest), -1)
    return np.asarray(rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9), dtype=np.float32)


def hits(gallery: Look, whose: list[int], seen: Look) -> int:
    """How many probes, the first of `whose`, are given their own name."""
    return sum(ranked_first(gallery, one) == index for one, index in zip(seen, whose[: len(seen)], strict=True))


def upper_bound(found: int, of: int, confidence: float = 0.95) -> float:
    """Exact one-sided upper bound of a share (Clopper and Pearson 1934, doi:10.1093/biomet/26.4.404), by bisection of the binomial tail."""
    if found >= of:
        return 1.0
    low, high = found / of, 1.0
    for _ in range(60):
        p = (low + high) / 2
        tail = sum(math.comb(of, k) * p**k * (1 - p) ** (of - k) for k in range(found + 1))
        low, high = (p, high) if tail > 1 - confidence else (low, p)
    return high
