"""Projections: many slices read as one picture.

Reading every slice of a series would take minutes. Writing on one slice shows in two pictures of a whole stretch of slices: the maximum of all (bright
writing on any of them), and the maximum of their *novelty* (`strokes.novelty`: what neither neighbour has). Anatomy goes on from slice to slice, so it all but
vanishes from the second, and writing of any grey, or black, stays. A stretch is short, for every slice adds its noise to the maximum.

What is read on a projection belongs to the slice that gave most of its strokes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deid.newcomers import Newcomer, newcomers
from deid.ocr import Box
from deid.strokes import Small, novelty, windowed

STRETCH = 32
OWNS = 0.5  # share of the strokes that makes a slice the owner
BACKDROP = 0.3  # of the brightest in the box: what is below is no stroke


@dataclass(slots=True)
class Stretch:
    """Slices start..stop of a group (in order): the maxima of their novelty and of their values."""

    start: int
    stop: int
    new: Small
    bright: Small


Get = Callable[[int], Small]


def neighbours(n: int, count: int) -> tuple[int, int]:
    """The slices that one is compared with: before and after it; of the first and the last the two nearest, so that writing on one of them is not theirs."""
    before, after = (1, 2) if n == 0 else (count - 2, count - 3) if n == count - 1 else (n - 1, n + 1)
    return max(0, min(before, count - 1)), max(0, min(after, count - 1))


def sweep(count: int, get: Get) -> tuple[NDArray[np.float32], list[Newcomer], list[Stretch]]:
    """One pass over a group: the scores of the cheap test (slices, 4), the places where a slice has what none near it has, the projections of each stretch."""
    found, windows, stretches = [], [], list[Stretch]()
    length = -(-count // max(1, -(-count // STRETCH)))  # stretches of even length
    near = lru_cache(maxsize=4)(get)
    for n in range(count):
        this, new = near(n), new_of(n, count, near)
        score, sums = windowed(this, new)
        found.append(score)
        windows.append(sums)
        if n % length == 0:
            stretches.append(Stretch(n, min(n + length, count), new.copy(), this.copy()))
        else:
            np.maximum(stretches[-1].new, new, out=stretches[-1].new)
            np.maximum(stretches[-1].bright, this, out=stretches[-1].bright)
    return np.array(found, np.float32).reshape(count, -1), newcomers(windows), stretches


def new_of(n: int, count: int, get: Get) -> Small:
    """The novelty of one slice."""
    before, after = neighbours(n, count)
    return novelty(get(before), get(n), get(after))


def owner(stretch: Stretch, box: Box, count: int, get: Get) -> int | None:
    """The slice that gave most of what the novelty projection shows in the box; None where no slice gave half of it."""
    top, left, bottom, right = box
    shown = stretch.new[top:bottom, left:right]
    if not shown.size or not shown.max():
        return None
    strokes = shown > BACKDROP * shown.max()
    total = float(shown[strokes].sum(dtype=np.float64))
    shares = {}
    for n in range(stretch.start, stretch.stop):
        mine = new_of(n, count, get)[top:bottom, left:right]
        shares[n] = float(mine[strokes & (mine == shown)].sum(dtype=np.float64)) / total
    best = max(shares, key=lambda n: shares[n])
    return best if shares[best] >= OWNS else None
