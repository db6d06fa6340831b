"""How much the grey value of one volume tells about the grey value of the other, for many places of many volumes at once, and which way is uphill.

Normalised mutual information, NMI = (H(F) + H(M)) / H(F, M) (Studholme, Hill, Hawkes 1999, doi:10.1016/S0031-3203(98)00091-0), from a joint histogram
of 32 x 32 cells, or fewer. A grey value between two bins shares itself linearly among them, so the derivative is the difference of two table entries.
Counts are kept as integers: the sum does not depend on the order of its terms, so CPU and CUDA and every run give the same table.

Where points are held fixed, plain mutual information, MI = H(F) + H(M) - H(F, M), serves as well (its scale is about five times that of NMI).

Shapes: v volumes, m places tried for each, n points drawn from each; the volume looked up is the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spatial import affines
from spatial.pyramid import BINS, Level, Samples

COUNT = 1 << 16  # one sample point in the integer histogram


class Table:
    """The joint histogram of drawn points and looked-up values, and how it changes when the points move."""

    def __init__(self, samples: Sequence[Samples], level: Level, device: Any, bins: int = BINS) -> None:
        import torch

        self.side, share = bins, (bins - 1) / (BINS - 1)
        self.points = torch.from_numpy(np.stack([s.points for s in samples])).to(device)  # (v, n, 3) float64 world mm
        self.places = self.points.to(torch.float32)
        self.bins = torch.from_numpy(np.rint(np.stack([s.bins for s in samples]) * share).astype(np.int64)).to(device)  # (v, n)
        self.image = torch.from_numpy(level.channels * np.float32(share)).to(device)  # (4, k, j, i): value and its slope in world mm
        self.voxels = self.image.reshape(4, -1).T.contiguous()  # the four of one voxel side by side
        size = np.array(level.channels.shape[:0:-1], dtype=np.float64)
        self.size = torch.from_numpy(size).to(device=device, dtype=torch.float32)
        strides = np.array([1, size[0], size[0] * size[1]], dtype=np.int64)
        nearby = [(a, b, c) for c in (0, 1) for b in (0, 1) for a in (0, 1)]  # the corners of a cell; an axis of one voxel has no second
        self.strides, self.corners = (torch.from_numpy(n).to(device) for n in (strides, np.minimum(nearby, size - 1).astype(np.int64) @ strides))
        # grid_sample counts from -1 to 1 over voxel edges: fold that into the matrix from world to index
        to_grid = affines.scaling(2 / size) @ affines.translation((1 - size) / 2) @ affines.inverse(level.affine)
        self.to_grid = torch.from_numpy(to_grid).to(device)
        self.edge = torch.from_numpy(1 - 1 / size).to(device=device, dtype=torch.float32) + 1e-6

    def look(self, matrices: Any, slope: bool) -> tuple[Any, Any]:
        """Values (1, v, m, n), with `slope` (4, v, m, n), and whether each point is inside (v, m, n); matrices (v, m, 3, 4): drawn world -> looked-up world."""
        import torch

        many, each = matrices.shape[:2]
        whole = self.to_grid[:3, :3] @ matrices
        turn, move = whole[..., :3].to(torch.float32), (whole[..., 3] + self.to_grid[:3, 3]).to(torch.float32)
        at = self.places[:, None] @ turn.transpose(2, 3) + move[:, :, None]
        inside = (at.abs() <= self.edge).all(dim=3)
        found = self._all_four(at.reshape(-1, 3)) if slope else self._value(at.reshape(1, many * each, -1, 1, 3))
        return found.reshape(-1, many, each, at.shape[2]), inside

    def _value(self, at: Any) -> Any:
        import torch

        return torch.nn.functional.grid_sample(self.image[None, :1], at, mode="bilinear", padding_mode="border", align_corners=False)

    def _all_four(self, at: Any) -> Any:
        """What grid_sample would give for all four (4, p) at (p, 3): eight voxels weighed, twice as fast on a CPU where their values lie side by side."""
        import torch

        index = torch.minimum(((at + 1) * self.size - 1).mul_(0.5).clamp_(min=0), self.size - 1)
        low = torch.minimum(index.floor(), (self.size - 2).clamp(min=0))
        right, back, up = (index - low).unbind(1)
        left, front, down = 1 - right, 1 - back, 1 - up
        flat = torch.stack([left * front, right * front, left * back, right * back], dim=1)
        weights = torch.cat([flat * down[:, None], flat * up[:, None]], dim=1)
        corners = (low.long() * self.strides).sum(dim=1, keepdim=True) + self.corners
        return torch.nn.functional.embedding_bag(corners, self.voxels, per_sample_weights=weights, mode="sum").T

    def measure(self, matrices: Any, slope: bool = False, normalised: bool = True) -> tuple[Any, Any, Any]:
        """NMI (or MI) (v, m), share of points inside (v, m), and with `slope` its derivative by the matrices (v, m, 3, 4), the points inside held fixed."""
        import torch

        values, inside = self.look(matrices, slope)
        many, each = matrices.shape[:2]
        side = self.side
        lower = values[0].floor().clamp(0, side - 2)
        upper_count = ((values[0] - lower) * COUNT).round().long() * inside
        table = torch.arange(many * each, device=values.device).reshape(many, each, 1) * (side * side)
        cell = table + self.bins[:, None] * side + lower.long()
        counts = torch.zeros(many * each * side * side, dtype=torch.int64, device=values.device)
        counts.scatter_add_(0, cell.flatten(), (inside * COUNT - upper_count).flatten())
        counts.scatter_add_(0, (cell + 1).flatten(), upper_count.flatten())
        nmi, by_cell, total = information(counts.reshape(many * each, side, side), normalised)
        nmi, covered = nmi.reshape(many, each), inside.double().mean(dim=2)
        if not slope:
            return nmi, covered, None
        flat = by_cell.flatten()
        by_value = (flat[cell + 1] - flat[cell]) * inside / total.reshape(many, each, 1)
        force = by_value[:, :, None] * values[1:4].permute(1, 2, 0, 3).double()  # (v, m, 3, n)
        return nmi, covered, torch.cat([force @ self.points[:, None], force.sum(dim=3, keepdim=True)], dim=3)


def information(counts: Any, normalised: bool = True) -> tuple[Any, Any, Any]:
    """NMI (or MI, in nats) of (t, b, b) integer tables, its derivative by each cell's share, and the number of points."""
    total = counts.sum(dim=(1, 2)).double().clamp(min=1)
    joint = counts.double() / total[:, None, None] + 1e-9
    rows, columns = joint.sum(dim=2, keepdim=True), joint.sum(dim=1, keepdim=True)
    alone = -(rows * rows.log()).sum(dim=(1, 2)) - (columns * columns.log()).sum(dim=(1, 2))
    together = -(joint * joint.log()).sum(dim=(1, 2))
    if not normalised:
        return alone - together, joint.log() - rows.log() - columns.log(), total / COUNT
    by_cell = (joint.log() * (alone / together**2)[:, None, None]) - (rows.log() + columns.log()) / together[:, None, None]
    return alone / together, by_cell, total / COUNT
