"""Necks with a face above them, and heads of children and the ill, that belong to nobody; of each it is known what is face, cord, spine and brain.

A *body* is the template's mean head with its face bent by a seed, turned on the joint below the skull (flexion, extension), and joined to a neck drawn
by rule: skin, muscle, vertebrae and discs, cord in its fluid, airway, under-chin, shoulders and chest. A *neck* is what one scanner saw of a body: a
field of view that holds chin and mouth (and part of the nose), thick slices, a contrast, a coil, noise, any order of axes.
Lengths of bodies are in mm of an adult of size 1; x to the right, y to the front, z up, 0 at the joint of skull and spine.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from deid import facezones
from spatial import affines, templates
from spatial.affines import Matrix
from spatial.volumes import Volume

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Kind = Literal["sagittal slab", "sagittal", "axial", "isotropic"]
KINDS: tuple[Kind, ...] = ("sagittal slab", "sagittal", "axial", "isotropic")
CONTRASTS = ("T1w", "T2w", "T2starw")

JOINT = np.array([88.0, 105.0, 50.0])  # on the template: where skull and spine meet
LANDMARKS = {"nose": (88.0, 238.0, 55.0), "mouth": (88.0, 226.0, 36.0), "chin": (88.0, 215.0, 14.0)}
AROUND_MM = 12.0
JAW_SLICE, JAW_ROUND = 12, 12.0  # below this slice the template has no chin; the under-chin is drawn
KNOT_MM, BEND_MM = 16.0, 3.5

# Grey values: fat, muscle, bone, disc, cord, fluid, and what a grey value of the template (0 to 1) becomes.
GREY: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "T1w": ((0.95, 0.45, 0.6, 0.35, 0.55, 0.15), (0.0, 0.06, 0.25, 0.5, 0.8, 1.0)),
    "T2w": ((0.75, 0.25, 0.4, 0.5, 0.45, 1.0), (0.0, 0.06, 0.35, 0.5, 0.4, 0.75)),
    "T2starw": ((0.5, 0.5, 0.15, 0.6, 0.65, 1.0), (0.0, 0.05, 0.4, 0.6, 0.65, 0.5)),
}
KNOTS = (0.0, 0.06, 0.25, 0.5, 0.8, 1.0)


@dataclass(frozen=True)
class Body:
    """`size` of an adult of 1; `face` how long and deep the face is for that size (a child's is smaller); `pitch_deg` of the head (flexion > 0)."""

    seed: int
    size: float
    face: float
    pitch_deg: float
    lean_deg: float
    stout: float

    @property
    def to_head(self) -> Matrix:
        """mm of the phantom -> voxels of the template, before the face is bent."""
        turn = affines.rotation((-self.pitch_deg, 0, 0))
        return affines.translation(JOINT) @ affines.scaling(1 / self.size) @ affines.inverse(turn)


@dataclass(frozen=True, eq=False)
class Neck:
    """One scan: `volume`, masks on its grid (`cord`, `spine` with its vertebrae and discs, `tissue`), and per landmark in view the tissue around it."""

    volume: Volume
    suffix: str
    kind: Kind
    body: Body
    cord: Mask
    spine: Mask
    tissue: Mask
    face: dict[str, Mask]


def body(seed: int) -> Body:
    """A body drawn by its seed: every fourth a child."""
    random = np.random.default_rng(seed)
    child = seed % 4 == 3
    size = random.uniform(0.72, 0.88) if child else random.uniform(0.92, 1.15)
    pitch = random.uniform(-20, 20)
    return Body(
        seed, size, random.uniform(0.84, 0.92) if child else random.uniform(0.96, 1.04), pitch, 0.4 * pitch + random.uniform(-6, 10), random.uniform(0.93, 1.15)
    )


@functools.lru_cache(maxsize=4)
def _bend(seed: int) -> Floats:
    """How a face differs from the mean, in voxels, on the template at 8 (3, i, j, k)."""
    random = np.random.default_rng(seed)
    shape = tuple(n // 8 + 1 for n in templates.head().volume.shape)
    return np.stack([f / f.std() * BEND_MM for f in (ndimage.gaussian_filter(random.standard_normal(shape), KNOT_MM / 8) for _ in range(3))])


def bent(who: Body, at: Floats) -> Floats:
    """Voxels of the template (n, 3) that a place of the unbent head (n, 3) shows: bends and a child's face live before the spine and below the brow."""
    front = np.clip((at[:, 1] - 140) / 40, 0, 1) * np.clip((125 - at[:, 2]) / 25, 0, 1)
    out = at.copy()
    some = front > 0
    out[some] += front[some, None] * np.stack([ndimage.map_coordinates(f, at[some].T / 8, order=1, mode="nearest") for f in _bend(who.seed)], axis=-1)
    more = 1 / who.face - 1
    out[:, 2] -= front * np.clip(100 - at[:, 2], 0, None) * more
    out[:, 1] += front * (at[:, 1] - 150) * 0.6 * more
    return np.asarray(out)


def shown_at(who: Body, of: Floats) -> Floats:
    """The places (n, 3) in mm of the phantom that show these voxels of the template (n, 3)."""
    at = of.copy()
    for _ in range(30):
        at = at + (of - bent(who, at))
    return affines.apply(affines.inverse(who.to_head), at)


@functools.cache
def _template() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Grey values 0 to 1, the head as a soft mask, and how deep inside it a voxel lies."""
    head = templates.head()
    grey = np.clip(head.volume.data / np.percentile(head.volume.data, 99.5), 0, 1).astype(np.float32)
    whole = head.head.copy()
    whole[:, :, :JAW_SLICE] = whole[:, :, JAW_SLICE : JAW_SLICE + 1]
    depth = ndimage.distance_transform_edt(whole).astype(np.float32)
    return grey, ndimage.gaussian_filter(whole.astype(np.float32), 0.6), depth


@functools.cache
def _jaw() -> NDArray[np.float32]:
    """How deep a place of the jaw's outline (i, j) lies inside it."""
    return ndimage.distance_transform_edt(templates.head().head[:, :, JAW_SLICE]).astype(np.float32)


def _head(who: Body, place: Floats) -> tuple[Floats, Floats]:
    """Grey value 0 to 1 of the head at places (n, 3), and how much of it is head (0 to 1); under the chin the jaw is closed."""
    far = affines.apply(who.to_head, place)
    near = ((far > (-10, 0, -24)) & (far < (186, 262, 262))).all(axis=1)
    out = np.zeros((2, len(place)))
    at = bent(who, far[near])
    look = at.T.copy()
    look[2] = np.maximum(look[2], JAW_SLICE)
    grey, soft, depth = (ndimage.map_coordinates(part, look, order=1, mode="constant") for part in _template())
    inside = np.minimum(ndimage.map_coordinates(_jaw(), at[:, :2].T, order=1, mode="constant"), JAW_ROUND)
    floor = -2 - 0.24 * np.clip(217 - at[:, 1], 0, 70) + JAW_ROUND - np.sqrt(np.maximum(0, JAW_ROUND**2 - (JAW_ROUND - inside) ** 2))
    closed = (at[:, 2] > floor) & (inside > 0) & (at[:, 1] > 140)
    out[0, near] = np.where(depth < 5, np.maximum(grey, 0.3), np.maximum(grey, 0.12))
    out[1, near] = np.where(at[:, 2] >= JAW_SLICE, soft, soft * closed)
    return out[0], out[1]


def _neck(who: Body, place: Floats) -> NDArray[np.int8]:
    """Kinds of the neck at places (n, 3): -1 none, else an index of GREY (6: airway)."""
    x, y, z = place.T / who.size
    y = y - cord_y(who, z)
    low = np.clip(-118 - z, 0, None)
    wide, front, back = 58 * who.stout + 1.7 * low, 60 * who.stout + 6 + 0.9 * low + 0.06 * np.clip(-70 - z, 0, None), 52 * who.stout + 0.5 * low
    radius = np.sqrt((abs(x) / wide) ** 2.3 + (abs(y) / np.where(y > 0, front, back)) ** 2.3)
    level = -(z + 14) % 18
    out = np.full(len(x), -1, dtype=np.int8)
    out[(radius < 1) & (z < -22)] = 0
    out[(radius < 1 - 5 / np.minimum(wide, front)) & (z < -22)] = 1
    bodies = (abs(x) < 12) & (y > 8.5) & (y < 25) & (z < -14)
    out[bodies] = np.where(level[bodies] < 13.5, 2, 3)
    out[((abs(x) < 3.5) & (y < -10) & (y > -36) & (level < 9) | (abs(abs(x) - 17) < 5) & (abs(y - 2) < 9) & (level < 12)) & (z < -14)] = 2
    out[((x / 12) ** 2 + (y / 8.5) ** 2 < 1) & (z < -6)] = 5
    out[((x / 6.5) ** 2 + (y / 4.5) ** 2 < 1) & (z < 0)] = 4
    out[((x / 8) ** 2 + ((y - 38) / 6.5) ** 2 < 1) & (z < -30)] = 6
    return out


def cord_y(who: Body, z: Floats) -> Floats:
    """Where the cord lies (y, size 1) at a height: a neck that leans and is a little hollow behind."""
    down = np.clip(z, -200, 0)
    return np.asarray(np.tan(np.deg2rad(who.lean_deg)) * down + 7 * np.sin(np.pi * np.clip(-down / 120, 0, 1)))


def neck(seed: int) -> Neck:
    """The neck of a seed; equal seeds give equal scans."""
    random = np.random.default_rng(seed + 10_000)
    who = body(seed)
    kind, suffix = KINDS[seed % 4 if seed % 4 != 3 else (seed // 4) % 4], CONTRASTS[seed % 3]
    like = _turned(_view(who, kind, random), random)
    while not _shown(who, like, "chin", "mouth"):
        like = _turned(_view(who, kind, random), random)
    place = affines.apply(like.affine, np.argwhere(np.ones(like.shape, dtype=np.bool_)))
    grey, kinds, soft = _seen(who, place, suffix)
    across = int(np.argmax(like.zooms))
    if like.zooms[across] > 2:  # a thick slice is a mean
        grey = (grey + _seen(who, place + 0.4 * like.affine[:3, across], suffix)[0]) / 2
    grey = (grey * _coil(who, place, random)).reshape(like.shape)
    level = random.uniform(0.008, 0.03)
    noisy = np.hypot(grey + random.normal(0, level, like.shape), random.normal(0, level, like.shape))
    kinds = kinds.reshape(like.shape)
    tissue = (soft > 0.5).reshape(like.shape) | ((kinds >= 0) & (kinds < 6))
    return Neck(
        Volume((noisy * 1000).astype(np.int16), like.affine), suffix, kind, who, kinds == 4, (kinds == 2) | (kinds == 3), tissue, _face(who, like, tissue)
    )


def _seen(who: Body, place: Floats, suffix: str) -> tuple[Floats, NDArray[np.int8], Floats]:
    """Grey values of a contrast at places (n, 3), kinds of the neck there, and how much is head."""
    values, curve = GREY[suffix]
    kinds = _neck(who, place)
    under = np.where(kinds < 0, 0.0, np.array([*values, 0.01, 0.0])[kinds])
    grey, soft = _head(who, place)
    # The neck's own middle (spine, cord, airway) goes on up to the joint; around it the head covers the neck.
    return np.where(kinds >= 2, under, soft * np.interp(grey, KNOTS, curve) + (1 - soft) * under), kinds, soft


def _shown(who: Body, like: Volume, *names: str) -> bool:
    """Whether the view holds these landmarks."""
    at = affines.apply(affines.inverse(like.affine), shown_at(who, np.array([LANDMARKS[name] for name in names])))
    return bool(((at > -0.5) & (at < np.array(like.shape) - 0.5)).all())


def _face(who: Body, like: Volume, tissue: Mask) -> dict[str, Mask]:
    """Tissue around every landmark that is in view."""
    out = {}
    for name, voxel in LANDMARKS.items():
        if _shown(who, like, name):
            away = np.linalg.norm(affines.apply(like.affine, np.argwhere(tissue)) - shown_at(who, np.array([voxel])), axis=1)
            out[name] = np.zeros_like(tissue)
            out[name][tissue] = away < AROUND_MM * who.size
    return out


def _view(who: Body, kind: Kind, random: np.random.Generator) -> Volume:
    """The field of view: from the chest to between mouth and eyes; the nose's tip is sometimes cut in front."""
    nose, mouth, chin = shown_at(who, np.array(list(LANDMARKS.values())))
    top = max(mouth[2], chin[2]) + random.uniform(18, 48) * who.size
    bottom = who.size * (random.uniform(-150, -125) if kind == "axial" else random.uniform(-190, -145))
    front = max(nose[1] - 6, mouth[1] + 8, chin[1] + 8) + random.uniform(0, 30)
    back = -random.uniform(80, 110) * who.size
    half = {"sagittal slab": random.uniform(22, 32), "sagittal": 75.0, "axial": 80.0, "isotropic": 65.0}[kind]
    edges = {"sagittal slab": (3.0, 1.1, 1.1), "sagittal": (3.0, 1.4, 1.4), "axial": (1.4, 1.4, 3.0), "isotropic": (1.6, 1.6, 1.6)}[kind]
    shape = [round(length / edge) for length, edge in zip((2 * half, front - back, top - bottom), edges, strict=True)]
    tilt = affines.rotation(random.uniform(-4, 4, 3))
    return Volume(np.broadcast_to(np.uint8(0), shape), affines.translation((-half, back, bottom)) @ tilt @ affines.scaling(edges))


def _turned(view: Volume, random: np.random.Generator) -> Volume:
    """The same box with its axes in any order and direction."""
    order, flips = random.permutation(3), random.integers(0, 2, 3)
    step = np.zeros((4, 4))
    step[3, 3] = 1
    for new, old in enumerate(order):
        step[old, new] = -1 if flips[new] else 1
        step[old, 3] = view.shape[old] - 1 if flips[new] else 0
    return Volume(np.broadcast_to(np.uint8(0), [view.shape[old] for old in order]), view.affine @ step)


def _coil(who: Body, place: Floats, random: np.random.Generator) -> Floats:
    """A coil near the neck: what lies in front of it and above is darker."""
    slopes = random.uniform(-0.3, 0.3, 3) / 100
    front = np.clip(place[:, 1] / who.size - 20, 0, None) / 100
    return np.asarray(np.exp(place @ slopes - random.uniform(0, 0.9) * front))


HEADS = ("child of 1", "child of 3", "child of 8", "large lesions", "wide ventricles", "shunt", "resection", "small head")
# Size of the head (its girth over an adult's: about 46, 49.5 and 52 of 56 cm), and of the face for that head.
CHILD = {"child of 1": (0.82, 0.78), "child of 3": (0.88, 0.84), "child of 8": (0.93, 0.92), "small head": (0.81, 1.0)}


@dataclass(frozen=True, eq=False)
class Head:
    """A whole head of a child or of somebody ill: `brain` on the grid of `volume`, and the voxel of every landmark of the face."""

    volume: Volume
    suffix: str
    brain: Mask
    landmarks: dict[str, NDArray[np.int64]]


def head(kind: str, seed: int) -> Head:
    """A head of one of `HEADS`; equal seeds give equal heads."""
    random = np.random.default_rng(seed + 20_000)
    size, face = CHILD.get(kind, (random.uniform(0.95, 1.08), 1.0))
    who = Body(seed, size, face, random.uniform(-12, 12), 0.0, 1.0)
    voxel = float(random.choice([1.6, 2.0]))
    middle = shown_at(who, np.array([[88.0, 130.0, 120.0]]))[0]
    half = np.array([95.0, 125.0, 130.0]) * size
    shape = [round(2 * h / voxel) for h in half]
    like = Volume(np.broadcast_to(np.uint8(0), shape), affines.translation(middle - half) @ affines.rotation(random.uniform(-6, 6, 3)) @ affines.scaling(voxel))
    place = affines.apply(like.affine, np.argwhere(np.ones(shape, dtype=np.bool_)))
    at = bent(who, affines.apply(who.to_head, place))
    ill = _ill(_template()[0], kind, random)
    grey, soft = (ndimage.map_coordinates(part, at.T, order=1, mode="constant") for part in (ill, _soft()))
    brain = ndimage.map_coordinates(templates.head().brain.astype(np.float32), at.T, order=1, mode="constant") > 0.5
    suffix = ("T1w", "T2w")[seed % 2]
    seen = np.interp(grey, KNOTS, GREY[suffix][1]) * soft * np.exp(place @ random.uniform(-0.2, 0.2, 3) / 100)
    level = random.uniform(0.008, 0.025)
    noisy = np.hypot(seen + random.normal(0, level, len(seen)), random.normal(0, level, len(seen))).reshape(shape)
    places = shown_at(who, np.array(list(facezones.LANDMARKS.values()), dtype=np.float64))
    voxels = np.rint(affines.apply(affines.inverse(like.affine), places)).astype(np.int64)
    inside = {name: v for name, v in zip(facezones.LANDMARKS, voxels, strict=True) if ((v >= 0) & (v < shape)).all()}
    return Head(Volume((noisy * 1000).astype(np.int16), like.affine), suffix, brain.reshape(shape), inside)


@functools.cache
def _soft() -> NDArray[np.float32]:
    """The head, and its haze of many other heads taken away."""
    return ndimage.gaussian_filter(ndimage.binary_dilation(templates.head().head).astype(np.float32), 0.7)


def _ill(grey: NDArray[np.float32], kind: str, random: np.random.Generator) -> NDArray[np.float32]:
    """Grey values of the template with what an illness did to the brain."""
    i, j, k = np.ogrid[: grey.shape[0], : grey.shape[1], : grey.shape[2]]

    def ball(at: tuple[float, float, float], radius: tuple[float, float, float]) -> Mask:
        return np.asarray(sum(((axis - a) / r) ** 2 for axis, a, r in zip((i, j, k), at, radius, strict=True)) < 1)

    out = grey.copy()
    side = float(random.choice([-1, 1]))
    if kind == "large lesions":
        for _ in range(5):
            out[ball((88 + side * random.uniform(10, 45), random.uniform(60, 190), random.uniform(110, 170)), tuple(random.uniform(12, 24, 3)))] = 0.85
    if kind == "wide ventricles":
        for way in (-1, 1):
            out[ball((88 + way * 18, 125, 138), (16, 55, 22))] = 0.12
        thin = ndimage.distance_transform_edt(templates.head().brain)
        out[(thin > 0) & (thin < 4)] = 0.12
    if kind == "shunt":  # a valve behind the ear: no signal around it, and a bright rim
        out[ball((88 + side * 62, 70, 135), (30, 30, 30))] = 1.0
        out[ball((88 + side * 62, 70, 135), (26, 26, 26))] = 0.0
    if kind == "resection":
        out[ball((88 + side * 35, 185, 135), (26, 30, 26))] = 0.1
    return out
