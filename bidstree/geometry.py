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

    def of(self, frame: Frame) -> Array | None:
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
        return np.asarray(whole, dtype=np.float64) if whole.shape == (frame.rows, frame.columns) else None


def _decode(path: Path) -> NDArray[Any] | None:
    from pydicom import dcmread

    plain = headers.pixels(path)
    if plain is not None:
        return plain
    try:
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

    def plane(self, volume: NDArray[Any]) -> Array:
        """(rows, columns) values of `volume` (i, j, k) under this frame, in the frame's own row and column order."""
        r, c = np.meshgrid(np.arange(self.frame.rows), np.arange(self.frame.columns), indexing="ij")
        i, j, k = (self.origin[a] + self.down[a] * r + self.right[a] * c for a in range(3))
        return np.asarray(volume[i, j, k], dtype=np.float64)


def place(frame: Frame, affine: Array, shape: Sequence[int]) -> Placing | None:
    """Where `frame` lies in the grid (`affine` voxel -> mm RAS, `shape` (i, j, k)), or None when it is not one of its planes (1 % of a voxel)."""
    if frame.position is None:
        return None
    inverse = np.linalg.inv(affine)
    corners = frame.corners() @ inverse[:3, :3].T + inverse[:3, 3]
    whole = np.rint(corners)
    residual = float(np.abs(corners - whole).max())
    size = np.array(shape[:3])
    if residual > residual_limit(size) or (whole < 0).any() or (whole >= size).any():
        return None
    right = (whole[1] - whole[0]) / max(frame.columns - 1, 1)
    down = (whole[2] - whole[0]) / max(frame.rows - 1, 1)
    axes = {int(np.argmax(np.abs(right))), int(np.argmax(np.abs(down)))}
    across = {0, 1, 2} - axes
    unit = all(abs(np.abs(step).max() - 1) < 1e-9 and np.count_nonzero(step) == 1 for step in (right, down))
    covers = unit and size[int(np.argmax(np.abs(right)))] == frame.columns and size[int(np.argmax(np.abs(down)))] == frame.rows
    if len(across) != 1 or not covers:
        return None
    return Placing(frame, whole[0].astype(np.int64), right.astype(np.int64), down.astype(np.int64), int(whole[0][across.pop()]), residual)


def residual_limit(size: NDArray[Any]) -> float:
    """How far (in voxels) a computed corner may lie from a voxel centre: 1 %, plus what single-precision NIfTI affines lose over the width of the grid."""
    return 0.01 + 2e-5 * float(size.max())
