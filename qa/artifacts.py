"""What should not be there: ghosts, spikes, jumps between slices, blur, ringing, saturation, voids.

Each measure is relative to the level of white matter (or of the whole object where there is no brain), so that scanners compare.
k-space measures are taken of the magnitude image's own Fourier transform, computed once by the caller.
"""

from __future__ import annotations

import math

from qa.robust import Tensor, median, quantile

AXES = ("x", "y", "z")


def ghost(image: Tensor, head: Tensor, air: Tensor, level: float) -> dict[str, float]:
    """ghost_{x,y,z}: how much brighter the air in the head's shadow along one axis is than air in no shadow, over the level.

    `image`, `head`, `air`: (x, y, z). NaN for an axis without enough shadow or corner air (fewer than 100 voxels).
    """
    import torch

    shadows = [head.any(dim=a, keepdim=True).expand_as(head) & air for a in range(3)]
    corner = air & ~shadows[0] & ~shadows[1] & ~shadows[2]
    found = {}
    for axis, name in enumerate(AXES):
        others = torch.stack([s for i, s in enumerate(shadows) if i != axis]).any(0)
        only = shadows[axis] & ~others
        enough = min(int(only.sum()), int(corner.sum())) >= 100
        found[f"ghost_{name}"] = float(image[only].mean() - image[corner].mean()) / level if enough else math.nan
    return found


def spectrum(image: Tensor) -> Tensor:
    """|F| of the image: the half spectrum (x, y, z // 2 + 1), not shifted."""
    import torch

    return torch.fft.rfftn(image).abs()


def radius(shape: tuple[int, ...], device: object) -> Tensor:
    """Distance of each point of the half spectrum from the centre of k-space, 0 .. 0.866 cycles per voxel."""
    import torch

    x, y = torch.fft.fftfreq(shape[0], device=device), torch.fft.fftfreq(shape[1], device=device)
    z = torch.fft.rfftfreq(shape[2], device=device)
    return (x[:, None, None] ** 2 + y[None, :, None] ** 2 + z[None, None, :] ** 2).sqrt()


def kspike(power: Tensor, shape: tuple[int, ...], shells: int = 40) -> float:
    """log10 of the largest |F| over the median of its shell, outside r = 0.06: one wild sample of k-space stands out by orders of magnitude.

    Points on the three axis planes are left out: the sharp ends of the field of view live there.
    """
    import torch

    r = radius(shape, power.device)
    inside = r > 0.06
    inside[:2], inside[-1:], inside[:, :2], inside[:, -1:], inside[:, :, :2] = False, False, False, False, False
    shell = ((r[inside] - 0.06) / (0.866 - 0.06) * shells).long().clamp_(0, shells - 1)
    logs = power[inside].clamp_min(1e-20).log10()
    low, high, bins = float(logs.min()), float(logs.max()), 512
    if not high > low:
        return 0.0
    index = shell * bins + ((logs - low) * (bins / (high - low))).long().clamp_(0, bins - 1)
    counts = torch.bincount(index, minlength=shells * bins).reshape(shells, bins)
    half = (counts.cumsum(1) < counts.sum(1, keepdim=True) / 2).sum(1)
    middle = low + (half + 0.5) * (high - low) / bins
    usable = counts.sum(1) >= 200
    return float(torch.where(usable[shell], logs - middle[shell], torch.zeros_like(logs)).max())


def kedge(power: Tensor) -> float:
    """Share of energy at the edge of k-space: median |F| for 0.40 < |k| < 0.48 over that for 0.10 < |k| < 0.18, smallest of the three axes.

    Low: blurred, or interpolated by zero filling along that axis. Measured near each axis (the other two frequencies below 0.1).
    """
    import torch

    n = power.shape
    frequency = [torch.fft.fftfreq(n[0]).abs(), torch.fft.fftfreq(n[1]).abs(), torch.arange(n[2]) / max(2 * (n[2] - 1), 1)]
    found = []
    for axis in range(3):
        f = [(v < 0.1) & (v > 0) for v in frequency]
        values = []
        for low, high in ((0.40, 0.48), (0.10, 0.18)):
            f[axis] = (frequency[axis] > low) & (frequency[axis] < high)
            part = power[f[0].to(power.device)][:, f[1].to(power.device)][:, :, f[2].to(power.device)]
            values.append(median(part) if part.numel() else math.nan)
        if values[1] > 0 and not math.isnan(values[0]):
            found.append(values[0] / values[1])
    return min(found) if found else math.nan


def kextent(power: Tensor) -> float:
    """How far from the centre k-space holds signal, in cycles per voxel, smallest of the three axes: 0.5 to the edge; less: cut off, and edges ring.

    Along each axis (the other two frequencies below 0.1) the median |F| per step of 0.02 is followed outwards until it falls below 1.5 times the noise,
    which is the median |F| of the corners (all three frequencies above 0.4), or below a thousandth of what it was at 0.1 to 0.18 (no noise: zero-filled).
    """
    import torch

    n = power.shape
    frequency = [torch.fft.fftfreq(n[0]).abs(), torch.fft.fftfreq(n[1]).abs(), torch.arange(n[2]) / max(2 * (n[2] - 1), 1)]
    far = [(f > 0.4).to(power.device) for f in frequency]
    corner = power[far[0]][:, far[1]][:, :, far[2]]
    if corner.numel() < 100:
        return math.nan
    return min(_reach(power, frequency, axis, 1.5 * median(corner)) for axis in range(3))


def _reach(power: Tensor, frequency: list[Tensor], axis: int, floor: float) -> float:
    """The first frequency along an axis, stepping outwards by 0.02, from which two steps together hold less than `floor`."""
    near = [((f < 0.1) & (f > 0)).to(power.device) for f in frequency]
    steps = []
    for k in range(5, 25):
        near[axis] = ((frequency[axis] > 0.02 * k) & (frequency[axis] <= 0.02 * (k + 1))).to(power.device)
        part = power[near[0]][:, near[1]][:, :, near[2]]
        steps.append(median(part) if part.numel() else math.nan)
    known = [s for s in steps[:4] if not math.isnan(s)]
    least = max(floor, 1e-3 * max(known, default=0.0))
    for k, (here, next_) in enumerate(zip(steps, [*steps[1:], steps[-1]], strict=True)):
        if here < least and next_ < least:
            share = 0.0 if k == 0 or math.isnan(steps[k - 1]) else math.log(steps[k - 1] / least) / math.log(steps[k - 1] / max(here, 1e-20))
            return 0.02 * (5 + k) - 0.01 + 0.02 * (share - 0.5)
    return 0.5


def slice_means(image: Tensor, mask: Tensor, axis: int) -> Tensor:
    """Mean of the masked voxels of each slice along an axis; NaN for a slice with fewer than 5 % of the largest slice's mask."""
    import torch

    dims = [a for a in range(3) if a != axis]
    counts = mask.sum(dims)
    means = (image * mask).sum(dims) / counts.clamp_min(1)
    return torch.where(counts >= max(1, int(0.05 * int(counts.max()))), means, torch.full_like(means, math.nan))


def slices(image: Tensor, mask: Tensor, axis: int, level: float) -> dict[str, float]:
    """slice_jump (largest) and odd_even (median) of |m_i - (m_{i-1} + m_{i+1}) / 2| / level over the slices along an axis."""
    m = slice_means(image, mask, axis)
    jump = (m[1:-1] - (m[:-2] + m[2:]) / 2).abs() / level
    jump = jump[~jump.isnan()]
    if jump.numel() < 3:
        return {"slice_jump": math.nan, "odd_even": math.nan}
    return {"slice_jump": float(jump.max()), "odd_even": median(jump)}


def slice_gap(image: Tensor, mask: Tensor, axis: int) -> float:
    """Largest change between neighbouring slices over the usual one: left-out slices make neighbours that do not look like neighbours.

    Change of a pair: mean |difference| over the voxels inside the mask in both; compared with the median of the eight nearest pairs.
    """
    import torch

    n = image.shape[axis]
    dims = [a for a in range(3) if a != axis]
    both = mask.narrow(axis, 1, n - 1) & mask.narrow(axis, 0, n - 1)
    counts = both.sum(dims)
    change = ((image.narrow(axis, 1, n - 1) - image.narrow(axis, 0, n - 1)).abs() * both).sum(dims) / counts.clamp_min(1)
    change = change[counts >= 0.2 * counts.max()]
    if change.numel() < 9:
        return math.nan
    around = torch.nn.functional.pad(change[None, None], (4, 4), mode="reflect")[0, 0].unfold(0, 9, 1)
    usual = torch.cat([around[:, :4], around[:, 5:]], dim=1).median(1).values
    return float((change / usual.clamp_min(1e-9)).max())


def fwhm(image: Tensor, mask: Tensor, zooms: tuple[float, ...]) -> dict[str, float]:
    """fwhm_{x,y,z}: smoothness in mm from the variance of differences (Forman 1995): 2 sqrt(2 ln 2) sqrt(-1 / (4 ln(1 - var(dx) / (2 var))))."""
    inside = image[mask].double()
    variance = float(inside.var()) if inside.numel() > 1 else 0.0
    found = {}
    for axis, name in enumerate(AXES):
        a, b = image.narrow(axis, 0, image.shape[axis] - 1), image.narrow(axis, 1, image.shape[axis] - 1)
        both = mask.narrow(axis, 0, mask.shape[axis] - 1) & mask.narrow(axis, 1, mask.shape[axis] - 1)
        step = (b[both] - a[both]).double()
        ratio = 1 - float(step.var()) / (2 * variance) if step.numel() > 1 and variance > 0 else math.nan
        found[f"fwhm_{name}"] = zooms[axis] * math.sqrt(8 * math.log(2)) * math.sqrt(-1 / (4 * math.log(ratio))) if 0 < ratio < 1 else math.nan
    return found


def gradient(image: Tensor) -> Tensor:
    """Length of the central-difference gradient per voxel, borders left out: (x - 2, y - 2, z - 2), image units per voxel."""
    total = (image[2:, 1:-1, 1:-1] - image[:-2, 1:-1, 1:-1]).square_()
    total += (image[1:-1, 2:, 1:-1] - image[1:-1, :-2, 1:-1]).square_()
    total += (image[1:-1, 1:-1, 2:] - image[1:-1, 1:-1, :-2]).square_()
    return total.sqrt_().div_(2)


def sharpness(image: Tensor, head: Tensor, level: float) -> dict[str, float]:
    """aes: mean of the top 5 % of the gradient in the head over the level; grad_entropy: entropy (nats) of the gradient there, 128 steps up to the level."""
    from qa.robust import histogram

    g = gradient(image)[head[1:-1, 1:-1, 1:-1]]
    if g.numel() < 1000:
        return {"aes": math.nan, "grad_entropy": math.nan}
    top = quantile(g, 0.95)
    share = histogram(g, 0.0, level, 128)
    share = share[share > 0] / share.sum()
    return {"aes": float(g[g >= top].mean()) / level, "grad_entropy": float(-(share * share.log()).sum())}


def ringing(image: Tensor, mask: Tensor) -> dict[str, float]:
    """ringing_{x,y,z}: oscillation beside edges, as the mean product of neighbouring second differences, sign turned, over their mean square.

    A truncated k-space writes + - + - at the Nyquist rate beside every edge: neighbouring second differences then have opposite signs and grow
    together, so -mean(d2_i d2_{i+1}) over mean(d2^2) rises towards 1. White noise gives 2/3, smooth anatomy about 0 or below.
    """
    found = {}
    for axis, name in enumerate(AXES):
        n = image.shape[axis]
        if n < 8:
            found[f"ringing_{name}"] = math.nan
            continue
        d2 = image.narrow(axis, 2, n - 2) - 2 * image.narrow(axis, 1, n - 2) + image.narrow(axis, 0, n - 2)
        d2 *= mask.narrow(axis, 1, n - 2)
        a, b = d2.narrow(axis, 0, n - 3), d2.narrow(axis, 1, n - 3)
        both = mask.narrow(axis, 1, n - 3) & mask.narrow(axis, 2, n - 3)
        power = float((a * a * both).sum())
        found[f"ringing_{name}"] = -float((a * b).sum()) / power if power > 0 else math.nan
    return found


def saturation(image: Tensor) -> float:
    """Share of voxels at 99.5 % of the maximum or above: more than a handful means clipping."""
    top = float(image.max())
    return float((image >= 0.995 * top).sum()) / image.numel() if top > 0 else math.nan


def voids(image: Tensor, core: Tensor, level: float) -> float:
    """Share of the core's voxels below a quarter of the level: signal that dropped out (or fluid, on T1w and FLAIR)."""
    inside = image[core]
    return float((inside < 0.25 * level).sum()) / inside.numel() if inside.numel() else math.nan


NEAR_MM = 8.0


def dark_patch(corrected: Tensor, place: Tensor, zooms: tuple[float, ...], level: float) -> float:
    """Where the brain is darkest, how bright the brightest tissue nearby still is, over the level: near 1 in a sound brain, less where signal is lost.

    `corrected`: bias-corrected image (x, y, z); `place`: where the template's brain lies, without its rim (bool). Nearby: within a box of 8 mm to each
    side, after smoothing by 1.5 mm; darkest: the 0.5 % quantile. White matter lies within 8 mm of any ventricle or sulcus, so fluid is not taken for a loss
    (a template's brightness at each place, which was tried first, is off by 20 % between people).
    """
    import torch

    from qa.masks import smooth

    if int(place.sum()) < 200:
        return math.nan
    seen = smooth(corrected, tuple(1.5 / z for z in zooms[:3])) * place  # type: ignore[arg-type]
    for axis, zoom in enumerate(zooms[:3]):
        radius, kernel, pad = round(NEAR_MM / zoom), [1, 1, 1], [0, 0, 0]
        kernel[axis], pad[axis] = 2 * radius + 1, radius
        seen = torch.nn.functional.max_pool3d(seen[None, None], kernel, 1, pad)[0, 0]
    return quantile(seen[place], 0.005) / level if level > 0 else math.nan
