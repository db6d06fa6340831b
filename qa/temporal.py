"""How steady a time series is: signal over time, head motion, outliers, spikes, and what all voxels share.

Formulas: tSNR = median(mean_t / sd_t); DVARS Nichols 2017 (std: raw over the expected for AR(1)-free noise is left to `nstd`); FD Power 2012 with a
50 mm sphere; GCOR Saad 2013; GSR Giannelli 2010; AQI and AOR after AFNI's definitions (1 - Spearman with the median volume; outlier share).
Series are tensors (t, x, y, z) float32 on any device.
"""

from __future__ import annotations

import math

from qa.robust import MAD_TO_SD, Tensor, median, quantile

HEAD_RADIUS_MM = 50.0
RIGID_MM = 4.0


def tsnr(series: Tensor, mask: Tensor) -> float:
    """Median over the mask of mean over time / standard deviation over time (dividing by the number of volumes, as nipype does)."""
    inside = series[:, mask]
    sd = inside.std(0, correction=0)
    keep = sd > 0
    return median(inside.mean(0)[keep] / sd[keep]) if bool(keep.any()) else math.nan


def dvars(series: Tensor, mask: Tensor) -> dict[str, float]:
    """Mean over time of three DVARS: dvars_nstd (raw, % of the mean intensity scaled to 1000), dvars_std, dvars_vstd (Nichols 2017).

    std divides by the value expected from a first-order autoregressive process: sqrt(mean of 2 (1 - ar1) robust sd^2); vstd scales each voxel first.
    """
    y = series[:, mask]
    y = y * (1000.0 / median(y))
    sd = (quantiles(y, 0.75) - quantiles(y, 0.25)) / 1.349
    keep = sd > 0
    y, sd = y[:, keep], sd[keep]
    if y.shape[0] < 3 or y.shape[1] < 10:
        return dict.fromkeys(("dvars_nstd", "dvars_std", "dvars_vstd"), math.nan)
    z = y - y.mean(0)
    ar1 = ((z[1:] * z[:-1]).sum(0) / (z * z).sum(0).clamp_min(1e-12)).clamp(-0.99, 0.99)
    expected = (2 * (1 - ar1)).sqrt() * sd
    step = y[1:] - y[:-1]
    raw = step.square().mean(1).sqrt()
    whole = (step / expected).square().mean(1).sqrt()
    return {"dvars_nstd": float(raw.mean()), "dvars_std": float(raw.mean() / expected.mean()), "dvars_vstd": float(whole.mean())}


def quantiles(y: Tensor, q: float) -> Tensor:
    """Quantile over time (axis 0) of each voxel, lower order statistic."""
    return y.kthvalue(1 + math.floor(q * (y.shape[0] - 1)), dim=0).values


def gcor(series: Tensor, mask: Tensor) -> float:
    """Global correlation: |mean over voxels of the unit-norm, zero-mean series|^2, -> 1 when all voxels move together."""
    y = series[:, mask]
    y = y - y.mean(0)
    norm = y.norm(dim=0)
    keep = norm > 0
    return float((y[:, keep] / norm[keep]).mean(1).square().sum()) if bool(keep.any()) else math.nan


def gsr(mean: Tensor, mask: Tensor) -> dict[str, float]:
    """gsr_x, gsr_y: ghost-to-signal ratio. Ghost: the mask rolled by half the field of view along the axis, the mask itself left out."""
    found = {}
    signal = median(mean[mask])
    for axis, name in ((0, "x"), (1, "y")):
        ghost = mask.roll(mask.shape[axis] // 2, axis) & ~mask
        other = ~(ghost | mask)
        enough = bool(ghost.any()) and bool(other.any()) and signal > 0
        found[f"gsr_{name}"] = float(mean[ghost].mean() - mean[other].mean()) / signal if enough else math.nan
    return found


def aor(series: Tensor, mask: Tensor) -> float:
    """Mean share of outlier voxels per volume: |x - median_t| > qinv(0.001 / n) sqrt(pi/2) MAD (AFNI 3dToutcount's limit, no detrending)."""
    import torch

    y = series[:, mask]
    n = y.shape[0]
    centre = y.median(0).values
    spread = (y - centre).abs().median(0).values
    keep = spread > 0
    limit = float(torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(1 - 0.001 / n))) * math.sqrt(math.pi / 2)
    return float(((y[:, keep] - centre[keep]).abs() > limit * spread[keep]).double().mean()) if bool(keep.any()) else math.nan


def aqi(series: Tensor, mask: Tensor, most: int = 20_000) -> float:
    """Mean over volumes of 1 - Spearman's correlation with the median volume, over at most `most` voxels of the mask (fixed stride)."""
    y = series[:, mask]
    y = y[:, :: max(1, y.shape[1] // most)]
    rank = y.argsort(1).argsort(1).double()
    middle = y.median(0).values.argsort().argsort().double()
    rank, middle = rank - rank.mean(1, keepdim=True), middle - middle.mean()
    return float((1 - (rank * middle).sum(1) / (rank.norm(dim=1) * middle.norm()).clamp_min(1e-12)).mean())


def spikes(series: Tensor, mask: Tensor, limit: float = 6.0) -> float:
    """Number of (volume, slice) pairs whose mean over the mask lies more than `limit` robust z from that slice's usual mean."""
    counts = mask.sum((0, 1))
    usable = counts >= 20
    means = ((series * mask).sum((1, 2)) / counts.clamp_min(1))[:, usable]
    if means.shape[0] < 5 or means.shape[1] == 0:
        return math.nan
    centre = means.median(0).values
    spread = MAD_TO_SD * (means - centre).abs().median(0).values
    spread = spread.clamp_min(1e-4 * float(centre.abs().median()))
    return float(((means - centre).abs() / spread > limit).sum())


def dummies(series: Tensor, mask: Tensor) -> float:
    """Number of first volumes brighter than the rest by more than 3.5 robust deviations: the magnetisation had not settled."""
    y = series[:, mask].mean(1)
    if y.numel() < 8:
        return math.nan
    rest = y[4:]
    limit = float(rest.median()) + 3.5 * MAD_TO_SD * float((rest - rest.median()).abs().median()) + 1e-3 * float(rest.median())
    count = 0
    while count < 4 and float(y[count]) > limit:
        count += 1
    return float(count)


def rigid(series: Tensor, zooms: tuple[float, ...], mask: Tensor, rounds: int = 20) -> Tensor:
    """Six parameters of every volume against the first, all volumes in one batch: (t, 6), mm and radians, about the centre of the mask.

    Gauss-Newton on squared differences with the reference's own gradient (inverse compositional, Baker & Matthews 2004): the 6 x 6 matrix is made
    once, so a round costs one batched resampling. Each volume's brightness is scaled to the reference's first.
    """
    import torch

    reference = series[0]
    points, gradient = _points(reference, mask, zooms)
    centre = points.mean(0)
    arms = points - centre
    jacobian = torch.cat([gradient, torch.linalg.cross(arms, gradient)], dim=1).double()
    solve = torch.linalg.pinv(jacobian.T @ jacobian) @ jacobian.T
    target = _sample(reference[None], points[None], zooms)[0].double()
    best = torch.zeros(series.shape[0], 6, dtype=torch.float64, device=series.device)
    cost = torch.full((series.shape[0],), math.inf, dtype=torch.float64, device=series.device)
    pace = torch.ones(series.shape[0], 1, dtype=torch.float64, device=series.device)
    step = torch.zeros_like(best)
    for _ in range(rounds):
        tried = best - pace * step
        now = _sample(series, (_move(arms, tried) + centre.double()).float(), zooms).double()
        now = now * (target.mean() / now.mean(1, keepdim=True).clamp_min(1e-9))
        here = (now - target).square().mean(1)
        better = here < cost
        best, cost = torch.where(better[:, None], tried, best), torch.where(better, here, cost)
        pace = torch.where(better[:, None], torch.ones_like(pace), pace / 2)
        step = torch.where(better[:, None], (now - target) @ solve.T, step)
        if float((pace * step).abs().max()) < 1e-5:
            break
    return best


def _points(reference: Tensor, mask: Tensor, zooms: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    """World-scaled (mm, voxel-aligned) points of the mask and the image gradient there (per mm)."""
    import torch

    size = torch.tensor(zooms[:3], device=reference.device)
    spread = torch.gradient(reference)
    where = mask.nonzero()
    where = where[:: max(1, len(where) // 20_000)]
    gradient = torch.stack([g[where[:, 0], where[:, 1], where[:, 2]] for g in spread], dim=1) / size
    return where * size, gradient


def _move(arms: Tensor, parameters: Tensor) -> Tensor:
    """Rotate the arms by each row's rotation vector and add its shift: (t, n, 3) float64."""
    import torch

    angle = parameters[:, 3:]
    zero = torch.zeros_like(angle[:, 0])
    cross = torch.stack([zero, -angle[:, 2], angle[:, 1], angle[:, 2], zero, -angle[:, 0], -angle[:, 1], angle[:, 0], zero], dim=1).reshape(-1, 3, 3)
    return arms.double() @ torch.linalg.matrix_exp(cross).transpose(1, 2) + parameters[:, None, :3]


def _sample(series: Tensor, points: Tensor, zooms: tuple[float, ...]) -> Tensor:
    """Trilinear values (t, n) of each volume at points (t or 1, n, 3) in voxel-aligned mm."""
    import torch

    size = torch.tensor([max(n - 1, 1) * z for n, z in zip(series.shape[1:], zooms[:3], strict=True)], device=series.device)
    grid = (points / size * 2 - 1).flip(-1).expand(series.shape[0], -1, -1)
    out = torch.nn.functional.grid_sample(series[:, None], grid[:, :, None, None], mode="bilinear", padding_mode="border", align_corners=True)
    return out.reshape(series.shape[0], -1)


def displacement(parameters: Tensor) -> Tensor:
    """FD of each step: sum |d shift| + 50 mm x sum |d angle|, (t - 1,)."""
    step = (parameters[1:] - parameters[:-1]).abs()
    return step[:, :3].sum(1) + HEAD_RADIUS_MM * step[:, 3:].sum(1)


def motion(series: Tensor, zooms: tuple[float, ...], mask: Tensor) -> dict[str, float]:
    """fd_mean, fd_max (mm) and fd_high: share of steps above 0.2 mm."""
    if series.shape[0] < 2:
        return {"fd_mean": math.nan, "fd_max": math.nan, "fd_high": math.nan}
    fd = displacement(rigid(series, zooms, mask))
    return {"fd_mean": float(fd.mean()), "fd_max": quantile(fd, 1.0), "fd_high": float((fd > 0.2).double().mean())}
