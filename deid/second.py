"""A second engine is asked where the face is, and it knows nothing of what the first one said.

SimpleITK (ITK's Mattes mutual information and gradient descent, an affine over three resolutions from 2 mm input) aligns the same volume to the same template,
from the centres of mass alone. What two programs with other samples, other interpolation and another way uphill agree on within `APART_MM` at the corners
of the face box is believed. Where they disagree, the second one is asked once more, from a place near the first one's answer. It stands by whichever of its own
two answers *its* measure likes better, unless the outline says that no head can lie where it went alone (`deid.headfit`). So a place that only the first
engine likes stays a disagreement, and a second engine that lost its way on a slab or an inverted contrast does not send every such head to a person.

SimpleITK is imported here alone, and late: without it there is no second opinion, and that is said (`no_second_engine`), never taken for agreement.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import headfit
from spatial import affines, pyramid, register, templates
from spatial.affines import Matrix
from spatial.errors import SpatialError
from spatial.volumes import Volume

APART_MM = 5.0  # further apart than this at the face box, and a person looks (issue 4)
SEED = 2026
BINS = 32
LEVELS = (4, 2, 1)  # shrink factors on 2 mm input, with as many mm of smoothing
SHARES = (0.4, 0.15, 0.06)  # of the voxels, drawn at random, at each level
STEPS = 100
PUSH = affines.translation((3.0, -3.0, 3.0)) @ affines.rotation((2.0, -2.0, 2.0))  # where "near the first answer" begins: about 6 mm off at the face

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK's world looks the other way along x and y


@dataclass(frozen=True)
class Opinion:
    """`matrix`: world of the volume -> world of the template, as the second engine sees it; `apart_mm`: mean distance at the corners of the face box from the
    first engine's, in mm of the volume; `asked`: `alone`, `again` where it likes its answer from near the first one's better, or `hinted` where it has none
    else; `engine` with its version."""

    matrix: Matrix
    apart_mm: float
    asked: str
    engine: str

    @property
    def agrees(self) -> bool:
        """Whether the two are near enough for nobody to look."""
        return bool(self.apart_mm <= APART_MM)

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {"engine": self.engine, "face_box_apart_mm": round(self.apart_mm, 2), "asked": self.asked}


def available() -> bool:
    """Whether this machine has the second engine."""
    try:
        import SimpleITK  # noqa: F401
    except ImportError:
        return False
    return True


def opinion(volume: Volume, first: Matrix) -> Opinion:
    """What the second engine says of a volume for which the first one found `first` (world of the volume -> world of the template).

    One thread and a fixed seed: the same volume gives the same answer. Raises SpatialError `no_second_engine` where SimpleITK is not installed,
    `empty_volume` for a volume without contrast, `second_engine_failed` where it finds no overlap.
    """
    sitk = _engine()
    fixed, moving = _image(sitk, pyramid.shrunk(volume)), _image(sitk, pyramid.shrunk(templates.head().volume))
    box = templates.face_box()
    alone = _settled(sitk, fixed, moving, _from_moments(sitk, fixed, moving), LEVELS)
    apart = register.apart_mm(first, _matrix(alone), box)
    asked, chosen = "alone", alone
    if apart > APART_MM:
        again = _settled(sitk, fixed, moving, _transform(sitk, first @ PUSH), LEVELS[1:])
        better = _value(sitk, fixed, moving, again) < _value(sitk, fixed, moving, alone)
        if better or not _a_head_can_lie(volume, _matrix(alone)):
            asked, chosen = "again" if better else "hinted", again
            apart = register.apart_mm(first, _matrix(again), box)
    return Opinion(_matrix(chosen), apart, asked, f"SimpleITK {importlib.metadata.version('simpleitk')}")


def _a_head_can_lie(volume: Volume, matrix: Matrix) -> bool:
    """Whether outline, size and shape allow a place: one where no head can lie is no opinion."""
    found = register.Alignment(matrix, float("nan"), affines.scales(matrix), affines.angle_deg(matrix), 1.0)
    return headfit.measure(volume, matrix, found).plausible


def _engine() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise SpatialError("no_second_engine", "The second engine (SimpleITK) is not installed.", "Install what requirements.txt pins.") from error
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    return SimpleITK


def _image(sitk: Any, volume: Volume) -> Any:
    """The volume in ITK's world; an affine with shear is taken with its nearest right-angled axes."""
    turned = LPS @ volume.affine
    u, _, vt = np.linalg.svd(turned[:3, :3] / np.array(volume.zooms))
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.asarray(volume.data, dtype=np.float32).transpose(2, 1, 0)))
    image.SetOrigin([float(x) for x in turned[:3, 3]])
    image.SetSpacing([float(z) for z in volume.zooms])
    image.SetDirection((u @ vt).ravel())
    return image


def _from_moments(sitk: Any, fixed: Any, moving: Any) -> Any:
    try:
        return sitk.AffineTransform(sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.MOMENTS))
    except RuntimeError as error:
        raise SpatialError("empty_volume", "The volume has no contrast.") from error


def _method(sitk: Any, start: Any) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(BINS)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(start, inPlace=False)
    return method


def _settled(sitk: Any, fixed: Any, moving: Any, start: Any, levels: tuple[int, ...]) -> Any:
    """From `start` uphill, level by level."""
    method = _method(sitk, start)
    method.SetMetricSamplingPercentagePerLevel(list(SHARES[-len(levels) :]), SEED)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, STEPS, 0.6, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(list(levels))
    method.SetSmoothingSigmasPerLevel([float(level if level > 1 else 0) for level in levels])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    try:
        final = method.Execute(fixed, moving)
    except RuntimeError as error:
        raise SpatialError("second_engine_failed", "The second engine found no place for the head.", "Have a steward look.") from error
    while final.GetName() == "CompositeTransform":
        final = sitk.CompositeTransform(final).GetNthTransform(0)
    return sitk.AffineTransform(final)


def _value(sitk: Any, fixed: Any, moving: Any, transform: Any) -> float:
    """The measure of a place, on the same drawn voxels for every place asked about; smaller is better."""
    method = _method(sitk, transform)
    method.SetMetricSamplingPercentage(SHARES[-1], SEED)
    try:
        return float(method.MetricEvaluate(fixed, moving))
    except RuntimeError:
        return float("inf")


def _matrix(affine: Any) -> Matrix:
    """ITK's y = A (x - c) + c + t in LPS, as 4 x 4 in RAS."""
    out = np.eye(4)
    centre = np.array(affine.GetCenter())
    out[:3, :3] = np.array(affine.GetMatrix()).reshape(3, 3)
    out[:3, 3] = np.array(affine.GetTranslation()) + centre - out[:3, :3] @ centre
    return np.asarray(LPS @ out @ LPS, dtype=np.float64)


def _transform(sitk: Any, matrix: Matrix) -> Any:
    """A 4 x 4 in RAS as ITK's affine, turning about the middle of the template's face."""
    turned: NDArray[np.float64] = LPS @ matrix @ LPS
    out = sitk.AffineTransform(3)
    out.SetMatrix([float(x) for x in turned[:3, :3].ravel()])
    out.SetTranslation([float(x) for x in turned[:3, 3]])
    return out
