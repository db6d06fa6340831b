"""Four engines behind one contract: a volume in, out comes the matrix from its world to the template's, and the CPU seconds of one thread.

`python faces_register_engines.py ENGINE OUT.jsonl HEAD:NUMBER ...` runs the cases that OUT lacks, one line each. `ours` needs the project's environment,
`ants` and `simpleitk` the peers' (build/peers/faces). All get the volume in memory as it is; what they make of it is in their time.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

import numpy as np  # noqa: E402  (the number of threads is read at import)

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[2])]

from faces_register_cases import Matrix, case  # noqa: E402

from spatial import affines, templates  # noqa: E402
from spatial.volumes import Volume  # noqa: E402

Found = dict[str, Any]
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
PEER_MM = 2.0  # both peers lose nothing and gain time with 2 mm: their finest level is no finer by default


def template() -> Volume:
    """The template's picture; in the peers' venv pydeface itself is absent, so its file is found beside the project's environment."""
    try:
        return templates.read_template()
    except Exception:
        from spatial import volumes

        found = next((Path(__file__).resolve().parents[2] / ".venv").glob("lib/python*/site-packages/pydeface/data/mean_reg2mean.nii.gz"))
        return volumes.load(found)


def run_ours(volume: Volume) -> Found:
    import torch

    from spatial import register

    torch.set_num_threads(1)
    found = register.align(template_once(), volume, kind="affine")
    more = {name: getattr(found, name) for name in ("nmi", "overlap", "spread_mm") if hasattr(found, name)}
    return {"matrix": found.matrix.tolist(), **more}


_KEPT: list[Volume] = []


def template_once() -> Volume:
    """Prepared once per process, as in use."""
    if not _KEPT:
        _KEPT.append(templates.head().volume)
    return _KEPT[0]


def run_simpleitk(volume: Volume, first: str = "MOMENTS") -> Found:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed, moving = (_sitk_coarse(sitk, _sitk_image(sitk, v)) for v in (volume, template()))
    start = sitk.CenteredTransformInitializer(fixed, moving, sitk.AffineTransform(3), getattr(sitk.CenteredTransformInitializerFilter, first))
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel([0.4, 0.15, 0.06], 2026)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 100, 0.6, 1e-8)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4, 2, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=False)
    final = method.Execute(fixed, moving)
    while final.GetName() == "CompositeTransform":
        final = sitk.CompositeTransform(final).GetNthTransform(0)
    affine = sitk.AffineTransform(final)
    return {"matrix": _from_itk(affine.GetMatrix(), affine.GetTranslation(), affine.GetCenter()).tolist(), "metric": method.GetMetricValue()}


def _sitk_image(sitk: Any, volume: Volume) -> Any:
    image = sitk.GetImageFromArray(np.ascontiguousarray(np.asarray(volume.data, dtype=np.float32).transpose(2, 1, 0)))
    origin, spacing, direction = _itk_geometry(volume)
    image.SetOrigin(origin)
    image.SetSpacing(spacing)
    image.SetDirection(direction.ravel())
    return image


def _itk_geometry(volume: Volume) -> tuple[list[float], list[float], Any]:
    """Origin, spacing and nearest orthonormal direction in ITK's LPS world."""
    turned = LPS @ volume.affine
    u, _, vt = np.linalg.svd(turned[:3, :3] / np.array(volume.zooms))
    return [float(x) for x in turned[:3, 3]], [float(z) for z in volume.zooms], u @ vt


def _sitk_coarse(sitk: Any, image: Any) -> Any:
    """Averaged in whole blocks to about 2 mm."""
    factors = [max(1, round(PEER_MM / s)) for s in image.GetSpacing()]
    return sitk.BinShrink(image, factors)


def _from_itk(linear: Any, move: Any, centre: Any) -> Matrix:
    """ITK's y = A (x - c) + c + t in LPS, as 4 x 4 in RAS."""
    out = np.eye(4)
    out[:3, :3] = np.array(linear).reshape(3, 3)
    out[:3, 3] = np.array(move) + np.array(centre) - out[:3, :3] @ np.array(centre)
    return LPS @ out @ LPS


def run_ants(volume: Volume) -> Found:
    import ants

    fixed, moving = (_ants_image(ants, v) for v in (volume, template()))
    found = ants.registration(fixed, moving, type_of_transform="Affine", random_seed=2026)
    path = found["fwdtransforms"][0]
    read = ants.read_transform(path)
    values, centre = np.array(read.parameters), np.array(read.fixed_parameters)
    for name in {*found["fwdtransforms"], *found["invtransforms"]}:
        Path(name).unlink(missing_ok=True)
    return {"matrix": _from_itk(values[:9], values[9:], centre).tolist()}


def _ants_image(ants: Any, volume: Volume) -> Any:
    origin, spacing, direction = _itk_geometry(volume)
    image = ants.from_numpy(np.ascontiguousarray(volume.data, dtype=np.float32), origin=origin, spacing=spacing, direction=direction)
    wanted = [max(s, s * max(1, round(PEER_MM / s))) for s in spacing]
    smooth = ants.smooth_image(image, [0.35 * w if w > s else 0.0 for w, s in zip(wanted, spacing, strict=True)], sigma_in_physical_coordinates=True)
    return ants.resample_image(smooth, wanted, use_voxels=False, interp_type=0)


ENGINES: dict[str, Callable[[Volume], Found]] = {
    "ours": run_ours,
    "simpleitk": run_simpleitk,
    "simpleitk_geometry": lambda volume: run_simpleitk(volume, "GEOMETRY"),
    "ants": run_ants,
}


def main(argv: list[str]) -> int:
    engine, out, wanted = argv[0], Path(argv[1]), argv[2:]
    done = {json.loads(line)["case"] for line in out.read_text().splitlines()} if out.exists() else set()
    todo = [name for name in wanted if name not in done]
    if todo:
        ENGINES[engine](case(*_split(todo[0])).volume)  # warm: imports, and the template read once per process
    for name in todo:
        given = case(*_split(name))
        began, wall = time.process_time(), time.monotonic()
        try:
            found = ENGINES[engine](given.volume)
        except Exception as error:
            found = {"matrix": None, "error": f"{type(error).__name__}: {getattr(error, 'code', '')}"}
        found |= {"case": name, "fault": given.fault, "cpu_s": time.process_time() - began, "wall_s": time.monotonic() - wall}
        with out.open("a") as sink:
            sink.write(json.dumps(found) + "\n")
    return 0


def _split(name: str) -> tuple[str, int]:
    head, _, number = name.partition(":")
    return head, int(number)


if __name__ == "__main__":
    affines.check(np.eye(4))
    raise SystemExit(main(sys.argv[1:]))
