"""Resampling asks, for every voxel of the grid wanted, where in the other volume that place is, and reads the value there.

Positions are taken in float64 on the CPU down to one affine, index of `like` -> index of `moving`, so only that product is applied per voxel.
Interpolation is torch's `grid_sample` on the device asked for, in slabs, so memory stays at a few slabs beside input and output.
Outside the moving volume the value is 0.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spatial import affines
from spatial.affines import Matrix
from spatial.errors import SpatialError
from spatial.volumes import Volume

Order = Literal["linear", "nearest"]
SLAB = 2_000_000  # voxels per piece


def device_of(name: str) -> Any:
    """The torch device of that name. Raises SpatialError `no_device` where this machine lacks it."""
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SpatialError("no_device", "There is no such device.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SpatialError("no_device", "This machine has no CUDA device.")
    return device


def resample(moving: Volume, like: Volume, matrix: Matrix | None = None, order: Order = "linear", device: str = "cpu") -> Volume:
    """Bring `moving` onto the grid of `like`.

    `matrix` maps world of `like` to world of `moving` (default: they share a world). 4D volumes keep their last axis. Nearest keeps the data
    type and takes each voxel's nearest centre; linear gives float32. Raises SpatialError `no_device`, `singular_affine`.
    """
    step = affines.inverse(moving.affine) @ (np.eye(4) if matrix is None else matrix) @ like.affine
    where = device_of(device)
    shape = like.shape[:3]
    frames = moving.data[..., None] if moving.data.ndim == 3 else moving.data
    if order == "nearest":
        out = _nearest(frames, shape, step)
    else:
        out = _linear(frames, shape, step, where)
    return Volume(out[..., 0] if moving.data.ndim == 3 else out, like.affine)


def indices(shape: tuple[int, int, int], step: Matrix, start: int, stop: int) -> NDArray[np.float64]:
    """Indices (rows, j, k, 3) in the moving volume for rows start..stop of the grid; `step` maps index to index."""
    i = np.arange(start, stop)[:, None, None, None] * step[:3, 0]
    j = np.arange(shape[1])[None, :, None, None] * step[:3, 1]
    k = np.arange(shape[2])[None, None, :, None] * step[:3, 2]
    return np.asarray(i + j + k + step[:3, 3])


def _rows(shape: tuple[int, ...]) -> int:
    return max(1, SLAB // max(1, shape[1] * shape[2]))


def _nearest(frames: NDArray[Any], shape: tuple[int, ...], step: Matrix) -> NDArray[Any]:
    """By index on the CPU: exact, and the same whatever the device."""
    out = np.zeros((*shape, frames.shape[3]), dtype=frames.dtype)
    size = np.array(frames.shape[:3])
    rows = _rows(shape)
    for start in range(0, shape[0], rows):
        at = np.rint(indices((shape[0], shape[1], shape[2]), step, start, min(start + rows, shape[0]))).astype(np.int64)
        inside = ((at >= 0) & (at < size)).all(axis=-1)
        found = at[inside]
        out[start : start + rows][inside] = frames[found[:, 0], found[:, 1], found[:, 2]]
    return out


def _linear(frames: NDArray[Any], shape: tuple[int, ...], step: Matrix, device: Any) -> NDArray[np.float32]:
    import torch

    size = np.array(frames.shape[:3], dtype=np.float64)
    source = torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(frames, dtype=np.float32), 3, 0)))[None].to(device)
    out = np.empty((*shape, frames.shape[3]), dtype=np.float32)
    rows = _rows(shape)
    for start in range(0, shape[0], rows):
        at = indices((shape[0], shape[1], shape[2]), step, start, min(start + rows, shape[0]))
        # grid_sample wants (k, j, i) order and -1..1 over voxel edges (align_corners=False), which stays defined for a single slice
        grid = torch.from_numpy(((2 * at + 1) / size - 1)[..., ::-1].astype(np.float32))[None].to(device)
        piece = torch.nn.functional.grid_sample(source, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        out[start : start + rows] = np.moveaxis(piece[0].cpu().numpy(), 0, 3)
    return out
