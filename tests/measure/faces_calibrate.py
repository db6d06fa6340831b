"""Learn what a face's skin looks like from faces that never existed, and where the thresholds lie from other heads; writes deid/surface_features.json.

Windows of skin slopes are cut at the places where the mean head's features lie on people bent from it (never from a real head: weights keep the shape of
what they learnt from); against them stand windows of the same people without their faces, first at random, then those that look most like a
feature. Thresholds come from people bent from the mean head and from two real heads (`CALIBRATED_ON`); two more that others had defaced before show only
what a head without a face can look like (`DEFACED_BEFORE`). The other real heads are for reporting
(`tests/measure/faces_surface_rows.py`). `python tests/measure/faces_calibrate.py` does it again in about 20 minutes. Words after
it name the parts to learn anew (`nose eyes mouth`; `none`: thresholds only); the others keep their weights, all get new thresholds.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from faces_people import DEFACED_BEFORE, Person, Scan, base, cut, defaced, person, scan
from numpy.typing import NDArray

from deid import skin, surface
from spatial import affines, templates

VERSION = "2026-11-29"
CALIBRATED_ON = ("mean", "philips_t1w_3d_face", "siemens_t1w_2d_face")
SEED_LEARN, SEED_THRESHOLD = 0, 50_000
PEOPLE, PEOPLE_NEGATIVE, PEOPLE_THRESHOLD = 24, 8, 12
SIZES = (0.85, 1.1)
# middle of each window on the template (voxels i, j, k) and half its size in pixels of 3 mm
WINDOWS: dict[str, tuple[tuple[float, float, float], tuple[int, int]]] = {
    "nose": ((88, 226, 66), (10, 11)),
    "eyes": ((88, 212, 103), (18, 9)),
    "mouth": ((88, 213, 26), (13, 10)),
    "right_ear": ((163, 102, 80), (11, 15)),
}
RIDGE = 0.3
JUST_ABOVE = 0.02  # of the way from heads without a face to whole ones: a miss lets a face out, a false alarm costs a look


@dataclass(frozen=True, eq=False)
class Example:
    """The skin of a scan before, after defacing, and with nose and mouth alone taken out (pydeface's zone); and where each feature's middle lies (world mm)."""

    whole: skin.Skin
    bare: skin.Skin
    lower: skin.Skin
    places: dict[str, NDArray[np.float64]]
    turn: NDArray[np.float64]


def example(of: str, seed: int) -> Example:
    """One person of a base, scanned and defaced."""
    who = person(base(of), seed)
    seen = scan(who, seed + 100_000, size=SIZES)
    skins = [skin.find(volume) for volume in (seen.volume, defaced(seen, seed), defaced(seen, seed, "pydeface"))]
    return Example(*skins, places(who, seen), affines.polar(seen.place)[0])


def places(who: Person, seen: Scan) -> dict[str, NDArray[np.float64]]:
    """Where the windows' middles lie in the scan, the bend of the face taken into account."""
    out = {}
    head = templates.head().volume
    for name, (voxel, _) in WINDOWS.items():
        at = affines.apply(head.affine, np.array([voxel]))
        index = np.rint(affines.apply(affines.inverse(who.bend.affine), at))[0].astype(int)
        index = np.clip(index, 0, np.array(who.bend.shape[:3]) - 1)
        out[name] = affines.apply(affines.inverse(seen.place), at - who.bend.data[tuple(index)])[0]
    return out


def upright(name: str) -> NDArray[np.float64]:
    """From the template's frame to the view of a feature."""
    return affines.rotation((0, 0, 90))[:3, :3] if name == "right_ear" else np.eye(3)


def positives(name: str, examples: list[Example], random: np.random.Generator, views: int = 12) -> NDArray[np.float32]:
    """Windows (n, values) at the feature's place, seen from about where it faces."""
    out = []
    for one in examples:
        for _ in range(views):
            jitter = affines.rotation(random.uniform(-11, 11, 3))[:3, :3]
            turn = jitter @ upright(name) @ one.turn
            lean = skin.slopes(skin.depth(centred(one.whole), turn))
            x, _, z = turn @ (one.places[name] - one.whole.middle)
            out.append(window(lean, name, round(x / skin.PIXEL_MM) + skin.SIDE_PIXELS // 2, round(z / skin.PIXEL_MM) + skin.SIDE_PIXELS // 2))
    return np.array(out)


def centred(seen: skin.Skin) -> skin.Skin:
    """The skin about its own middle, as `surface` looks at it."""
    return seen.placed(affines.translation(-seen.middle))


def window(lean: surface.Map, name: str, x: int, z: int) -> NDArray[np.float32]:
    """One window, flat; what lies beyond the view is 0."""
    a, b = WINDOWS[name][1]
    wide = np.pad(lean, ((0, 0), (20, 20), (20, 20)))
    return wide[:, 20 + x - a : 20 + x + a + 1, 20 + z - b : 20 + z + b + 1].ravel()


def without(name: str, one: Example, random: np.random.Generator) -> skin.Skin:
    """The head in a state that lacks the feature."""
    return one.lower if name in ("nose", "mouth") and random.random() < 0.4 else one.bare


def view_of(name: str, seen: skin.Skin, random: np.random.Generator) -> surface.Map:
    """A view at random out of those that a feature is looked for in."""
    turns = surface.side_turns(90.0) if name == "right_ear" else surface.front_turns()
    return skin.slopes(skin.depth(centred(seen), turns[random.integers(len(turns))]))


def background(name: str, examples: list[Example], random: np.random.Generator, count: int = 150) -> NDArray[np.float32]:
    """Windows at random on heads without a face."""
    out = []
    for one in examples:
        lean = view_of(name, without(name, one, random), random)
        seen = np.argwhere(np.abs(lean).sum(axis=0) > 0)
        out += [window(lean, name, *place) for place in seen[random.choice(len(seen), count)]]
    return np.array(out)


def hardest(name: str, part: surface.Part, examples: list[Example], random: np.random.Generator, views: int = 6, each: int = 3) -> NDArray[np.float32]:
    """The windows of heads without a face that look most like the feature."""
    out = []
    for one in examples:
        for _ in range(views):
            lean = view_of(name, without(name, one, random), random)
            score = slid(lean, part)
            for _ in range(each):
                x, z = np.unravel_index(int(score.argmax()), score.shape)
                out.append(window(lean, name, int(x), int(z)))
                score[max(0, x - 3) : x + 4, max(0, z - 3) : z + 4] = -np.inf
    return np.array(out)


def slid(lean: surface.Map, part: surface.Part) -> surface.Map:
    """As `surface.slid`, for a part that is still being learnt."""
    from scipy import signal

    score = sum(signal.fftconvolve(layer, weights[::-1, ::-1], mode="same") for layer, weights in zip(lean, part.weights, strict=True))
    return np.asarray(score + part.bias, dtype=np.float32)


def learnt(name: str, faces: list[Example], heads: list[Example], random: np.random.Generator, rounds: int = 5) -> surface.Part:
    """A linear discriminant of feature (on `faces`) and background (on `heads` without theirs), then logistic regression against its own mistakes."""
    yes, no = positives(name, faces, random), background(name, heads, random)
    a, b = WINDOWS[name][1]
    shape = (2, 2 * a + 1, 2 * b + 1)
    spread = np.cov(no, rowvar=False)
    spread += RIDGE * np.trace(spread) / len(spread) * np.eye(len(spread))
    weights = np.linalg.solve(spread, yes.mean(axis=0) - no.mean(axis=0))
    bias = -float(weights @ (yes.mean(axis=0) + no.mean(axis=0)) / 2)
    for _ in range(rounds):
        part = surface.Part(weights.reshape(shape).astype(np.float32), bias, (0, 0), 0.0, 1.0)
        no = np.concatenate([no, hardest(name, part, heads, random)])
        weights, bias = _logistic(yes, no, spread)
    return surface.Part(weights.reshape(shape).astype(np.float32), bias, (0, 0), 0.0, 1.0)


def _logistic(yes: NDArray[np.float32], no: NDArray[np.float32], spread: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Ridge logistic regression by L-BFGS, feature and background of equal weight."""
    from scipy import optimize

    x = np.concatenate([yes, no]).astype(np.float64)
    y = np.concatenate([np.ones(len(yes)), -np.ones(len(no))])
    w = np.where(y > 0, 0.5 / len(yes), 0.5 / len(no))

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = y * (x @ theta[:-1] + theta[-1])
        pull = -y * w / (1 + np.exp(np.clip(margin, -50, 50)))
        cost = float((w * np.logaddexp(0, -margin)).sum() + 2e-3 * theta[:-1] @ theta[:-1])
        return cost, np.append(x.T @ pull + 4e-3 * theta[:-1], pull.sum())

    found = optimize.minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"maxiter": 120})
    return found.x[:-1], float(found.x[-1])


def packed(part: surface.Part, place: tuple[int, int]) -> dict[str, Any]:
    """For the JSON: weights as whole numbers of a scale."""
    scale = float(np.abs(part.weights).max() / 127)
    whole = np.rint(part.weights / scale).astype(int)
    return {
        "shape": list(whole.shape),
        "scale": scale,
        "bias": part.bias,
        "place": list(place),
        "threshold": 0.0,
        "unit": 1.0,
        "weights": whole.ravel().tolist(),
    }


def offset(name: str) -> tuple[int, int]:
    """Pixels from the nose's window to another's, seen from the front."""
    edge = templates.head().volume.zooms
    (i, _, k), (x, _, z) = WINDOWS[name][0], WINDOWS["nose"][0]
    return round((i - x) * edge[0] / skin.PIXEL_MM), round((k - z) * edge[2] / skin.PIXEL_MM)


def write(parts: dict[str, dict[str, Any]], how: dict[str, Any]) -> None:
    """The calibration file."""
    text = json.dumps({"version": VERSION, "made_by": "tests/measure/faces_calibrate.py", **how, "parts": parts})
    surface.DATA.write_text(text + "\n", "utf-8")
    for cached in (surface._calibration, surface.detector, surface._kernel):
        cached.cache_clear()


def unthresholded(parts: dict[str, surface.Part]) -> dict[str, dict[str, Any]]:
    """Every part with its place; the left ear is the right one's mirror image; `face` has no weights of its own."""
    out = {name: packed(part, offset(name) if name != "right_ear" else (0, 0)) for name, part in parts.items()}
    out["left_ear"] = {**out["right_ear"], "weights": [0], "shape": [1, 1, 1]}
    out["face"] = {**out["left_ear"], "bias": 0.0}
    return out


def thresholds(parts: dict[str, dict[str, Any]], bare: list[dict[str, float]], whole: list[dict[str, float]]) -> None:
    """Above all scans without a face but one, by `JUST_ABOVE` of the way to the median of whole heads; the unit is what is left of that way."""
    for name, values in parts.items():
        highest = sorted(row[name] for row in bare)[-2]
        middle = float(np.median([row[name] for row in whole]))
        values["threshold"] = highest + JUST_ABOVE * max(0.0, middle - highest)
        values["unit"] = max(1.0, middle - values["threshold"])
    for one, two in (("left_ear", "right_ear"), ("right_ear", "left_ear")):
        parts[one]["threshold"] = max(parts[one]["threshold"], parts[two]["threshold"])


def scores_of(of: str, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Raw scores, to one decimal, of one person of a base, defaced and whole."""
    seen = cut(scan(person(base(of), seed), seed + 100_000, size=SIZES), seed)
    bare, whole = (surface.raw_scores(skin.find(volume)) for volume in (defaced(seen, seed), seen.volume))
    return {name: round(score, 1) for name, score in bare.items()}, {name: round(score, 1) for name, score in whole.items()}


def learnt_parts(names: list[str]) -> dict[str, surface.Part]:
    """The parts named, learnt anew."""
    random = np.random.default_rng(SEED_LEARN)
    faces = [example("mean", SEED_LEARN + n) for n in range(PEOPLE)]
    heads = faces + [example(of, SEED_LEARN + 1000 + n) for of in (*CALIBRATED_ON[1:], *DEFACED_BEFORE) for n in range(PEOPLE_NEGATIVE)]
    print(len(heads), "heads to learn from", flush=True)
    return {name: learnt(name, faces, heads, random) for name in names}


def main(words: list[str]) -> int:
    """Learn what is named (all, where nothing is), set thresholds, write."""
    names = [name for name in WINDOWS if not words or name in words]
    known = surface.detector() if words else {}
    new = learnt_parts(names) if names else {}
    parts = unthresholded({name: new.get(name) or known[name] for name in WINDOWS})
    made = {name: VERSION if name in names else str(surface._calibration().get("learnt", {}).get(name, "2026-11-21")) for name in WINDOWS}
    write(parts, {"learnt": made})
    bare, whole = [], []
    for n, of in enumerate((*CALIBRATED_ON, *DEFACED_BEFORE)):
        start = SEED_THRESHOLD + 1000 * n
        rows = [scores_of(of, seed) for seed in range(start, start + PEOPLE_THRESHOLD)]
        bare += [row[0] for row in rows]
        whole += [row[1] for row in rows if of not in DEFACED_BEFORE]
        print(of, json.dumps(rows), flush=True)
    thresholds(parts, bare, whole)
    write(parts, {"calibrated_on": list(CALIBRATED_ON), "and_without_faces_on": list(DEFACED_BEFORE), "scans_each": PEOPLE_THRESHOLD, "learnt": made})
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
