"""The rows of `make show-quality` over the shared scans and devices: every modality is finite or null with a reason; CUDA says the CPU's numbers."""

from __future__ import annotations

import json
import math
import time

import numpy as np
from faces_register_cases import CACHE, MS, head
from quality_heads import visit
from table import Result

MS_SPINE = "nifti/cervical_spine"
SHARED = [
    ("T1w", "brain", f"{MS.relative_to(CACHE)}/study2_T1W.nii.gz"),
    ("T2w", "brain", f"{MS.relative_to(CACHE)}/study2_T2W.nii.gz"),
    ("FLAIR", "brain", f"{MS.relative_to(CACHE)}/study1_FLAIR.nii.gz"),
    ("FLAIR", "brain", f"{MS.relative_to(CACHE)}/study2_FLAIR.nii.gz"),
    ("T1w", "brain", "ref/siemens_enh_xa30/5_anat-T1w_acq-tfl.nii"),
    ("bold", "brain", "ref/ge_bold/DCM2NIIX_regression_test_4.nii"),
    ("bold", "brain", "ref/siemens_bold_mosaic/ax_asc_35sl_6.nii"),
    ("bold", "brain", "ref/siemens_bold_compressed/fMRI_MB_asc_25.nii"),
    ("dwi", "brain", "ref/uih_dwi/dti_tra_dir16_PA_rot_12_132222.nii"),
    ("dwi", "brain", "ref/ge_dwi/Ax_DWI_TENSOR_R2_1.nii"),
    ("T2w", "spine", f"{MS_SPINE}/t2/t2.nii.gz"),
    ("T1w", "spine", f"{MS_SPINE}/t1/t1w.nii.gz"),
    ("T2starw", "spine", f"{MS_SPINE}/t2s/t2s_uncropped.nii.gz"),
    ("dwi", "spine", f"{MS_SPINE}/dmri/dmri.nii.gz"),
]
BATCH, AGREE = 64, 0.01


def modalities(depth: str) -> Result:
    """Each report: JSON without NaN, every measure of its kind a number or null with a sentence, and the grade."""
    import torch

    from qa.__main__ import examine
    from qa.metrics import expected

    torch.set_num_threads(1)
    wrong, numbers, nulls, grades = [], 0, 0, []
    for suffix, body, place in SHARED[:: 1 if depth != "quick" else 4]:
        report = examine(CACHE / place, suffix=suffix, body=body)
        json.dumps(report, allow_nan=False)
        for name in expected(report["kind"]):
            value, why = report["metrics"][name]["value"], report["unavailable"].get(name, "")
            numbers, nulls = numbers + (value is not None), nulls + (value is None)
            if (value is None) == (not why) or (value is not None and not math.isfinite(value)) or (why and not why.endswith(".")):
                wrong.append(f"{name} of {suffix} {body}")
        grades.append(f"{suffix} {body} {report['grade']}")
    figure = f"{len(grades)} scans, {numbers} finite, {nulls} null with a reason, {len(wrong)} otherwise {wrong or ''}; {', '.join(grades)}"
    return Result(figure, met=not wrong, sample=depth == "quick")


def devices(depth: str) -> Result:
    """The largest difference between CPU and CUDA over all measures of a made visit and a real head."""
    import torch

    if not torch.cuda.is_available():
        return Result("not run: no CUDA device on this machine", met=True, sample=True)
    import qa

    worst, which = 0.0, ""
    for volume in (visit("xa30_t1", 1).scanned(), head("visit_t1")):
        placed = qa.measure(volume, "T1w")
        there = qa.measure(volume, "T1w", device="cuda", placement=placed["placement"])
        for name, entry in placed["metrics"].items():
            a, b = entry["value"], there["metrics"][name]["value"]
            off = 0.0 if a == b else math.inf if a is None or b is None else abs(a - b) / max(abs(a), abs(b))
            if off > worst:
                worst, which = off, name
    return Result(f"at most {100 * worst:.2f} % apart ({which})", met=worst <= AGREE)


def batches(depth: str) -> Result:
    """Volumes per second of `qa.measure` on CUDA for 64 volumes, and the share of the time that reading and unpacking them takes."""
    import torch

    if not torch.cuda.is_available():
        return Result("not run: no CUDA device on this machine", met=True, sample=True)
    import gzip
    import io

    import qa
    from spatial.volumes import Volume

    given = visit("xa30_t1", 1).scanned()
    packed = gzip.compress(np.ascontiguousarray(given.data).tobytes(), 1)
    began, unpacking = time.perf_counter(), 0.0
    for _ in range(BATCH):
        start = time.perf_counter()
        data = np.frombuffer(io.BytesIO(gzip.decompress(packed)).read(), np.float32).reshape(given.shape)
        unpacking += time.perf_counter() - start
        qa.measure(Volume(data, given.affine), "T1w", device="cuda")
    whole = time.perf_counter() - began
    return Result(f"{BATCH / whole:.2f} volumes a second one after the other, {100 * unpacking / whole:.0f} % of it decompressing", met=True)
