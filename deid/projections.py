"""Projections: many slices read as one picture.

Reading every slice of a series would take minutes. Writing on one slice shows in two pictures of a whole stretch of slices: the maximum of all (bright
writing on any of them), and the maximum of their *novelty* (`strokes.novelty`: what neither neighbour has). Anatomy goes on from slice to slice, so it all but
vanishes from the second, and writing of any grey, or black, stays. A stretch is short, for every slice adds its noise to the maximum.

What is read on a projection belongs to the slice that gave most of its strokes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deid.ocr import Box
from deid.strokes import Small, novelty, scores

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


def triples(count: int, get: Get) -> Iterator[tuple[int, Small, Small]]:
    """(number, slice, its novelty) in order; the first and the last slice are compared with their one neighbour, a lone slice with itself."""
    before, this = get(min(1, count - 1)), get(0)
    for n in range(count):
        after = get(n + 1) if n + 1 < count else before
        yield n, this, novelty(before, this, after)
        before, this = this, after


def sweep(count: int, get: Get) -> tuple[NDArray[np.float32], list[Stretch]]:
    """One pass over a group: the scores of the cheap test (slices, 4), and the projections of each stretch."""
    found, stretches = [], list[Stretch]()
    length = -(-count // max(1, -(-count // STRETCH)))  # stretches of even length
    for n, this, new in triples(count, get):
        found.append(scores(this, new))
        if n % length == 0:
            stretches.append(Stretch(n, min(n + length, count), new.copy(), this.copy()))
        else:
            np.maximum(stretches[-1].new, new, out=stretches[-1].new)
            np.maximum(stretches[-1].bright, this, out=stretches[-1].bright)
    return np.array(found, np.float32).reshape(count, -1), stretches


def new_of(n: int, count: int, get: Get) -> Small:
    """The novelty of one slice."""
    return novelty(get(n - 1 if n else min(1, count - 1)), get(n), get(n + 1 if n + 1 < count else max(0, count - 2)))


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
