"""A registry sends no file names, so a mask lies in quarantine without an ending: it is known by its first bytes."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pipeline import rooms

AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])


def handed_in(tmp_path: Path, blob: bytes) -> dict[str, Any]:
    image = tmp_path / "sub-a_FLAIR.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(20 * 20 * 10, dtype=np.int16).reshape(20, 20, 10), AFFINE), image)
    (tmp_path / "17").write_bytes(blob)
    digest = hashlib.sha256(blob).hexdigest()
    return {"path": str(tmp_path / "17"), "sha256": digest, "hint": "17", "images": {"sub-a_FLAIR.nii.gz": str(image)}, "out": str(tmp_path / "out.nii.gz")}


def drawn() -> bytes:
    values = np.zeros((20, 20, 10), np.uint8)
    values[5:8, 5:8, 3:5] = 1
    return bytes(nib.Nifti1Image(values, AFFINE).to_bytes())


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_packed_or_not_it_finds_its_image(tmp_path: Path, pack: Any) -> None:
    done = rooms.attach(handed_in(tmp_path, pack(drawn())))
    assert done["image"] == "sub-a_FLAIR.nii.gz"
    assert int(np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj).sum()) == 3 * 3 * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["17", "out.nii.gz", "sub-a_FLAIR.nii.gz"]


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"mask_unreadable|could not be read"):
        rooms.attach(handed_in(tmp_path, gzip.compress(b"no image")))
