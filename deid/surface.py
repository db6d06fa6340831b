"""Is a face visible? Asked of one volume alone: no template is aligned, no picture from before is needed.

The skin (`deid.skin`) is looked at from the front and from both sides, each from several angles. Every feature of a face (nose; brow, lids and orbital
rims; lips and chin; ears) is a small window of skin slopes and weights on them, learnt from faces that never existed against what is left of heads
when their faces are taken out: a linear detector of slopes (after Dalal and Triggs 2005, doi:10.1109/CVPR.2005.177; first weights by linear
discriminants, Hariharan, Malik, Ramanan 2012, doi:10.1007/978-3-642-33765-9_33). Nose, eyes and mouth at their right distances make the feature `face`.
A feature is seen where its best score passes its threshold. Only eyes alone, or a face well above it, decide: what lies behind a nose that was taken out
(septum, conchae) looks like a nose, and mouths and ears alone are too small to be told from torn tissue at 3 mm. Weights and thresholds stand in
`surface_features.json`, made by `tests/measure/faces_calibrate.py` on some heads and reported on others.

`moved_share` asks the same with a picture from before: how much of the face's surface has moved back (`deid.moved`).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import skin
from deid.moved import moved_share as moved_share
from spatial import affines
from spatial.errors import SpatialError
from spatial.volumes import Volume

Map = NDArray[np.float32]
DATA = Path(__file__).with_name("surface_features.json")
FRONT_DEG, SIDE_ROLL_DEG, SIDE_DEG = (-20.0, 0.0, 20.0), (-30.0, -10.0, 10.0, 30.0), (-12.0, 12.0)
EARS = {"right_ear": 90.0, "left_ear": -90.0}
PAD = 128  # pixels of the plane in which windows are slid over a view
REACH = 3  # pixels by which eyes and mouth may lie off their place under `face`
FEWEST_POINTS = 2000
# In units from the threshold of each to whole heads. For the face half way between heads without one (4.7, all but one of 60) and the least of whole ones
# in view (10.9), on the heads of the calibration.
DECIDING = {"eyes": 0.0, "face": 0.3}


@dataclass(frozen=True, eq=False)
class Part:
    """A feature: `weights` (2, x, z) on the slopes of a window, `bias`; `place` of its middle in pixels from the nose; `threshold` and `unit` of its score."""

    weights: Map
    bias: float
    place: tuple[int, int]
    threshold: float
    unit: float


@dataclass(frozen=True)
class Seen:
    """What was seen of a face.

    `visible`: whether a face, or its eyes alone, can be seen (None: the volume shows no surface to judge); `score`: above 0 exactly when visible, about 1 for a
    whole face; `features`: each one's distance from its threshold, 1 where whole heads lie; `found`: those above 0 (nose, mouth and ears as hints for a
    person who looks); `version` of the calibration.
    """

    visible: bool | None
    score: float
    features: dict[str, float]
    found: tuple[str, ...]
    version: str

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {"visible": self.visible, "score": self.score, "features": self.features, "found": list(self.found), "version": self.version}


def look(volume: Volume) -> Seen:
    """Look for a face on the surface of a head, whatever was done to it before."""
    version = str(_calibration()["version"])
    try:
        seen = skin.find(volume)
    except SpatialError:
        return Seen(None, 0.0, {}, (), version)
    if len(seen.points) < FEWEST_POINTS:
        return Seen(None, 0.0, {}, (), version)
    raw = raw_scores(seen)
    parts = detector()
    features = {name: round((raw[name] - part.threshold) / part.unit, 3) for name, part in parts.items()}
    found = tuple(name for name, score in features.items() if score > 0)
    score = max(round(features[name] - least, 3) for name, least in DECIDING.items())
    return Seen(score > 0, score, features, found, version)


def raw_scores(seen: skin.Skin) -> dict[str, float]:
    """The best score of every part over all views, as the detector gives it."""
    centred = seen.placed(affines.translation(-seen.middle))
    front = [_front(centred, turn) for turn in front_turns()]
    best = {name: max(view[name] for view in front) for name in front[0]}
    for name, yaw in EARS.items():
        best[name] = max(_side(centred, turn, name == "left_ear") for turn in side_turns(yaw))
    return best


def front_turns() -> list[NDArray[np.float64]]:
    """The turns (3, 3) under which the front is looked at."""
    spins = [(a, b, c) for a in FRONT_DEG for b in FRONT_DEG for c in FRONT_DEG]
    return [(affines.rotation((a, b, 0)) @ affines.rotation((0, 0, c)))[:3, :3] for a, b, c in spins]


def side_turns(yaw_deg: float) -> list[NDArray[np.float64]]:
    """The turns (3, 3) under which one side is looked at (90: the person's right)."""
    spins = [(a, b, c) for a in SIDE_DEG for b in SIDE_ROLL_DEG for c in SIDE_DEG]
    return [(affines.rotation((0, b, 0)) @ affines.rotation((a, 0, 0)) @ affines.rotation((0, 0, yaw_deg + c)))[:3, :3] for a, b, c in spins]


def _front(seen: skin.Skin, turn: NDArray[np.float64]) -> dict[str, float]:
    from scipy import ndimage

    parts = detector()
    lean = skin.slopes(skin.depth(seen, turn))
    maps = {name: slid(lean, part, name) for name, part in parts.items() if name not in (*EARS, "face")}
    scores = {name: float(score.max()) for name, score in maps.items()}
    whole = maps["nose"]
    for name in ("eyes", "mouth"):
        near = ndimage.maximum_filter(np.maximum(maps[name], 0), 2 * REACH + 1)
        dx, dz = parts[name].place
        whole = whole + np.roll(near, (-dx, -dz), axis=(0, 1))
    return scores | {"face": float(whole.max())}


def _side(seen: skin.Skin, turn: NDArray[np.float64], mirrored: bool) -> float:
    """A left ear is a right ear in the mirror."""
    lean = skin.slopes(skin.depth(seen, turn))
    if mirrored:
        lean = lean[:, ::-1] * np.array([-1, 1], dtype=np.float32)[:, None, None]
    return float(slid(lean, detector()["right_ear"], "right_ear").max())


def slid(lean: Map, part: Part, name: str) -> Map:
    """The part's score with its window's middle on each pixel of a view (2, x, z)."""
    from scipy import fft

    product = (fft.rfft2(lean, (PAD, PAD)) * _kernel(name)).sum(axis=0)
    score = fft.irfft2(product, (PAD, PAD))
    half = np.array(part.weights.shape[1:]) // 2
    score = np.roll(score, half, axis=(0, 1))
    return np.asarray(score[: lean.shape[1], : lean.shape[2]] + part.bias, dtype=np.float32)


@functools.cache
def _kernel(name: str) -> NDArray[np.complex64]:
    from scipy import fft

    return np.asarray(np.conj(fft.rfft2(detector()[name].weights, (PAD, PAD))), dtype=np.complex64)


@functools.cache
def detector() -> dict[str, Part]:
    """The parts by name, `face` last; its window is that of its parts."""
    return {name: _part(values) for name, values in _calibration()["parts"].items()}


def _part(values: dict[str, Any]) -> Part:
    weights = np.array(values["weights"], dtype=np.float32).reshape(values["shape"]) * np.float32(values["scale"])
    return Part(weights, values["bias"], (values["place"][0], values["place"][1]), values["threshold"], values["unit"])


@functools.cache
def _calibration() -> dict[str, Any]:
    return dict(json.loads(DATA.read_text("utf-8")))
