"""Newcomers: places on a slice where strokes stand that no slice nearby has there.

The scores of the cheap test (`strokes.picked`) compare slice with slice, so faint writing in the dark corner of a picture hides behind the rough edge of a
skull elsewhere on it. Here place is compared with place: the novelty summed over a window, less the most that the three slices on either side have in that
window or one beside it. Anatomy is rough at the same places on the next slice; writing on one slice is rough where nothing was.

Of each slice the best window counts. What stands out enough is cut out and read on its own, enlarged and with its own range of greys, as picture and as
novelty: a cut-out shows to the reader what is too small and too faint on the whole slice, and costs less.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deid.frames import stretched
from deid.ocr import CLOSE, Box, Finder
from deid.strokes import FEWEST, Small, Windows

NEAR = 3  # slices on either side
LEAST, USUAL = 0.45, 2.0  # a window must stand out by so much, and by so many times what the best windows of the group usually do
HIGH, WIDE, GAP = 48, 176, 4  # pixels of a cut-out, and between its two pictures


class Newcomer(NamedTuple):
    """The best window of slice n: its middle (row, column) in pixels."""

    n: int
    row: int
    column: int


def newcomers(windows: Sequence[tuple[Windows, Windows]]) -> list[Newcomer]:
    """The slices of a group (in order, each with the window sums of `strokes.windowed`) that have something at a place where no slice nearby has it."""
    if len(windows) < FEWEST:
        return []
    best: dict[int, Newcomer] = {}
    for scale in (0, 1):
        above = _above([pair[scale] for pair in windows])
        if not above.shape[1] or not above.shape[2]:
            continue
        most = above.reshape(len(above), -1).max(axis=1)
        for n in np.flatnonzero(most > max(LEAST, USUAL * float(np.median(most)))):
            row, column = np.unravel_index(int(above[n].argmax()), above[n].shape)
            best.setdefault(int(n), Newcomer(int(n), (4 * int(row) + 4) << scale, (8 * int(column) + 12) << scale))
    return [best[n] for n in sorted(best)]


def _above(sums: Sequence[Windows]) -> NDArray[np.float32]:
    """(slices, rows, columns) of window sums, less the most within one window of it on the slices nearby. The first and the last slice, which have only one
    neighbour and so more novelty than the others, are no rivals (and are read in any case).
    """
    whole = np.stack(sums).astype(np.float32)
    around = np.pad(whole, ((0, 0), (1, 1), (1, 1)))
    around = np.maximum(np.maximum(around[:, :-2], around[:, 1:-1]), around[:, 2:])
    around = np.maximum(np.maximum(around[..., :-2], around[..., 1:-1]), around[..., 2:])
    around[[0, -1]] = 0
    rivals = np.zeros_like(whole)
    for step in range(1, NEAR + 1):
        np.maximum(rivals[step:], around[:-step], out=rivals[step:])
        np.maximum(rivals[:-step], around[step:], out=rivals[:-step])
    return np.asarray(whole - rivals)


def read(at: Newcomer, this: Small, new: Small, find: Finder) -> list[Box]:
    """What is read around a newcomer, on the picture and on its novelty, each with the range of greys that the cut-out has."""
    top = min(max(0, at.row - HIGH // 2), max(0, this.shape[0] - HIGH))
    left = min(max(0, at.column - WIDE // 2), max(0, this.shape[1] - WIDE))
    cuts = [stretched(picture[top : top + HIGH, left : left + WIDE].astype(np.float32)) for picture in (this, new)]
    high, wide = cuts[0].shape[:2]
    sheet = np.zeros((2 * high + 3 * GAP, wide + 2 * GAP, 3), np.uint8)
    for n, cut in enumerate(cuts):
        sheet[GAP + n * (high + GAP) :][:high, GAP : GAP + wide] = cut
    out = []
    for t, le, b, r in find(sheet, CLOSE):
        down = GAP + ((t + b) // 2 > high + GAP) * (high + GAP)
        out.append((max(0, t - down) + top, max(0, le - GAP) + left, min(high, b - down) + top, min(wide, r - GAP) + left))
    return [box for box in out if box[2] > box[0] and box[3] > box[1]]
