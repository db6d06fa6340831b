"""Where is what: head, air, brain and tissue, without FSL or ANTs.

All masks live on the *work grid*: the image's own grid, averaged over whole blocks of voxels where it is finer than about 2 mm, so that no
interpolation is needed and a work voxel (i, j, k) covers the native voxels (i f_x .. i f_x + f_x - 1, ...). Axes are closest to R, A, S.
The head is what stands out from the background (Otsu, largest piece, holes filled); the brain is the template's, placed by affine
registration (`spatial.register`, the engine the defacer uses), which is right where thresholds are not; tissue is a mixture of three
normal distributions inside the brain, fitted on a histogram.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qa.errors import QaError, refusal
from qa.robust import Tensor, histogram, median, otsu, quantile
from spatial.errors import SpatialError
from spatial.volumes import Volume

if TYPE_CHECKING:
    from spatial.register import Alignment

ORDER: dict[str, tuple[str, str, str]] = {
    "T1w": ("csf", "gm", "wm"),
    "T2w": ("wm", "gm", "csf"),
    "PDw": ("wm", "gm", "csf"),
    "T2starw": ("wm", "gm", "csf"),
    "FLAIR": ("csf", "wm", "gm"),
}
"""Tissue classes from dark to bright by contrast; anything unknown is taken as T2-like (the mean of BOLD and b0 are)."""


def factors(zooms: tuple[float, ...], shape: tuple[int, ...], target: float = 2.0) -> tuple[int, int, int]:
    """How many native voxels a work voxel spans along each axis: never so many that fewer than 16 work voxels are left."""
    found = [max(1, min(round(target / z), n // 16 or 1)) for z, n in zip(zooms[:3], shape[:3], strict=True)]
    return found[0], found[1], found[2]


def pool(x: Tensor, by: tuple[int, int, int]) -> Tensor:
    """Mean over blocks of voxels (an incomplete last block is averaged over what there is)."""
    import torch

    if by == (1, 1, 1):
        return x
    return torch.nn.functional.avg_pool3d(x[None, None], by, ceil_mode=True, count_include_pad=False)[0, 0]


def spread(mask: Tensor, by: tuple[int, int, int], shape: tuple[int, ...]) -> Tensor:
    """The inverse of `pool` for masks and maps: every native voxel takes the value of its work voxel."""
    for axis, factor in enumerate(by):
        if factor > 1:
            mask = mask.repeat_interleave(factor, dim=axis)
    return mask[: shape[0], : shape[1], : shape[2]]


def smooth(x: Tensor, sigma: tuple[float, float, float]) -> Tensor:
    """Gaussian smoothing, sigma in voxels per axis, borders repeated."""
    import torch

    for axis, s in enumerate(sigma):
        if s < 0.2:
            continue
        radius = max(1, math.ceil(3 * s))
        offsets = torch.arange(-radius, radius + 1, device=x.device, dtype=torch.float32)
        kernel = torch.exp(-0.5 * (offsets / s) ** 2)
        moved = x.movedim(axis, -1)
        flat = torch.nn.functional.pad(moved.reshape(-1, 1, moved.shape[-1]), (radius, radius), mode="replicate")
        x = torch.nn.functional.conv1d(flat, (kernel / kernel.sum())[None, None]).reshape(moved.shape).movedim(-1, axis)
    return x


def grow(mask: Tensor, mm: float, zooms: tuple[float, ...]) -> Tensor:
    """Dilate by a box of +-mm (negative: erode; outside the field of view counts as set when eroding)."""
    import torch

    x = mask.float() if mm > 0 else 1 - mask.float()
    for axis, zoom in enumerate(zooms[:3]):
        radius = round(abs(mm) / zoom)
        if radius:
            kernel, pad = [1, 1, 1], [0, 0, 0]
            kernel[axis], pad[axis] = 2 * radius + 1, radius
            x = torch.nn.functional.max_pool3d(x[None, None], kernel, 1, pad)[0, 0]
    return x > 0.5 if mm > 0 else x < 0.5


def largest(mask: Tensor) -> Tensor:
    """The largest connected piece (faces touching) of a mask; an empty mask stays empty."""
    import torch
    from scipy import ndimage

    pieces, count = ndimage.label(mask.cpu().numpy())
    if count == 0:
        return mask.clone()
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return torch.from_numpy(pieces == int(sizes.argmax())).to(mask.device)


def filled(mask: Tensor) -> Tensor:
    """The mask with its holes filled: all that the outside cannot reach from the border."""
    import torch
    from scipy import ndimage

    padded = np.pad(~mask.cpu().numpy(), 1, constant_values=True)
    pieces, _ = ndimage.label(padded)
    return torch.from_numpy(pieces[1:-1, 1:-1, 1:-1] != pieces[0, 0, 0]).to(mask.device)


def unvarying(image: Tensor) -> Tensor:
    """Voxels that equal all their neighbours along the three axes exactly: padding, erased regions; never noise."""
    import torch

    same = torch.ones_like(image, dtype=torch.bool)
    for axis in range(3):
        n = image.shape[axis]
        if n < 2:
            continue
        equal = image.narrow(axis, 1, n - 1) == image.narrow(axis, 0, n - 1)
        same.narrow(axis, 1, n - 1).logical_and_(equal)
        same.narrow(axis, 0, n - 1).logical_and_(equal)
    return same


@dataclass(frozen=True)
class Head:
    """The object against its background: `mask` on the work grid, the `threshold` in image units, and how far apart the two are (0..1)."""

    mask: Tensor
    threshold: float
    separation: float


def head(work: Tensor, zooms: tuple[float, ...]) -> Head:
    """The head (or whatever was scanned): above the threshold after smoothing, largest piece, holes filled.

    Otsu's threshold separates bright from dark tissue as often as tissue from air, so a second Otsu below the first decides about the dark
    part where it explains most of its variance. Raises QaError `no_anatomy` where nothing stands out.
    """
    blurred = smooth(work, tuple(min(2.0 / z, 2.0) for z in zooms[:3]))  # type: ignore[arg-type]
    first, separation = otsu(blurred)
    dark = blurred[blurred < first]
    threshold = first
    if dark.numel() > 100:
        second, share = otsu(dark)
        threshold = min(first, max(second, 0.25 * first)) if share > 0.6 else 0.5 * first
    bright = blurred > threshold
    thin = grow(bright, -min(zooms[:3]), zooms)
    whole = grow(largest(thin), min(zooms[:3]), zooms) if int(thin.sum()) > 50 else largest(bright)
    mask = filled(whole)
    if int(mask.sum()) < 50:
        raise refusal("no_anatomy")
    return Head(mask, threshold, separation)


MANY = 2_000_000


def lag(x: Tensor, mask: Tensor | None = None) -> float:
    """Correlation of a voxel with its neighbour, the largest of the three axes (inside a mask): 0 for white noise, near 1 for a picture.

    Of more than two million voxels every other line along the axis is asked: a million pairs say the same.
    """
    found = [0.0]
    for axis in range(3):
        n = x.shape[axis]
        if n < 3:
            continue
        lines = tuple(slice(None, None, 2 if x.numel() > MANY and other != axis else 1) for other in range(3))
        thin = x[lines]
        a, b = thin.narrow(axis, 0, n - 1), thin.narrow(axis, 1, n - 1)
        if mask is not None:
            held = mask[lines]
            both = held.narrow(axis, 0, n - 1) & held.narrow(axis, 1, n - 1)
            a, b = a[both], b[both]
        a, b = a - a.mean(), b - b.mean()
        norm = float(a.norm() * b.norm())
        if a.numel() > 20 and norm > 0:
            found.append(float((a * b).sum()) / norm)
    return max(found)


def anatomy(work: Tensor, zooms: tuple[float, ...]) -> float:
    """How much of the picture is a picture: correlation of neighbouring blocks of about 8 mm. White noise gives 0, a head about 0.7 to 0.9."""
    by = factors(zooms, tuple(4 * n for n in work.shape), target=8.0)
    return lag(pool(work, by))


@dataclass(frozen=True)
class Brain:
    """The template's brain on the work grid: `mask` where there is an object, `place` all of it; `outside` is its share outside the field of view."""

    mask: Tensor
    place: Tensor
    outside: float
    cut: dict[str, float]
    nmi: float
    matrix: NDArray[np.float64]


def place(here: Volume, device: str = "cpu") -> tuple[NDArray[np.float64], float]:
    """World of an image -> world of the template by affine registration, and the NMI. Raises QaError `no_brain` where the result is not a head's."""
    from spatial.register import align
    from spatial.templates import head as template_head

    try:
        return _believed(align(template_head().volume, here, kind="affine", device=device))
    except SpatialError as error:
        raise _no_brain(error) from error


def place_many(here: Sequence[Volume], device: str = "cpu") -> list[NDArray[np.float64] | QaError]:
    """The placement of each of several images, found together on the device, or the refusal `place` would raise."""
    from spatial.register import align_many
    from spatial.templates import head as template_head

    found: list[NDArray[np.float64] | QaError] = []
    for one in align_many(template_head().volume, here, kind="affine", device=device):
        try:
            found.append(_no_brain(one) if isinstance(one, SpatialError) else _believed(one)[0])
        except QaError as error:
            found.append(error)
    return found


def _believed(found: Alignment) -> tuple[NDArray[np.float64], float]:
    if not (min(found.scale) > 0.7 and max(found.scale) < 1.5):
        raise refusal("no_brain", f"Stretches of {min(found.scale):.2f} to {max(found.scale):.2f} against the template are no head's.")
    return np.asarray(found.matrix, dtype=np.float64), float(found.nmi)


def _no_brain(error: SpatialError) -> QaError:
    """The refusal for a volume that cannot be aligned; what is no fault of the volume is raised as it is."""
    if error.code not in ("no_overlap", "empty_volume"):
        raise error
    return refusal("no_brain", error.reason)


def brain(
    work: Tensor,
    affine: NDArray[np.float64],
    head_mask: Tensor,
    *,
    matrix: NDArray[np.float64] | None = None,
    nmi: float = math.nan,
    device: str = "cpu",
    taken: Tensor | None = None,
) -> Brain:
    """The template's brain in this image. `affine`: work voxel -> world mm (RAS+); `matrix`: a placement made before (of the same head), else `place`;
    `taken`: what a defacer took away, on the work grid.

    The share outside is counted on the template's own brain voxels, mapped into this image. Raises QaError `no_brain`.
    """
    import torch

    from spatial.resample import resample
    from spatial.templates import head as template_head

    here = Volume(work.cpu().numpy(), affine)
    if matrix is None:
        matrix, nmi = place(here, device)
    template = template_head()
    like = Volume(np.asarray(template.brain, dtype=np.float32), template.volume.affine)
    mask = torch.from_numpy(np.asarray(resample(like, here, matrix, order="nearest", device=device).data) > 0.5).to(work.device)
    outside, cut = _outside(like, here, matrix)
    if int(mask.sum()) < 500:
        raise refusal("no_brain")
    # Where half a head was set to zero, the template still lies right: what is missing must not make the rest look misplaced.
    within = float((mask & (head_mask | unvarying(work))).sum()) / int(mask.sum())
    if within < 0.7:
        raise refusal("no_brain", f"Only {100 * within:.0f} % of its place lies in the object.")
    return Brain(mask & grow(_object(work, mask, taken), 4.0, _zooms(affine)), mask, outside, cut, nmi, matrix)


def _object(work: Tensor, place: Tensor, taken: Tensor | None) -> Tensor:
    """What a brain can lie in: the piece that is brighter than a tenth of the place's median, what was `taken` away counted in, holes filled.

    Judged by the place's own values: the head's threshold moves a little when a face is taken off, and with it moved the rim of the brain and, by 5 % in one
    head, the volume of its CSF, though not one voxel of the brain had changed.
    """
    lit = work > 0.1 * median(work[place])
    return filled(largest(lit if taken is None else lit | taken))


def _zooms(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    z = np.linalg.norm(affine[:3, :3], axis=0)
    return float(z[0]), float(z[1]), float(z[2])


def _outside(template: Volume, here: Volume, matrix: NDArray[np.float64]) -> tuple[float, dict[str, float]]:
    """Share of the template's brain voxels outside this field of view, in all and past each of its faces (L, R, P, A, I, S)."""
    voxels = np.argwhere(template.data[::3, ::3, ::3] > 0.5) * 3.0
    world = voxels @ template.affine[:3, :3].T + template.affine[:3, 3]
    back = np.linalg.inv(here.affine) @ np.linalg.inv(matrix)
    at = world @ back[:3, :3].T + back[:3, 3]
    high = np.asarray(here.shape[:3]) - 0.5
    sides = {"L": at[:, 0] < -0.5, "R": at[:, 0] > high[0], "P": at[:, 1] < -0.5, "A": at[:, 1] > high[1], "I": at[:, 2] < -0.5, "S": at[:, 2] > high[2]}
    anywhere = np.any(np.stack(list(sides.values())), axis=0)
    return float(anywhere.mean()), {name: float(past.mean()) for name, past in sides.items()}


@dataclass(frozen=True)
class Tissue:
    """Three classes inside the brain: means and standard deviations from dark to bright, their names, and their shares (sum 1)."""

    names: tuple[str, str, str]
    mean: tuple[float, float, float]
    sd: tuple[float, float, float]
    share: tuple[float, float, float]

    def posterior(self, values: Tensor) -> dict[str, Tensor]:
        """Probability of each class (by name) at each value; the three add up to one."""
        import torch

        parts = [s / d * torch.exp(-0.5 * ((values - m) / d) ** 2) + 1e-12 for m, d, s in zip(self.mean, self.sd, self.share, strict=True)]
        total = parts[0] + parts[1] + parts[2]
        return {name: part / total for name, part in zip(self.names, parts, strict=True)}


def tissue(values: Tensor, suffix: str, rounds: int = 60, bins: int = 256) -> Tissue:
    """Fit three normal distributions to the values of a brain (1D, bias-corrected if possible), by EM on a histogram.

    Raises QaError `no_tissue` when fewer than 1,000 voxels are given or two classes fall together.
    """
    import torch

    if values.numel() < 1000:
        raise refusal("no_tissue")
    low, high = quantile(values, 0.005), 1.15 * quantile(values, 0.97)
    if not high > low:
        raise refusal("no_tissue")
    inside = values[(values >= low) & (values <= high)]
    counts = histogram(inside, low, high, bins).cpu()
    x = low + (torch.arange(bins, dtype=torch.float64) + 0.5) * (high - low) / bins
    cumulative = counts.cumsum(0) / counts.sum()
    mean = torch.stack([x[int((cumulative < q).sum().clamp(max=bins - 1))] for q in (0.06, 0.4, 0.8)])
    sd = torch.full((3,), (high - low) / 10, dtype=torch.float64)
    share = torch.full((3,), 1 / 3, dtype=torch.float64)
    for _ in range(rounds):
        density = share[:, None] / sd[:, None] * torch.exp(-0.5 * ((x - mean[:, None]) / sd[:, None]) ** 2) + 1e-12
        weight = density / density.sum(0) * counts
        total = weight.sum(1).clamp_min(1e-9)
        mean = (weight * x).sum(1) / total
        sd = ((weight * (x - mean[:, None]) ** 2).sum(1) / total).sqrt().clamp((high - low) / 100, (high - low) / 5)
        share = total / counts.sum()
    order = mean.argsort()
    m, d, s = (tuple(float(v) for v in part[order]) for part in (mean, sd, share))
    if min(m[1] - m[0], m[2] - m[1]) < 0.02 * (high - low) or min(s) < 0.01:
        raise refusal("no_tissue")
    return Tissue(ORDER.get(suffix, ORDER["T2w"]), m, d, s)  # type: ignore[arg-type]
