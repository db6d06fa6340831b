"""A series is whole when every position along its normal was imaged equally often and equally far apart; what is not whole is named, not converted.

Converters take almost anything: a lost slice becomes a squeezed head, an interrupted time series a shorter one, two orientations two odd images.
The test is pure geometry on `bidstree.geometry.Frame`s, per group of frames that belong to one volume (same echo, same component, same derived kind,
same orientation and matrix). Distances count as equal within 1 % of the slice step or 0.1 mm, whichever is larger (conversion notes, section 4).
Allowed oddities of scanners: several volumes in one series, echoes or components in one series, two-slice series of many volumes, mosaics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bidstree.frames import Series
from bidstree.geometry import Frame

MIN_SLICES = 3
FLIP = 1.0  # degrees by which the flip angle of one contrast may vary


@dataclass(frozen=True)
class Stack:
    """One set of planes in space: number of positions, volumes over them, and the step between them (mm)."""

    group: tuple[str | float, ...]
    slices: int
    volumes: int
    step: float
    frames: int


@dataclass(frozen=True)
class Completeness:
    """`code` is `ok` or why the series cannot become an image; `stacks` what is in it."""

    code: str
    reason: str
    advice: str
    stacks: tuple[Stack, ...] = ()
    placed: bool = True


def check(series: Series) -> Completeness:
    """Say whether `series` (read by `frames.read`) is whole; never raises."""
    early = _unfit(series)
    if early:
        return early
    if any(frame.position is None for frame in series.frames):
        # Tiles of a mosaic whose vendor header is lost have no place of their own, but the converter may know it; a plain frame has none at all.
        if any(frame.position is None and frame.tile is None for frame in series.frames):
            return _refuse("position_unknown", "Slices of the series do not say where they lie.", "Hand in the images as the scanner made them, not captures.")
        return Completeness("ok", "", "", (), placed=False)
    groups = _groups(series.frames)
    orientations = _distinct([frames[0] for frames in groups.values()])
    if orientations > 1:
        return _orientations(series, orientations)
    stacks: list[Stack] = []
    for key, frames in groups.items():
        stack, trouble = _stack(key, frames)
        if trouble:
            return trouble
        stacks.append(stack)
    if all(stack.slices < MIN_SLICES and stack.volumes < 2 for stack in stacks):
        return _refuse("too_few_slices", f"The series has {max(stack.slices for stack in stacks)} slice(s): no volume.", "Hand in the whole series.")
    return Completeness("ok", "", "", tuple(stacks))


def _refuse(code: str, reason: str, advice: str) -> Completeness:
    return Completeness(code, reason, advice)


def _unfit(series: Series) -> Completeness | None:
    if not series.frames:
        return _refuse("no_image", "No file of the series holds a readable image.", "Hand in the original DICOM files.")
    if series.short:
        return _refuse(
            "pixels_truncated", f"{len(series.short)} file(s) have fewer pixels than their header promises.", "Copy the series again from the archive."
        )
    if len(series.uids) > 1:
        return _refuse("several_series", f"The folder holds files of {len(series.uids)} series.", "Give each series a folder of its own.")
    if len(series.references) > 1:
        return _refuse("several_frames_of_reference", "The slices have different frames of reference.", "Ask the scanner's archive for the series as acquired.")
    if series.flips and max(series.flips) - min(series.flips) > FLIP:
        reason = f"The series mixes images of {len(series.flips)} flip angles: other contrasts under one name."
        return _refuse("mixed_contrast", reason, "Hand in each contrast as a series of its own.")
    uids = Counter(frame.uid for frame in series.frames)
    doubled = sum(1 for uid, times in uids.items() if times > 1 and uid)
    if doubled:
        return _refuse("duplicate_images", f"{doubled} image(s) are in the series more than once.", "Hand in each file once.")
    return None


def _groups(frames: Sequence[Frame]) -> dict[tuple[str | float, ...], list[Frame]]:
    """Frames that may form one volume: same group, orientation (1e-3), matrix and pixel spacing."""
    groups: dict[tuple[str | float, ...], list[Frame]] = {}
    anchors: list[tuple[Frame, tuple[str | float, ...]]] = []
    # Frames whose headers say the very same need not be compared one by one.
    said: dict[tuple[object, ...], tuple[str | float, ...]] = {}
    for frame in frames:
        words = (frame.group, frame.rows, frame.columns, frame.spacing, frame.right.tobytes(), frame.down.tobytes())
        key = said.get(words)
        if key is None:
            key = next((known for anchor, known in anchors if _alike(anchor, frame)), None)
        if key is None:
            key = (*frame.group, len(anchors))
            anchors.append((frame, key))
        said[words] = key
        groups.setdefault(key, []).append(frame)
    return groups


def _alike(a: Frame, b: Frame) -> bool:
    return a.group == b.group and _parallel(a, b) and (a.rows, a.columns) == (b.rows, b.columns) and bool(np.allclose(a.spacing, b.spacing, rtol=1e-3))


def _parallel(a: Frame, b: Frame) -> bool:
    return bool(np.abs(a.right - b.right).max() < 1e-3 and np.abs(a.down - b.down).max() < 1e-3)


def _distinct(frames: Sequence[Frame]) -> int:
    kinds: list[Frame] = []
    for frame in frames:
        if not any(_parallel(frame, kind) for kind in kinds):
            kinds.append(frame)
    return len(kinds)


def _orientations(series: Series, count: int) -> Completeness:
    if "LOCALIZER" in series.image_type or (count == 3 and len(series.frames) <= 60):
        return _refuse("localizer", f"A localizer: slices in {count} orientations, for planning only.", "Nothing to do: localizers are kept out.")
    return _refuse("mixed_orientation", f"The slices of the series lie in {count} orientations.", "Hand in each orientation as a series of its own.")


def _stack(key: tuple[str | float, ...], frames: list[Frame]) -> tuple[Stack, Completeness | None]:
    depths = np.array([frame.position for frame in frames]) @ frames[0].normal
    order = np.sort(depths)
    jumps = np.diff(order)
    step = float(np.median(jumps[jumps > 0.01])) if (jumps > 0.01).any() else 0.0
    tolerance = min(max(0.01 * step, 0.1), 0.4 * step) if step else 0.01
    starts = np.concatenate([[True], jumps > tolerance]) if len(order) > 1 else np.array([True])
    where = np.cumsum(starts) - 1
    positions = np.array([order[where == n].mean() for n in range(int(where[-1]) + 1)])
    times = np.bincount(where)
    stack = Stack(key, len(positions), int(times.max()), step, len(frames))
    return stack, _uneven(positions, tolerance) or _interrupted(times, len(frames)) or _sheared(frames)


def _uneven(positions: np.ndarray[tuple[int], np.dtype[np.float64]], tolerance: float) -> Completeness | None:
    if len(positions) < 2:
        return None
    gaps = np.diff(positions)
    step = float(gaps.min())
    allowed = max(tolerance, 0.01 * step)
    if float(gaps.max()) - step <= allowed:
        return None
    # With slices lost, every gap is a whole multiple of the smallest.
    multiples = np.rint(gaps / step)
    if np.all(np.abs(gaps - multiples * step) <= allowed * multiples):
        lost = int((multiples - 1).sum())
        return _refuse(
            "missing_slices", f"{lost} slice(s) are missing between the {len(positions)} of the series.", "Export the whole series from the archive again."
        )
    reason = f"The distance between slices varies from {gaps.min():.2f} to {gaps.max():.2f} mm."
    return _refuse("uneven_spacing", reason, "NIfTI needs equally spaced slices; hand in the series as acquired.")


def _interrupted(times: np.ndarray[tuple[int], np.dtype[np.int64]], frames: int) -> Completeness | None:
    if times.min() == times.max():
        return None
    want = int(times.max()) * len(times)
    reason = f"{frames} slices do not fill {times.max()} volumes of {len(times)}: {want - frames} are missing."
    return _refuse("interrupted_series", reason, "Export the series again; if the scan was stopped, remove the unfinished volume.")


def _sheared(frames: list[Frame]) -> Completeness | None:
    """First pixels of a stack lie on one line along the normal; a gantry tilt or a shift within the stack has no NIfTI affine that is right."""
    normal = frames[0].normal
    assert frames[0].position is not None
    offsets = np.array([frame.position for frame in frames]) - frames[0].position
    sideways = float(np.linalg.norm(offsets - np.outer(offsets @ normal, normal), axis=1).max())
    if sideways <= max(0.1, 0.02 * min(frames[0].spacing)) or _oblique_line(offsets):
        return None
    return _refuse("slices_shifted", f"Slices of the series are shifted sideways by up to {sideways:.1f} mm.", "Hand in the series as acquired.")


def _oblique_line(offsets: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> bool:
    """Whether the offsets lie on one (tilted) line: UIH rotated grids do, within rounding of their headers."""
    singular = np.linalg.svd(offsets - offsets.mean(axis=0), compute_uv=False)
    return bool(singular[1] <= 0.01 * max(float(singular[0]), 1e-9))
