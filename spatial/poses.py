"""A pose is twelve numbers in mm at the skin: three turns, three moves, three stretches, three shears; a step of 1 moves the skin by about 1 mm.

x -> c' + t + K R L (x - c): L the start's own turn, R from a rotation vector, K stretch and shear, c the head's centre, c' where it is looked for. Where
points are drawn from the template, not looked up in it, x -> c' + t + L R K (x - c): shape is always told in the template's upright axes, however the
head lies, so that what is known of the shape of heads can be held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spatial import affines
from spatial.affines import Matrix

Kind = Literal["rigid", "affine"]
Reach = Literal["wide", "near", "any"]

RADIUS_MM = 80.0  # a turn, stretch or shear of 1/80 moves the skin by about 1 mm
SIZE_PRIOR, NMI_SIGMA = 0.22, 0.004  # size: infants and large adults
SIZES = (0.26, -0.18)  # log of how much smaller (a child's) or larger than the template a head may be to start from


Three = tuple[float, float, float]


@dataclass(frozen=True)
class Shape:
    """What is known of the shape before looking: log `stretch` along x, y, z less their mean, `shear` xy, xz, yz, and one standard deviation of each."""

    stretch: Three = (0.0, 0.0, 0.0)
    shear: Three = (0.0, 0.0, 0.0)
    stretch_sd: float = 0.1
    shear_sd: float = 0.06

    @property
    def back(self) -> Shape:
        """The same of the opposite way (to first order)."""
        return replace(self, stretch=_minus(self.stretch), shear=_minus(self.shear))


def _minus(three: Three) -> Three:
    return -three[0], -three[1], -three[2]


UNKNOWN = Shape()
# From head to pydeface's template: the mean of 12 volumes of 6 people by ANTs and SimpleITK (tests/measure/faces_register_cases.py). They vary by 0.02,
# but they are few, adult, and one scanner's gradients stretch as well: twice that is allowed for.
HEAD = Shape((0.030, 0.005, -0.035), (-0.018, 0.006, -0.041), 0.04, 0.04)


class Frame:
    """From parameters (v, m, 12) to matrices (v, m, 3, 4), for v volumes with a centre each; `shape_first`: K before R (points drawn from the template)."""

    def __init__(
        self,
        centres: Sequence[NDArray[np.float64]],
        landing: NDArray[np.float64] | None,
        start: Matrix | None,
        device: Any,
        shape: Shape = UNKNOWN,
        *,
        shape_first: bool = False,
    ) -> None:
        import torch

        self.shape, self.shape_first = shape.back if shape_first else shape, shape_first

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
        turned = torch.linalg.matrix_exp(cross)
        linear = self.linear @ turned @ form if self.shape_first else form @ turned @ self.linear
        offset = self.landing[:, None] + move - (linear @ self.centre[:, None, :, None])[..., 0]
        return torch.cat([linear, offset[..., None]], dim=-1)

    def world(self, parameters: Any) -> list[Matrix]:
        """(v, 12) parameters -> one 4 x 4 matrix in numpy for each volume."""
        rows = self.matrices(parameters[:, None])[:, 0].detach().cpu().numpy()
        return [np.concatenate([row, [[0.0, 0.0, 0.0, 1.0]]]) for row in rows]

    def prior(self, parameters: Any) -> Any:
        """What an unlikely size or shape costs in NMI (v, m): heads are alike."""
        stretch, shear = parameters[..., 6:9] / RADIUS_MM, parameters[..., 9:12] / RADIUS_MM
        size = stretch.mean(dim=-1, keepdim=True)
        odd = (stretch - size - stretch.new_tensor(self.shape.stretch)) / self.shape.stretch_sd
        bent = (shear - shear.new_tensor(self.shape.shear)) / self.shape.shear_sd
        return NMI_SIGMA * 0.5 * (3 * (size[..., 0] / SIZE_PRIOR) ** 2 + (odd**2 + bent**2).sum(dim=-1))


def free(kind: Kind, device: Any, *, shear: bool = True) -> Any:
    """Which of the twelve may move, as (12,) 0 or 1. At the coarsest level shear is noise."""
    import torch

    last = 1.0 if kind == "affine" else 0.0
    return torch.tensor([1.0] * 6 + [last] * 3 + [last * shear] * 3, dtype=torch.float64, device=device)


def starts(reach: Reach, kind: Kind, shape: Shape = UNKNOWN) -> NDArray[np.float64]:
    """Rows (m, 12) of turns and moves to try, for `affine` in the likely `shape`, some of them on a head much smaller or larger than the one looked up."""
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
    if kind == "affine":
        rows[:, 6:] = np.array([*shape.stretch, *shape.shear]) * RADIUS_MM
    if reach == "near" or kind == "rigid":
        return rows
    others = [rows[: 3 * len(moves)] + np.repeat([0.0, size * RADIUS_MM, 0.0], (6, 3, 3)) for size in SIZES]
    return np.concatenate([rows, *others])
