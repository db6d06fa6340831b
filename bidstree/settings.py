"""One series, two settings: images of opposite phase-encoding polarity, of several Dixon kinds, or of several times, are several images, or none.

A converter stacks them into one time series without a word: two polarities become a field that jumps, two inversion times two contrasts under one name.
Where every setting fills whole volumes of its own and lies in files of its own, the series is split by it; where not, it is refused as `mixed_contrast`.
Times count as one setting within 5 % or 1 ms. Repetition times that follow a pulse or a breath (many values, or a time series) are no settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from bidstree.frames import Series
from bidstree.geometry import Frame

MOST = 8  # inversion times that are images each; more are a map being measured, which has no raw name here
FEW = 4  # repetition times that can be settings

Parts = list[Series]


def split(series: Series) -> tuple[Parts, str]:
    """The parts of a series, one a setting, and what set them apart (`Dixon kind`, `polarity`, `inversion time`, ...); the series alone where it is one.

    No parts: the settings cannot be told apart by file, or are too many.
    """
    parts: Parts = [series]
    why: list[str] = []
    for word, key, usable in (
        ("Dixon kind", _dixon, None),
        ("polarity", _polarity, None),
        ("inversion time", _inversion, MOST),
        ("repetition time", _repetition, FEW),
    ):
        found = [_by(part, key) for part in parts]
        if all(len(one) == 1 for one in found):
            continue
        if word == "repetition time" and any(_timed(part, len(one)) for part, one in zip(parts, found, strict=True)):
            continue
        if any(not one for one in found) or (usable and any(len(one) > usable for one in found)):
            return [], word
        parts, why = [piece for one in found for piece in one], [*why, word]
    return parts, " and ".join(why)


def _dixon(frame: Frame) -> float:
    return 10.0 * frame.setting[3]


def _polarity(frame: Frame) -> float:
    return float(frame.setting[2])


def _inversion(frame: Frame) -> float:
    return frame.setting[1]


def _repetition(frame: Frame) -> float:
    return frame.setting[0]


def _timed(series: Series, settings: int) -> bool:
    """Whether repetition times are no settings: many of them (a heart or a breath sets them), or volumes of one time series."""
    places = {tuple(frame.position.round(1)) for frame in series.frames if frame.position is not None}
    return settings > FEW or bool(places and len(series.frames) > FEW * len(places))


def _by(series: Series, key: Callable[[Frame], float]) -> Parts:
    """The series in parts of nearly equal values, those that say nothing (0) with the others where these are one; empty where a file holds several."""
    values = sorted({key(frame) for frame in series.frames} - {0.0})
    bounds = [values[0]] if values else []
    for before, value in pairwise(values):
        if value - before > max(0.05 * abs(before), 1.0):
            bounds.append(value)
    if len(bounds) <= 1:
        return [series]
    numbers = [max((n for n, bound in enumerate(bounds) if key(frame) >= bound), default=0) if key(frame) else -1 for frame in series.frames]
    files: dict[Path, set[int]] = {}
    for frame, n in zip(series.frames, numbers, strict=True):
        files.setdefault(frame.file, set()).add(n)
    if -1 in numbers or any(len(found) > 1 for found in files.values()):
        return []
    return [_part(series, [frame for frame, n in zip(series.frames, numbers, strict=True) if n == wanted]) for wanted in range(len(bounds))]


def _part(series: Series, frames: Sequence[Frame]) -> Series:
    files = {frame.file for frame in frames}
    return replace(series, frames=list(frames), unreadable=[], short=[path for path in series.short if path in files])
