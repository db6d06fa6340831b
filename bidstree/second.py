"""The second opinion: dicom2nifti, asked in a process of its own, because it can hang, crash, or take the interpreter down with it.

`python -m bidstree.second` is a desk: it imports dicom2nifti once (which takes longer than most series), then forks a process for each series it is asked
about, so that none can harm the next. A line of JSON in (folder, out, wall_s), a line out (said). It ends when its input does. Nothing of dicom2nifti's
messages is trusted or shown: only the kind of its refusal. `ask` is the other end, `compare` says how two images of one series differ.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

WALL_S = 300.0
START_S = 60.0  # for the desk to begin its work on a busy machine
CORNER_MM = 0.5  # allowed distance between corners of two images of one series
CORRELATION = 0.99
SAME_VALUES = 0.999999
MANY = 1_000_000  # voxels of a volume that are compared


@dataclass(frozen=True)
class Opinion:
    """`said`: agrees, scale_only, geometry_differs, values_differ, shape_differs, refused, crashed, timeout, not_asked. Distances in mm."""

    said: str
    corner_mm: float | None = None
    correlation: float | None = None
    scale: float | None = None
    axes_flipped: str = ""


def ask(folder: Path, out: Path, *, wall_s: float = WALL_S) -> str:
    """Have `folder` converted to `out` in a process of its own; returns `image`, `refused`, `crashed` or `timeout`."""
    with _DESK.lock:
        return _DESK.ask(folder, out, wall_s)


class _Desk:
    """The process that was asked last, kept for the next question of this very process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None
        self.owner = 0

    def ask(self, folder: Path, out: Path, wall_s: float) -> str:
        process = self.open()
        assert process.stdin and process.stdout
        question = {"folder": str(folder.resolve()), "out": str(out.resolve()), "wall_s": wall_s}
        try:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            # The desk keeps the time itself; should it fail to, it goes.
            ready = select.select([process.stdout], [], [], wall_s + START_S)[0]
            said = str(json.loads(process.stdout.readline())["said"]) if ready else "timeout"
        except (OSError, ValueError, KeyError):
            said = "crashed"
            ready = []
        if not ready:
            self.close()
        return said if said in {"image", "refused", "crashed", "timeout"} else "crashed"

    def open(self) -> subprocess.Popen[bytes]:
        """The living desk; a new one where there is none, or where it belongs to a process that we were forked from."""
        if self.process is not None and self.owner == os.getpid() and self.process.poll() is None:
            return self.process
        if self.owner == os.getpid():
            self.close()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
        command = [sys.executable, "-m", "bidstree.second"]
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.owner = os.getpid()
        return self.process

    def close(self) -> None:
        """End the desk; what it was doing is lost."""
        process, self.process = self.process, None
        if process is None or self.owner != os.getpid():
            return
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        process.kill()
        process.wait()


_DESK = _Desk()
atexit.register(_DESK.close)


def serve() -> None:
    """The desk's life: a question, a process for it, an answer, until the input ends."""
    import dicom2nifti  # noqa: F401  before the first fork, so that no child pays for it

    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    void = os.open(os.devnull, os.O_RDWR)
    os.dup2(void, 1)
    os.dup2(void, 2)
    for line in iter(lambda: _line(0), b""):
        question = json.loads(line)
        said = _aside(Path(question["folder"]), Path(question["out"]), float(question["wall_s"]))
        answers.write(json.dumps({"said": said}).encode() + b"\n")


def _line(descriptor: int) -> bytes:
    """One line, unbuffered: nothing is read ahead, so that a readable input while a child works means that nobody waits for its answer any more."""
    found = bytearray()
    while not found.endswith(b"\n"):
        byte = os.read(descriptor, 1)
        if not byte:
            return b""
        found += byte
    return bytes(found)


def _aside(folder: Path, out: Path, wall_s: float) -> str:
    """Convert in a fork; what it says, `timeout`, or `crashed` where it ends without a word."""
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(ours)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.write(theirs, convert(folder, out).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    ready = select.select([ours, 0], [], [], wall_s)[0]
    said = os.read(ours, 64).decode("ascii", "replace") if ours in ready else ""
    if not said:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ours)
    return said or ("crashed" if ready else "timeout")


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


@dataclass(frozen=True)
class _Turned:
    """An image on the closest canonical axes: stored values as a view (i, j, k, t), their factor, and the affine."""

    data: NDArray[Any]
    slope: float
    affine: NDArray[np.float64]


def _canonical(path: Path) -> _Turned:
    """The image turned by views alone: nothing is copied, nothing scaled."""
    import nibabel as nib

    image: Any = nib.load(path)
    turn = nib.orientations.io_orientation(image.affine)
    data = np.asanyarray(image.dataobj.get_unscaled())
    shape = data.shape[:3]
    data = data.reshape((*shape, -1)) if not data.dtype.fields else data
    affine = image.affine @ nib.orientations.inv_ornt_aff(turn, shape)
    slope = image.dataobj.slope
    return _Turned(nib.orientations.apply_orientation(data, turn), 1.0 if slope is None else float(slope), np.asarray(affine, dtype=np.float64))


def compare(ours: Path, theirs: Path) -> Opinion:
    """How two images of one series differ, after both are turned to the closest canonical axes (RAS).

    Same shape; corners of the two grids within `CORNER_MM`; values of the first and the last volume correlated above `CORRELATION` (of large volumes that
    are not equal as they stand, every second or third voxel along each axis is looked at).
    """
    a, b = _canonical(ours), _canonical(theirs)
    if a.data.shape != b.data.shape or a.data.dtype.fields:
        return Opinion("shape_differs")
    corner = _corner_distance(a.affine, b.affine, a.data.shape[:3])
    volumes = sorted({0, a.data.shape[3] - 1})
    if a.slope == b.slope and all(np.array_equal(a.data[..., t], b.data[..., t]) for t in volumes):
        return Opinion("agrees" if corner <= CORNER_MM else "geometry_differs", corner, 1.0, 1.0)
    first = [_sample(a, t) for t in volumes]
    correlation, scale = _fit(first, [_sample(b, t) for t in volumes])
    flipped = _flip(first, b, volumes) if correlation < CORRELATION else ""
    if corner > CORNER_MM or flipped:
        return Opinion("geometry_differs", corner, correlation, None, flipped)
    if correlation < CORRELATION:
        return Opinion("values_differ", corner, correlation)
    return Opinion("agrees" if abs(scale - 1) < 1e-3 and correlation > SAME_VALUES else "scale_only", corner, correlation, scale)


def _corner_distance(a: NDArray[np.float64], b: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    ends = np.array([[i, j, k, 1.0] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1) for k in (0, shape[2] - 1)])
    return float(np.linalg.norm((ends @ a.T - ends @ b.T)[:, :3], axis=1).max())


def _sample(one: _Turned, t: int, axis: int | None = None) -> NDArray[np.float32]:
    """Real values (but for the offset) of one volume, thinned to about a million voxels; first turned round along `axis`, if asked."""
    volume = one.data[..., t] if axis is None else np.flip(one.data[..., t], axis)
    step = max(1, round((volume.size / MANY) ** (1 / 3)))
    return volume[::step, ::step, ::step].astype(np.float32) * np.float32(one.slope)


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


def _flip(a: list[NDArray[np.float32]], b: _Turned, volumes: list[int]) -> str:
    """Which axis, when turned round, makes the values agree: the mark of a mirrored image."""
    for axis, name in enumerate("ijk"):
        if _fit(a, [_sample(b, t, axis) for t in volumes])[0] > CORRELATION:
            return name
    return ""


if __name__ == "__main__":
    serve()
