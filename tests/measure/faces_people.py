"""People who look different, seen by different scanners, made from few heads: the shape of face and ears is bent, the rest stays.

A *base* is a real head (or the template's mean head) with its place on the template. A *person* is a base and a smooth random displacement that lives
only where face and ears are, small enough that nothing folds. A *scan* of a person is a pose, a grey-value curve, a coil profile, Rician noise
and a voxel size. The zone that our defacing removes is looked up by the known place, off by an error of alignment of a few millimetres.
Nothing of a real head is ever written: bases are converted into memory, people live as arrays.
"""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from table import ROOT

from deid import facezones, headfit
from spatial import affines, register, templates, volumes
from spatial.affines import Matrix
from spatial.resample import resample
from spatial.volumes import Volume

DICOM = ROOT / ".cache" / "mri" / "dicom"
# name -> (folder of DICOM, what the name of the volume holds, whose head: heads of one person are never on both sides of a split)
REAL: dict[str, tuple[str, str, str]] = {
    "philips_t1w_3d_face": ("philips_t1w_3d_face", "", "philips"),
    "philips_enh_fieldmap_face": ("philips_enh_fieldmap_face", "_e1.", "philips"),
    "siemens_t1w_2d_face": ("siemens_t1w_2d_face/3_t1_fl2d_sag", "", "s2d"),
    "siemens_enh_xa30": ("siemens_enh_xa30/5_anat-T1w_acq-tfl", "", "xa30"),
    "siemens_visit_face_t1": ("siemens_visit_face", "MEMPRAGE_220FOV_e1_Eq", "visit"),
    "siemens_visit_face_t2": ("siemens_visit_face", "FSE_T2_e1_Eq", "visit"),
}
# Heads whose faces others had taken out: none of them has a face to be seen, before or after ours. Name -> folder or file of the shared scans.
DEFACED_BEFORE: dict[str, str] = {
    "t1w_3d_defaced_poorheader": "dicom/t1w_3d_defaced_poorheader",
    "ms_longitudinal_patient01": "nifti/ms_longitudinal_patient01/raw/patient01/study1_T1W.nii.gz",
}
FINE_MM = 2.0
KNOT_MM, FACE_MM = 16.0, 4.0  # how smooth faces differ, and by how much (standard deviation)
BLOCKS = ((1, 1, 1), (1, 1, 2), (2, 1, 1), (1, 2, 1), (1, 1, 1))  # voxels of 2 mm averaged to one


@dataclass(frozen=True, eq=False)
class Base:
    """A head: its volume, its place (world of the volume -> world of the template) and a name."""

    name: str
    volume: Volume
    place: Matrix


def converted(name: str) -> Volume:
    """A real head as dcm2niix converts it. Raises FileNotFoundError where the shared data is absent."""
    folder, part = REAL[name][:2] if name in REAL else (f"../{DEFACED_BEFORE[name]}", "")
    if not (DICOM / folder).exists():
        raise FileNotFoundError("the shared scans are not here")
    if not (DICOM / folder).is_dir():
        volume = volumes.load(DICOM / folder).mean3d()
        return Volume(volume.data.copy(), volume.affine)
    with tempfile.TemporaryDirectory(prefix="myelin-head-") as out:
        words = [sys.executable, "-m", "dcm2niix", "-z", "n", "-b", "n", "-f", "%p_e%e", "-o", out, str(DICOM / folder)]
        subprocess.run(words, check=True, capture_output=True)
        found = [path for path in sorted(Path(out).glob("*.nii")) if part in path.name and "_ph" not in path.name]
        volume = volumes.load(found[0]).mean3d()
        return Volume(volume.data.copy(), volume.affine)


@functools.cache
def base(name: str) -> Base:
    """A base by name: `mean` (nobody's), or one of `REAL` or `DEFACED_BEFORE`."""
    head = templates.head().volume
    if name == "mean":  # around the mean head is a haze of many people in other poses
        near = ndimage.gaussian_filter(ndimage.binary_dilation(templates.head().head).astype(np.float32), 0.7)
        return Base(name, Volume(np.asarray(head.data * near, dtype=np.float32), head.affine), np.eye(4))
    if name == "siemens_visit_face_t2":  # shares the scanner's frame with the T1
        return Base(name, converted(name), base("siemens_visit_face_t1").place)
    volume = converted(name)
    return Base(name, volume, register.align(head, volume, kind="affine").matrix)


@functools.cache
def _face_weight() -> Volume:
    """Where people differ, on the template at 4 mm: 1 in the face and at the ears, 0 at the skull, smooth between."""
    head = templates.head()
    shape = tuple(n // 4 for n in head.volume.shape)
    i, j, k = (4 * axis.astype(np.float32) for axis in np.indices(shape))
    face = np.clip((j - 140) / 35, 0, 1) * np.clip((135 - k) / 25, 0, 1)
    ears = np.clip((abs(i - 88) - 58) / 8, 0, 1) * np.clip((j - 62) / 10, 0, 1) * np.clip((142 - j) / 10, 0, 1) * (k > 40) * (k < 126)
    weight = ndimage.gaussian_filter(np.maximum(face, ears), 1.0)
    return Volume(weight.astype(np.float32), head.volume.affine @ affines.scaling(4))


@dataclass(frozen=True, eq=False)
class Person:
    """A base whose face is bent: `bend` (3, i, j, k) mm along world x, y, z of the template, on the template at 8 mm."""

    base: Base
    bend: Volume


def person(of: Base, seed: int, face_mm: float = FACE_MM) -> Person:
    """Equal seeds give equal faces; `face_mm` is the standard deviation of the displacement before the window."""
    random = np.random.default_rng(seed)
    grid = _face_weight()
    fields = [ndimage.gaussian_filter(random.standard_normal(grid.shape), KNOT_MM / 4) for _ in range(3)]
    bend = np.stack([f / f.std() * face_mm for f in fields], axis=-1) * grid.data[..., None]
    return Person(of, Volume(bend.astype(np.float32), grid.affine))


@dataclass(frozen=True, eq=False)
class Scan:
    """What a scanner made of a person, and where it lies: world of the scan -> world of the template."""

    volume: Volume
    place: Matrix


def scan(who: Person, seed: int, *, turn_deg: float = 15.0, noise: tuple[float, float] = (0.005, 0.03), size: tuple[float, float] = (1.0, 1.0)) -> Scan:
    """One simulated acquisition of a person; `size` is the range from which the size of the head is drawn."""
    random = np.random.default_rng(seed)
    about = affines.centre(who.base.volume.shape, who.base.volume.affine)
    pose = (
        affines.translation(about + random.uniform(-10, 10, 3))
        @ affines.rotation(random.uniform(-turn_deg, turn_deg, 3))
        @ affines.scaling(random.uniform(*size))
    )
    pose = pose @ affines.translation(-about)
    like = _field(who.base.volume, pose)
    data = _looked_up(who, like, affines.inverse(pose))
    data = _recoloured(data, random) * _coil(data.shape, random)
    level = np.percentile(data, 99) * random.uniform(*noise)
    data = np.hypot(data + random.normal(0, level, data.shape), random.normal(0, level, data.shape))
    blocks = BLOCKS[random.integers(len(BLOCKS))]
    return Scan(_blocked(data, like.affine, blocks), who.base.place @ affines.inverse(pose))


def _field(volume: Volume, pose: Matrix) -> Volume:
    """An empty grid of fine voxels around the posed volume."""
    corners = affines.apply(pose, affines.corners(volume.shape, volume.affine))
    low, high = corners.min(axis=0) - 2, corners.max(axis=0) + 2
    shape = tuple(int(n) for n in np.ceil((high - low) / FINE_MM))
    return Volume(np.broadcast_to(np.uint8(0), shape), affines.translation(low) @ affines.scaling(FINE_MM))


def _looked_up(who: Person, like: Volume, back: Matrix) -> NDArray[np.float32]:
    """The bent head on a grid; `back`: world of the grid -> world of the base."""
    import torch

    place = who.base.place
    step = affines.inverse(who.base.volume.affine)
    coarse = Volume(np.broadcast_to(np.uint8(0), tuple(n // 4 + 2 for n in like.shape)), like.affine @ affines.scaling(4))
    bend = resample(who.bend, coarse, place @ back).data @ (step[:3, :3] @ affines.inverse(place)[:3, :3]).T
    channels = torch.from_numpy(bend.astype(np.float32)).permute(3, 0, 1, 2)[None]
    wide = torch.nn.functional.interpolate(channels, _wide(coarse.shape), mode="trilinear", align_corners=True)
    at = _positions(like.shape, step @ back @ like.affine)
    at += wide[0].permute(1, 2, 3, 0).numpy()[: like.shape[0], : like.shape[1], : like.shape[2]]
    size = np.array(who.base.volume.shape, dtype=np.float32)
    grid = torch.from_numpy(np.ascontiguousarray(((2 * at + 1) / size - 1)[..., ::-1]))[None]
    source = torch.from_numpy(np.asarray(who.base.volume.data, dtype=np.float32))[None, None]
    return np.asarray(torch.nn.functional.grid_sample(source, grid, align_corners=False)[0, 0].numpy())


def _wide(shape: tuple[int, ...]) -> tuple[int, ...]:
    """As many voxels as lie between the outermost of every fourth, both counted."""
    return tuple(4 * (n - 1) + 1 for n in shape)


def _positions(shape: tuple[int, ...], step: Matrix) -> NDArray[np.float32]:
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    m = step.astype(np.float32)
    return i[:, None, None, None] * m[:3, 0] + j[None, :, None, None] * m[:3, 1] + k[None, None, :, None] * m[:3, 2] + m[:3, 3]


def _recoloured(data: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Another contrast: air stays air, every other grey value goes its own way."""
    top = float(np.percentile(data, 99.5))
    if random.random() < 0.3:
        return data
    knots = [0.0, 0.06, 0.2, 0.4, 0.7, 1.0, 4.0]
    ends = [0.0, random.uniform(0.03, 0.07), random.uniform(0.2, 0.5), *random.uniform(0.3, 1.0, 2), random.uniform(0.4, 1.0)]
    return np.asarray(np.interp(data / top, knots, [*ends, ends[-1]]) * top, dtype=np.float32)


def _coil(shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float32]:
    axes = [np.linspace(-1, 1, n, dtype=np.float32).reshape([-1 if a == b else 1 for b in range(3)]) for a, n in enumerate(shape)]
    return np.asarray(np.exp(sum(c * x for c, x in zip(random.uniform(-0.25, 0.25, 3).astype(np.float32), axes, strict=True))), dtype=np.float32)


def _blocked(data: NDArray[np.float64], affine: Matrix, blocks: tuple[int, int, int]) -> Volume:
    """Whole blocks of fine voxels averaged: thick slices."""
    cut = data[tuple(slice(0, n // b * b) for n, b in zip(data.shape, blocks, strict=True))]
    (a, b, c), (i, j, k) = blocks, cut.shape
    mean = cut.reshape(i // a, a, j // b, b, k // c, c).mean(axis=(1, 3, 5))
    step = np.diag([*blocks, 1.0])
    step[:3, 3] = [(n - 1) / 2 for n in blocks]
    return Volume(mean.astype(np.float32), affine @ step)


def cut(seen: Scan, seed: int, share: float = 0.2) -> Scan:
    """In this share of scans the field of view ends between nose and mouth (where the volume's third axis goes up)."""
    if np.random.default_rng(seed).random() >= share:
        return seen
    mouth = affines.apply(templates.head().volume.affine, np.array([[88.0, 215.0, 42.0]]))
    start = max(0, int(affines.apply(affines.inverse(seen.place @ seen.volume.affine), mouth)[0, 2]))
    return Scan(Volume(seen.volume.data[:, :, start:], seen.volume.affine @ affines.translation((0, 0, start))), seen.place)


def defaced(seen: Scan, seed: int, profile: str = facezones.DEFAULT, error_mm: float = 2.0) -> Volume:
    """The scan without the profile's zone, aligned with a random error (shift per axis of standard deviation `error_mm`, turn of half as many degrees)."""
    random = np.random.default_rng(seed)
    middle = affines.centre(templates.head().volume.shape, templates.head().volume.affine)
    turn = affines.translation(middle) @ affines.rotation(random.normal(0, error_mm / 2, 3)) @ affines.translation(-middle)
    wrong = affines.translation(random.normal(0, error_mm, 3)) @ turn
    gone = headfit.lookup(facezones.zone(profile), seen.volume, wrong @ seen.place) > 0
    data = seen.volume.data.copy()
    data[gone] = 0
    return Volume(data, seen.volume.affine)
