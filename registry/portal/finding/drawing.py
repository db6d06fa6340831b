"""Pictures as shapes: numbers in, places of bars and lines out. Templates write them as SVG, in the page's own colours.

Width 360: on a phone a unit is a pixel, so that words stay readable; on a desk the picture grows. Nothing is told by colour: bars have patterns and words,
and what is not told has no bar but a word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTH, LABELS, NUMBERS = 360, 128, 56
ROW, BAR, HEAD = 26, 16, 22
PLOT = WIDTH - LABELS - NUMBERS
LINE_HEIGHT = 180
PATTERNS = ("solid", "lines", "dots", "cross")
MOST_LETTERS = 19


@dataclass(frozen=True)
class Bar:
    """One bar: its words, its number (None: not told), where it is, and its pattern."""

    label: str
    value: int | None
    y: int
    width: float
    pattern: str = "solid"

    @property
    def short(self) -> str:
        """The words as they fit."""
        return self.label if len(self.label) <= MOST_LETTERS else f"{self.label[: MOST_LETTERS - 1]}…"

    @property
    def text(self) -> int:
        """Height of the words' line."""
        return self.y + BAR - 3

    @property
    def end(self) -> float:
        """Where the number stands."""
        return LABELS + self.width + 6


@dataclass
class Bars:
    """Bars below each other, in groups that may have a heading (its words and its height)."""

    height: int
    bars: list[Bar]
    heads: list[tuple[str, int]] = field(default_factory=list)
    width: int = WIDTH
    left: int = LABELS
    thick: int = BAR


def bars(rows: Sequence[tuple[str, int | None]]) -> Bars:
    """A bar for each row."""
    return grouped([("", rows)], one_pattern=True)


def grouped(groups: Sequence[tuple[str, Sequence[tuple[str, int | None]]]], one_pattern: bool = False) -> Bars:
    """Bars in groups; the n-th bar of each group has the n-th pattern."""
    most = max((value or 0 for _head, rows in groups for _label, value in rows), default=0) or 1
    y, made, heads = 4, [], []
    for head, rows in groups:
        if head:
            heads.append((head, y + HEAD - 7))
            y += HEAD
        for n, (label, value) in enumerate(rows):
            pattern = PATTERNS[0 if one_pattern else n % len(PATTERNS)]
            made.append(Bar(label, value, y, round(PLOT * (value or 0) / most, 1), pattern))
            y += ROW
    return Bars(y + 4, made, heads)


@dataclass(frozen=True)
class Line:
    """A line of steps with its axis: the path, marks of the height (number, y) and of the time (word, x, anchor)."""

    path: str
    heights: tuple[tuple[int, float], ...]
    times: tuple[tuple[str, float, str], ...]
    width: int = WIDTH
    height: int = LINE_HEIGHT
    left: int = 40
    foot: int = LINE_HEIGHT - 24


def steps(points: Sequence[tuple[str, int]]) -> Line:
    """A line that holds each value until the next point."""
    left, top, foot, right = 40, 14, LINE_HEIGHT - 24, WIDTH - 8
    most = nice(max((value for _word, value in points), default=0))
    wide = (right - left) / max(1, len(points))
    places = [(round(left + n * wide, 1), round(foot - (foot - top) * value / most, 1)) for n, (_word, value) in enumerate(points)]
    path = f"M{left} {foot}" + "".join(f"V{y}H{round(x + wide, 1)}" for x, y in places)
    heights = tuple((value, round(foot - (foot - top) * value / most, 1)) for value in (0, most // 2, most))
    times = ((points[0][0], float(left), "start"), (points[-1][0], float(right), "end")) if points else ()
    return Line(path, heights, times)


def nice(most: int) -> int:
    """The next even round number, at least 2: where an axis ends."""
    if most <= 2:
        return 2
    unit = 10 ** int(math.log10(most))
    return next(step * unit // 10 for step in (10, 12, 14, 16, 20, 24, 30, 40, 50, 60, 80, 100) if step * unit >= most * 10) if unit >= 10 else most + most % 2
