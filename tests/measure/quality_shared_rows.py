"""The rows of `make show-quality` over the shared scans and devices: every modality is finite or null with a reason; CUDA says the CPU's numbers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
    """Volumes per second for 64 packed volumes on CUDA, in the batches of `qa.batch`; the share of the time that was spent waiting for them to be read."""
    import torch

    if not torch.cuda.is_available():
        return Result("not run: no CUDA device on this machine", met=True, sample=True)
    import tempfile

    from qa import batch
    from spatial.volumes import Volume, save

    given, waited = visit("xa30_t1", 1).scanned(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{n:02d}_T1w.nii.gz" for n in range(BATCH)]
        for path in paths:
            save(Volume(given.data, given.affine), path)
        batch.measure_many([{"volume": given, "suffix": "T1w"}], "cuda")  # the first one warms the device
        alone = sum(seconds(batch.read, path) for path in paths)
        began, coming = time.perf_counter(), batch.ahead(paths, batch.usual("cuda"))
        while group := next_of(coming):
            waited += group[1]
            batch.measure_many([{"volume": volume, "suffix": "T1w"} for _, volume in group[0]], "cuda")
        whole = time.perf_counter() - began
    share, wait = 100 * alone / whole, 100 * waited / whole
    figure = f"{BATCH / whole:.2f} volumes a second; unpacking alone would take {share:.0f} % of that time, {wait:.0f} % was waited for it"
    return Result(figure, met=True)


def seconds(call: Callable[..., object], *given: object) -> float:
    began = time.perf_counter()
    call(*given)
    return time.perf_counter() - began


def next_of(coming: Iterator[Any]) -> tuple[Any, float] | None:
    """The next batch and the seconds waited for it; None at the end."""
    began = time.perf_counter()
    group = next(coming, None)
    return None if group is None else (group, time.perf_counter() - began)
