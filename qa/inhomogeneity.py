"""Is the coil's sensitivity written into the picture: a smooth field fitted to what tissue should look like.

Model (Wells 1996; Van Leemput 1999, without their iterations over space): log image = log mean of the voxel's tissue + a polynomial of order 3 in
x, y, z. Least squares over the voxels of the brain, weighted by how sure their tissue is. The field is scaled to median 1 inside the mask.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from qa.errors import refusal
from qa.masks import Tissue, tissue
from qa.robust import Tensor, median, quantile

POWERS = [p for p in itertools.product(range(4), repeat=3) if 0 < sum(p) <= 3]
"""Exponents of x, y, z: all monomials of order 1 to 3, the constant left out (it is brightness, not shading)."""


def basis(points: Tensor) -> Tensor:
    """The monomials at points (n, 3), each in -1..1: (n, 19)."""
    import torch

    return torch.stack([points[:, 0] ** a * points[:, 1] ** b * points[:, 2] ** c for a, b, c in POWERS], dim=1)


def _grid(shape: tuple[int, ...], device: object) -> tuple[Tensor, Tensor, Tensor]:
    import torch

    x, y, z = (torch.linspace(-1, 1, n, device=device) for n in shape)
    return x, y, z


def field(coefficients: Tensor, shape: tuple[int, ...]) -> Tensor:
    """exp of the polynomial on a grid of that shape whose corners are at +-1."""
    import torch

    x, y, z = _grid(shape, coefficients.device)
    total = torch.zeros(shape, device=coefficients.device)
    for value, (a, b, c) in zip(coefficients.tolist(), POWERS, strict=True):
        total += value * ((x**a)[:, None, None] * (y**b)[None, :, None] * (z**c)[None, None, :])
    return total.exp()


def fit(work: Tensor, mask: Tensor, suffix: str, rounds: int = 10) -> tuple[Tensor, Tissue]:
    """The field on the work grid (median 1 inside the mask) and the tissue classes of the corrected image.

    `work`: (x, y, z) image; `mask`: the brain. Raises QaError `no_tissue` where three classes cannot be told apart.
    """
    import torch

    # ~30,000 voxels decide 19 numbers; a fixed stride instead of a draw keeps the result the same every time.
    where = torch.nonzero(mask)
    where = where[:: max(1, len(where) // 30_000)]
    values = work[where[:, 0], where[:, 1], where[:, 2]].clamp_min(1e-6)
    scale = torch.tensor([max(n - 1, 1) for n in work.shape], device=work.device)
    design = basis(where / scale * 2 - 1)
    coefficients = torch.zeros(len(POWERS), device=work.device)
    classes = tissue(values, suffix)
    ridge = torch.eye(len(POWERS), device=work.device, dtype=torch.float64) * 1e-4 * len(values)
    for _ in range(rounds):
        corrected = values / (design @ coefficients).exp()
        classes = tissue(corrected, suffix)
        probability = torch.stack(list(classes.posterior(corrected).values()))
        level = torch.tensor(classes.mean, device=work.device).clamp_min(1e-6).log()
        weight = probability.max(0).values * (probability.argmax(0) != classes.names.index("csf"))
        residual = values.log() - (probability * level[:, None]).sum(0)
        weight = weight * ((residual - design @ coefficients).abs() < 0.5)
        centred = residual - (weight * residual).sum() / weight.sum().clamp_min(1)
        left = (design * weight[:, None]).T.double() @ design.double() + ridge
        coefficients = torch.linalg.solve(left, ((design * weight[:, None]).T @ centred).double()).float()
    whole = field(coefficients, tuple(work.shape))
    whole = whole / median(whole[mask])
    return whole, tissue(work[mask] / whole[mask], suffix)


def inu(field_inside: Tensor) -> dict[str, float]:
    """inu_range: P95 - P5 of the field (1 = no shading); inu_med: its median. `field_inside`: values of the field in the head, scaled in the brain."""
    return {"inu_range": quantile(field_inside, 0.95) - quantile(field_inside, 0.05), "inu_med": median(field_inside)}


BIASES = ("fit", "n4")
"""How the field is found: by `fit`, or by N4 where SimpleITK is installed."""


def fit_n4(work: Tensor, mask: Tensor, suffix: str) -> tuple[Tensor, Tissue]:
    """What `fit` gives, with the field by N4 (Tustison 2010; SimpleITK, shrunk by 4, on the CPU). Raises QaError `no_n4` without SimpleITK, `no_tissue`."""
    import torch

    found = torch.from_numpy(n4(work.cpu().numpy(), mask.cpu().numpy())).to(work)
    return found, tissue(work[mask] / found[mask], suffix)


def n4(work: NDArray[np.float32], mask: NDArray[np.bool_], shrink: int = 4) -> NDArray[np.float32]:
    """N4's field on the grid of `work`, median 1 inside the mask. Raises QaError `no_n4` where SimpleITK is not installed."""
    try:
        import SimpleITK as sitk  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise refusal("no_n4") from error

    image, inside = sitk.GetImageFromArray(work.clip(min=1e-6)), sitk.GetImageFromArray(mask.astype(np.uint8))
    corrector = sitk.N4BiasFieldCorrectionImageFilter()
    corrector.Execute(sitk.Shrink(image, [shrink] * 3), sitk.Shrink(inside, [shrink] * 3))
    field_ = np.exp(sitk.GetArrayFromImage(corrector.GetLogBiasFieldAsImage(image))).astype(np.float32)
    return np.asarray(field_ / np.median(field_[mask]), dtype=np.float32)
