"""How much of the picture is noise: signal over noise, inside tissue and against the air.

Formulas: snr and snr_dietrich as MRIQC codes them (Dietrich 2007; mu = weighted median); noise_sigma from the Rayleigh distribution of air
(median / 1.1774); efc Atkinson 1997; fber the ratio of median energies; qi_1 Mortamet 2009. Everything takes arrays and returns floats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from qa.errors import refusal
from qa.robust import Tensor, deviation, mad, median

DIETRICH = math.sqrt((4 - math.pi) / 2)
"""Standard deviation of Rayleigh noise in air per unit of the Gaussian noise that makes it: 0.6551364."""
RAYLEIGH_MEDIAN = math.sqrt(2 * math.log(2))
"""Median of Rayleigh noise per unit of the Gaussian noise that makes it: 1.1774."""


def snr(values: Tensor, weights: Tensor) -> float:
    """mu / (sd sqrt(n / (n - 1))) of one tissue: `values` (n,), `weights` its probability (n,). Anatomy counts as noise."""
    n = float(weights.sum())
    sd = deviation(values, weights)
    return median(values, weights) / (sd * math.sqrt(n / (n - 1))) if n > 1 and sd > 0 else math.nan


def snr_dietrich(mu: float, air: Tensor) -> float:
    """0.655 mu / MAD of air (its standard deviation where the MAD is at most 1, as integer images have)."""
    return dietrich(mu, air_spread(air))


def air_spread(air: Tensor) -> float:
    """MAD of air, its standard deviation where that is at most 1."""
    spread = mad(air)
    return spread if spread > 1.0 else deviation(air)


def dietrich(mu: float, spread: float) -> float:
    """0.655 mu / spread."""
    return DIETRICH * mu / spread if spread > 0 else math.nan


def noise_sigma(air: Tensor, level: float) -> float:
    """Sigma of the Gaussian noise behind Rayleigh noise in air, over the level of white matter."""
    positive = air[air > 0]
    return median(positive) / RAYLEIGH_MEDIAN / level if positive.numel() and level > 0 else math.nan


def fber(image: Tensor, head: Tensor, outside: Tensor) -> float:
    """median(x^2 in the head) / median(x^2 outside). Raises QaError `air_masked` for an empty background (MRIQC would say -1)."""
    return energy_ratio(image[head], image[outside])


def energy_ratio(inside: Tensor, air: Tensor) -> float:
    """fber of values taken out before, (n,) and (m,): the median of squares is the square of the median size."""
    background = median(air.abs()) ** 2
    if background < 1e-3:
        raise refusal("air_masked")
    return median(inside.abs()) ** 2 / background


def efc(image: Tensor) -> float:
    """Entropy focus criterion, 0 (all energy in one voxel) .. 1 (evenly spread): high means ghosting and blurring. Depends on the share of air."""
    import torch

    x = image.reshape(-1).float()
    x = x[x > 0] if bool((x < 0).any()) else x
    n = image.numel()
    energy = math.sqrt(float(torch.linalg.vector_norm(x)) ** 2)
    if energy <= 0:
        return math.nan
    limit = math.sqrt(n) * math.log(1 / math.sqrt(n))
    total = 0.0
    for part in x.split(1 << 22):
        ratio = part / energy
        total += float((ratio * torch.log(ratio + 1e-16 / energy)).sum(dtype=torch.float64))
    return total / limit


def qi_1(image: Tensor, hat: Tensor, distance_from_head: Tensor) -> float:
    """Share of artefacts in the air above the head: n_art / n_air over the hat mask.

    Artefact: brighter than 10 MAD of the measured (positive) air, not nearer to the head than 10 % of the largest distance, and left after opening
    with a 3x3x3 cross (single bright voxels are noise, not artefact). `hat`: air above the line of the skull base, (x, y, z) bool.
    """
    air = int(hat.sum())
    if air < 100:
        raise refusal("no_air")
    return float(artefacts(image, hat, distance_from_head).sum()) / air


def artefacts(image: Tensor, hat: Tensor, distance_from_head: Tensor) -> Tensor:
    """The artefact voxels that qi_1 counts: bool, the image's shape."""
    air = image[hat]
    limit = 10 * max(mad(air[air > 0]), 1e-9)
    bright = hat & (image > limit) & (distance_from_head >= 0.1 * float(distance_from_head[hat].max()))
    return _opened(bright)


def _opened(mask: Tensor) -> Tensor:
    """Binary opening with the 6-neighbour cross."""
    return _cross(_cross(mask, erode=True), erode=False)


def _cross(mask: Tensor, erode: bool) -> Tensor:
    import torch

    x = torch.nn.functional.pad(mask, (1, 1, 1, 1, 1, 1), value=False)
    parts = [x[1:-1, 1:-1, 1:-1], x[2:, 1:-1, 1:-1], x[:-2, 1:-1, 1:-1], x[1:-1, 2:, 1:-1], x[1:-1, :-2, 1:-1], x[1:-1, 1:-1, 2:], x[1:-1, 1:-1, :-2]]
    stack = torch.stack(parts)
    return stack.all(0) if erode else stack.any(0)


def tissue_snr(values: Tensor, weights: Mapping[str, Tensor], air: Tensor | None = None) -> dict[str, float]:
    """snr_{csf,gm,wm,total}, and with air snrd_{csf,gm,wm,total}. Total is the mean of the three.

    `values`: (n,) bias-corrected brain voxels; `weights`: class name -> probability (n,); `air`: (m,) voxels or None.
    """
    if air is None:
        found = {f"snr_{name}": snr(values, w) for name, w in weights.items()}
        return found | {"snr_total": sum(found.values()) / len(found)}
    spread = air_spread(air)
    found = {f"snrd_{name}": dietrich(median(values, w), spread) for name, w in weights.items()}
    return found | {"snrd_total": sum(found.values()) / len(found)}
