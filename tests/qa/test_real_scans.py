"""Real heads, defaced heads, series and spines: nothing false, nothing missing without a reason."""

from __future__ import annotations

import json

import pytest

from qa.__main__ import examine
from qa.metrics import expected

pytestmark = pytest.mark.needs("shared-data")

MS = "nifti/ms_longitudinal_patient01/raw/patient01"
SPINE = "nifti/cervical_spine"


@pytest.mark.parametrize(
    ("place", "suffix", "body"),
    [
        (f"{MS}/study2_T1W.nii.gz", "T1w", "brain"),
        (f"{SPINE}/t2/t2.nii.gz", "T2w", "spine"),
        (f"{SPINE}/t1/t1w.nii.gz", "T1w", "spine"),
        (f"{SPINE}/t2s/t2s_uncropped.nii.gz", "T2starw", "spine"),
        (f"{SPINE}/dmri/dmri.nii.gz", "dwi", "spine"),
        ("ref/ge_bold/*.nii", "bold", "brain"),
        ("ref/uih_dwi/*.nii", "dwi", "brain"),
        ("ref/siemens_bold_mosaic/*.nii", "bold", "brain"),
        ("ref/siemens_enh_xa30/*T1w*.nii*", "T1w", "brain"),
        ("ref/ge_dwi/*.nii", "dwi", "brain"),
    ],
)
def test_a_real_scan_is_measured_and_not_failed(mri, place, suffix, body):
    path = sorted(mri.glob(place))[0]
    report = examine(path, suffix=suffix, body=body)
    assert report["grade"] != "fail", report["reasons"]
    json.dumps(report, allow_nan=False)
    for name in expected(report["kind"]):
        assert (report["metrics"][name]["value"] is None) == (name in report["unavailable"]), name


def test_the_defaced_patients_air_is_masked_and_that_is_said(mri):
    report = examine(mri / MS / "study2_FLAIR.nii.gz", suffix="FLAIR")
    assert report["grade"] != "fail"
    assert "masked" in report["unavailable"]["noise_sigma"]
    assert 1200 < report["metrics"]["brain_ml"]["value"] < 1900


def test_noise_that_a_de_identifier_left_is_no_anatomy(mri):
    report = examine(next(iter(sorted(mri.glob("dicom/d2n_ge/**/*ground_truth*.nii.gz")))), suffix="T1w")
    assert report["grade"] == "fail"
    assert report["flags"] == ["no_anatomy"]
