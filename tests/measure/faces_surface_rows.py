"""The rows of `make show-faces` that look at the head's surface: features gone on real heads, the surface check, the matcher."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from faces_calibrate import CALIBRATED_ON, SIZES
from faces_match import PEOPLE, hits, probes, upper_bound
from faces_people import REAL, Scan, base, converted, cut, defaced, person, scan
from numpy.typing import NDArray
from table import Result

from deid import faces, render, skin, surface
from deid.faces import HeadImage
from spatial import templates
from spatial.volumes import Volume

LANDMARKS = Path(__file__).with_name("faces_landmarks.json")
RADIUS_MM, SAME_MM, LEFT = 12.0, 2.0, 0.05  # a feature is gone where at most this share of the skin around it is still skin
SUFFIX = {"philips_enh_fieldmap_face": ("magnitude1", "fmap"), "siemens_visit_face_t2": ("T2w", "anat")}
VISITS = {"siemens_visit_face_t2": "siemens_visit_face_t1"}  # defaced together with it
SEED = 11_000_000  # first looked at when zones, weights and thresholds stood; 900_000, 2 to 7, 9.4 and 9.7 million and on had been before
VIEWS_S = 1.5  # CPU seconds within which the strip of five views is drawn, "about one second"


# --- features gone ---------------------------------------------------------------------------------------------------------------------------------


def share_left(before: NDArray[np.float64], after: NDArray[np.float64], place: NDArray[np.float64], radius_mm: float = RADIUS_MM) -> float:
    """Share of the skin within a radius of a place (world mm) that is still skin afterwards. NaN where there was none."""
    from scipy import spatial

    near = before[np.linalg.norm(before - place, axis=1) < radius_mm]
    if not len(near):
        return math.nan
    away, _ = spatial.cKDTree(after).query(near)
    return float((away < SAME_MM).mean())


def features_left(before: Volume, after: Volume, landmarks: dict[str, list[float] | None]) -> dict[str, float]:
    """The share of the surface left around every landmark in view; where the picture ends in a nose or an ear, that end counts as well."""
    level = skin.level(before)
    first, last = (np.concatenate([found.points, found.ends]) for found in (skin.find(before, level), skin.find(after, level)))
    return {name: share_left(first, last, np.array(place, dtype=np.float64)) for name, place in landmarks.items() if place is not None}


def defaced_for_real(name: str) -> tuple[Volume, Volume | None]:
    """A real head and what our defacing makes of it, without knowing its place."""
    volume = converted(name)
    images = {name: HeadImage(volume, *SUFFIX.get(name, ("T1w", "anat")))}
    if name in VISITS:
        images["beside"] = HeadImage(converted(VISITS[name]))
    return volume, faces.deface_visit(images)[name].volume


def features_gone(depth: str) -> Result:
    """Hand-placed landmarks on the real heads (`quick`: two heads)."""
    heads: dict[str, Any] = json.loads(LANDMARKS.read_text("utf-8"))["heads"]
    names = list(heads)[:2] if depth == "quick" else list(heads)
    total, words = 0, []
    for name in names:
        before, after = defaced_for_real(name)
        if after is None:
            words.append(f"{name}: withheld")
            continue
        left = features_left(before, after, heads[name])
        total += len(left)
        words += [f"{name} {feature} {share:.0%} left" for feature, share in left.items() if not share <= LEFT]
    figure = f"{total - len([w for w in words if 'left' in w])} of {total} landmarks on {len(names)} volumes gone with the skin {RADIUS_MM:.0f} mm around"
    return Result(figure + ("; " + "; ".join(words) if words else ""), met=not words and total > 0, sample=depth == "quick")


# --- the surface check -----------------------------------------------------------------------------------------------------------------------------


def judged(of: str, seeds: range) -> tuple[list[bool], list[bool]]:
    """Whether a face was seen on whole and on defaced scans of people of one base, and on the base as it is."""
    whole, bare = [], []
    for seed in seeds:
        seen = cut(scan(person(base(of), seed), seed + 500, size=SIZES), seed)
        whole.append(surface.look(seen.volume).visible is True)
        bare.append(surface.look(defaced(seen, seed)).visible is not False)
    real = base(of)
    whole.append(surface.look(real.volume).visible is True)
    bare.append(surface.look(defaced(Scan(real.volume, real.place), seeds.start, error_mm=0.0)).visible is not False)
    return whole, bare


def surface_check(depth: str) -> Result:
    """On heads of people whom the calibration never saw: people bent from them, and the scans as they are, whole and defaced."""
    mine = {REAL[name][2] for name in CALIBRATED_ON if name in REAL}
    others = [name for name in REAL if REAL[name][2] not in mine]
    count = {"quick": 3, "usual": 14, "full": 60}[depth]
    whole, bare = [], []
    for n, name in enumerate(others):
        seen, left = judged(name, range(SEED + 10_000 * n, SEED + 10_000 * n + count))
        whole += seen
        bare += left
    people = sorted({REAL[name][2] for name in others})
    figure = f"sensitivity {sum(whole)} of {len(whole)}, false alarms {sum(bare)} of {len(bare)}, on scans of {len(people)} heads kept apart and bent from them"
    met = sum(whole) >= 0.95 * len(whole) and sum(bare) <= 0.05 * len(bare)
    return Result(figure + f" (calibrated on {', '.join(CALIBRATED_ON)})", met=met, sample=depth != "full")


# --- the matcher -----------------------------------------------------------------------------------------------------------------------------------


def rank_one(depth: str) -> Result:
    """Faces bent from nobody's head (`full`: and from a real one); the same matcher on the same probes with their faces, and on some defaced by ourselves.

    Most probes lose their zone by the known place and a random error of 2 mm and 1 degree, for `faces.deface_visit` takes seconds each;
    some go through it, and those count among the defaced.
    """
    count, real = {"quick": (30, 2), "usual": (160, 10), "full": (200, 40)}[depth]
    words, met = [], True
    for of in ("mean", "siemens_visit_face_t1") if depth == "full" else ("mean",):
        seen = probes(of, count, SEED + 500_000, whole=50, real=real)
        whole, bare = hits(seen.gallery, seen.whose, seen.whole), hits(seen.gallery, seen.whose, seen.bare)
        own = hits(seen.gallery, seen.whose, seen.bare[: seen.real])
        bound = upper_bound(bare, len(seen.bare))
        words.append(
            f"{of}: undefaced {whole} of {len(seen.whole)}, defaced {bare} of {len(seen.bare)} (95 % bound {bound:.1%}; {own} of the {seen.real} defaced by "
            f"deface_visit{f', {seen.withheld} more withheld' if seen.withheld else ''}), gallery {PEOPLE}"
        )
        met &= whole >= 0.9 * len(seen.whole) and bound <= 0.10
    return Result("; ".join(words), met=met, sample=depth != "full")


# --- the picture -----------------------------------------------------------------------------------------------------------------------------------


def render_seconds(depth: str) -> Result:
    """CPU of the strip of five views of a 1 mm head (the mean head, nobody's), the best of a few runs."""
    head = templates.head().volume
    spent = []
    for _ in range(2 if depth == "quick" else 5):
        start = time.process_time()
        render.render(head)
        spent.append(time.process_time() - start)
    views = len(render.VIEWS_DEG)
    return Result(f"{min(spent):.2f} s CPU for {views} views of a head of {' x '.join(map(str, head.shape))} voxels, one thread", met=min(spent) <= VIEWS_S)
