"""One volume made ready: whatever two measures need is computed once, when first asked for, and never changes the input.

Frame: voxel axes are permuted and flipped (never interpolated) to be closest to R, A, S, so "x" is left-right in every measure.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qa import artifacts, coverage, inhomogeneity, masks
from qa.errors import QaError, refusal
from qa.robust import Tensor, median
from spatial.volumes import Volume

AIR_MASKED = 0.7
"""Above this share of exactly constant voxels the air was masked by somebody, and nothing measured in it means anything."""


def canonical(data: NDArray[np.generic], affine: NDArray[np.float64]) -> tuple[NDArray[np.generic], NDArray[np.float64], tuple[int, ...]]:
    """Permute and flip the first three axes to be closest to R, A, S: a view of the data, its affine, and the source axis of each new axis."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    order, left = [], list(range(3))
    for world in range(3):
        best = max(left, key=lambda axis: abs(directions[world, axis]))
        order.append(best)
        left.remove(best)
    data = np.transpose(data, (*order, *range(3, data.ndim)))
    matrix = affine[:, [*order, 3]].copy()
    for axis in range(3):
        if matrix[axis, axis] < 0:
            data = np.flip(data, axis)
            matrix[:3, 3] += matrix[:3, axis] * (data.shape[axis] - 1)
            matrix[:3, axis] *= -1
    return data, matrix, tuple(order)


T = TypeVar("T")


def tried(make: Callable[[], T]) -> T | QaError:
    """What was made, or the refusal: kept as well, for a registration that found no head must not be run again by every measure that asks."""
    try:
        return make()
    except QaError as error:
        return error


def told(found: T | QaError) -> T:
    """The thing itself; a refusal is raised."""
    if isinstance(found, QaError):
        raise found
    return found


def blocks(affine: NDArray[np.float64], by: tuple[int, int, int]) -> NDArray[np.float64]:
    """Block -> world mm, of voxels of that affine averaged by `by`: the centre of a block is the mean of the voxels it covers."""
    matrix = affine.copy()
    matrix[:3, :3] = affine[:3, :3] * np.asarray(by)
    matrix[:3, 3] += affine[:3, :3] @ ((np.asarray(by) - 1) / 2)
    return matrix


class Scene:
    """A 3D image on a device with its masks. All attributes are lazy; a property that cannot be had raises QaError with the reason.

    `image`: (x, y, z) float32, RAS-like. `work`: the same averaged to about 2 mm. `zone`: what a defacer took away (native grid) or None.
    """

    def __init__(
        self,
        volume: Volume,
        suffix: str,
        *,
        device: str = "cpu",
        zone: NDArray[np.bool_] | None = None,
        brain_wanted: bool = True,
        air_masked: bool = False,
        matrix: NDArray[np.float64] | None = None,
        bias: str = "fit",
    ) -> None:
        import torch

        data, self.affine, self.order = canonical(np.asarray(volume.data), np.asarray(volume.affine, dtype=np.float64))
        self.suffix, self.device, self.brain_wanted, self.air_masked = suffix, device, brain_wanted, air_masked or zone is not None
        self.bias = bias
        self.given_matrix: NDArray[np.float64] | QaError | None = matrix  # or why there is none, where it was looked for with others (`qa.batch`)
        self.image: Tensor = torch.from_numpy(np.array(data, dtype=np.float32, order="C")).to(device)
        z = np.linalg.norm(self.affine[:3, :3], axis=0)
        self.zooms = (float(z[0]), float(z[1]), float(z[2]))
        self.by = masks.factors(self.zooms, tuple(self.image.shape))
        self.zone: Tensor | None = None
        if zone is not None:
            flat, _, _ = canonical(np.asarray(zone), np.asarray(volume.affine, dtype=np.float64))
            self.zone = torch.from_numpy(np.ascontiguousarray(flat)).to(device).bool()

    @property
    def shape(self) -> tuple[int, ...]:
        """Native shape (x, y, z)."""
        return tuple(self.image.shape)

    @property
    def slice_axis(self) -> int | None:
        """The axis of the slices: the one with clearly (1.2 times) larger voxels; None for an isotropic 3D acquisition."""
        thick = int(np.argmax(self.zooms))
        rest = [z for axis, z in enumerate(self.zooms) if axis != thick]
        return thick if self.zooms[thick] > 1.2 * max(rest) else None

    @cached_property
    def work(self) -> Tensor:
        """The image on the work grid (about 2 mm)."""
        return masks.pool(self.image, self.by)

    @cached_property
    def work_zooms(self) -> tuple[float, float, float]:
        """Size of a work voxel in mm."""
        return self.zooms[0] * self.by[0], self.zooms[1] * self.by[1], self.zooms[2] * self.by[2]

    @cached_property
    def work_affine(self) -> NDArray[np.float64]:
        """Work voxel -> world mm: its centre is the mean of the native voxels it covers."""
        return blocks(self.affine, self.by)

    @cached_property
    def _head(self) -> masks.Head | QaError:
        return tried(lambda: masks.head(self.work, self.work_zooms))

    @property
    def head(self) -> masks.Head:
        """Head mask and threshold (`masks.head`). Raises QaError `no_anatomy`."""
        return told(self._head)

    @cached_property
    def extent(self) -> tuple[tuple[list[int], tuple[int, int]], ...]:
        """Per axis: dead slices inside the anatomy, and the live extent (`coverage.dead_slices`), the defaced zone set to 0."""
        image = self.image if self.zone is None else self.image.masked_fill(self.zone, 0)
        stacked = [self.slice_axis in (None, axis) for axis in range(3)]
        return tuple(coverage.dead_slices(image, self.head.threshold, axis, stacked=stacked[axis]) for axis in range(3))

    @cached_property
    def head_native(self) -> Tensor:
        """The head on the image's own grid."""
        return masks.spread(self.head.mask, self.by, self.shape)

    @cached_property
    def air(self) -> Tensor:
        """Air on the work grid: at least 6 mm from the head, outside the defaced zone. Raises QaError `no_air` or `air_masked`."""
        return told(self._air)[0]

    @property
    def air_read(self) -> Tensor:
        """The native voxels of `air`, (n,): gathered once, because half of most images is air."""
        return told(self._air)[1]

    @cached_property
    def _air(self) -> tuple[Tensor, Tensor] | QaError:
        return tried(self._read_air)

    def _read_air(self) -> tuple[Tensor, Tensor]:
        mask = ~masks.grow(self.head.mask, 6.0, self.work_zooms)
        if self.air_masked:
            raise refusal("air_masked", "The face was removed.")
        if int(mask.sum()) < 500:
            raise refusal("no_air")
        values = self.image[masks.spread(mask, self.by, self.shape)]
        constant = float((values == values.mode().values).float().mean()) if values.numel() < 100_000 else float((values[::17] == 0).float().mean())
        if constant > AIR_MASKED:
            raise refusal("air_masked", f"{100 * constant:.0f} % of it has one value.")
        return mask, values

    @cached_property
    def air_values(self) -> Tensor:
        """Native air voxels that were measured: exact zeros (padding by the scanner or a resampler) are left out."""
        values = self.air_read
        positive = values > 0
        return values if bool(positive.all()) or int(positive.sum()) <= 500 else values[positive]

    @property
    def brain(self) -> masks.Brain:
        """The template's brain (`masks.brain`). Raises QaError `no_brain`."""
        return told(self._brain)

    @cached_property
    def _brain(self) -> masks.Brain | QaError:
        return tried(self._place_brain)

    def _place_brain(self) -> masks.Brain:
        if not self.brain_wanted:
            raise refusal("no_brain", "This is not a head.")
        taken = None if self.zone is None else masks.pool(self.zone.float(), self.by) > 0
        matrix = None if self.given_matrix is None else told(self.given_matrix)
        return masks.brain(self.work, self.work_affine, self.head.mask, matrix=matrix, device=self.device, taken=taken)

    @cached_property
    def zone_work(self) -> Tensor:
        """What a defacer took away on the work grid (a work voxel with any of it), or None."""
        return None if self.zone is None else masks.pool(self.zone.float(), self.by) > 0

    @cached_property
    def brain_native(self) -> Tensor:
        """The brain on the image's own grid."""
        return masks.spread(self.brain.mask, self.by, self.shape)

    @property
    def field_and_tissue(self) -> tuple[Tensor, masks.Tissue]:
        """Bias field on the work grid and the tissue classes of the corrected image. Raises QaError `no_brain`, `no_tissue`."""
        return told(self._field_and_tissue)

    @cached_property
    def _field_and_tissue(self) -> tuple[Tensor, masks.Tissue] | QaError:
        way = inhomogeneity.fit_n4 if self.bias == "n4" else inhomogeneity.fit
        return tried(lambda: way(self.work, self.inner, self.suffix))

    @property
    def placement(self) -> NDArray[np.float64] | None:
        """Image world -> template world where a brain was placed (only if a measure asked for it)."""
        found = self.__dict__.get("_brain")
        return found.matrix if isinstance(found, masks.Brain) else None

    @cached_property
    def inner(self) -> Tensor:
        """The brain 4 mm inside its mask: what an affine placement leaves of skull and skin at the rim stays out of tissue statistics."""
        mask = masks.grow(self.brain.mask, -4.0, self.work_zooms)
        return mask if int(mask.sum()) > 2000 else self.brain.mask

    @cached_property
    def inner_native(self) -> Tensor:
        """`inner` on the image's own grid."""
        return masks.spread(self.inner, self.by, self.shape)

    @cached_property
    def brain_values(self) -> Tensor:
        """Bias-corrected native voxels of the inner brain, (n,)."""
        field = masks.spread(self.field_and_tissue[0], self.by, self.shape)
        return self.image[self.inner_native] / field[self.inner_native]

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """Tissue probability of each voxel of `brain_values`, decided on the work grid, so that native noise does not choose its own class."""
        field, classes = self.field_and_tissue
        inside = self.inner_native
        posterior = classes.posterior(self.work / field)
        return {name: masks.spread(p, self.by, self.shape)[inside] for name, p in posterior.items()}

    @cached_property
    def level(self) -> float:
        """The image's unit of brightness: median of white matter; of the object above the threshold where there is no tissue."""
        from qa.errors import QaError

        try:
            return median(self.brain_values, self.weights["wm"])
        except QaError:
            inside = self.work[self.head.mask]
            return median(inside[inside > self.head.threshold])

    @cached_property
    def spectrum(self) -> Tensor:
        """|F| of the native image, half spectrum; computed once."""
        return artifacts.spectrum(self.image)
