"""Several raters, one lesion: how far they agree (Dice), what most of them say (majority), and what is likely true (STAPLE).

Dice of two masks A and B: 2 |A and B| / (|A| + |B|), 1 for equal masks, 1 by convention for two empty ones.
STAPLE (Warfield, Zou, Wells, IEEE TMI 23:903-921, 2004, equations 16, 18, 19): expectation maximisation over the unknown truth and each rater's
sensitivity p and specificity q; the prior is the mean fraction of marked voxels. Only voxels on which raters differ need the iteration.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bidstree.errors import BidsError

Mask = NDArray[np.bool_]
_EPS = 1e-7


def _stack(masks: Sequence[NDArray[np.generic]]) -> NDArray[np.bool_]:
    """(rater, i, j, k) of masks on one grid. Raises BidsError `raters_differ_in_grid`, `raters_missing`."""
    if not masks:
        raise BidsError("raters_missing", "There is no mask to compare.", "Give at least one mask.")
    if len({mask.shape for mask in masks}) > 1:
        raise BidsError("raters_differ_in_grid", "The raters' masks do not lie on one grid.", "Attach each mask to the image first.")
    return np.stack([np.asarray(mask) > 0 for mask in masks])


def dice(masks: Sequence[NDArray[np.generic]]) -> NDArray[np.float64]:
    """(rater, rater) symmetric table of Dice coefficients, 0..1. Raises as `majority`."""
    marks = _stack(masks)
    table = np.eye(len(marks))
    for a, b in combinations(range(len(marks)), 2):
        total = int(marks[a].sum()) + int(marks[b].sum())
        table[a, b] = table[b, a] = 2 * int((marks[a] & marks[b]).sum()) / total if total else 1.0
    return table


def majority(masks: Sequence[NDArray[np.generic]]) -> Mask:
    """(i, j, k) voxels that more than half of the raters marked. Raises BidsError `raters_missing`, `raters_differ_in_grid`."""
    marks = _stack(masks)
    return np.asarray(marks.sum(axis=0) * 2 > len(marks))


def staple(masks: Sequence[NDArray[np.generic]], *, rounds: int = 100, tolerance: float = 1e-6) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Probability (i, j, k) that a voxel is truly marked, and (rater, 2) sensitivity and specificity. Raises as `majority`."""
    marks = _stack(masks)
    prior = float(marks.mean())
    patterns, where, counts = np.unique(marks.reshape(len(marks), -1).T, axis=0, return_inverse=True, return_counts=True)
    if prior in (0.0, 1.0):
        return np.full(marks.shape[1:], prior, np.float32), np.ones((len(marks), 2))
    p, q = np.full(len(marks), 0.99), np.full(len(marks), 0.99)
    truth = np.zeros(len(patterns))
    for _ in range(rounds):
        yes = prior * np.where(patterns, p, 1 - p).prod(axis=1)
        no = (1 - prior) * np.where(patterns, 1 - q, q).prod(axis=1)
        fresh = yes / (yes + no)
        weight = fresh * counts
        p = np.clip((weight[:, None] * patterns).sum(axis=0) / weight.sum(), _EPS, 1 - _EPS)
        rest = (1 - fresh) * counts
        q = np.clip((rest[:, None] * ~patterns).sum(axis=0) / rest.sum(), _EPS, 1 - _EPS)
        moved, truth = float(np.abs(fresh - truth).max()), fresh
        if moved < tolerance:
            break
    return truth[where.ravel()].reshape(marks.shape[1:]).astype(np.float32), np.stack([p, q], axis=1)
