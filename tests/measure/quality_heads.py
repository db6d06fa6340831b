"""Clean heads, varied as people, positioning and scanners vary them: the material of the rows about corruption, false alarms and pathology.

Bases are real T1w heads at 2 mm, their shading flattened first. A *visit* is a base and a seed: bent, turned, sized, blurred, shaded, re-weighted a
little; its noise is drawn by the same seed and comes last, so that the clean volume and each of its corrupted partners carry the very same noise, and
no filled voxel is ever an exact zero. What an artefact does comes between the two: after the anatomy, before the noise.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from faces_register_cases import head
from numpy.typing import NDArray
from scipy import ndimage

from spatial import affines
from spatial.volumes import Volume

Array = NDArray[np.float32]
BASES = ("xa30_t1", "visit_t1", "philips_t1")
FACTS = {
    "xa30_t1": {"Manufacturer": "Siemens", "ManufacturerModelName": "Prisma", "MagneticFieldStrength": 3},
    "visit_t1": {"Manufacturer": "Siemens", "ManufacturerModelName": "Avanto", "MagneticFieldStrength": 1.5},
    "philips_t1": {"Manufacturer": "Philips", "ManufacturerModelName": "Achieva", "MagneticFieldStrength": 3},
}
MM = 2.0


@cache
def base(name: str) -> Volume:
    """A head at 2 mm, R A S, shading flattened, white matter at 1000, without negative values."""
    from qa.masks import spread
    from qa.scene import Scene, canonical

    given = head(name)
    data, affine, _ = canonical(np.asarray(given.data, np.float32), np.asarray(given.affine))
    zooms = np.linalg.norm(affine[:3, :3], axis=0)
    soft = ndimage.gaussian_filter(data, np.clip(0.4 * (MM / zooms - 1), 0, None))
    shape = tuple(int(n * z / MM) for n, z in zip(data.shape, zooms, strict=True))
    step = np.diag(MM / zooms)
    small = ndimage.affine_transform(soft, step, output_shape=shape, order=1).astype(np.float32)
    volume = Volume(small, np.vstack([np.hstack([affine[:3, :3] @ step, affine[:3, 3:]]), [0, 0, 0, 1]]))
    scene = Scene(volume, "T1w")
    field = np.clip(spread(scene.field_and_tissue[0], scene.by, scene.shape).numpy(), 0.4, 2.5)
    flat = np.clip(small / field, 0, None) * (1000 / scene.level)
    return Volume(np.minimum(flat, 4000).astype(np.float32), volume.affine)


@dataclass(frozen=True)
class Visit:
    """`signal` before noise, `sigma` of its noise, `affine`, and the seed of the noise."""

    signal: Array
    affine: NDArray[np.float64]
    sigma: float
    seed: int
    scale: float

    def scanned(self, signal: Array | None = None, more_noise: float = 0.0) -> Volume:
        """With its noise (and with `more_noise` of the level of white matter): the same draw whatever the signal."""
        x = self.signal if signal is None else signal
        rng = np.random.default_rng(self.seed)
        real, imaginary = (rng.standard_normal(self.signal.shape).astype(np.float32) for _ in range(2))
        if x.shape != self.signal.shape:  # slices or rows were taken away: so are their draws
            cut = tuple(slice(0, n) for n in x.shape)
            real, imaginary = real[cut], imaginary[cut]
        sigma = np.float32(np.hypot(self.sigma, 1000 * more_noise))
        return Volume(np.hypot(x + sigma * real, sigma * imaginary).astype(np.float32) * np.float32(self.scale), self.affine)


def visit(name: str, seed: int) -> Visit:
    """One benign variation of a base; equal seeds give equal visits."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), seed])
    given = base(name)
    x = _moved(given, rng)
    x = ndimage.gaussian_filter(x, rng.uniform(0, 0.35))
    x = 1000 * (np.clip(x, 0, None) / 1000) ** rng.uniform(0.9, 1.1)
    x = x * shading(x.shape, rng.standard_normal(9), rng.uniform(0.0, 0.12))
    return Visit(x.astype(np.float32), given.affine, rng.uniform(8, 16), int(rng.integers(1 << 30)), float(rng.uniform(0.4, 2.0)))


def _moved(given: Volume, rng: np.random.Generator) -> Array:
    """Turned by up to 4 degrees, moved by up to 4 mm, sized by up to 4 %, bent by 1.5 mm over about 25 mm."""
    shape = given.shape[:3]
    middle = (np.array(shape) - 1) / 2
    turn = affines.rotation(rng.uniform(-4, 4, 3))[:3, :3] @ np.diag(rng.uniform(0.96, 1.04, 3))
    at = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    where = np.tensordot(turn, at - middle[:, None, None, None], 1) + (middle + rng.uniform(-2, 2, 3))[:, None, None, None]
    return np.asarray(ndimage.map_coordinates(given.data, where + bend(shape, rng, 1.5 / MM), order=1, mode="nearest"), dtype=np.float32)


def bend(shape: tuple[int, ...], rng: np.random.Generator, voxels: float, over: float = 12.0) -> Array:
    """A smooth random displacement (3, x, y, z) of that standard deviation, in voxels."""
    small = tuple(max(4, n // 6) for n in shape)
    fields = [ndimage.gaussian_filter(rng.standard_normal(small), over / 6) for _ in range(3)]
    return np.stack([ndimage.zoom(f / f.std() * voxels, np.array(shape) / np.array(small), order=1) for f in fields]).astype(np.float32)


def shading(shape: tuple[int, ...], weights: NDArray[np.float64], strength: float) -> Array:
    """A smooth positive field of order 2: its logarithm runs from -strength to +strength over the grid."""
    x, y, z = (np.linspace(-1, 1, n)[(None,) * a + (slice(None),) + (None,) * (2 - a)] for a, n in enumerate(shape))
    terms = (x, y, z, x * y, y * z, x * z, x * x - 0.4, y * y - 0.4, z * z - 0.4)
    total = sum(w * t for w, t in zip(weights, terms, strict=True))
    return np.asarray(np.exp(strength * (total - total.mean()) / np.abs(total - total.mean()).max()), dtype=np.float32)


Corruption = Callable[[Visit, float, np.random.Generator], Volume]
