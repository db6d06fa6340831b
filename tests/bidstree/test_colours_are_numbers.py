"""A colour map is given out as three volumes of bytes, each as the converter stored it."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np

from bidstree import colour
from spatial.volumes import load


def test_red_green_and_blue_become_volumes_and_lose_nothing(tmp_path: Path) -> None:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    planes = np.random.default_rng(0).integers(0, 255, (5, 6, 7, 3)).astype(np.uint8)
    affine = np.diag([-2.0, 2, 3, 1])
    nib.save(nib.Nifti1Image(planes.view(kind).reshape(5, 6, 7), affine), tmp_path / "a.nii")
    assert colour.unpack(tmp_path / "a.nii")
    done = load(tmp_path / "a.nii")
    assert (done.data == planes).all() and (done.affine == affine).all()
    assert not colour.unpack(tmp_path / "a.nii"), "what is no colour stays as it is"
