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

from deid import skin
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
    """Looks (n, views, 2, x, z): one of every person in the gallery; and of `whose` people from other scans, with and without face."""

    gallery: Look
    whose: list[int]
    whole: Look
    bare: Look


def probes(of: str, count: int, seed: int, people: int = PEOPLE) -> Probes:
    """A gallery of people of one base, and `count` probes of them in turn."""
    random = np.random.default_rng(seed)
    who = [person(base(of), seed + n) for n in range(people)]
    gallery = np.stack([_look(scan(one, seed + 1000 + n), random) for n, one in enumerate(who)])
    whose = [n % people for n in range(count)]
    whole, bare = [], []
    for n, index in enumerate(whose):
        seen = scan(who[index], seed + 2000 + n)
        whole.append(_look(seen, random))
        bare.append(look(defaced(seen, seed + n), seen.place, random))
    return Probes(gallery, whose, np.stack(whole), np.stack(bare))


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
    """How many probes are given their own name."""
    return sum(ranked_first(gallery, one) == index for one, index in zip(seen, whose, strict=True))


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
