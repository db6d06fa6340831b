"""De-identification costs conversion nothing: dcm2niix gives the same voxels, affine, b-values and directions
before and after, and loses no key of the sidecar."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

from deid import errors, headers, identity, profile, pseudonyms

# Keys that identify, or say when; and
# what dcm2niix only guesses from float32 clock times (three 2D series whose equal rounded slice times it took for multiband).
IDENTIFYING = frozenset(
    [
        "InstitutionName",
        "InstitutionAddress",
        "InstitutionalDepartmentName",
        "StationName",
        "DeviceSerialNumber",
        "PatientBirthDate",
        "AccessionNumber",
        "StudyID",
        "ReferringPhysicianName",
        "ProcedureStepDescription",
        "StudyDescription",
        "MultibandAccelerationFactor",
    ]
)
CASES = [
    "siemens_bold_mosaic/cor",
    "siemens_bold_mosaic/sag",
    "siemens_bold_pe/mr_0003",
    "siemens_enh_xa30/8",
    "siemens_enh_xa30/9",
    "siemens_enh_xa30/14",
    "siemens_enh_xa30/16",
    "siemens_bold_compressed",
    "ge_bold/mr_0004",
    "ge_dwi",
    "d2n_ge",
    "d2n_hitachi",
    "d2n_compressed",
    "philips_enh_fieldmap",
    "philips_enh_pcasl",
    "uih_dwi",
    "siemens_fieldmap/3",
]


def convert(folder: Path, out: Path) -> dict[str, tuple[object, ...]]:
    out.mkdir()
    tool = Path(sys.executable).parent / "dcm2niix"
    subprocess.run([tool, "-z", "n", "-b", "y", "-ba", "n", "-f", "%s_%e_%p_%t", "-o", out, folder], capture_output=True, check=False)
    found = {}
    for sidecar in sorted(out.glob("*.json")):
        image = nibabel.load(sidecar.with_suffix(".nii"))
        data = np.asanyarray(image.dataobj)
        gradients = [sidecar.with_suffix(s).read_text() if sidecar.with_suffix(s).exists() else "" for s in (".bval", ".bvec")]
        found[data.tobytes()] = (image.affine.round(4).tolist(), gradients, json.loads(sidecar.read_text()))
    return found


@pytest.mark.parametrize("case", CASES)
def test_conversion_loses_nothing(mri, tmp_path, case):
    key = pseudonyms.PseudonymKey(b"p" * 32)
    folders = sorted({p.parent for p in (mri / "dicom").rglob("*") if p.is_file() and str(p.relative_to(mri / "dicom")).startswith(case)})
    series = 0
    for n, folder in enumerate(folders):
        files = {}
        for path in sorted(p for p in folder.iterdir() if p.is_file()):
            try:
                files[path] = headers.identify(path)
            except errors.Refused:
                continue
        source, target = tmp_path / f"{n}in", tmp_path / f"{n}out"
        source.mkdir(), target.mkdir()
        subject = headers.Subject("a" * 26, key, starts=identity.study_starts(files.values()))
        for k, path in enumerate(files):
            (source / f"{k:05d}.dcm").write_bytes(path.read_bytes())
            headers.clean_file(path, target / f"{k:05d}.dcm", subject, profile.load())
        before, after = convert(source, tmp_path / f"{n}a"), convert(target, tmp_path / f"{n}b")
        assert set(before) == set(after), "voxels"
        for voxels, (affine, gradients, sidecar) in before.items():
            assert after[voxels][:2] == (affine, gradients)
            assert set(sidecar) - set(after[voxels][2]) <= IDENTIFYING
            if "SliceTiming" in sidecar:  # dcm2niix takes some from clock times in float32 seconds of the day: steps of 1/64 s
                assert np.allclose(sidecar["SliceTiming"], after[voxels][2]["SliceTiming"], atol=1 / 32)
            series += 1
    assert series > 0
