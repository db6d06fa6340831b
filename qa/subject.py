"""What is measured: one image with whatever its measures share, series and picture alike, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qa import diffusion
from qa.errors import QaError, refusal
from qa.grades import Fact
from qa.metrics import kind
from qa.robust import Tensor
from qa.scene import Scene, canonical
from spatial.volumes import Volume

BODIES = ("brain", "spine", "cspine", "tspine", "lspine")
"""What an image can show. A segment (cspine, tspine, lspine) is a claim: the series is meant to show all of its cord."""
_SAID = {"SPINE": "spine", "CSPINE": "cspine", "TSPINE": "tspine", "LSPINE": "lspine"} | dict.fromkeys(("CTSPINE", "TLSPINE", "LSSPINE", "SSPINE"), "spine")


def body_of(facts: Mapping[str, Any]) -> str:
    """What header facts or a BIDS sidecar say an image shows (BodyPartExamined, BodyPart; DICOM PS3.16 annex L); brain where they say nothing of a spine."""
    said = (str(facts.get(name) or "").upper().replace(" ", "") for name in ("BodyPartExamined", "BodyPart"))
    return next((_SAID[word] for word in said if word in _SAID), "brain")


class Subject:
    """What is measured: the 3D scene of the image (of the mean over time, or of b0, for a series) and the series itself."""

    def __init__(
        self,
        volume: Volume,
        suffix: str,
        *,
        device: str,
        zone: NDArray[np.bool_] | None,
        body: str,
        stage: str,
        matrix: NDArray[np.float64] | None = None,
        cord: NDArray[np.bool_] | None = None,
        bias: str = "fit",
    ) -> None:
        self.volume, self.suffix, self.device, self.zone, self.stage = volume, suffix, device, zone, stage
        self.body, self.matrix, self.cord, self.bias = body, matrix, cord, bias
        self.kind = kind(suffix, body)
        self.bval: NDArray[np.float64] | None = None
        self.bvec: NDArray[np.float64] | None = None
        self.gradient_fault = ""
        self.found: list[Fact] = []  # what is wrong with what came beside the image

    @property
    def frames(self) -> int:
        """Number of volumes."""
        return self.volume.data.shape[3] if self.volume.data.ndim == 4 else 1

    @cached_property
    def scene(self) -> Scene:
        """The picture that stands for the image."""
        data: NDArray[Any] = self.volume.data
        if data.ndim == 4:
            chosen = list(range(data.shape[3]))
            if self.bval is not None and self.kind == "dwi" and len(self.bval) == data.shape[3] and (self.bval < diffusion.B0_BELOW).any():
                chosen = np.flatnonzero(self.bval < diffusion.B0_BELOW).tolist()
            data = data[..., chosen].mean(axis=3, dtype=np.float32)
        picture = Volume(np.nan_to_num(np.asarray(data, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0), self.volume.affine)
        return Scene(
            picture,
            self.suffix,
            device=self.device,
            zone=self.zone,
            brain_wanted=self.body == "brain",
            air_masked=self.stage == "post-deface",
            matrix=self.matrix,
            bias=self.bias,
        )

    @cached_property
    def series(self) -> Tensor:
        """(t, x, y, z) float32 on the device. Raises QaError `one_volume`."""
        import torch

        if self.frames < 3:
            raise refusal("one_volume")
        data, _, _ = canonical(np.asarray(self.volume.data), np.asarray(self.volume.affine))
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.nan_to_num(np.asarray(data, dtype=np.float32)), 3, 0))).to(self.device)

    @cached_property
    def region(self) -> Tensor:
        """Where series and slices are measured, native grid: the brain where one was placed, else the object. EPI shows hardly more than brain."""
        found = self.scene.head_native
        if self.kind not in ("bold", "dwi"):
            try:
                found = self.scene.brain_native
            except QaError:
                pass
        return found if self.scene.zone is None else found & ~self.scene.zone
