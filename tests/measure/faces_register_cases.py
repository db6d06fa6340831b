"""Real heads, and what a scanner, a person and a positioning can do to them: turned, scaled, shifted, dimmed, noisy, inverted, cut, thick.

A case is a head and a number; number 0 is the head as it is, every other one is drawn from its own seed. Each perturbation has a pose (a known
matrix, world of the head -> world of the case) and one or two faults; half of the poses turn the box with the head (only the header changes), half turn
the head inside an upright box, so that it is resampled and its corners are empty. Runs in the peers' venv too: numpy, scipy and nibabel only.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)] * (str(ROOT) not in sys.path)

from spatial import affines, volumes  # noqa: E402  (the peers' venv has no other way to this tree)
from spatial.volumes import Volume  # noqa: E402

Matrix = NDArray[np.float64]
HEADS = ROOT / "build" / "faces" / "heads"
CACHE = ROOT / ".cache" / "mri"
MS = CACHE / "nifti" / "ms_longitudinal_patient01" / "raw" / "patient01"

# name: DICOM folder and what dcm2niix calls the series, or a NIfTI file
SOURCES: dict[str, tuple[str, str] | Path] = {
    "philips_t1": ("philips_t1w_3d_face", "1301"),
    "siemens_2d_t1": ("siemens_t1w_2d_face", "3"),
    "philips_fieldmap": ("philips_enh_fieldmap_face", "2001_e1"),
    "xa30_t1": ("siemens_enh_xa30", "5"),
    "visit_t1": ("siemens_visit_face", "5_Eq_1"),
    "visit_t2": ("siemens_visit_face", "6_Eq_1"),
    "studyforrest_t1": ("t1w_3d_defaced_poorheader", "401"),
    "ms1_t1": MS / "study1_T1W.nii.gz",
    "ms1_t2": MS / "study1_T2W.nii.gz",
    "ms1_flair": MS / "study1_FLAIR.nii.gz",
    "ms2_t1": MS / "study2_T1W.nii.gz",
    "ms2_t2": MS / "study2_T2W.nii.gz",
    "ms2_flair": MS / "study2_FLAIR.nii.gz",
}
BRAINS: dict[str, tuple[str, str] | Path] = {"philips_b0": ("philips_dwi", "601")}  # brain only: told apart, never in the medians
FAULTS = ("none", "bias", "noise", "inverted", "slab_axial", "slab_side", "thick", "bias+noise+thick", "inverted+slab_axial", "none")


@dataclass(frozen=True)
class Case:
    """`volume` as an engine sees it; `pose`: world of the head as it is -> world of the case; `fault` in words."""

    volume: Volume
    pose: Matrix
    fault: str


def head(name: str) -> Volume:
    """The head as it is, converted once (4D: the first volume). Raises FileNotFoundError where the shared data is absent."""
    path = HEADS / f"{name}.nii.gz"
    if not path.exists():
        _convert(name, path)
    volume = volumes.load(path)
    return volume if volume.data.ndim == 3 else Volume(volume.data[..., 0], volume.affine)


def _convert(name: str, path: Path) -> None:
    source = {**SOURCES, **BRAINS}[name]
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, Path):
        path.write_bytes(source.read_bytes())
        return
    folder, series = source
    made = ROOT / "build" / "faces" / "conv" / folder
    if not (made / f"{series}.nii.gz").exists():
        made.mkdir(parents=True, exist_ok=True)
        spec = importlib.util.find_spec("dcm2niix")
        assert spec and spec.origin, "convert the heads once in the project's own environment"
        words = [str(Path(spec.origin).parent / "dcm2niix"), "-z", "y", "-b", "n", "-m", "2", "-f", "%s", "-o", str(made), str(CACHE / "dicom" / folder)]
        subprocess.run(words, capture_output=True, check=False)
    path.write_bytes((made / f"{series}.nii.gz").read_bytes())


def case(name: str, number: int) -> Case:
    """The head (number 0) or one of its perturbations (1, 2, ...): the same for the same name and number, wherever it is made."""
    volume = head(name)
    volume = Volume(np.asarray(volume.data, dtype=np.float32), volume.affine)
    if number == 0:
        return Case(volume, np.eye(4), "as it is")
    random = np.random.default_rng([zlib.crc32(name.encode()), number])
    fault = FAULTS[(number - 1) % len(FAULTS)]
    pose = _pose(volume, random)
    turned_box = bool((number + (number - 1) // len(FAULTS)) % 2)
    out = Volume(volume.data, pose @ volume.affine) if turned_box else _resampled(volume, pose)
    for word in fault.split("+"):
        out = FAULT[word](out, random)
    return Case(out, pose, ("box turned, " if turned_box else "head turned, ") + fault)


def _pose(volume: Volume, random: np.random.Generator) -> Matrix:
    """Rotation to 30 degrees, scale 0.8 to 1.2, shift to 40 mm, about the middle of the volume."""
    axis = random.normal(size=3)
    axis *= random.uniform(0, 30) / np.linalg.norm(axis)
    away = random.normal(size=3)
    away *= random.uniform(0, 40) / np.linalg.norm(away)
    scale = random.uniform(0.8, 1.2)
    middle = affines.centre(volume.shape, volume.affine)
    return affines.translation(middle + away) @ affines.rotation(axis) @ affines.scaling(scale) @ affines.translation(-middle)


def _resampled(volume: Volume, pose: Matrix) -> Volume:
    """The head turned in the box that the scanner had: what the box did not see before is empty."""
    grid = pose[:3, 3] * 0 + affines.apply(pose, affines.centre(volume.shape, volume.affine)[None])[0] - affines.centre(volume.shape, volume.affine)
    affine = affines.translation(grid) @ volume.affine
    step = affines.inverse(pose @ volume.affine) @ affine
    data = ndimage.affine_transform(volume.data, step[:3, :3], step[:3, 3], output_shape=volume.shape, order=1, mode="constant", cval=0)
    return Volume(data.astype(np.float32), affine)


def _bias(volume: Volume, random: np.random.Generator) -> Volume:
    """A smooth field from about 0.5 to 1.5 (a receive coil without correction)."""
    axes = [np.linspace(-1, 1, n)[(...,) + (None,) * (2 - a)].reshape([-1 if b == a else 1 for b in range(3)]) for a, n in enumerate(volume.shape)]
    weights = random.normal(size=6)
    terms = [axes[0], axes[1], axes[2], axes[0] ** 2 - 0.5, axes[1] ** 2 - 0.5, axes[2] ** 2 - 0.5]
    field: Any = sum(w * t for w, t in zip(weights, terms, strict=True))
    return Volume(volume.data * np.exp(0.45 * field / np.abs(field).max() * 1.5).astype(np.float32), volume.affine)


def _noise(volume: Volume, random: np.random.Generator) -> Volume:
    """Rician noise of a tenth to a fifth of bright tissue."""
    sigma = random.uniform(0.1, 0.2) * float(np.percentile(volume.data, 95))
    first, second = (random.normal(0, sigma, volume.shape).astype(np.float32) for _ in range(2))
    return Volume(np.hypot(volume.data + first, second), volume.affine)


def _inverted(volume: Volume, random: np.random.Generator) -> Volume:
    """What was bright becomes dark, air stays air: a T2-weighted look."""
    top = float(np.percentile(volume.data, 99.5))
    level = np.clip(volume.data / top, 0, 1)
    tissue = 1 / (1 + np.exp(-(level - 0.12) / 0.02))
    return Volume((tissue * (1.1 - level) ** random.uniform(0.7, 1.4) * 1000).astype(np.float32), volume.affine)


def _slab(volume: Volume, random: np.random.Generator, world_axes: tuple[int, ...]) -> Volume:
    """One half to three quarters of the field of view along an axis of the grid that lies along one of these axes of the world."""
    along = np.abs(volume.affine[:3, :3] / np.array(volume.zooms))
    axis = int(np.argmax(along[random.choice(world_axes)]))
    size = volume.shape[axis]
    keep = round(size * random.uniform(0.5, 0.75))
    start = int(random.integers(0, size - keep + 1))
    cut = [slice(None)] * 3
    cut[axis] = slice(start, start + keep)
    move = np.zeros(3)
    move[axis] = start
    return Volume(np.ascontiguousarray(volume.data[tuple(cut)]), volume.affine @ affines.translation(move))


def _thick(volume: Volume, random: np.random.Generator) -> Volume:
    """Slices of 5 mm along an axis of the grid that had thinner ones."""
    thin = [a for a in range(3) if volume.zooms[a] < 3.4]
    axis = int(random.choice(thin)) if thin else int(random.integers(3))
    block = max(1, round(5 / volume.zooms[axis]))
    whole = volume.shape[axis] // block * block
    data = np.moveaxis(np.take(volume.data, range(whole), axis=axis), axis, 0)
    data = np.moveaxis(data.reshape(whole // block, block, *data.shape[1:]).mean(axis=1), 0, axis)
    step = np.eye(4)
    step[axis, axis], step[axis, 3] = block, (block - 1) / 2
    return Volume(np.ascontiguousarray(data), volume.affine @ step)


FAULT = {
    "none": lambda volume, random: volume,
    "bias": _bias,
    "noise": _noise,
    "inverted": _inverted,
    "slab_axial": lambda volume, random: _slab(volume, random, (2,)),
    "slab_side": lambda volume, random: _slab(volume, random, (0, 1)),
    "thick": _thick,
}
