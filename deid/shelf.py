"""The shelf: the slices of one series in their groups and order, with pictures kept at hand as far as memory allows.

Each file is decoded once if the whole series fits into the budget; of a larger one the pictures used longest ago are put back and decoded again when they
are asked for. Slices are handed out as `strokes.Small` (int16, one factor for the whole group) for comparing and as views for reading.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import strokes
from deid.frames import Key, Picture, Place, open_picture, view

BUDGET = 256 * 1024 * 1024  # bytes of decoded pictures kept


@dataclass(slots=True)
class Group:
    """Slices imaged alike, in order: (place, number of the file, frame). low, high: the least and the greatest value in any of them."""

    key: Key
    slices: list[tuple[Place, int, int]] = field(default_factory=list)
    low: float = np.inf
    high: float = -np.inf


@dataclass(frozen=True, slots=True)
class Whole:
    """A file of which every frame is read: a capture (strictly), or what is derived or coloured."""

    count: int
    strict: bool


class Shelf:
    """Pictures by path. Files are opened one after another with `add`; groups are ready after `settle`."""

    def __init__(self, opener: Callable[[Path], Picture] = open_picture) -> None:
        self.paths: list[Path] = []
        self.groups: dict[Key, Group] = {}
        self.whole: dict[Path, Whole] = {}
        self.claims: dict[Path, bool] = {}
        self._open = opener
        self._kept: OrderedDict[Path, Picture] = OrderedDict()
        self._bytes = 0

    def add(self, path: Path) -> None:
        """Decode one file and sort its frames in. Raises what `frames.open_picture` raises."""
        picture = self._open(path)
        self._keep(picture)
        self.claims[path] = picture.claims
        if picture.captured or picture.derived or picture.frames.ndim == 4 or picture.palette is not None:
            self.whole[path] = Whole(len(picture.frames), picture.captured)
            return
        group = self.groups.setdefault(picture.key, Group(picture.key))
        group.low, group.high = min(group.low, float(picture.frames.min())), max(group.high, float(picture.frames.max()))
        self.paths.append(path)
        group.slices += [(place, len(self.paths) - 1, n) for n, place in enumerate(picture.places)]

    def settle(self) -> list[Group]:
        """The groups, each in order."""
        for group in self.groups.values():
            group.slices.sort()
        return list(self.groups.values())

    def picture(self, path: Path) -> Picture:
        """A picture from the shelf, decoded again where it was put back."""
        if path in self._kept:
            self._kept.move_to_end(path)
            return self._kept[path]
        picture = self._open(path)
        self._keep(picture)
        return picture

    def _keep(self, picture: Picture) -> None:
        self._kept[picture.path] = picture
        self._bytes += picture.frames.nbytes
        while self._bytes > BUDGET and len(self._kept) > 1:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.frames.nbytes

    def where(self, group: Group, n: int) -> tuple[Path, int]:
        """File and frame of slice n."""
        _, number, frame = group.slices[n]
        return self.paths[number], frame

    def raw(self, group: Group, n: int) -> NDArray[Any]:
        """Stored values of slice n (rows, columns)."""
        path, frame = self.where(group, n)
        return np.asarray(self.picture(path).frames[frame])

    def small(self, group: Group, n: int) -> strokes.Small:
        """Slice n as int16, comparable within its group."""
        return strokes.small(self.raw(group, n), group.low, group.high)

    def view(self, path: Path, frame: int) -> NDArray[np.uint8]:
        """One frame as a person would see it."""
        picture = self.picture(path)
        return view(picture.frames[frame], picture.colour, picture.palette)
