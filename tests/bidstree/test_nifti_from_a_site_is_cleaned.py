"""A site's NIfTI keeps its voxels and loses its words; what is no scan is refused."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bidstree import intake
from bidstree.errors import BidsError

FLAIR = "nifti/ms_longitudinal_patient01/raw/patient01/study1_FLAIR.nii.gz"
SECRET = b"MUSTERMANN"


def planted(mri: Path, target: Path) -> Path:
    image = nib.load(mri / FLAIR)
    header = image.header.copy()
    header["descrip"], header["aux_file"], header["intent_name"], header["db_name"] = SECRET, SECRET, SECRET, SECRET
    header.extensions.append(nib.nifti1.Nifti1Extension("comment", SECRET))
    loud = nib.Nifti1Image(np.asanyarray(image.dataobj), image.affine, header)
    with target.open("wb") as raw, gzip.GzipFile(filename=SECRET.decode(), mode="wb", fileobj=raw) as out:
        out.write(loud.to_bytes())
    return target


def test_words_go_and_voxels_stay(mri: Path, tmp_path: Path) -> None:
    source = planted(mri, tmp_path / "loud.nii.gz")
    assert SECRET in gzip.decompress(source.read_bytes()) and SECRET in source.read_bytes()
    taken = intake.nifti(source, tmp_path / "clean.nii.gz", {"EchoTime": 0.1, "PatientName": "x", "InstitutionName": "y", "Hans Mueller 1961-03-02": 1})
    assert SECRET not in gzip.decompress((tmp_path / "clean.nii.gz").read_bytes()) and SECRET not in (tmp_path / "clean.nii.gz").read_bytes()
    a, b = nib.load(source), nib.load(tmp_path / "clean.nii.gz")
    assert np.array_equal(a.dataobj, b.dataobj) and np.array_equal(a.affine, b.affine)
    assert taken.sidecar == {"EchoTime": 0.1} and set(taken.dropped) == {"PatientName", "InstitutionName"}
    assert taken.others == 1 and "Mueller" not in repr(taken)


def flat(image: Any) -> None:
    image.header.set_sform(np.diag([1.0, 1, 0, 1]), code=1)
    image.header["pixdim"][3] = 0


def nowhere(image: Any) -> None:
    image.header["sform_code"] = image.header["qform_code"] = 0


def endless(image: Any) -> None:
    image.header["dim"][1:4] = 30000


@pytest.mark.parametrize("spoil", [flat, nowhere, endless])
def test_what_cannot_be_a_scan_is_refused(tmp_path: Path, spoil: Any) -> None:
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.int16), np.eye(4))
    (tmp_path / "good.nii").write_bytes(image.to_bytes())
    assert intake.nifti(tmp_path / "good.nii", tmp_path / "good.nii.gz").shape == (4, 5, 6)
    blob = bytearray(image.to_bytes())
    spoil(image)
    blob[:348] = image.header.binaryblock
    (tmp_path / "bad.nii").write_bytes(bytes(blob))
    with pytest.raises(BidsError) as error:
        intake.nifti(tmp_path / "bad.nii", tmp_path / "bad.nii.gz")
    assert error.value.code == "nifti_refused" and not (tmp_path / "bad.nii.gz").exists()
