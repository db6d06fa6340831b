"""The second opinion: dicom2nifti, asked in a process of its own, because it can hang, crash, or take the interpreter down with it.

Run as `python -m bidstree.second FOLDER OUT`: converts the series in FOLDER to OUT (a NIfTI file), prints one JSON line with what happened. Nothing of its
message is trusted or shown: only the kind of its refusal. `ask` is the other end, `compare` says how two images of one series differ.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WALL_S = 300.0
CORNER_MM = 0.5  # allowed distance between corners of two images of one series
CORRELATION = 0.99
SAME_VALUES = 0.999999


@dataclass(frozen=True)
class Opinion:
    """`said`: agrees, scale_only, geometry_differs, values_differ, shape_differs, refused, crashed, timeout, not_asked. Distances in mm."""

    said: str
    corner_mm: float | None = None
    correlation: float | None = None
    scale: float | None = None
    axes_flipped: str = ""


def ask(folder: Path, out: Path, *, wall_s: float = WALL_S) -> str:
    """Run dicom2nifti on `folder` in a child, writing `out`; returns `image`, `refused`, `crashed` or `timeout`."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bidstree.second", str(folder), str(out)], capture_output=True, timeout=wall_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return "timeout"
    if done.returncode != 0:
        return "crashed"
    try:
        said = str(json.loads(done.stdout.splitlines()[-1])["said"])
    except (ValueError, KeyError, IndexError):
        return "crashed"
    return said if said in {"image", "refused", "crashed"} else "crashed"


def convert(folder: Path, out: Path) -> str:
    """In the child: one conversion, without reorientation, and with dicom2nifti's own validation left on."""
    import logging

    import dicom2nifti
    from dicom2nifti.exceptions import ConversionError, ConversionValidationError

    logging.disable(logging.CRITICAL)
    try:
        dicom2nifti.dicom_series_to_nifti(str(folder), str(out), reorient_nifti=False)
    except (ConversionValidationError, ConversionError):
        return "refused"
    except Exception:  # noqa: BLE001  IndexError, ValueError, OverflowError ... : it has no contract
        return "crashed"
    return "image" if out.exists() else "refused"


def _canonical(path: Path) -> Any:
    import nibabel as nib

    return nib.as_closest_canonical(nib.load(path))


def compare(ours: Path, theirs: Path) -> Opinion:
    """How two images of one series differ, after both are turned to the closest canonical axes (RAS).

    Same shape; corners of the two grids within `CORNER_MM`; values of the first and the last volume correlated above `CORRELATION`.
    """
    a, b = _canonical(ours), _canonical(theirs)
    if _shape(a) != _shape(b) or a.get_data_dtype().fields:
        return Opinion("shape_differs")
    corner = _corner_distance(a.affine, b.affine, a.shape[:3])
    first, second = _samples(a), _samples(b)
    correlation, scale = _fit(first, second)
    flipped = _flip(first, second) if correlation < CORRELATION else ""
    if corner > CORNER_MM or flipped:
        return Opinion("geometry_differs", corner, correlation, None, flipped)
    if correlation < CORRELATION:
        return Opinion("values_differ", corner, correlation)
    return Opinion("agrees" if abs(scale - 1) < 1e-3 and correlation > SAME_VALUES else "scale_only", corner, correlation, scale)


def _shape(image: Any) -> tuple[int, ...]:
    shape = tuple(int(n) for n in image.shape)
    return shape[:3] if len(shape) == 4 and shape[3] == 1 else shape


def _corner_distance(a: NDArray[np.float64], b: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    ends = np.array([[i, j, k, 1.0] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)])
    return float(np.linalg.norm((ends @ a.T - ends @ b.T)[:, :3], axis=1).max())


def _samples(image: Any) -> list[NDArray[np.float32]]:
    """First and last volume (3D: the volume itself) as float32."""
    if image.ndim < 4 or image.shape[3] == 1:
        return [np.asarray(image.dataobj, dtype=np.float32).reshape(image.shape[:3])]
    return [np.asarray(image.dataobj[..., n], dtype=np.float32) for n in (0, image.shape[3] - 1)]


def _fit(a: list[NDArray[np.float32]], b: list[NDArray[np.float32]]) -> tuple[float, float]:
    """Lowest correlation over the sampled volumes, and the factor from b to a."""
    worst, scale = 1.0, 1.0
    for one, two in zip(a, b, strict=True):
        x, y = one.ravel().astype(np.float64), two.ravel().astype(np.float64)
        if x.std() == 0 or y.std() == 0:
            worst = min(worst, 1.0 if x.std() == y.std() else 0.0)
            continue
        worst = min(worst, float(np.corrcoef(x, y)[0, 1]))
        scale = float((x * y).sum() / (y * y).sum())
    return worst, scale


def _flip(a: list[NDArray[np.float32]], b: list[NDArray[np.float32]]) -> str:
    """Which axis, when turned round, makes the values agree: the mark of a mirrored image."""
    for axis, name in enumerate("ijk"):
        if _fit(a, [np.flip(one, axis) for one in b])[0] > CORRELATION:
            return name
    return ""


if __name__ == "__main__":
    sys.stdout.write(json.dumps({"said": convert(Path(sys.argv[1]), Path(sys.argv[2]))}) + "\n")
