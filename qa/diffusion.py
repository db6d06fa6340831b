"""How good a diffusion series is: signal at b0 and at the strongest weighting, agreement of neighbours in q-space, dropouts, directions.

ndc is DIPY's definition (Yeh 2019: correlation of each volume with its nearest neighbour in q-space, averaged); SNR follows the two-region
logic of Roalf 2016. Series are (t, x, y, z); b-values s/mm^2 (t,); directions (3, t) as FSL's bvec.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from qa.robust import MAD_TO_SD, Tensor, median

B0_BELOW = 50.0


def gradients_ok(bval: NDArray[np.float64], bvec: NDArray[np.float64], volumes: int) -> str:
    """Empty when b-values and directions fit the series; else what is wrong, as a sentence."""
    if bval.shape != (volumes,) or bvec.shape != (3, volumes):
        return f"{bval.size} b-values and {bvec.shape[-1] if bvec.ndim else 0} directions for {volumes} volumes."
    if not (np.isfinite(bval).all() and np.isfinite(bvec).all()) or bool((bval < 0).any()):
        return "A b-value is negative or a number is missing."
    length = np.linalg.norm(bvec, axis=0)
    weighted = bval > B0_BELOW
    wrong = weighted & (np.abs(length - 1) > 0.05) & (length > 0.05)
    if bool(wrong.any()):
        return f"{int(wrong.sum())} directions are not unit vectors."
    return ""


def bvec_sanity(bval: NDArray[np.float64], bvec: NDArray[np.float64]) -> dict[str, float]:
    """bvec_missing: weighted volumes without a direction (trace images have none); bvec_unique: distinct directions (antipodes are one)."""
    weighted = bval > B0_BELOW
    length = np.linalg.norm(bvec, axis=0)
    directions = bvec[:, weighted & (length > 0.05)].T
    unique: list[NDArray[np.float64]] = []
    for d in directions:
        if not any(abs(float(d @ u)) > 0.999 for u in unique):
            unique.append(d)
    return {"bvec_missing": float((weighted & (length <= 0.05)).sum()), "bvec_unique": float(len(unique))}


def ndc(series: Tensor, bval: NDArray[np.float64], bvec: NDArray[np.float64], mask: Tensor) -> float:
    """Mean over weighted volumes of Pearson's r, inside the mask, with the nearest other weighted volume in q-space.

    q = sqrt(b) x direction, a direction and its opposite being the same (DIPY's definition). NaN below two weighted volumes.
    """
    import torch

    weighted = np.flatnonzero(bval >= B0_BELOW)
    if len(weighted) < 2:
        return math.nan
    q = (np.sqrt(bval[weighted]) * bvec[:, weighted]).T
    gaps = np.minimum(np.linalg.norm(q[:, None] - q[None], axis=2), np.linalg.norm(q[:, None] + q[None], axis=2))
    np.fill_diagonal(gaps, np.inf)
    nearest = gaps.argmin(1)
    y = series[weighted.tolist()][:, mask].double()
    y = y - y.mean(1, keepdim=True)
    y = y / y.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return float((y * y[torch.from_numpy(nearest).to(y.device)]).sum(1).mean())


def shells(bval: NDArray[np.float64]) -> dict[int, NDArray[np.intp]]:
    """Volumes of each shell: b rounded to the nearest 100, b0 (below 50) first."""
    rounded = np.where(bval < B0_BELOW, 0, np.maximum(100, np.round(bval / 100) * 100)).astype(int)
    return {int(b): np.flatnonzero(rounded == b) for b in np.unique(rounded)}


def snr_shells(series: Tensor, bval: NDArray[np.float64], mask: Tensor, air: Tensor | None) -> dict[str, float]:
    """snr_b0: median over the mask of mean / sd over the b0 volumes (three or more), else of b0 over the noise in air; snr_worst: strongest shell over air."""
    groups = shells(bval)
    sigma = _air_sigma(series, air)
    found = {"snr_b0": math.nan, "snr_worst": math.nan}
    if 0 in groups:
        b0 = series[groups[0].tolist()]
        if len(b0) >= 3:
            sd = b0[:, mask].std(0)
            found["snr_b0"] = median(b0[:, mask].mean(0)[sd > 0] / sd[sd > 0])
        elif sigma > 0:
            found["snr_b0"] = median(b0.mean(0)[mask]) / sigma
    if max(groups) > 0 and sigma > 0:
        found["snr_worst"] = min(median(series[i][mask]) for i in groups[max(groups)].tolist()) / sigma
    return found


def _air_sigma(series: Tensor, air: Tensor | None) -> float:
    if air is None or int(air.sum()) < 100:
        return math.nan
    values = series[:, air]
    values = values[values > 0]
    return median(values) / math.sqrt(2 * math.log(2)) if values.numel() > 100 else math.nan


def dropouts(series: Tensor, bval: NDArray[np.float64], mask: Tensor, limit: float = 0.35) -> float:
    """Number of (volume, slice) pairs whose mean falls more than `limit` below the same slice's median in its own shell (3 volumes or more).

    And more than 5 robust deviations below: directions differ, so a fixed drop alone is not enough.
    """
    counts = mask.sum((0, 1))
    usable = counts >= 50
    if not bool(usable.any()):
        return math.nan
    means = (series * mask).sum((1, 2)) / counts.clamp_min(1)
    total = 0
    for members in shells(bval).values():
        if len(members) < 3:
            continue
        part = means[members.tolist()][:, usable]
        centre = part.median(0).values
        spread = MAD_TO_SD * (part - centre).abs().median(0).values
        total += int(((centre - part > limit * centre) & (centre - part > 5 * spread)).sum())
    return float(total)


def spikes_ppm(series: Tensor, mask: Tensor) -> float:
    """Parts per million of voxels above mean + 3 sd of their own time course (MRIQC's global definition, over the mask)."""
    y = series[:, mask]
    sd = y.std(0, correction=0)
    return 1e6 * float((y > y.mean(0) + 3 * sd).double().mean())


def outlines(series: Tensor, mask: Tensor, zooms: tuple[float, ...]) -> Tensor:
    """Each volume as the soft outline of its brain: smoothed by 3 mm and squeezed between air and tissue.

    Directions change the contrast inside the brain, which a registration would take for motion; they hardly change its outline.
    """
    import torch

    from qa.masks import smooth

    found = []
    for volume in series:
        blurred = smooth(volume, (3.0 / zooms[0], 3.0 / zooms[1], 3.0 / zooms[2]))
        level = max(median(blurred[mask]), 1e-9)
        found.append(torch.sigmoid((blurred / level - 0.5) * 8))
    return torch.stack(found)
