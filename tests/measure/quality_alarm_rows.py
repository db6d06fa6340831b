"""The rows of `make show-quality` about what must fail and what must not: clean volumes, erased brains, and patients whose brains look erased.

Erasing writes a constant (zero, the mean, or the value of fluid); pathology fills the same kind of volume with noisy fluid, skin or nothing but air.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from quality_corrupt_rows import FIRST_CLEAN, Report, clean, clean_label, measured
from quality_heads import BASES, MM, Array, Visit, visit
from scipy import ndimage
from table import Result

from spatial.volumes import Volume

NORM = {"quick": 0, "usual": 40, "full": 40}
SCORED = {"quick": 0, "usual": 7, "full": 40}
KEYS = {"quick": (), "usual": ("xa30_t1",), "full": BASES}
FIRST_SCORED = 500
"""The clean volumes that are judged, which are also the ones that are erased in part and fall ill: none of them is in a norm."""
MOST = 0.05
Mask = NDArray[np.bool_]


def false_alarms(depth: str) -> Result:
    """Clean volumes graded against norms of other clean volumes of the same key: how many fail, how many go to review, and for what."""
    from qa import grades, norms
    from qa.examine import entry

    if depth == "quick":
        return Result("not run now (QUICK=1)", met=None, sample=True)
    counts: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for name in KEYS[depth]:
        learnt = measured({clean_label(name, FIRST_CLEAN + n): clean(name, FIRST_CLEAN + n) for n in range(NORM[depth])})
        known = norms.build(as_report(r) for r in learnt.values())
        others = measured({clean_label(name, FIRST_SCORED + n): clean(name, FIRST_SCORED + n) for n in range(SCORED[depth])})
        for report in others.values():
            metrics = {n: entry(n, v) for n, v in report["values"].items()}
            limit = known.judge(tuple(report["norm_key"]), metrics)
            facts = [grades.Fact(f) for f in report["flags"] if not f.startswith(("limit:", "norm:"))]
            verdict = grades.grade(facts, metrics, norms.limits("structural", "T1w"), limit)
            counts[verdict["grade"]] += 1
            why.update(verdict["flags"])
    total = sum(counts.values())
    share = counts["review"] / total
    figure = f"{counts['fail']} fail, {counts['review']} review ({100 * share:.1f} %) of {total}, norms of {NORM[depth]} each for {len(KEYS[depth])} keys"
    return Result(figure + (f"; {dict(why)}" if why else ""), met=counts["fail"] == 0 and share <= MOST, sample=depth != "full")


def as_report(line: Report) -> dict[str, Any]:
    return line | {"metrics": {n: {"value": v} for n, v in line["values"].items()}}


# --- erased -------------------------------------------------------------------------------------------------------------------------------------------


def brain_of(v: Visit, line: Report) -> Mask:
    """The template's brain on the visit's own grid, from where the clean volume's registration put it."""
    from spatial.resample import resample
    from spatial.templates import head

    template = head()
    like = Volume(np.asarray(template.brain, np.float32), template.volume.affine)
    here = Volume(v.signal, v.affine)
    return np.asarray(resample(like, here, np.array(line["placement"]), order="nearest").data) > 0.5


def ball(v: Visit, brain: Mask, ml: float, rng: np.random.Generator, low: float = 0.55) -> Mask:
    """A ball of that volume whose middle lies inside the upper brain, well away from its rim."""
    radius = (ml * 1000 * 3 / 4 / np.pi) ** (1 / 3) / MM
    deep = ndimage.distance_transform_edt(brain)
    heights = np.argwhere(brain)[:, 2]
    inside = np.argwhere(deep > min(radius * 0.8, 0.6 * deep.max()))
    inside = inside[inside[:, 2] > np.quantile(heights, low - 0.2)]
    middle = inside[rng.integers(len(inside))]
    far = sum(((np.arange(n) - c)[(None,) * a + (slice(None),) + (None,) * (2 - a)]) ** 2 for a, (n, c) in enumerate(zip(brain.shape, middle, strict=True)))
    return np.asarray(far < radius**2)


def erased_ways(v: Visit, brain: Mask, rng: np.random.Generator) -> dict[str, Volume]:
    """A constant region with a planar or a mask-shaped edge, in three values and sizes; a slab of zeros along each axis; half a head."""
    given = v.scanned()
    out: dict[str, Volume] = {}

    def put(name: str, where: Mask, value: float) -> None:
        data = given.data.copy()
        data[where] = value
        out[name] = Volume(data, given.affine)

    box, middle = np.zeros(brain.shape, bool), np.argwhere(brain).mean(0).astype(int)
    half = [10, 8, 8]
    box[tuple(slice(m - h, m + h) for m, h in zip(middle + np.array((8, 6, 4)), half, strict=True))] = True
    put("box of zeros", box, 0)
    put("box of one value", box, float(np.median(given.data[box])))
    put("mask-shaped hole", ball(v, brain, 20, rng) & brain, 0)
    put("mask-shaped hole of the mean", ball(v, brain, 12, rng) & brain, float(given.data.mean()))
    cap = brain.copy()
    cap[:, :, : int(np.quantile(np.argwhere(brain)[:, 2], 0.85))] = False
    put("top of the brain cut off along its mask", cap, 0)
    lobe = brain.copy()
    lobe[:, : int(np.quantile(np.argwhere(brain)[:, 1], 0.8))] = False
    put("frontal lobe cut off by a plane", lobe, 0)
    for axis, name in enumerate("xyz"):
        slab = np.zeros(brain.shape, bool)
        at = int(middle[axis] + 5)
        slab[tuple(slice(at, at + 5) if a == axis else slice(None) for a in range(3))] = True
        put(f"slab of zeros along {name}", slab, 0)
    side = np.zeros(brain.shape, bool)
    side[: int(middle[0])] = True
    put("half a head, left", side, 0)
    lower = np.zeros(brain.shape, bool)
    lower[:, :, int(middle[2]) :] = True
    put("half a head, upper", lower, 0)
    return out


def pathology_ways(v: Visit, brain: Mask, rng: np.random.Generator) -> dict[str, Volume]:
    """Fluid where brain was, with the scan's own noise: cavity, resection to the surface, craniectomy with a sunken flap, atrophy."""
    level = float(np.median(v.signal[brain]))
    fluid = np.float32(0.25 * level)
    out: dict[str, Volume] = {}

    def soft(where: Mask) -> Array:
        return np.clip(ndimage.gaussian_filter(where.astype(np.float32), 0.7), 0, 1)

    for name, ml in (("cavity", 20.0), ("large cavity", 60.0)):
        w = soft(ball(v, brain, ml, rng) & brain)
        out[name] = v.scanned(v.signal * (1 - w) + fluid * w)
    lobe = brain.copy()
    lobe[:, : int(np.quantile(np.argwhere(brain)[:, 1], 0.85))] = False
    w = soft(lobe)
    out["frontal resection"] = v.scanned(v.signal * (1 - w) + fluid * w)
    out["craniectomy"] = v.scanned(craniectomy(v, brain))
    rim = brain & ~ndimage.binary_erosion(brain, iterations=4)
    w = soft(rim & (v.signal < 1.05 * level)) * 0.85
    out["severe atrophy"] = v.scanned(v.signal * (1 - w) + fluid * w)
    return out


def craniectomy(v: Visit, brain: Mask) -> Array:
    """A third of the vault on one side is gone: skull and scalp lie 12 mm deeper there, fluid between."""
    x = v.signal.copy()
    at = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in x.shape], indexing="ij"))
    found = np.argwhere(brain)
    middle = found.mean(0)
    side = at - middle[:, None, None, None]
    window = np.exp(-(((side[1] - 5) / 18) ** 2 + ((side[2] - 14) / 14) ** 2)) * (side[0] > 0)
    at[0] += (12 / MM) * window
    moved = ndimage.map_coordinates(x, at, order=1, mode="nearest").astype(np.float32)
    return np.asarray(moved)


Ways = Callable[[Visit, Mask, np.random.Generator], dict[str, Volume]]
HEADS = {"quick": BASES[:1], "usual": BASES[:2], "full": BASES}
SEEDS = {"quick": 1, "usual": 1, "full": 4}


def judged(ways: Ways, what: str, depth: str) -> dict[str, Report]:
    """Label -> report of each way for some seeds of every base."""
    found: dict[str, Report] = {}
    for name in HEADS[depth]:
        for n in range(SEEDS[depth]):
            seed = FIRST_SCORED + n
            v, line = visit(name, seed), measured({clean_label(name, seed): clean(name, seed)})[clean_label(name, seed)]
            made = ways(v, brain_of(v, line), np.random.default_rng(seed))
            found |= measured({f"{name}/{seed}/{what}/{way}": (lambda volume=volume: volume, name) for way, volume in made.items()})
    return found


def erased(depth: str) -> Result:
    """How many of the erased volumes fail; those that do not are named."""
    found = judged(erased_ways, "erased", depth)
    missed = [label for label, r in found.items() if r["grade"] != "fail"]
    return Result(f"{len(found) - len(missed)} of {len(found)} fail" + (f"; not: {missed}" if missed else ""), met=not missed, sample=depth != "full")


def pathology(depth: str) -> Result:
    """How many simulated patients fail; those that do are named with the reason."""
    found = judged(pathology_ways, "pathology", depth)
    wrong = {label: r["flags"] for label, r in found.items() if r["grade"] == "fail"}
    review = sum(r["grade"] == "review" for r in found.values())
    figure = f"{len(wrong)} fail of {len(found)}, {review} to review" + (f"; {wrong}" if wrong else "")
    return Result(figure, met=not wrong, sample=depth != "full")


if __name__ == "__main__":
    import sys

    for row in (pathology, erased, false_alarms):
        print(row(sys.argv[1]), flush=True)
