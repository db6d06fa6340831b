"""Where every voxel of a series lies, from the DICOM plane attributes alone: the third opinion, which trusts no converter.

A frame is one 2D image in space. The centre of its pixel (row r, column c) lies, in LPS millimetres, at
    position + r * row_spacing * down + c * column_spacing * right
(DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1), where `right` and `down` are the two cosines of ImageOrientationPatient. We work in RAS (x and y negated),
as NIfTI does. `bidstree.frames` reads frames from files; `place` finds one in the grid of an image; `Pixels` gives its stored values.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidstree import headers

Array = NDArray[np.float64]

_PIXEL_TAGS = (
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "FloatPixelData", "DoubleFloatPixelData", "PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)


@dataclass(frozen=True)
class Frame:
    """One 2D image in space: world positions in mm (RAS), `right` the unit step of a growing column, `down` of a growing row."""

    file: Path
    index: int  # number of the frame within its file, from 0; of a tile within a mosaic
    number: float  # order of acquisition within the series, as the scanner counted
    position: Array | None  # centre of the first pixel; None where the header does not say
    right: Array
    down: Array
    spacing: tuple[float, float]  # between rows, between columns (mm)
    rows: int
    columns: int
    group: tuple[str | float, ...]  # what must not be mixed into one volume: echo, component, derived kind
    uid: str
    tile: tuple[int, int] | None = None  # first row and first column of this tile in a mosaic
    # Repetition and inversion time (ms), sign of the phase-encoding direction, place in `shapes.DIXON`; 0 where not told.
    setting: tuple[float, float, int, int] = (0.0, 0.0, 0, 0)

    @property
    def normal(self) -> Array:
        """Unit normal of the plane (right x down)."""
        return np.cross(self.right, self.down)

    def corners(self) -> Array:
        """(4, 3) centres of the corner pixels, in mm RAS: first, last of first row, first of last row, last."""
        right, down = self.right * self.spacing[1] * (self.columns - 1), self.down * self.spacing[0] * (self.rows - 1)
        assert self.position is not None
        return np.stack([self.position, self.position + right, self.position + down, self.position + right + down])


class Pixels:
    """Raw stored values of frames, decoded a file at a time; the last file is remembered, since frames of one file come together."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._array: NDArray[Any] | None = None

    def of(self, frame: Frame) -> NDArray[Any] | None:
        """(rows, columns) stored values of one frame, first channel of colour; None where no decoder reads it."""
        if frame.file != self._path:
            self._path, self._array = frame.file, _decode(frame.file)
        if self._array is None:
            return None
        whole = self._array
        if frame.tile is not None:
            whole = whole[frame.tile[0] : frame.tile[0] + frame.rows, frame.tile[1] : frame.tile[1] + frame.columns]
        elif whole.ndim >= 3 and whole.shape[-3:-1] == (frame.rows, frame.columns) and whole.shape[-1] in (3, 4):
            whole = (whole[frame.index] if whole.ndim == 4 else whole)[..., 0]
        elif whole.ndim == 3:
            whole = whole[frame.index]
        return whole if whole.shape == (frame.rows, frame.columns) else None


def _decode(path: Path) -> NDArray[Any] | None:
    from pydicom import dcmread

    try:
        plain = headers.pixels(path)
        if plain is not None:
            return plain
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(dcmread(path, specific_tags=list(_PIXEL_TAGS)).pixel_array)
    except Exception:  # noqa: BLE001  no decoder: the values are then not checked, and the evidence says so
        return None


@dataclass(frozen=True)
class Placing:
    """Where one frame lies in an image: voxel index of its first pixel, and the index steps of a column and of a row; `residual` in voxels."""

    frame: Frame
    origin: NDArray[np.int64]
    right: NDArray[np.int64]
    down: NDArray[np.int64]
    slice: int
    residual: float

    def plane(self, volume: NDArray[Any]) -> NDArray[Any]:
        """(rows, columns) values of `volume` (i, j, k) under this frame, in the frame's own row and column order, of the volume's own type."""
        i, j = int(np.argmax(np.abs(self.down))), int(np.argmax(np.abs(self.right)))
        where: list[Any] = [int(n) for n in self.origin]
        where[i], where[j] = slice(None, None, int(self.down[i])), slice(None, None, int(self.right[j]))
        cut: NDArray[Any] = volume[tuple(where)]
        return cut if i < j else cut.T


def place(frame: Frame, affine: Array, shape: Sequence[int]) -> Placing | None:
    """Where `frame` lies in the grid (`affine` voxel -> mm RAS, `shape` (i, j, k)), or None when it is not one of its planes (1 % of a voxel)."""
    return next(iter(place_all([frame], affine, shape)), None)


def place_all(frames: Sequence[Frame], affine: Array, shape: Sequence[int]) -> list[Placing]:
    """Those of `frames` that are planes of the grid, each with its place; order kept. See `place`."""
    known = [frame for frame in frames if frame.position is not None]
    if not known:
        return []
    inverse, size = np.linalg.inv(affine), np.array(shape[:3])
    corners = _corners(known) @ inverse[:3, :3].T + inverse[:3, 3]
    whole = np.rint(corners)
    residuals = np.abs(corners - whole).max(axis=(1, 2))
    inside = (residuals <= residual_limit(size)) & (whole >= 0).all(axis=(1, 2)) & (whole < size).all(axis=(1, 2))
    placed = []
    for n in np.flatnonzero(inside):
        if (placing := _placing(known[n], whole[n], float(residuals[n]), size)) is not None:
            placed.append(placing)
    return placed


def _corners(frames: Sequence[Frame]) -> Array:
    """(frame, 4, 3) centres of the corner pixels, in mm RAS, in the order of `Frame.corners`."""
    position = np.array([frame.position for frame in frames])
    right = np.array([frame.right for frame in frames]) * np.array([[frame.spacing[1] * (frame.columns - 1)] for frame in frames])
    down = np.array([frame.down for frame in frames]) * np.array([[frame.spacing[0] * (frame.rows - 1)] for frame in frames])
    return np.stack([position, position + right, position + down, position + right + down], axis=1)


def _placing(frame: Frame, corners: Array, residual: float, size: NDArray[Any]) -> Placing | None:
    """The place of a frame whose corners fall on the voxels `corners`, or None where it does not cover a whole plane of the grid."""
    first, last_column, last_row = corners[0].tolist(), corners[1].tolist(), corners[2].tolist()
    right, across = _step(first, last_column, frame.columns, size)
    down, along = _step(first, last_row, frame.rows, size)
    if right is None or down is None or across == along:
        return None
    origin = np.array(first, dtype=np.int64)
    return Placing(frame, origin, right, down, int(first[3 - across - along]), residual)


def _step(first: Sequence[float], last: Sequence[float], count: int, size: NDArray[Any]) -> tuple[NDArray[np.int64] | None, int]:
    """Unit step from one corner to the next and its axis; None where it is not one voxel a pixel along one axis, from one side of the grid to the other."""
    steps = [(b - a) / max(count - 1, 1) for a, b in zip(first, last, strict=True)]
    axis = max(range(3), key=lambda a: abs(steps[a]))
    others = [abs(steps[a]) for a in range(3) if a != axis]
    if abs(abs(steps[axis]) - 1) > 1e-9 or any(others) or int(size[axis]) != count:
        return None, axis
    unit = np.zeros(3, dtype=np.int64)
    unit[axis] = 1 if steps[axis] > 0 else -1
    return unit, axis


def residual_limit(size: NDArray[Any]) -> float:
    """How far (in voxels) a computed corner may lie from a voxel centre: 1 %, plus what single-precision NIfTI affines lose over the width of the grid."""
    return 0.01 + 2e-5 * float(size.max())
