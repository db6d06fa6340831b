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
Windows = NDArray[np.float16]  # (rows / 4 - 1, columns / 8 - 2): sums over windows

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
    above, below = np.maximum(before, after), np.minimum(before, after)
    np.subtract(this, above, out=above)
    np.subtract(below, this, out=below)
    np.maximum(above, below, out=above)
    return np.maximum(above, _rows_of(0, this.shape[1]), out=above)


def scores(this: Small, new: Small) -> NDArray[np.float32]:
    """The four scores of one slice, in the order of LIMITS: shares of the slice's range, summed over the fullest window."""
    return windowed(this, new)[0]


def windowed(this: Small, new: Small) -> tuple[NDArray[np.float32], tuple[Windows, Windows]]:
    """The four scores of one slice, and the sums over all windows of its novelty (at full and at half resolution), of which the first two are the greatest."""
    if min(this.shape) < 16:
        return np.zeros(4, np.float32), (np.zeros((0, 0), np.float16), np.zeros((0, 0), np.float16))
    some = this[::4, ::4].ravel()
    least, most = int(some.size * 0.02), int(some.size * 0.99)
    some.partition((least, most))
    reach = float(some[most] - some[least]) + 1
    whole, half = _windows(ridge(new), reach, SOFT), _windows(ridge(_halved(new)), reach, SOFT)
    found = [float(sums.max(initial=0)) for sums in (whole, half, _windows(ridge(this), reach, HARD), _windows(ridge(-this), reach, HARD))]
    return np.array(found, np.float32), (whole.astype(np.float16), half.astype(np.float16))


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
    """Half the resolution: means of 2 x 2 pixels, of which none is negative. Two neighbours are added as the halves of one 32-bit number."""
    rows, columns = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    pairs = (x[:rows:2, :columns] + x[1:rows:2, :columns]).view(np.uint32)
    pairs >>= 2
    pairs &= 0x3FFF3FFF
    return ((pairs & 0xFFFF) + (pairs >> 16)).astype(np.int16)


def _windows(answers: Small, reach: float, share: tuple[float, float]) -> NDArray[np.float32]:
    """The sums of answers over windows of 8 x 24 pixels, one every 4 rows and 8 columns, in units of `reach`."""
    low, high = int(share[0] * reach), int(share[1] * reach)
    rows, columns = answers.shape[0] // 4 * 4, answers.shape[1] // 8 * 8
    if rows < 8 or columns < 24:
        return np.zeros((0, 0), np.float32)
    capped = np.maximum(answers[:rows, :columns], _rows_of(low, columns))
    np.minimum(capped, _rows_of(high, columns), out=capped)
    capped -= low  # at most 0.4 of 8,191: eight rows of it fit into int16
    lines = capped[0::4] + capped[1::4]
    lines += capped[2::4]
    lines += capped[3::4]
    lines = lines[1:] + lines[:-1]
    cells = lines.astype(np.float32) @ _columns(columns)
    return np.asarray((cells[:, 2:] + cells[:, 1:-1] + cells[:, :-2]) / np.float32(reach))


@lru_cache(maxsize=256)
def _rows_of(value: int, columns: int) -> Small:
    """One row of a value. `np.clip`, and maxima with a number alone, take five times as long: they go pixel by pixel."""
    return np.full(columns, value, np.int16)


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
