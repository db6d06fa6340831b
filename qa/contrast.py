"""Can tissue be told from tissue: contrast between white matter, grey matter, fluid and lesion.

cnr Magnotta 2006 (standard deviations), cjv Ganzetti 2016 (median absolute deviations: the difference is meant), wm2max = mu_wm / P99.95,
relative contrast |a - b| / (a + b) after INNI (J Neurol 2019, doi 10.1007/s00415-019-09509-4).
"""

from __future__ import annotations

import math

from qa.robust import MAD_TO_SD, Tensor, deviation, median, quantile


def cnr(values: Tensor, wm: Tensor, gm: Tensor, air: Tensor) -> float:
    """|mu_wm - mu_gm| / sqrt(sd_air^2 + sd_wm^2 + sd_gm^2); `values` (n,) brain voxels, `wm`, `gm` probabilities (n,), `air` (m,) voxels."""
    noise = math.sqrt(deviation(air) ** 2 + deviation(values, wm) ** 2 + deviation(values, gm) ** 2)
    return abs(median(values, wm) - median(values, gm)) / noise if noise > 0 else math.nan


def cjv(values: Tensor, wm: Tensor, gm: Tensor) -> float:
    """(MAD_wm + MAD_gm) / |mu_wm - mu_gm|: coefficient of joint variation; low is good.

    mu: weighted median. MAD: about mu, over the voxels that are more than half as likely of that tissue as the likeliest one (MRIQC 24's way).
    """
    mu = {name: median(values, w) for name, w in (("wm", wm), ("gm", gm))}
    spread = sum(MAD_TO_SD * median((values[w > 0.5 * w.max()] - mu[name]).abs()) for name, w in (("wm", wm), ("gm", gm)))
    apart = abs(mu["wm"] - mu["gm"])
    return spread / apart if apart > 0 else math.nan


def wm2max(image: Tensor, mu_wm: float) -> float:
    """White matter over the 99.95th percentile of the whole image: low where vessels or fat are very bright (0.6 - 0.8 is usual)."""
    top = quantile(image, 0.9995)
    return mu_wm / top if top > 0 else math.nan


def relative(a: float, b: float) -> float:
    """|a - b| / (a + b), 0 (none) .. 1."""
    return abs(a - b) / (a + b) if a + b > 0 else math.nan


def lesion(image: Tensor, lesions: Tensor, normal: Tensor) -> float:
    """Relative contrast between lesions and normal-appearing white matter (both bool masks of the image's shape)."""
    return relative(median(image[lesions]), median(image[normal & ~lesions])) if bool(lesions.any()) else math.nan
