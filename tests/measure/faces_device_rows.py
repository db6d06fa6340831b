"""The same answer sooner: batches of 16 volumes on a CUDA device beside one at a time on the CPU.

Sixteen copies of the template head, each moved by a known affine from its own seed, so that the row needs no shared data. Where there is no device the
row says that it was not run; nothing is concluded from that.
"""

from __future__ import annotations

import time

import numpy as np
from table import Result

from spatial import affines, templates
from spatial.affines import Matrix
from spatial.register import align, align_many, apart_mm
from spatial.volumes import Volume

BATCH = 16
SECONDS, AGREE_MM = 0.3, 0.1
ON_CPU = 4  # of the batch: enough to compare


def moved_heads(count: int = BATCH) -> list[Volume]:
    """The template's grid turned by up to 20 degrees and moved by up to 20 mm, in the header alone, and its values with seeded noise."""
    head, out = templates.head().volume, []
    for seed in range(count):
        rng = np.random.default_rng(seed)
        turn, shift = np.deg2rad(rng.uniform(-20, 20, 3)), rng.uniform(-20, 20, 3)
        noisy = head.data + rng.normal(0, 0.02 * float(head.data.max()), head.data.shape).astype(np.float32)
        out.append(Volume(noisy, _pose(turn, shift) @ head.affine))
    return out


def _pose(turn: np.ndarray, shift: np.ndarray) -> Matrix:
    from scipy.spatial.transform import Rotation

    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(turn).as_matrix()
    return affines.translation(shift) @ pose


def on_cuda(depth: str) -> Result:
    """Seconds for each volume of a batch of 16 on CUDA, reading apart, and how far its face box lies from the CPU's."""
    import torch

    if not torch.cuda.is_available():
        return Result("not run: no CUDA device on this machine", met=True, sample=True)
    head, volumes = templates.head().volume, moved_heads()
    align_many(head, volumes[:1], device="cuda")  # the first call on a device loads kernels
    torch.cuda.synchronize()
    started = time.perf_counter()
    found = align_many(head, volumes, device="cuda", batch=BATCH)
    torch.cuda.synchronize()
    each = (time.perf_counter() - started) / BATCH
    beside = [align(head, volume, kind="affine") for volume in volumes[: ON_CPU if depth != "full" else BATCH]]
    apart = max(apart_mm(c.matrix, g.matrix, templates.face_box()) for c, g in zip(beside, found, strict=False))  # type: ignore[union-attr]
    figure = f"{each:.2f} s a volume in a batch of {BATCH}; {apart:.3f} mm from the CPU ({len(beside)} heads)"
    return Result(figure, met=each < SECONDS and apart <= AGREE_MM)
