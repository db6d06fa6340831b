"""An affine is a 4 x 4 matrix; its columns are voxel edges, its last column a place.

All matrices are float64 and map voxel indices (i, j, k) to world millimetres (RAS+), or world to world. Rotations are taken apart by polar
decomposition: M = R S with R the nearest rotation and S symmetric (Higham 1986, doi:10.1137/0907079), so scale and shear never leak into the angle.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial.errors import SpatialError

Matrix = NDArray[np.float64]

SMALLEST_EDGE_MM, LARGEST_EDGE_MM = 1e-3, 200.0
SMALLEST_BOX = 1e-3  # volume of the voxel over the product of its edges: 1 for right angles, 0 for a flat voxel


def zooms(affine: Matrix) -> tuple[float, float, float]:
    """Lengths of the voxel edges along i, j, k, in mm."""
    edges = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    return float(edges[0]), float(edges[1]), float(edges[2])


def check(affine: ArrayLike) -> Matrix:
    """Return the affine as float64 if it describes a real box in space.

    Raises SpatialError `bad_spacing` (an edge zero, not finite or absurd) or `singular_affine` (edges in one plane, NaN, not affine).
    """
    matrix = np.array(affine, dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.allclose(matrix[3], (0, 0, 0, 1)):
        raise SpatialError("singular_affine", "The orientation matrix is not a finite affine.")
    edges = np.array(zooms(matrix))
    if edges.min() < SMALLEST_EDGE_MM or edges.max() > LARGEST_EDGE_MM:
        raise SpatialError("bad_spacing", "A voxel edge is zero or absurdly long.")
    if abs(np.linalg.det(matrix[:3, :3])) < SMALLEST_BOX * edges.prod():
        raise SpatialError("singular_affine", "The voxel axes lie in one plane.")
    return matrix


def apply(matrix: Matrix, points: ArrayLike) -> NDArray[np.float64]:
    """Map points (n, 3) through the matrix."""
    return np.asarray(np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3])


def inverse(matrix: Matrix) -> Matrix:
    """The way back. Raises SpatialError `singular_affine` where there is none."""
    try:
        return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise SpatialError("singular_affine", "The matrix cannot be inverted.") from error


def corners(shape: Sequence[int], affine: Matrix) -> NDArray[np.float64]:
    """World positions (8, 3) of the outermost voxel centres."""
    grid = np.stack(np.meshgrid(*[(0, n - 1) for n in shape[:3]], indexing="ij"), axis=-1).reshape(-1, 3)
    return apply(affine, grid)


def centre(shape: Sequence[int], affine: Matrix) -> NDArray[np.float64]:
    """World position (3,) of the middle of the volume."""
    return np.asarray(apply(affine, (np.array(shape[:3], dtype=np.float64) - 1)[None] / 2)[0])


def rotation(degrees: Sequence[float]) -> Matrix:
    """Turn about x, then y, then z (right-hand rule, fixed axes), as a 4 x 4 matrix."""
    out = np.eye(4)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        turn = np.eye(4)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out


def translation(mm: ArrayLike) -> Matrix:
    """Move by (x, y, z) mm."""
    out = np.eye(4)
    out[:3, 3] = mm
    return out


def scaling(factors: ArrayLike) -> Matrix:
    """Stretch along x, y, z."""
    out = np.eye(4)
    out[:3, :3] = np.diag(np.broadcast_to(np.asarray(factors, dtype=np.float64), 3))
    return out


def polar(matrix: Matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rotation (3, 3) and symmetric stretch (3, 3) of a matrix: M = R S."""
    u, s, vt = np.linalg.svd(matrix[:3, :3])
    turn = u @ vt
    if np.linalg.det(turn) < 0:  # a mirror is kept in the stretch, so that R stays a rotation
        u[:, -1] *= -1
        s[-1] *= -1
        turn = u @ vt
    return turn, vt.T @ np.diag(s) @ vt


def angle_deg(matrix: Matrix) -> float:
    """The angle of the matrix's rotation, degrees, 0 to 180."""
    turn, _ = polar(matrix)
    return float(np.rad2deg(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))


def scales(matrix: Matrix) -> tuple[float, float, float]:
    """Principal stretches of the matrix, smallest first; negative where it mirrors."""
    values = np.linalg.eigvalsh(polar(matrix)[1])
    return float(values[0]), float(values[1]), float(values[2])
