"""The witness: does a converted image hold the frames of its series, each where its header says, with the values that were stored?

Neither converter is asked. Every frame is placed in the image's grid by its plane attributes (`bidstree.geometry`); a sample of frames is decoded and
compared with the plane of voxels under it, in the frame's own row and column order, so a mirrored, shifted or swapped plane cannot pass. In time series the
order of volumes is compared with the order in which the scanner counted the frames of each slice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidstree import geometry
from bidstree.geometry import Frame, Placing

SAMPLES = 12  # frames of an image whose values are compared


@dataclass
class Evidence:
    """What our own geometry found about one image."""

    nifti: Path
    shape: tuple[int, ...]
    geometry: str
    values: str = "unchecked"
    order: str = "unchecked"
    residual: float = 0.0
    placings: list[Placing] = field(default_factory=list)


def weigh(nifti: Path, frames: Sequence[Frame], pixels: geometry.Pixels | None = None) -> Evidence:
    """Hold one converted image against the frames of its series; `pixels` may be shared between the images of a series.

    Reads the image and some pixels; raises nothing for what the files hold.
    """
    import nibabel as nib

    image = nib.load(nifti)
    shape = tuple(int(n) for n in image.shape)
    if any(frame.position is None for frame in frames):
        return Evidence(nifti, shape, "unavailable")
    affine = np.asarray(image.affine, dtype=np.float64)
    placed = geometry.place_all(frames, affine, shape)
    evidence = Evidence(nifti, shape, "contradicts")
    if not placed:
        return evidence
    chosen = _belonging(placed, image, sidecar_of(nifti), evidence, pixels or geometry.Pixels())
    slices = np.bincount([placing.slice for placing in chosen]) if chosen else np.array([0])
    volumes = shape[3] if len(shape) > 3 else 1
    across = int(np.prod(shape[:3])) // (placed[0].frame.rows * placed[0].frame.columns)
    evidence.placings = chosen
    if len(slices) == across and bool((slices == volumes).all()):
        evidence.geometry, evidence.residual = "agrees", max(placing.residual for placing in chosen)
    return evidence


def _belonging(placed: list[Placing], image: Any, sidecar: dict[str, Any], evidence: Evidence, pixels: geometry.Pixels) -> list[Placing]:
    """The frames that are in this image: groups (echo, component, derived kind) whose sampled pixels are found under them."""
    groups: dict[tuple[str | float, ...], list[Placing]] = {}
    for placing in placed:
        groups.setdefault(placing.frame.group, []).append(placing)
    data = _array(image)
    chosen: list[Placing] = []
    verdicts: list[str] = []
    orders: list[str] = []
    for group in groups.values():
        values, order, members = _compare(group, data, pixels)
        if values == "differ" and len(groups) > 1:
            continue
        if values == "unchecked" and len(groups) > 1 and not _same_echo(group[0].frame, sidecar):
            continue
        chosen += members
        verdicts.append(values)
        orders.append(order)
    for word in ("differ", "unchecked", "equal"):
        if word in verdicts:
            evidence.values = word
            break
    evidence.order = "permuted" if "permuted" in orders else next(iter(orders), "unchecked")
    return chosen


def _array(image: Any) -> NDArray[Any]:
    """(i, j, k, t) array of an image, values as stored; first channel of colour. Comparison is up to one positive scaling, so none is computed here.

    A header that turns values round (a negative slope) is obeyed: what a reader sees is what counts.
    """
    turned = image.dataobj.slope is not None and float(image.dataobj.slope) < 0
    data: NDArray[Any] = np.asanyarray(image.dataobj if turned else image.dataobj.get_unscaled())
    if data.dtype.fields:
        data = data[next(iter(data.dtype.fields))]
    return data.reshape((*data.shape[:3], -1))


def _same_echo(frame: Frame, sidecar: dict[str, Any]) -> bool:
    echo = sidecar.get("EchoTime")
    return isinstance(echo, int | float) and abs(float(echo) * 1000 - float(frame.group[0])) < 0.01


def sidecar_of(nifti: Path) -> dict[str, Any]:
    """The JSON that dcm2niix wrote beside an image; empty where there is none."""
    try:
        loaded = json.loads(nifti.with_suffix(".json").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _compare(group: list[Placing], data: NDArray[Any], pixels: geometry.Pixels) -> tuple[str, str, list[Placing]]:
    """Compare sampled frames with the planes under them: (equal/differ/unchecked, as_acquired/permuted/unchecked, frames that belong)."""
    ranks = _ranks(group)
    volumes = data.shape[3]
    picks = [group[int(n)] for n in np.unique(np.linspace(0, len(group) - 1, min(SAMPLES, len(group))).round())]
    order, checked, lost = "as_acquired", 0, []
    for placing in picks:
        stored = pixels.of(placing.frame)
        if stored is None:
            continue
        checked += 1
        rank = ranks[id(placing)]
        candidates = [rank, *(t for t in range(volumes) if t != rank)] if rank < volumes else list(range(volumes))
        hit = next((t for t in candidates if _same(stored, placing.plane(data[..., t]))), None)
        if hit is None:
            lost.append(placing)
        elif hit != rank:
            order = "permuted"
    if not checked:
        return "unchecked", "unchecked", group
    if not lost:
        return "equal", order, group
    return _part(group, lost, data, pixels, checked, order)


def _part(group: list[Placing], lost: list[Placing], data: NDArray[Any], pixels: geometry.Pixels, checked: int, order: str) -> tuple[str, str, list[Placing]]:
    """Some samples are not in the image: right where the image holds whole volumes of the group and others were set apart (derived maps), wrong else.

    One frame of each volume (by rank within its slice) is looked for; volumes that are found must be as many as the image has.
    """
    volumes = data.shape[3]
    ranks = _ranks(group)
    if (len(lost) == checked and volumes > 1) or len(group) <= volumes * len({placing.slice for placing in group}):
        return "differ", order, group
    middle = sorted({placing.slice for placing in group})
    witness = {ranks[id(placing)]: placing for placing in group if placing.slice == middle[len(middle) // 2]}
    found: set[int] = set()
    for rank, placing in witness.items():
        stored = pixels.of(placing.frame)
        if stored is not None and any(_same(stored, placing.plane(data[..., t])) for t in range(volumes)):
            found.add(rank)
    members = [placing for placing in group if ranks[id(placing)] in found]
    return ("equal" if len(found) == volumes else "differ"), order, members


def _ranks(group: list[Placing]) -> dict[int, int]:
    """Position of each frame among those of its slice, in the scanner's count: the volume it should be in."""
    slices: dict[int, list[Placing]] = {}
    for placing in group:
        slices.setdefault(placing.slice, []).append(placing)
    return {id(placing): n for members in slices.values() for n, placing in enumerate(sorted(members, key=lambda one: one.frame.number))}


def _same(stored: NDArray[Any], shown: NDArray[Any]) -> bool:
    """Whether two planes are the same up to one positive linear scaling (declared slopes, or Philips' precise one)."""
    if stored.shape != shown.shape:
        return False
    if np.array_equal(stored, shown):
        return True
    # Rows apart from each other decide most cases that differ, for a fraction of the price; with less room for chance, so the limit is wider.
    spread = float(np.ptp(shown))
    return _scaled(stored[::8], shown[::8], 8e-3 * spread) is not False and bool(_scaled(stored, shown, 2e-3 * spread))


def _scaled(stored: NDArray[Any], shown: NDArray[Any], limit: float) -> bool | None:
    """Whether y = slope x + offset within `limit`, with a positive slope (by least squares); None where neither varies."""
    x, y = stored.astype(np.float64), shown.astype(np.float64)
    x -= x.mean()
    y -= y.mean()
    power = float((x * x).sum())
    if power == 0 or not y.any():
        return None if power == 0 and float(np.abs(y).max()) <= limit else power != 0 and float(np.abs(y).max()) <= limit and None
    slope = float((x * y).sum()) / power
    return bool(slope > 0 and float(np.abs(x * slope - y).max()) <= limit)


def lost(found: Sequence[Evidence], frames: Sequence[Frame]) -> int:
    """How many frames of the series are in none of its images; 0 where geometry cannot tell."""
    if any(one.geometry != "agrees" for one in found):
        return 0
    there = {(placing.frame.file, placing.frame.index) for one in found for placing in one.placings}
    return sum((frame.file, frame.index) not in there for frame in frames)


def inside(part: Evidence, whole: Evidence) -> bool:
    """Whether `whole` holds all frames of `part` and more volumes of the same grid."""
    a, b = {placing.frame.uid for placing in part.placings}, {placing.frame.uid for placing in whole.placings}
    return part.shape[:3] == whole.shape[:3] and bool(a) and a < b and part.geometry == whole.geometry == "agrees"


def without(whole: Evidence, part: Evidence) -> Path | None:
    """Write the volumes of `whole` that are not in `part` to an image beside it, with a sidecar whose ImageType says what they are; None if none is found.

    A volume that follows the geometric mean of the diffusion-weighted volumes of `part` is their trace; one that runs against it is a diffusivity (ADC).
    """
    import nibabel as nib

    image, rest = nib.load(whole.nifti), nib.load(part.nifti)
    stored, known = np.asanyarray(image.dataobj.get_unscaled()), np.asanyarray(rest.dataobj.get_unscaled())
    volumes = known.reshape((*known.shape[:3], -1))
    new = [t for t in range(stored.shape[3]) if not any(np.array_equal(stored[..., t], volumes[..., u]) for u in range(volumes.shape[3]))]
    if not new:
        return None
    header = image.header.copy()
    kept = stored[..., new[0]] if len(new) == 1 else stored[..., new]
    target = whole.nifti.with_name(f"{whole.nifti.stem}_apart.nii")
    apart = nib.Nifti1Image(kept, image.affine, header)
    apart.header.set_slope_inter(image.dataobj.slope, image.dataobj.inter)
    nib.save(apart, target)
    sidecar = sidecar_of(whole.nifti)
    kind = _kind(np.asarray(kept, dtype=np.float64).reshape((*kept.shape[:3], -1))[..., 0], volumes, part.nifti.with_suffix(".bval"))
    sidecar["ImageType"] = ["DERIVED", *[word for word in sidecar.get("ImageType", []) if word != "ORIGINAL"], "DIFFUSION", *kind]
    target.with_suffix(".json").write_text(json.dumps(sidecar), encoding="utf-8")
    return target


def _kind(volume: NDArray[np.float64], volumes: NDArray[Any], bval: Path) -> list[str]:
    """`TRACEW`, `ADC` or nothing, from the values themselves."""
    weights = np.atleast_1d(np.loadtxt(bval)) if bval.exists() else np.zeros(0)
    if weights.size != volumes.shape[3] or not (weights > 50).any():
        return []
    weighted = np.log1p(np.maximum(volumes[..., weights > 50].astype(np.float64), 0)).mean(axis=3)
    bright = volumes[..., int(np.argmin(weights))]
    head = bright > np.percentile(bright, 70)
    likeness = float(np.corrcoef(np.log1p(np.maximum(volume[head], 0)), weighted[head])[0, 1])
    return ["TRACEW"] if likeness > 0.8 else (["ADC"] if likeness < 0.3 else [])
