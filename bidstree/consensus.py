"""What the raters of one image say together, as a derivative: majority, the likely truth (STAPLE), and how far they agree, pair by pair.

The raters' own masks stay as they are; the consensus names them all in `Sources`, and the image they lie on, so it goes with that image.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from bidstree import masks, raters
from bidstree.errors import BidsError
from bidstree.handed import write_drawn
from spatial.volumes import Volume, load, same_grid


def write(root: Path, image: str, products: Sequence[str], label: str, mask_type: str = "Lesion") -> list[str]:
    """Write majority (`desc-majority_mask`) and STAPLE (`desc-staple_probseg`) of the annotations `products` of `image`, all paths below `root`.

    The paths of what was written. Raises BidsError `raters_missing` for fewer than two, `raters_differ_in_grid`, as `raters`.
    """
    if len(products) < 2:
        raise BidsError("raters_missing", "One rater alone has no consensus.", "Give the masks of at least two raters.")
    drawn = [load(root / product) for product in products]
    if not all(same_grid(drawn[0], one) for one in drawn[1:]):
        raise BidsError("raters_differ_in_grid", "The raters' masks do not lie on one grid.", "Attach each mask to the image first.")
    marks = [one.data > 0 for one in drawn]
    truth, quality = raters.staple(marks)
    codes = [_rater(product) for product in products]
    table = raters.dice(marks)
    pairs = {f"{codes[a]} {codes[b]}": round(float(table[a, b]), 4) for a, b in combinations(range(len(codes)), 2)}
    agreement = {"Raters": codes, "Dice": pairs, "Sensitivity": _each(codes, quality[:, 0]), "Specificity": _each(codes, quality[:, 1])}
    beside: dict[str, Any] = {
        "Manual": False,
        "Sources": [masks.address(one) for one in (image, *products)],
        "SpatialReference": masks.address(image),
        "Agreement": agreement,
    }
    majority = masks.path(image, label, "majority")
    staple = masks.path(image, label, "staple", "probseg")
    write_drawn(root, majority, Volume(raters.majority(marks).astype(np.uint8), drawn[0].affine), {"Type": mask_type, **beside, "Method": "majority"})
    write_drawn(root, staple, Volume(truth, drawn[0].affine), {**beside, "Method": "STAPLE"})
    return [majority.as_posix(), staple.as_posix()]


def _rater(product: str) -> str:
    """The rater's code of a mask's name."""
    return next(part.removeprefix("desc-") for part in PurePosixPath(product).name.split("_") if part.startswith("desc-"))


def _each(codes: Sequence[str], values: Any) -> dict[str, float]:
    return {code: round(float(value), 4) for code, value in zip(codes, values, strict=True)}
