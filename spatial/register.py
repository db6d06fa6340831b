"""Two heads are aligned when knowing the grey value of one tells most about the grey value of the other at the same place.

The measure is normalised mutual information, NMI = (H(F) + H(M)) / H(F, M) (Studholme, Hill, Hawkes 1999, doi:10.1016/S0031-3203(98)00091-0), from
a 32 x 32 joint histogram; it does not care which tissue is bright. Points are drawn from the volume with the *smaller* field of view and looked up in
the other, so a slab never slides off; where a face of the larger volume shows nothing but air, what lies beyond it is air too.

Search: many places and angles at 8 mm without gradients; the best few climb by Adam at 8, then 4, then 2 mm, with the exact gradient of the
histogram (a grey value between two bins shares itself linearly among them, so its derivative is the difference of two table entries).
Counts are kept as integers: the sum does not depend on the order of its terms, so CPU and CUDA and every run give the same answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from spatial import affines, pyramid
from spatial.affines import Matrix
from spatial.errors import SpatialError
from spatial.pyramid import BINS, Level, Samples
from spatial.resample import device_of
from spatial.volumes import Volume

Kind = Literal["rigid", "affine"]
Reach = Literal["wide", "near", "any"]

RADIUS_MM = 80.0  # a turn, stretch or shear of 1/80 moves the skin by about 1 mm: all parameters are in mm at the skin
COUNT = 1 << 16  # one sample point in the integer histogram
LEAST_OVERLAP = 0.3
STRETCH_PRIOR, SHEAR_PRIOR, NMI_SIGMA = 0.12, 0.06, 0.004


@dataclass(frozen=True)
class Climb:
    """One level of the search: voxel size in mm, points drawn, candidates kept, steps, first and last step length in mm."""

    level_mm: float
    points: int
    keep: int
    steps: int
    first: float
    last: float


CLIMBS = (Climb(8, 1500, 10, 30, 4.0, 0.8), Climb(4, 16_000, 3, 45, 1.5, 0.2), Climb(2, 60_000, 1, 60, 0.6, 0.02))


@dataclass(frozen=True)
class Alignment:
    """`matrix` (4, 4): world of fixed -> world of moving, mm. `nmi` at the finest level (1 to 2); `scale`: principal stretches, smallest
    first; `rotation_deg` 0 to 180; `overlap`: share of the drawn points that fell into the other volume."""

    matrix: Matrix
    nmi: float
    scale: tuple[float, float, float]
    rotation_deg: float
    overlap: float


def align(
    moving: Volume, fixed: Volume, *, kind: Kind = "rigid", device: str = "cpu", seed: int = 0, reach: Reach = "wide", start: Matrix | None = None
) -> Alignment:
    """Find the matrix from world of `fixed` to world of `moving`.

    `reach`: `wide` searches 30 degrees and 60 mm around the two centres; `near` 10 degrees and 20 mm around `start` (default: the shared scanner
    frame); `any` also lying on a side, on the face, upside down. 4D volumes are averaged over time first. Deterministic for a seed.
    Raises SpatialError `empty_volume`, `no_overlap`, `no_device`.
    """
    where = device_of(device)
    swap = np.prod(moving.extent) < np.prod(fixed.extent)
    drawn, looked = (moving, fixed) if swap else (fixed, moving)
    first = None if start is None else (affines.inverse(start) if swap else start)
    searched = search(pyramid.samples(drawn, [c.level_mm for c in CLIMBS], [c.points for c in CLIMBS], seed), pyramid.levels(looked), kind, reach, first, where)
    matrix, nmi, overlap = searched
    if overlap < LEAST_OVERLAP:
        raise SpatialError("no_overlap", "The two volumes do not show the same place.")
    matrix = affines.inverse(matrix) if swap else matrix
    return Alignment(matrix, nmi, affines.scales(matrix), affines.angle_deg(matrix), overlap)


def search(samples: Sequence[Samples], levels: Sequence[Level], kind: Kind, reach: Reach, start: Matrix | None, device: Any) -> tuple[Matrix, float, float]:
    """From many starts to one matrix (drawn world -> looked-up world), its NMI and overlap."""
    import torch

    candidates = torch.from_numpy(_starts(samples[0], levels[0], reach, start)).to(device)
    frame = _Frame(samples[0].centre, levels[0].centre if start is None and reach != "near" else None, start, device)
    free = _free(kind, device)
    values = torch.empty(0)
    for climb, sample, level in zip(CLIMBS, samples, levels, strict=True):
        table = _Table(sample, level, device)
        values = _score(table, frame, candidates)
        candidates = _best(candidates, values, climb.keep)
        coarse = free if climb is not CLIMBS[0] else free * _rigid_first(kind, device)
        candidates, values = _climb(table, frame, candidates, coarse, climb)
    best = int(values.argmax())
    nmi, inside, _ = table.measure(frame.matrices(candidates[best : best + 1]))
    return frame.world(candidates[best]), float(nmi[0]), float(inside[0])


class _Frame:
    """Twelve numbers to a matrix: x -> c' + t + R K (x - c), then the start's own matrix. R from a rotation vector, K stretch and shear."""

    def __init__(self, centre: Any, other: Any, start: Matrix | None, device: Any) -> None:
        import torch

        base = np.eye(4) if start is None else start
        self.centre = torch.tensor(centre, dtype=torch.float64, device=device)
        landing = affines.apply(base, np.asarray(centre)[None])[0] if other is None else other
        self.landing = torch.tensor(landing, dtype=torch.float64, device=device)
        self.linear = torch.tensor(base[:3, :3].copy(), dtype=torch.float64, device=device)

    def matrices(self, parameters: Any) -> Any:
        """(n, 12) parameters, mm at the skin -> (n, 3, 4) world to world."""
        import torch

        turn, move, stretch, shear = (parameters[:, a : a + 3] for a in (0, 3, 6, 9))
        zero = torch.zeros_like(turn[:, 0])
        x, y, z = (turn / RADIUS_MM).unbind(1)
        cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
        size = torch.exp(stretch / RADIUS_MM)
        a, b, c = (shear / RADIUS_MM).unbind(1)
        form = torch.stack([size[:, 0], a, b, zero, size[:, 1], c, zero, zero, size[:, 2]], dim=1).reshape(-1, 3, 3)
        linear = torch.linalg.matrix_exp(cross) @ form @ self.linear
        offset = self.landing + move - linear @ self.centre
        return torch.cat([linear, offset[:, :, None]], dim=2)

    def world(self, parameters: Any) -> Matrix:
        """One (12,) row as a 4 x 4 matrix in numpy."""
        out = np.eye(4)
        out[:3] = self.matrices(parameters[None])[0].detach().cpu().numpy()
        return out


class _Table:
    """The joint histogram of drawn points and looked-up values, and how it changes when the points move."""

    def __init__(self, samples: Samples, level: Level, device: Any) -> None:
        import torch

        self.points = torch.from_numpy(samples.points).to(device)  # (n, 3) float64 world mm
        self.places = self.points.to(torch.float32)
        self.bins = torch.from_numpy(samples.bins).to(device)  # (n,) int64
        self.image = torch.from_numpy(level.channels).to(device)[None]  # (1, 4, k, j, i): value and its slope in world mm
        size = np.array(level.channels.shape[:0:-1], dtype=np.float64)
        # grid_sample counts from -1 to 1 over voxel edges: fold that into the matrix from world to index
        to_grid = affines.scaling(2 / size) @ affines.translation((1 - size) / 2) @ affines.inverse(level.affine)
        self.to_grid = torch.from_numpy(to_grid).to(device)
        self.edge = torch.from_numpy(1 - 1 / size).to(device=device, dtype=torch.float32) + 1e-6

    def look(self, matrices: Any, channels: int) -> tuple[Any, Any]:
        """Values (channels, m, n) and whether each point is inside (m, n)."""
        import torch

        whole = self.to_grid[:3, :3] @ matrices
        turn, move = whole[:, :, :3].to(torch.float32), (whole[:, :, 3] + self.to_grid[:3, 3]).to(torch.float32)
        at = torch.baddbmm(move[:, None], self.places.expand(len(matrices), -1, -1), turn.transpose(1, 2))
        inside = (at.abs() <= self.edge).all(dim=2)
        found = torch.nn.functional.grid_sample(self.image[:, :channels], at[None, :, :, None], mode="bilinear", padding_mode="border", align_corners=False)
        return found[0, :, :, :, 0], inside

    def measure(self, matrices: Any, slope: bool = False) -> tuple[Any, Any, Any]:
        """NMI (m,), share of points inside (m,), and with `slope` its derivative by the matrices (m, 3, 4)."""
        import torch

        values, inside = self.look(matrices, 4 if slope else 1)
        lower = values[0].floor().clamp(0, BINS - 2)
        share = values[0] - lower
        row = torch.arange(len(matrices), device=values.device)[:, None] * BINS * BINS + self.bins * BINS + lower.long()
        upper_count = (share * COUNT).round().long() * inside
        counts = torch.zeros(len(matrices) * BINS * BINS, dtype=torch.int64, device=values.device)
        counts.scatter_add_(0, row.flatten(), (inside * COUNT - upper_count).flatten())
        counts.scatter_add_(0, (row + 1).flatten(), upper_count.flatten())
        nmi, by_cell, total = _information(counts.reshape(-1, BINS, BINS))
        covered = inside.double().mean(dim=1)
        if not slope:
            return nmi, covered, None
        flat = by_cell.flatten()
        by_value = (flat[row + 1] - flat[row]) * inside / total[:, None]
        force = by_value[:, None] * values[1:4].transpose(0, 1).double()  # (m, 3, n)
        return nmi, covered, torch.cat([force @ self.points, force.sum(dim=2, keepdim=True)], dim=2)


def _information(counts: Any) -> tuple[Any, Any, Any]:
    """NMI of (m, b, b) integer tables, its derivative by each cell's share, and the number of points."""
    total = counts.sum(dim=(1, 2)).double().clamp(min=1)
    joint = counts.double() / total[:, None, None] + 1e-9
    rows, columns = joint.sum(dim=2, keepdim=True), joint.sum(dim=1, keepdim=True)
    alone = -(rows * rows.log()).sum(dim=(1, 2)) - (columns * columns.log()).sum(dim=(1, 2))
    together = -(joint * joint.log()).sum(dim=(1, 2))
    by_cell = (joint.log() * (alone / together**2)[:, None, None]) - (rows.log() + columns.log()) / together[:, None, None]
    return alone / together, by_cell, total / COUNT


def _prior(parameters: Any) -> Any:
    """What an unlikely size or shear costs in NMI: heads are alike."""
    stretch, shear = parameters[:, 6:9] / RADIUS_MM, parameters[:, 9:12] / RADIUS_MM
    return NMI_SIGMA * 0.5 * ((stretch / STRETCH_PRIOR) ** 2 + (shear / SHEAR_PRIOR) ** 2).sum(dim=1)


def _free(kind: Kind, device: Any) -> Any:
    import torch

    return torch.tensor([1.0] * 6 + [0.0 if kind == "rigid" else 1.0] * 6, dtype=torch.float64, device=device)


def _rigid_first(kind: Kind, device: Any) -> Any:
    """At the coarsest level shear is noise."""
    import torch

    return torch.tensor([1.0] * 9 + [0.0] * 3, dtype=torch.float64, device=device)


def _score(table: _Table, frame: _Frame, parameters: Any, chunk: int = 400) -> Any:
    """NMI less priors of each row; rows that show too little of the other volume count as nothing."""
    import torch

    out = []
    for piece in parameters.split(chunk):
        nmi, covered, _ = table.measure(frame.matrices(piece))
        out.append(nmi - _prior(piece) - (LEAST_OVERLAP + 0.1 - covered).clamp(min=0))
    return torch.cat(out)


def _best(parameters: Any, values: Any, keep: int, apart_mm: float = 12.0) -> Any:
    """The best rows that are not the same place twice."""
    import torch

    chosen: list[int] = []
    for index in values.argsort(descending=True, stable=True).tolist():
        if all(float((parameters[index] - parameters[other]).norm()) > apart_mm for other in chosen):
            chosen.append(index)
        if len(chosen) == keep:
            break
    return parameters[torch.tensor(chosen, device=parameters.device)]


def _climb(table: _Table, frame: _Frame, parameters: Any, free: Any, climb: Climb) -> tuple[Any, Any]:
    """Adam with a step that shrinks; keeps the best place of each row, so it never ends lower than it began."""
    import torch

    place = parameters.clone()
    best, best_value = place.clone(), torch.full((len(place),), -1e9, dtype=torch.float64, device=place.device)
    mean, spread = torch.zeros_like(place), torch.zeros_like(place)
    for step in range(climb.steps + 1):
        variable = place.detach().requires_grad_(True)
        matrices = frame.matrices(variable)
        nmi, covered, slope = table.measure(matrices.detach(), slope=True)
        ((matrices * slope).sum() - _prior(variable).sum()).backward()
        value = nmi - _prior(place) - (LEAST_OVERLAP - covered).clamp(min=0)
        better = value > best_value
        best[better], best_value[better] = place[better], value[better]
        uphill = variable.grad * free
        mean, spread = 0.8 * mean + 0.2 * uphill, 0.95 * spread + 0.05 * uphill**2
        length = climb.first * (climb.last / climb.first) ** (step / climb.steps)
        push = mean / (1 - 0.8 ** (step + 1)) / ((spread / (1 - 0.95 ** (step + 1))).sqrt() + 1e-12)
        place = place + length * push * free
    return best, best_value


def _starts(samples: Samples, level: Level, reach: Reach, start: Matrix | None) -> Any:
    """Rows (n, 12) of turns and moves to try."""
    if reach == "near" or start is not None:
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
    return rows
