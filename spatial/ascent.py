"""Uphill in two ways: a climb keeps the best place it saw, and settling ends where the forces on the points that overlap cancel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spatial.agreement import Table
from spatial.poses import Frame

LEAST_OVERLAP = 0.3
SETTLE_PRIOR = 0.7  # MI is about five times NMI: a seventh of the prior of the search, for a slab that cannot say how tall a head is


@dataclass(frozen=True)
class Climb:
    """One level of the search: voxel size in mm, points drawn, candidates kept, steps, first and last step length in mm."""

    level_mm: float
    points: int
    keep: int
    steps: int
    first: float
    last: float


class Adam:
    """Steps uphill, each about as long as it is told, whatever the steepness (Kingma, Ba 2015, arXiv:1412.6980)."""

    def __init__(self, like: Any) -> None:
        import torch

        self.mean, self.spread, self.count = torch.zeros_like(like), torch.zeros_like(like), 0

    def step(self, uphill: Any, length: float) -> Any:
        self.count += 1
        self.mean = 0.8 * self.mean + 0.2 * uphill
        self.spread = 0.95 * self.spread + 0.05 * uphill**2
        return length * self.mean / (1 - 0.8**self.count) / ((self.spread / (1 - 0.95**self.count)).sqrt() + 1e-12)


def uphill(table: Table, frame: Frame, place: Any, *, normalised: bool, weight: float) -> tuple[Any, Any]:
    """The value less what covers too little (v, m), and the direction (v, m, 12), with the prior weighed."""
    variable = place.detach().requires_grad_(True)
    matrices = frame.matrices(variable)
    value, covered, slope = table.measure(matrices.detach(), slope=True, normalised=normalised)
    ((matrices * slope).sum() - weight * frame.prior(variable).sum()).backward()
    return value - weight * frame.prior(place) - (LEAST_OVERLAP - covered).clamp(min=0), variable.grad


def climb_to(table: Table, frame: Frame, place: Any, free: Any, climb: Climb) -> tuple[Any, Any]:
    """Steps that shrink; keeps the best place of each row, so it never ends lower than it began."""
    import torch

    best, best_value = place.clone(), torch.full(place.shape[:2], -1e9, dtype=torch.float64, device=place.device)
    adam = Adam(place)
    for step in range(climb.steps + 1):
        value, up = uphill(table, frame, place, normalised=True, weight=1.0)
        better = value > best_value
        best[better], best_value[better] = place[better], value[better]
        place = place + adam.step(up * free, climb.first * (climb.last / climb.first) ** (step / climb.steps)) * free
    return best, best_value


def settle(table: Table, frame: Frame, place: Any, free: Any, climb: Climb) -> Any:
    """Follow the forces to where they cancel: the mean of the last third of the way."""
    import torch

    adam, last = Adam(place), []
    for step in range(climb.steps):
        _, up = uphill(table, frame, place, normalised=False, weight=SETTLE_PRIOR)
        place = place + adam.step(up * free, climb.first * (climb.last / climb.first) ** (step / climb.steps)) * free
        if 3 * step >= 2 * climb.steps:
            last.append(place)
    return torch.stack(last).mean(dim=0)
