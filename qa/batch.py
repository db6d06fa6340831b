"""Many images at once: read and unpacked ahead, their brains placed together on the device, then measured one by one on their own grids.

On a GPU what costs time is unpacking and, after it, registration, which is many small steps of one volume and fills a device only when several volumes
take them together (`spatial.register.align_many`). While one batch is measured the next one is being read. The numbers are those of `qa.measure`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from qa.errors import QaError
from qa.examine import Report, judged, subject_of
from qa.masks import place_many
from qa.subject import Subject
from spatial.errors import SpatialError
from spatial.volumes import Volume, load

BATCH = {"cpu": 1, "cuda": 8}
"""Images at once, by kind of device: registering several together saves a GPU's time; a CPU is busy with one."""
PACKED = 256 * 1024 * 1024
"""Bytes on disk of the images of one batch: two batches are in memory at a time."""
READERS = 4

Job = Mapping[str, Any]
"""What `qa.measure` is called with, by name."""


def usual(device: str) -> int:
    """How many images at once a device gets."""
    return BATCH[device.split(":")[0]]


def measure_many(jobs: Sequence[Job | Report], device: str = "cpu") -> list[Report]:
    """Measure one batch; the answers of `qa.measure`, in order. A report among the jobs (of a file that could not be read) stays as it is.

    Raises what `qa.measure` raises.
    """
    found = [job if isinstance(job, Report) else (subject_of(**job, device=device), job) for job in jobs]
    _place([one[0] for one in found if isinstance(one, tuple)], device)
    return [judged(one[0], **one[1]) if isinstance(one, tuple) else one for one in found]


def _place(subjects: Sequence[Subject], device: str) -> None:
    """Place the brains of all that show one, together. What cannot be placed is refused where a measure asks for it."""
    waiting = [one for one in subjects if _shows_a_brain(one)]
    if len(waiting) < 2:
        return  # alone it is placed when a measure asks
    grids = [Volume(one.scene.work.cpu().numpy(), one.scene.work_affine) for one in waiting]
    for one, found in zip(waiting, place_many(grids, device), strict=True):
        one.scene.given_matrix = found


def _shows_a_brain(subject: Subject) -> bool:
    if subject.body != "brain" or subject.kind == "map" or subject.matrix is not None or min(subject.volume.shape[:3]) < 2:
        return False
    try:
        _ = subject.scene.head
    except QaError:
        return False
    return True


def batches(paths: Sequence[Path], size: int) -> Iterator[list[Path]]:
    """Paths in order, at most `size` together and, unless one alone is larger, at most PACKED bytes on disk."""
    held: list[Path] = []
    total = 0
    for path in paths:
        more = path.stat().st_size
        if held and (len(held) == size or total + more > PACKED):
            yield held
            held, total = [], 0
        held.append(path)
        total += more
    if held:
        yield held


def ahead(paths: Sequence[Path], size: int) -> Iterator[list[tuple[Path, Volume | SpatialError]]]:
    """Each batch of images with its volumes in memory; the next batch is read and unpacked while the caller works on this one."""
    with ThreadPoolExecutor(min(READERS, size)) as readers:
        waiting: list[Any] = []
        for group in batches(paths, size):
            coming = [(path, readers.submit(read, path)) for path in group]
            if waiting:
                yield [(path, one.result()) for path, one in waiting]
            waiting = coming
        yield [(path, one.result()) for path, one in waiting]


def read(path: Path) -> Volume | SpatialError:
    """The volume with its values in memory, or why there is none."""
    try:
        volume = load(path)
        return Volume(np.asarray(volume.data), volume.affine)
    except SpatialError as error:
        return error
