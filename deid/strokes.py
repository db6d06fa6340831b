"""The cheap test: which slices of a group may carry writing.

Writing is made of strokes: ridges one to three pixels wide that stand out on both sides, many of them within a line of text. A stroke answers to
`ridge`: x - max(left, right) or x - max(above, below), whichever is more. The answers are capped (so that one hot pixel is no text) and added up over
windows of 8 x 24 pixels; the fullest window is the slice's score. Four scores: of the slice's *novelty* (what stands above both neighbours, or below both,
for text on one slice is unlike them) at full and at half resolution, of the slice itself, and of its negative (dark writing).

Anatomy has ridges too (skin, vessels, fat), but about as many on the next slice. So a score counts only against those of the five slices on either side,
in units of how much it usually changes from slice to slice. The thresholds were set on one half of the shared cases and judged on the other half
(tests/measure/pixel_rows.py: false_alarms).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Small = NDArray[np.int16]

FEWEST = 8  # in a smaller group nothing can be compared: all its slices are read
EVERY = 16  # and of any group the first, the last and every sixteenth
REACH = 5
SPREAD = 0.3
# (name, threshold): how many usual changes a score must stand out.
LIMITS = {"new": 3.6, "new, half size": 4.2, "bright": 2.9, "dark": 2.1}
SOFT, HARD = (0.1, 0.4), (0.2, 0.6)  # shares of the slice's range: below the first a ridge is noise, above the second it counts no more


def small(frame: NDArray[Any], low: float, high: float) -> Small:
    """A frame as int16 below 8,192, by one factor for its whole group (low, high: the group's least and greatest value)."""
    reach = high - low
    if frame.dtype.kind in "ui" and frame.dtype.itemsize <= 2 and reach >= 256:
        shift = max(0, int(reach).bit_length() - 13)
        if low >= 0 and high < 32768:
            return (frame >> shift).astype(np.int16)
        return ((frame.astype(np.int32) - int(low)) >> shift).astype(np.int16)
    return ((np.nan_to_num(frame.astype(np.float32)) - low) * (8191.0 / max(reach, 1e-6))).astype(np.int16)


def novelty(before: Small, this: Small, after: Small) -> Small:
    """How far a slice stands above both of its neighbours or below both; 0 elsewhere."""
    above = this - np.maximum(before, after)
    np.maximum(above, np.minimum(before, after) - this, out=above)
    return np.clip(above, 0, 32767, out=above)  # an open end would be slow


def scores(this: Small, new: Small) -> NDArray[np.float32]:
    """The four scores of one slice, in the order of LIMITS: shares of the slice's range, summed over the fullest window."""
    if min(this.shape) < 16:
        return np.zeros(4, np.float32)
    some = this[::4, ::4].ravel()
    least, most = int(some.size * 0.02), int(some.size * 0.99)
    some.partition((least, most))
    reach = float(some[most] - some[least]) + 1
    found = (
        _fullest(ridge(new), reach, SOFT),
        _fullest(ridge(_halved(new)), reach, SOFT),
        _fullest(ridge(this), reach, HARD),
        _fullest(ridge(-this), reach, HARD),
    )
    return np.array(found, np.float32)


def ridge(x: Small) -> Small:
    """x - max(both sides), in the better of two directions. The image is taken as one long row (quicker), so its left and right edges touch."""
    flat, wide = x.reshape(-1), x.shape[1]
    out = np.empty_like(flat)
    out[:wide] = out[-wide:] = 0
    inner = out[wide:-wide]
    np.maximum(flat[wide - 1 : -wide - 1], flat[wide + 1 : flat.size - wide + 1], out=inner)
    np.minimum(inner, np.maximum(flat[: -2 * wide], flat[2 * wide :]), out=inner)
    np.subtract(flat[wide:-wide], inner, out=inner)
    return out.reshape(x.shape)


def _halved(x: Small) -> Small:
    """Half the resolution: means of 2 x 2 pixels."""
    rows, columns = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    pairs = x[:rows:2, :columns] + x[1:rows:2, :columns]
    return (pairs[:, ::2] >> 2) + (pairs[:, 1::2] >> 2)


def _fullest(answers: Small, reach: float, share: tuple[float, float]) -> float:
    """The greatest sum of answers over windows of 8 x 24 pixels, every 4 rows and 8 columns, in units of `reach`."""
    low, high = int(share[0] * reach), int(share[1] * reach)
    rows, columns = answers.shape[0] // 4 * 4, answers.shape[1] // 8 * 8
    if rows < 8 or columns < 24:
        return 0.0
    capped = np.clip(answers[:rows, :columns], low, high)
    capped -= low  # at most 0.4 of 8,191: eight rows of it fit into int16
    lines = capped[0::4] + capped[1::4]
    lines += capped[2::4]
    lines += capped[3::4]
    lines = lines[1:] + lines[:-1]
    cells = lines.astype(np.float32) @ _columns(columns)
    return float((cells[:, 2:] + cells[:, 1:-1] + cells[:, :-2]).max()) / reach


@lru_cache(maxsize=64)
def _columns(count: int) -> NDArray[np.float32]:
    """Adds up eight columns each: (count, count / 8)."""
    return np.repeat(np.eye(count // 8, dtype=np.float32), 8, axis=0)


def outstanding(found: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each score of each slice (slices, 4) stands out of its surroundings, in usual changes from slice to slice.

    The surroundings are the five slices on either side; the second greatest of them counts, so that writing on two slices does not hide itself.
    """
    count = len(found)
    usual = np.median(np.abs(np.diff(found, axis=0)), axis=0) if count > 2 else np.zeros(found.shape[1])
    out = np.zeros_like(found)
    for n in range(count):
        around = np.concatenate([found[max(0, n - REACH) : n], found[n + 1 : n + 1 + REACH]])
        rival = np.sort(around, axis=0)[-2] if len(around) > 1 else np.zeros(found.shape[1])
        out[n] = (found[n] - rival) / (SPREAD + usual)
    return out


def picked(found: NDArray[np.float32]) -> list[int]:
    """The slices of a group (in order) that the cheap test picks by their scores (slices, 4)."""
    if len(found) < FEWEST:
        return []
    return [int(n) for n in np.flatnonzero((outstanding(found) > np.array(list(LIMITS.values()))).any(axis=1))]


def sampled(count: int) -> set[int]:
    """The slices of a group of this size that are read whatever the test says: all of a small one; the first, middle, last and every sixteenth."""
    if count < FEWEST:
        return set(range(count))
    return {0, count // 2, count - 1, *range(0, count, EVERY)}


def group_scores(slices: Sequence[Small]) -> NDArray[np.float32]:
    """Scores (slices, 4) of a whole group in order; the first and the last are compared with their one neighbour."""
    count = len(slices)
    rows = []
    for n in range(count):
        before, after = slices[n - 1 if n else min(1, count - 1)], slices[n + 1 if n < count - 1 else max(count - 2, 0)]
        rows.append(scores(slices[n], novelty(before, slices[n], after)))
    return np.array(rows, np.float32).reshape(-1, 4)
