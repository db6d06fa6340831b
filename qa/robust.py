"""Order statistics without sorting: what is usual in a million voxels is read from a histogram that is refined where the answer lies.

All functions take tensors of any shape on any device, change none of them, and return Python floats. Values are in the image's own unit.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A torch.Tensor (torch is imported inside functions only, so that the web host runs without it)."""

BINS = 2048
MAD_TO_SD = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""


def quantile(values: Tensor, q: float, weights: Tensor | None = None) -> float:
    """The value below which a share q (0..1) of the weight lies; NaN for nothing. Unweighted: the exact order statistic."""
    import torch

    x = values.reshape(-1)
    if x.numel() == 0:
        return math.nan
    if weights is not None:
        return _weighted(x.float(), weights.reshape(-1).float(), q)
    if x.numel() <= 100_000:
        return float(torch.quantile(x.float(), q))
    return float(x.kthvalue(1 + round(q * (x.numel() - 1))).values)


def _weighted(x: Tensor, w: Tensor, q: float) -> float:
    import torch

    keep = w > 0
    x, w = x[keep], w[keep].double()
    if x.numel() == 0:
        return math.nan
    target, below, low, high = q * float(w.sum()), 0.0, float(x.min()), float(x.max())
    for _ in range(6):
        if high <= low:
            return low
        step = (high - low) / BINS
        index = ((x - low) / step).long().clamp_(0, BINS - 1)
        counts = torch.bincount(index, weights=w, minlength=BINS)
        bin_ = min(int((counts.cumsum(0) + below < target).sum()), BINS - 1)
        below += float(counts[:bin_].sum())
        inside = index == bin_
        x, w = x[inside], w[inside]
        low, high = low + bin_ * step, low + (bin_ + 1) * step
        if x.numel() == 0 or step < 1e-7 * max(abs(low), abs(high)):
            break
    return (low + high) / 2


def median(values: Tensor, weights: Tensor | None = None) -> float:
    """The (weighted) median."""
    return quantile(values, 0.5, weights)


def mad(values: Tensor, weights: Tensor | None = None) -> float:
    """1.4826 x the (weighted) median absolute deviation from the median: a standard deviation that outliers do not move."""
    return MAD_TO_SD * median((values - median(values, weights)).abs(), weights)


def deviation(values: Tensor, weights: Tensor | None = None) -> float:
    """The (weighted) standard deviation, dividing by the weight (not by n - 1)."""
    x = values.reshape(-1).double()
    if x.numel() == 0:
        return math.nan
    if weights is None:
        return float(x.std(correction=0))
    w = weights.reshape(-1).double()
    total = float(w.sum())
    if total <= 0:
        return math.nan
    centre = float((w * x).sum()) / total
    return math.sqrt(float((w * (x - centre) ** 2).sum()) / total)


def histogram(values: Tensor, low: float, high: float, bins: int) -> Tensor:
    """Counts (float64) of the values in `bins` equal steps of [low, high]; what lies outside falls into the end bins."""
    import torch

    index = ((values.reshape(-1).float() - low) * (bins / max(high - low, 1e-30))).long().clamp_(0, bins - 1)
    return torch.bincount(index, minlength=bins).double()


def otsu(values: Tensor, bins: int = 256) -> tuple[float, float]:
    """The threshold that splits values into two classes with the most variance between them, and the share (0..1) of variance it explains.

    Source: Otsu, IEEE Trans. SMC 9 (1979) 62. The top 0.2 % of the values are clipped first, so that one bright vessel decides nothing.
    """
    low, high = float(values.min()), quantile(values, 0.998)
    if not high > low:
        return low, 0.0
    counts = histogram(values, low, high, bins)
    share = counts / counts.sum()
    import torch

    centres = low + (torch.arange(bins, device=share.device, dtype=torch.float64) + 0.5) * (high - low) / bins
    left = share.cumsum(0)
    sums = (share * centres).cumsum(0)
    total = float(sums[-1])
    between = (total * left - sums) ** 2 / (left * (1 - left)).clamp_min(1e-12)
    variance = float((share * (centres - total) ** 2).sum())
    best = int(between[:-1].argmax())
    return float(centres[best]) + (high - low) / bins / 2, float(between[best]) / variance if variance > 0 else 0.0
