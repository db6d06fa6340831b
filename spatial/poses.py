"""A pose is twelve numbers in mm at the skin: three turns, three moves, three stretches, three shears; a step of 1 moves the skin by about 1 mm.

x -> c' + t + R K (x - c), then the start's own matrix: R from a rotation vector, K stretch and shear, c the head's centre, c' where it is looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spatial import affines
from spatial.affines import Matrix

Kind = Literal["rigid", "affine"]
Reach = Literal["wide", "near", "any"]

RADIUS_MM = 80.0  # a turn, stretch or shear of 1/80 moves the skin by about 1 mm
SIZE_PRIOR, STRETCH_PRIOR, SHEAR_PRIOR, NMI_SIGMA = 0.22, 0.1, 0.06, 0.004  # size: infants and large adults; stretch: what is left of it per axis
SMALL = 0.26  # log of how much smaller than the template a child's head may be to start from


class Frame:
    """From parameters (v, m, 12) to matrices (v, m, 3, 4), for v volumes with a centre each."""

    def __init__(self, centres: Sequence[NDArray[np.float64]], landing: NDArray[np.float64] | None, start: Matrix | None, device: Any) -> None:
        import torch

        base = np.eye(4) if start is None else start
        centre = np.stack([np.asarray(c, dtype=np.float64) for c in centres])
        there = affines.apply(base, centre) if landing is None else np.broadcast_to(landing, centre.shape).copy()
        self.centre = torch.tensor(centre, dtype=torch.float64, device=device)
        self.landing = torch.tensor(there, dtype=torch.float64, device=device)
        self.linear = torch.tensor(base[:3, :3].copy(), dtype=torch.float64, device=device)

    def matrices(self, parameters: Any) -> Any:
        """(v, m, 12) parameters -> (v, m, 3, 4) world to world."""
        import torch

        turn, move, stretch, shear = (parameters[..., a : a + 3] for a in (0, 3, 6, 9))
        zero = torch.zeros_like(turn[..., 0])
        x, y, z = (turn / RADIUS_MM).unbind(-1)
        cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(*zero.shape, 3, 3)
        size = torch.exp(stretch / RADIUS_MM)
        a, b, c = (shear / RADIUS_MM).unbind(-1)
        form = torch.stack([size[..., 0], a, b, zero, size[..., 1], c, zero, zero, size[..., 2]], dim=-1).reshape(*zero.shape, 3, 3)
        linear = torch.linalg.matrix_exp(cross) @ form @ self.linear
        offset = self.landing[:, None] + move - (linear @ self.centre[:, None, :, None])[..., 0]
        return torch.cat([linear, offset[..., None]], dim=-1)

    def world(self, parameters: Any) -> list[Matrix]:
        """(v, 12) parameters -> one 4 x 4 matrix in numpy for each volume."""
        rows = self.matrices(parameters[:, None])[:, 0].detach().cpu().numpy()
        return [np.concatenate([row, [[0.0, 0.0, 0.0, 1.0]]]) for row in rows]


def prior(parameters: Any) -> Any:
    """What an unlikely size or shear costs in NMI (v, m): heads are alike."""
    stretch, shear = parameters[..., 6:9] / RADIUS_MM, parameters[..., 9:12] / RADIUS_MM
    size = stretch.mean(dim=-1, keepdim=True)
    cost = 3 * (size[..., 0] / SIZE_PRIOR) ** 2 + (((stretch - size) / STRETCH_PRIOR) ** 2 + (shear / SHEAR_PRIOR) ** 2).sum(dim=-1)
    return NMI_SIGMA * 0.5 * cost


def free(kind: Kind, device: Any, *, shear: bool = True) -> Any:
    """Which of the twelve may move, as (12,) 0 or 1. At the coarsest level shear is noise."""
    import torch

    last = 1.0 if kind == "affine" else 0.0
    return torch.tensor([1.0] * 6 + [last] * 3 + [last * shear] * 3, dtype=torch.float64, device=device)


def starts(reach: Reach, kind: Kind) -> NDArray[np.float64]:
    """Rows (m, 12) of turns and moves to try, and for `affine` some of them on a head much smaller than the one looked up."""
    if reach == "near":
        turns = [(a, b, c) for a in (-8, 0, 8) for b in (-8, 0, 8) for c in (-8, 0, 8)]
        moves = [(a, b, c) for a in (-12, 0, 12) for b in (-12, 0, 12) for c in (-20, -10, 0, 10, 20)]
    else:
        turns = [(0, 0, 0), (15, 0, 0), (-15, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 20, 0), (0, -20, 0), (0, 0, 20), (0, 0, -20)]
        turns += [(a, b, c) for a in (-15, 15) for b in (-15, 15) for c in (-15, 15)]
        moves = [(a, b, c) for a in (-15, 0, 15) for b in (-30, -15, 0, 15, 30) for c in (-60, -45, -30, -15, 0, 15, 30, 45, 60)]
    if reach == "any":
        turns += [(90, 0, 0), (-90, 0, 0), (180, 0, 0), (0, 90, 0), (0, -90, 0), (0, 180, 0), (0, 0, 90), (0, 0, -90), (0, 0, 180)]
    rows = np.zeros((len(turns) * len(moves), 12))
    rows[:, :3] = np.repeat(np.deg2rad(np.array(turns, dtype=np.float64)) * RADIUS_MM, len(moves), axis=0)
    rows[:, 3:6] = np.tile(np.array(moves, dtype=np.float64), (len(turns), 1))
    if reach == "near" or kind == "rigid":
        return rows
    small = rows[: 3 * len(moves)].copy()
    small[:, 6:9] = SMALL * RADIUS_MM
    return np.concatenate([rows, small])
