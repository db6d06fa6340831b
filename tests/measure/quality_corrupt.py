"""Twenty-two ways to spoil a scan, each in four strengths: seventeen of our own and five of TorchIO's, with the measure that must notice each.

Each kind has its measures written down here, before anything is scored; the bad direction is that of `qa.metrics`, and the score of a volume is the
largest of them. Strength s runs over 0.25, 0.5, 0.75, 1; strength 0 is the clean partner of the same visit. Nothing writes an exact zero: noise comes after.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from quality_heads import MM, Array, Corruption, Visit, shading
from quality_peers import ask
from scipy import ndimage

from spatial import affines
from spatial.volumes import Volume

STRENGTHS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Kind:
    """`measures`: those that must notice it; `moves`: whether the head lies elsewhere, so that it is registered anew."""

    make: Corruption
    measures: tuple[str, ...]
    moves: bool = False


def _noise(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    return v.scanned(more_noise=0.10 * s)


def _bias(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """Shading whose range (5th to 95th percentile over the head) is e^s: accepted scans of ABIDE have 0.2 to 0.5."""
    field = np.log(shading(v.signal.shape, rng.standard_normal(9), 1.0))
    inside = field[v.signal > 150]
    low, middle, high = np.percentile(inside, (5, 50, 95))
    return v.scanned(v.signal * np.exp(s * (field - middle) / (high - low)).astype(np.float32))


def _ghosting(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """A faint copy a third of the field of view along y, on both sides."""
    n = v.signal.shape[1] // 3
    return v.scanned(v.signal + 0.10 * s * (np.roll(v.signal, n, 1) + np.roll(v.signal, -n, 1)))


def _periodic(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """Every fourth line of k-space weaker: a comb of ghosts."""
    k = np.fft.fft(v.signal, axis=1)
    k[:, ::4] *= 1 - 0.8 * s
    return v.scanned(np.abs(np.fft.ifft(k, axis=1)).astype(np.float32))


def _motion(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """Blocks of k-space lines (along y) taken in other poses: turned by up to 6 degrees, moved by up to 6 mm."""
    n = v.signal.shape[1]
    k = np.fft.fftshift(np.fft.fft(v.signal, axis=1), axes=1)
    edges = np.sort(rng.choice(np.arange(8, n - 8), 5, replace=False))
    for first, last in pairwise(edges.tolist()):
        pose = affines.rotation(rng.uniform(-6, 6, 3) * s)[:3, :3]
        shift = rng.uniform(-6, 6, 3) * s / MM
        if first <= n // 2 < last:
            continue  # the middle of k-space is the pose that counts
        middle = (np.array(v.signal.shape) - 1) / 2
        other = ndimage.affine_transform(v.signal, pose, middle - pose @ middle + shift, order=1, mode="nearest")
        k[:, first:last] = np.fft.fftshift(np.fft.fft(other, axis=1), axes=1)[:, first:last]
    return v.scanned(np.abs(np.fft.ifft(np.fft.ifftshift(k, axes=1), axis=1)).astype(np.float32))


def _ringing(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """k-space cut off sharply along y: from nine tenths to half of it is left."""
    n = v.signal.shape[1]
    k = np.fft.fft(v.signal, axis=1)
    k[:, np.abs(np.fft.fftfreq(n)) > 0.5 * (1 - 0.5 * s)] = 0
    return v.scanned(np.abs(np.fft.ifft(k, axis=1)).astype(np.float32))


def _spike(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    k = np.fft.fftn(v.signal)
    at = tuple(int(rng.integers(n // 8, n // 3)) for n in v.signal.shape)
    k[at] += 0.04 * s * np.abs(k[0, 0, 0])
    return v.scanned(np.abs(np.fft.ifftn(k)).astype(np.float32))


def _wrap(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """A field of view too short from back to front: what lies outside comes back in at the other side."""
    n = v.signal.shape[1]
    inside = np.flatnonzero((v.signal > 150).any((0, 2)))
    cut = int(n - 1 - inside.max() + 26 * s) if inside.size else int(26 * s)
    kept = v.signal[:, : n - cut].copy()
    kept[:, :cut] += v.signal[:, n - cut :]
    return v.scanned(kept)


def _missing(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """Slices left out in the middle of the stack: the ones above move down."""
    count, n = round(8 * s), v.signal.shape[2]
    at = int(n * rng.uniform(0.55, 0.65))
    return v.scanned(np.delete(v.signal, np.arange(at, at + count), axis=2))


def _slab(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """Neighbouring slices without signal (the noise stays)."""
    x, count = v.signal.copy(), round(8 * s)
    at = int(x.shape[2] * rng.uniform(0.5, 0.6))
    x[:, :, at : at + count] = 0
    return v.scanned(x)


def _rotated(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """A head that lies askew: rolled or yawed."""
    middle = (np.array(v.signal.shape) - 1) / 2
    axis = int(rng.integers(2)) * 1 + 1
    turn = affines.rotation(np.eye(3)[axis] * 24 * s)[:3, :3]
    return v.scanned(ndimage.affine_transform(v.signal, turn, middle - turn @ middle, order=1, mode="nearest").astype(np.float32))


def _cropped(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """The upper end of the field of view cuts the head."""
    top = int(np.flatnonzero((v.signal > 150).sum((0, 1)) > 50).max())
    return v.scanned(np.ascontiguousarray(v.signal[:, :, : top - round(24 * s)]))


def _blur(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    return v.scanned(ndimage.gaussian_filter(v.signal, 0.35 + 0.8 * s))


def _odd_even(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    x = v.signal.copy()
    x[:, :, ::2] *= 1 - 0.15 * s
    return v.scanned(x)


def _dropout(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """Signal lost in a ball of the brain's lower front (as above an air-filled sinus)."""
    found = np.argwhere(v.signal > 500)
    low, high = np.percentile(found, 5, axis=0), np.percentile(found, 95, axis=0)
    at = low + (high - low) * np.array([rng.uniform(0.35, 0.65), rng.uniform(0.6, 0.75), rng.uniform(0.55, 0.7)])
    far = sum(((np.arange(n) - c)[(None,) * a + (slice(None),) + (None,) * (2 - a)]) ** 2 for a, (n, c) in enumerate(zip(v.signal.shape, at, strict=True)))
    return v.scanned((v.signal * (1 - s * np.exp(-far / (2 * (13 / MM) ** 2)))).astype(np.float32))


def _distortion(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """The frontal pole and the forehead before it pulled along y, as the field above an air-filled sinus does to EPI."""
    shape = v.signal.shape
    at = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float32) for n in shape], indexing="ij"))
    found = np.argwhere(v.signal > 500)
    low, high = np.percentile(found, 5, axis=0), np.percentile(found, 95, axis=0)
    middle = low + (high - low) * np.array([rng.uniform(0.4, 0.6), 0.9, rng.uniform(0.6, 0.75)])
    far = ((at - middle[:, None, None, None]) ** 2).sum(0)
    at[1] += 20 / MM * s * np.exp(-far / (2 * (28 / MM) ** 2))
    return v.scanned(ndimage.map_coordinates(v.signal, at, order=1, mode="nearest").astype(np.float32))


def _saturation(v: Visit, s: float, rng: np.random.Generator) -> Volume:
    """The receiver's ceiling: everything above it has one value (noise is in it already)."""
    given = v.scanned()
    top = np.percentile(given.data, 99.9 - 6 * s)
    return Volume(np.minimum(given.data, np.float32(top)), given.affine)


def torchio(kind: str) -> Corruption:
    """The same by TorchIO, which gets the signal with white matter at 1."""

    def make(v: Visit, s: float, rng: np.random.Generator) -> Volume:
        out = made_by_torchio(kind, v, int(rng.integers(1 << 30)))
        x = np.load(out / f"{STRENGTHS.index(s)}.npy") * 1000
        return v.scanned(np.abs(x).astype(np.float32))

    return make


def made_by_torchio(kind: str, v: Visit, seed: int) -> Path:
    """All four strengths at once, once: starting the other environment costs more than the transform."""
    from table import ROOT

    out = ROOT / "build" / "quality" / "torchio" / f"{kind}-{v.seed}-{seed}"
    if not (out / f"{len(STRENGTHS) - 1}.npy").exists():
        out.mkdir(parents=True, exist_ok=True)
        np.savez(out / "given.npz", image=v.signal / 1000, kind=kind, strengths=np.array(STRENGTHS), seed=seed, out=str(out))
        ask("torchio", "torchio", out / "given.npz")
        (out / "given.npz").unlink()
    return out


def ghosts(*axes: str) -> tuple[str, ...]:
    return tuple(f"ghost_{a}" for a in axes)


KINDS: dict[str, Kind] = {
    "noise": Kind(_noise, ("noise_sigma",)),
    "bias field": Kind(_bias, ("inu_range",)),
    "ghosting": Kind(_ghosting, ghosts("y")),
    "periodic ghost": Kind(_periodic, ("efc",)),  # strong combs leave no air free of ghosts, and ghost_y null: Atkinson's entropy needs none
    "motion": Kind(_motion, ghosts("y")),
    "ringing": Kind(_ringing, ("kextent",)),
    "spike": Kind(_spike, ("kspike",)),
    "wrap-around": Kind(_wrap, ("face_P",), moves=True),
    "missing slices": Kind(_missing, ("slice_gap",), moves=True),
    "zeroed slab": Kind(_slab, ("zero_slices",)),
    "rotated head": Kind(_rotated, ("pose_deg",), moves=True),
    "cropped field of view": Kind(_cropped, ("face_S",), moves=True),
    "blur": Kind(_blur, ("aes",)),
    "odd-even slices": Kind(_odd_even, ("odd_even",)),
    "dropout": Kind(_dropout, ("dark_patch",)),
    "distortion": Kind(_distortion, ("misfit_mm",), moves=True),
    "saturation": Kind(_saturation, ("sat_frac",)),
    "torchio motion": Kind(torchio("motion"), ghosts("x", "y", "z"), moves=True),
    "torchio ghost": Kind(torchio("ghost"), ghosts("y")),
    "torchio spike": Kind(torchio("spike"), ("kspike",)),
    "torchio noise": Kind(torchio("noise"), ("noise_sigma",)),
    "torchio bias": Kind(torchio("bias"), ("inu_range",)),
}
"""The order is the anchor notes'. Array is what each makes before noise."""

__all__ = ["KINDS", "STRENGTHS", "Array", "Kind"]
