"""Two heads are aligned when knowing the grey value of one tells most about the grey value of the other at the same place.

First the place is found: many angles and moves at 8 mm without gradients, the best few climb by Adam at 8, then 4 mm, by normalised mutual
information of points in the head (`spatial.agreement`). Points are drawn from `fixed` and looked up in `moving` (the other way round where `moving` is the
far smaller one, so a slab never slides off); beyond a face of the volume that shows nothing but air, there is air too.

Then it settles, at 4 and 2 mm, by mutual information of points from the whole field of view, until the *forces* on the points that overlap cancel. The
value itself is no guide there: it also rises by pushing a neck or a shoulder that fits badly out of the overlap, and that is worth 2 to 5 mm at the chin.
In a slab the forces may lead away: where settling loses much of the value, the climb goes on instead.

Several runs settle side by side: from the best place, from there pushed off by some mm, and from the second best. How far apart they end is told
as `spread_mm`: a place that does not come back by itself is not known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial import affines, poses, pyramid, templates
from spatial.affines import Matrix
from spatial.agreement import Table
from spatial.ascent import LEAST_OVERLAP, Climb, climb_to, settle
from spatial.errors import SpatialError
from spatial.poses import Frame, Kind, Reach, Shape
from spatial.pyramid import Level, Samples
from spatial.resample import device_of
from spatial.volumes import Volume

FAR_SMALLER = 0.5  # of the other's box: points are drawn from the small one
PUSH_MM = 4.0  # how far each of the twelve parameters is pushed off (one standard deviation) to see whether it comes back
RIVAL_NMI = 0.004  # a second place that scores this near to the first is a rival
BATCH = 16  # volumes at once on a device


# All starts are looked at with few points, the best of them with more. 1500 points alone lost thick slices and noise in half of the draws: a table
# of 32 x 32 cells filled by so few counts is mostly chance. 24 climb, for the right place is often far from first at 8 mm and always first at 4 mm.
CLIMBS = (Climb(8, 1500, 96, 0, 0.0, 0.0), Climb(8, 4000, 24, 18, 4.0, 0.8), Climb(4, 14_000, 3, 32, 1.5, 0.3))
SETTLES: dict[Kind, tuple[Climb, Climb]] = {  # half of the parameters need half of the steps
    "affine": (Climb(4, 12_000, 4, 36, 1.2, 0.15), Climb(2, 48_000, 1, 42, 0.5, 0.05)),
    "rigid": (Climb(4, 10_000, 4, 24, 1.2, 0.15), Climb(2, 40_000, 1, 20, 0.5, 0.05)),
}
SETTLE_BINS = 16  # half of the search's: 2 of 8 real heads came 1.5 mm nearer to where ANTs and SimpleITK put the face, none further away
JUDGED = Climb(2, 30_000, 1, 0, 0.0, 0.0)  # the points in the head on which `nmi` and `overlap` are told
# Settling costs at most 0.004 of NMI at 4 mm where it is right (9 real heads, perturbed or not), 0.016 and more on two slabs whose forces led 5 mm away
LOST_NMI = 0.008
CLIMBS_ON = (Climb(4, 0, 4, 20, 1.2, 0.2), Climb(2, 0, 1, 20, 0.6, 0.1))  # on the points of the climb, and on those of JUDGED
# Chosen on 18 perturbed real heads (all 3 errors over 5 mm lay above it, 2 of 15 others too). On 14 others only 1 of 4 did: it is a hint, no proof.
DOUBTFUL_MM = 4.0


@dataclass(frozen=True)
class Alignment:
    """`matrix` (4, 4): world of fixed -> world of moving, mm. `nmi` of points in the head at 2 mm (1 to 2); `scale`: principal stretches, smallest
    first; `rotation_deg` 0 to 180; `overlap`: share of the drawn points that fell into the other volume; `spread_mm`: how far apart, in mm of
    `fixed` at the places of interest, runs from different starts ended: an estimate of the error."""

    matrix: Matrix
    nmi: float
    scale: tuple[float, float, float]
    rotation_deg: float
    overlap: float
    spread_mm: float = math.nan

    @property
    def doubtful(self) -> bool:
        """Whether runs from different starts ended too far apart for the place to be believed (not only: nothing was told)."""
        return not self.spread_mm <= DOUBTFUL_MM


def align(
    moving: Volume,
    fixed: Volume,
    *,
    kind: Kind = "rigid",
    device: str = "cpu",
    seed: int = 0,
    reach: Reach = "wide",
    start: Matrix | None = None,
    places: NDArray[np.float64] | None = None,
) -> Alignment:
    """Find the matrix from world of `fixed` to world of `moving`.

    `reach`: `wide` searches 30 degrees and 60 mm around the two centres; `near` 10 degrees and 20 mm around `start` (default: the shared scanner
    frame); `any` also lying on a side, on the face, upside down. `places` (n, 3), world mm of `moving`: where `spread_mm` is measured (default: a cube
    about the head). 4D volumes are averaged over time first. Deterministic for a seed. Raises SpatialError `empty_volume`, `no_overlap`, `no_device`.
    """
    where = device_of(device)
    if np.prod(moving.extent) >= FAR_SMALLER * np.prod(fixed.extent):
        task = Task(kind, reach, start, seed, where, *_known_shape(fixed, moving, start))
        return _told(search([draw(fixed, kind, seed)], moving, task)[0], places, moving, swap=False)
    back = Task(kind, reach, None if start is None else affines.inverse(start), seed, where, *_known_shape(moving, fixed, start))
    return _told(search([draw(moving, kind, seed)], fixed, back)[0], places, moving, swap=True)


def align_many(
    moving: Volume, fixed: Sequence[Volume], *, kind: Kind = "affine", device: str = "cpu", seed: int = 0, reach: Reach = "wide", batch: int = BATCH
) -> list[Alignment | SpatialError]:
    """Align every volume of `fixed` with one `moving` (the template), `batch` of them at once on the device; the answers are those of `align`.

    What is wrong with a volume stands in its place as the SpatialError that `align` would raise. Raises SpatialError `no_device`, and
    `empty_volume` where `moving` itself has no contrast.
    """
    task = Task(kind, reach, None, seed, device_of(device), *_known_shape(None, moving, None))
    pyramid.levels(moving)
    out: dict[int, Alignment | SpatialError] = {}
    together: dict[int, Drawn] = {}
    for index, volume in enumerate(fixed):
        try:
            if np.prod(moving.extent) < FAR_SMALLER * np.prod(volume.extent):
                out[index] = align(moving, volume, kind=kind, device=device, seed=seed, reach=reach)
            else:
                together[index] = draw(volume, kind, seed)
        except SpatialError as error:
            out[index] = error
    order = list(together)
    for part in (order[first : first + batch] for first in range(0, len(order), batch)):
        for index, found in zip(part, search([together[i] for i in part], moving, task), strict=True):
            try:
                out[index] = _told(found, None, moving, swap=False)
            except SpatialError as error:
                out[index] = error
    return [out[index] for index in range(len(fixed))]


def _known_shape(drawn: Volume | None, looked: Volume, start: Matrix | None) -> tuple[Shape, bool]:
    """What a head looks like to the template, and whether the template is the one drawn from; nothing is known of other pictures, nor of what a start
    leaves over."""
    if start is None and templates.head.cache_info().currsize:
        for volume, first in ((looked, False), (drawn, True)):
            if volume is templates.head().volume:
                return poses.HEAD, first
    return poses.UNKNOWN, False


@dataclass(frozen=True)
class Task:
    """What is asked of a search: `start` leads from the volume drawn from to the one looked up; `shape_first` as in `poses.Frame`."""

    kind: Kind
    reach: Reach
    start: Matrix | None
    seed: int
    device: Any
    shape: Shape = poses.UNKNOWN
    shape_first: bool = False

    @property
    def wide(self) -> bool:
        """Whether the two centres are laid on each other first."""
        return self.start is None and self.reach != "near"


@dataclass(frozen=True)
class Found:
    """One volume's search: `matrix` drawn world -> looked-up world, its `nmi` and `overlap`, and where the `others` ended (4, 4) each."""

    matrix: Matrix
    nmi: float
    overlap: float
    others: tuple[Matrix, ...]


def _told(found: Found, places: NDArray[np.float64] | None, moving: Volume, *, swap: bool) -> Alignment:
    if found.overlap < LEAST_OVERLAP:
        raise SpatialError("no_overlap", "The two volumes do not show the same place.")
    ways = [affines.inverse(m) if swap else m for m in (found.matrix, *found.others)]
    at = _cube(moving) if places is None else places
    spread = max((apart_mm(ways[0], other, at) for other in ways[1:]), default=math.nan)
    return Alignment(ways[0], found.nmi, affines.scales(ways[0]), affines.angle_deg(ways[0]), found.overlap, spread)


def _cube(moving: Volume) -> NDArray[np.float64]:
    corners = np.stack(np.meshgrid(*[(-1.0, 1.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(pyramid.levels(moving)[0].centre + 0.8 * poses.RADIUS_MM * corners)


def apart_mm(one: Matrix, other: Matrix, places: NDArray[np.float64]) -> float:
    """Mean distance, in the world of `fixed`, between where two alignments put `places` (n, 3) of the world of `moving`."""
    ways = [affines.apply(affines.inverse(m), places) for m in (one, other)]
    return float(np.sqrt(((ways[0] - ways[1]) ** 2).sum(axis=1)).mean())


@dataclass(frozen=True, eq=False)
class Drawn:
    """The points of one volume: `head` for each level of the climb and one to judge by, `everywhere` for each level of settling."""

    head: list[Samples]
    everywhere: list[Samples]


def draw(volume: Volume, kind: Kind, seed: int) -> Drawn:
    """Draw the points. Raises SpatialError `empty_volume`."""
    climbs, settles = (*CLIMBS, JUDGED), SETTLES[kind]
    head = pyramid.samples(volume, [c.level_mm for c in climbs], [c.points for c in climbs], seed)
    return Drawn(head, pyramid.samples(volume, [c.level_mm for c in settles], [c.points for c in settles], seed, everywhere=True))


def search(drawn: Sequence[Drawn], looked: Volume, task: Task) -> list[Found]:
    """From many starts to one matrix for each of the volumes drawn from; all of them look values up in `looked`."""
    levels = {float(mm): level for mm, level in zip(pyramid.LEVELS_MM, pyramid.levels(looked), strict=True)}
    landing = levels[CLIMBS[0].level_mm].centre if task.wide else None
    frame = Frame([d.head[0].centre for d in drawn], landing, task.start, task.device, task.shape, shape_first=task.shape_first)
    rows = poses.starts("near" if task.start is not None else task.reach, task.kind, frame.shape)
    climbed, values, table = _climbed(drawn, levels, frame, rows, task.kind)
    places = _rivals(climbed, values, poses.free(task.kind, task.device), task.seed)
    return _settled(drawn, levels, frame, places, table, task.kind)


def _climbed(drawn: Sequence[Drawn], levels: dict[float, Level], frame: Frame, rows: NDArray[np.float64], kind: Kind) -> tuple[Any, Any, Table]:
    """The best places (v, m, 12) at 4 mm, their values (v, m), and the table they were judged by."""
    import torch

    device = frame.centre.device
    candidates = torch.from_numpy(rows).to(device).expand(len(drawn), -1, -1)
    for number, climb in enumerate(CLIMBS):
        table = Table([d.head[number] for d in drawn], levels[climb.level_mm], device)
        candidates = _best(candidates, _score(table, frame, candidates), climb.keep)
        if climb.steps:
            candidates, values = climb_to(table, frame, candidates, poses.free(kind, device, shear=climb.level_mm < CLIMBS[0].level_mm), climb)
    return candidates, values, table


def _settled(drawn: Sequence[Drawn], levels: dict[float, Level], frame: Frame, places: Any, table: Table, kind: Kind) -> list[Found]:
    """Let all places settle at 4 mm, the best of them at 2 mm, or climb where settling loses the way; what scores nearly as well is a rival."""
    import torch

    device, free = frame.centre.device, poses.free(kind, frame.centre.device)
    tables = [Table([d.everywhere[n] for d in drawn], levels[c.level_mm], device, SETTLE_BINS) for n, c in enumerate(SETTLES[kind])]
    judge = Table([d.head[-1] for d in drawn], levels[JUDGED.level_mm], device)
    coarse = settle(tables[0], frame, places, free, SETTLES[kind][0])
    values = _score(table, frame, coarse)
    lost = _score(table, frame, places[:, :1])[:, 0] - values.max(dim=1).values > LOST_NMI
    if lost.any():
        climbed, heights = climb_to(table, frame, places, free, CLIMBS_ON[0])
        coarse, values = torch.where(lost[:, None, None], climbed, coarse), torch.where(lost[:, None], heights, values)
    chosen = coarse[torch.arange(len(drawn), device=device), values.argmax(dim=1)][:, None]
    fine = chosen if lost.all() else settle(tables[1], frame, chosen, free, SETTLES[kind][1])
    if lost.any():
        fine = torch.where(lost[:, None, None], climb_to(judge, frame, chosen, free, CLIMBS_ON[1])[0], fine)
    nmi, inside, _ = judge.measure(frame.matrices(fine))
    near = (values >= values.max(dim=1, keepdim=True).values - RIVAL_NMI).tolist()
    ends, main = [frame.world(coarse[:, c]) for c in range(coarse.shape[1])], frame.world(fine[:, 0])
    rivals = [tuple(end[v] for c, end in enumerate(ends) if near[v][c]) for v in range(len(drawn))]
    return [Found(main[v], float(nmi[v, 0]), float(inside[v, 0]), rivals[v]) for v in range(len(drawn))]


def _score(table: Table, frame: Frame, parameters: Any, chunk: int = 400) -> Any:
    """NMI less priors (v, m); rows that show too little of the other volume count as nothing."""
    import torch

    out = []
    for piece in parameters.split(max(1, chunk // len(parameters)), dim=1):
        nmi, covered, _ = table.measure(frame.matrices(piece))
        out.append(nmi - frame.prior(piece) - (LEAST_OVERLAP + 0.1 - covered).clamp(min=0))
    return torch.cat(out, dim=1)


def _best(parameters: Any, values: Any, keep: int, apart: float = 12.0) -> Any:
    """For each volume the best rows that are not the same place twice; the best again where there are too few."""
    import torch

    rows, scores = parameters.cpu().numpy(), values.cpu().numpy()
    out = np.empty((len(rows), keep, rows.shape[2]))
    for v, (row, score) in enumerate(zip(rows, scores, strict=True)):
        chosen: list[int] = []
        for index in np.argsort(-score, kind="stable"):
            if all(np.linalg.norm(row[index] - row[other]) > apart for other in chosen):
                chosen.append(int(index))
            if len(chosen) == keep:
                break
        out[v] = row[(chosen + chosen[:1] * keep)[:keep]]
    return torch.from_numpy(out).to(parameters.device)


def _rivals(candidates: Any, values: Any, free: Any, seed: int) -> Any:
    """The best place, the same pushed off twice, and the second best: (v, 4, 12)."""
    import torch

    pushes = torch.from_numpy(np.random.default_rng(seed).normal(0, PUSH_MM, (2, 12))).to(candidates.device) * free
    first = _best(candidates, values, 2, apart=6.0)
    return torch.cat([first[:, :1], first[:, :1] + pushes, first[:, 1:]], dim=1)
