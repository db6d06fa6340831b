"""Spine: what can be said of a cord without a cord segmentation, from the column of tissue in the middle of the body.

The object's two main classes of brightness inside its core (three normal distributions, T2-like order) stand for cord and fluid; every measure
is over that core and says so. A cord mask, where a rater made one, is the better witness: `with_mask`, `cut`.

Whether the cord is cut is told only where it is certain: by a mask that reaches a side of the field of view, or by a field of view that is smaller than
the segment claimed is in anybody. A field of view that merely begins too low is not noticed: nothing here knows vertebrae.
"""

from __future__ import annotations

from typing import Any

from qa import masks, noise
from qa.errors import refusal
from qa.robust import Tensor, deviation, median
from qa.scene import Scene

SEGMENT_MM = {"cspine": 50.0, "tspine": 120.0}
"""No cord segment of that name is shorter from its first to its last root, from the second year of life on: half of what an adult's is (about 10 and
25 cm; Frostell, Front Neurol 2016, 7:238). A lumbar series shows where the cord ends, so no length of cord is claimed by it; nor by "spine" alone."""
WIDTH_MM = (8.0, 6.0)
"""Left to right and back to front, the thinnest a whole cord is (thoracic; the same review)."""
SIDES = (("left", "right"), ("back", "front"))


def cut(scene: Scene, body: str, mask: Tensor | None = None) -> str:
    """How the field of view cuts the cord segment that `body` claims, as a sentence; empty where it is whole, or where nothing certain can be told.

    `mask`: a rater's cord (bool, native grid of `scene.image`). Slices stacked along the cord are blocks of levels and are not meant to cover it.
    """
    if scene.slice_axis == 2:
        return ""
    seen = [(last - first) * zoom for (_, (first, last)), zoom in zip(scene.extent, scene.zooms, strict=True)]
    if seen[2] < SEGMENT_MM.get(body, 0.0):
        return f"The field of view is {seen[2]:.0f} mm from foot to head, and no such segment is shorter than {SEGMENT_MM[body]:.0f} mm."
    if mask is None:
        for axis, least in enumerate(WIDTH_MM):
            if body in SEGMENT_MM and seen[axis] < least:
                return f"The field of view is {seen[axis]:.0f} mm from {SIDES[axis][0]} to {SIDES[axis][1]}, less than a cord."
        return ""
    for axis, sides in enumerate(SIDES):
        for end, side in zip((0, mask.shape[axis] - 1), sides, strict=True):
            levels = int(mask.select(axis, end).any(0).sum())
            if levels:
                return f"Its mask reaches the {side} side of the field of view in {levels} of {int(mask.any(0).any(0).sum())} levels."
    return ""


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
