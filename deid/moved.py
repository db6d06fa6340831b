"""Has the front of the head moved back? Asked of the picture alone, without the template.

A head is looked at from the front along the scanner's axes, before and after. Its own outline says where a face must be: the crown gives the
height, the width of the skull the scale (brow about 0.6 widths under the crown, chin about 1.25). There the surface seen must lie at least 3 mm further
back than before. An alignment that is wrong by two centimetres leaves forehead, nose or chin where they were, and this share falls.
It has nothing to say where the crown is cut off, too little of the face is in view, or the face was gone before; then it is None.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deid import render, skin
from spatial.volumes import Volume

MOVED_MM = 3.0
BROW, CHIN, HALF_WIDTH = 0.60, 1.25, 0.24  # in widths of the skull
IN_VIEW = 0.85  # the picture must reach so many widths below the crown
FEWEST_PIXELS = 150


def moved_share(before: Volume, after: Volume) -> float | None:
    """Share of the face's surface, seen from the front, that went back by at least 3 mm; None where the outline does not say where a face is."""
    level = skin.level(before)
    first, _ = render.surface(before, 0.0, level)
    last, _ = render.surface(after, 0.0, level)
    window = _face_window(first)
    if window is None:
        return None
    face = window & np.isfinite(first)
    if face.sum() < FEWEST_PIXELS:
        return None
    back = np.where(np.isfinite(last), last, np.inf) - np.where(face, first, 0)
    return round(float((back[face] >= MOVED_MM).mean()), 3)


def _face_window(depth: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Pixels (x, z) where the outline says a face is."""
    seen = np.isfinite(depth)
    rows = np.flatnonzero(seen.sum(axis=0) * skin.STEP_MM > 20)
    if not len(rows):
        return None
    crown = rows[-1]
    if seen[:, crown].sum() * skin.STEP_MM > 110:  # a flat top: the crown is not in view
        return None
    skull = seen[:, max(0, crown - 45) : crown - 15]  # 30 to 90 mm under the crown
    columns = np.flatnonzero(skull.any(axis=1))
    if not len(columns):
        return None
    low, high = np.percentile(np.argwhere(skull)[:, 0], (1, 99))
    width, middle = high - low, (high + low) / 2
    x, z = np.indices(depth.shape)
    below = (crown - z) / max(width, 1)
    if crown - rows[0] < IN_VIEW * width:
        return None
    return np.asarray((below > BROW) & (below < CHIN) & (abs(x - middle) < HALF_WIDTH * width))
