"""Spine: what can be said of a cord without a cord segmentation, from the column of tissue in the middle of the body.

The object's two main classes of brightness inside its core (three normal distributions, T2-like order) stand for cord and fluid; every measure
is over that core and says so. A cord mask, where a rater made one, is the better witness: `with_mask`.
"""

from __future__ import annotations

from typing import Any

from qa import masks, noise
from qa.errors import refusal
from qa.robust import Tensor, deviation, median
from qa.scene import Scene


def core(scene: Scene) -> Tensor:
    """The middle third (left-right) and middle half (front-back) of the object: where the canal is in a centred spine scan, on the work grid."""
    where = scene.head.mask.nonzero()
    low, high = where.min(0).values, where.max(0).values + 1
    size = high - low
    mask = scene.head.mask.clone()
    for axis, share in ((0, 3), (1, 4)):
        first, last = int(low[axis] + size[axis] // share), int(high[axis] - size[axis] // share)
        mask.narrow(axis, 0, first).fill_(False)
        mask.narrow(axis, last, mask.shape[axis] - last).fill_(False)
    return mask


def measures(scene: Scene) -> dict[str, Any]:
    """cord_snr, cord_fluid_snr, cord_cnr over the core. Raises QaError `no_tissue` where the core holds no three classes."""
    inside = masks.spread(core(scene), scene.by, scene.shape)
    values = scene.image[inside]
    order = "T1w" if scene.suffix == "T1w" else "T2w"
    weights = masks.tissue(values, order).posterior(values)
    cord, fluid = ("wm", "csf")
    return _pair(values, weights[cord], weights[fluid])


def _pair(values: Tensor, cord: Tensor, fluid: Tensor) -> dict[str, Any]:
    spread = (deviation(values, cord) ** 2 + deviation(values, fluid) ** 2) ** 0.5
    apart = abs(median(values, cord) - median(values, fluid))
    return {"cord_snr": noise.snr(values, cord), "cord_fluid_snr": noise.snr(values, fluid), "cord_cnr": apart / spread if spread > 0 else float("nan")}


def with_mask(image: Tensor, cord: Tensor, fluid: Tensor) -> dict[str, Any]:
    """cord_snr, cord_fluid_snr, cord_cnr where masks of the cord and of the fluid around it are given (bool, the image's shape)."""
    inside = cord | fluid
    if int(cord.sum()) < 20 or int(fluid.sum()) < 20:
        raise refusal("no_tissue")
    return _pair(image[inside], cord[inside].float(), fluid[inside].float())
