"""What is known of the shared scans without asking us: reference images, reference names, and the verdict that each odd folder deserves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

# The only folders that may be refused, with the reason that holds: one slice is no volume; four series of one visit in one folder are not one series.
REFUSED = {"d2n_ge/ge/anatomical/001_single_slice": "too_few_slices", "siemens_visit_face": "several_series"}

# Every series of the shared data whose name its source gives or whose protocol leaves no doubt: start of the folder -> suffixes of its images.
NAMES: dict[str, set[str]] = {
    "d2n_compressed": {"FLAIR"},
    "d2n_ge/ge/anatomical": {"T1w"},
    "d2n_hitachi_hyperfine/hyperfine": {"FLAIR"},
    "d2n_hitachi_hyperfine/hitachi": {"PDw"},
    "ge_bold": {"bold"},
    "ge_dwi": {"dwi"},
    "ge_t1w_3d_deidentified": {"T1w"},
    "philips_dwi": {"dwi", "trace"},
    "philips_enh_fieldmap_face": {"magnitude1", "magnitude2", "phase1", "phase2"},
    "philips_t1w_3d_face": {"T1w"},
    "siemens_bold": {"bold"},
    "siemens_enh_xa30/11": {"ADC"},
    "siemens_enh_xa30/14": {"colFA"},
    "siemens_enh_xa30/16": {"S0map"},
    "siemens_enh_xa30/5": {"T1w"},
    "siemens_enh_xa30/8": {"magnitude1", "magnitude2"},
    "siemens_enh_xa30/9": {"phasediff"},
    "siemens_fieldmap/2": {"magnitude1", "magnitude2"},
    "siemens_fieldmap/3": {"phasediff"},
    "siemens_t1w_2d_face": {"T1w"},
    "t1w_3d_defaced_poorheader": {"T1w"},
    "uih_dwi": {"dwi"},
}

# The odd folders, whole: what is wrong with each, as our code for it.
EDGES = {
    "d2n_failing/slicecount": "no_image",  # two NIfTI files, no DICOM
    "d2n_failing/slicecount/001": "too_few_slices",
    "d2n_failing/sliceorientation/001": "mixed_orientation",
    "pydicom": "pixels_truncated",
    "pydicom_charset": "several_series",
    "pydicom_dicomdir": "no_image",  # indices, no images
    "pydicom_dicomdir/98892003/MR1": "several_series",
    "pydicom_dicomdir/98892003/MR2": "several_series",
    "pydicom_dicomdir/98892003/MR700": "mixed_orientation",  # seven views round an axis: projections of an angiogram
    "pydicom_enhanced": "several_series",
}


def folders(root: Path) -> list[Path]:
    """Folders that hold files directly, sorted."""
    return sorted(path for path in root.rglob("*") if path.is_dir() and any(one.is_file() for one in path.iterdir()))


def expected(mri: Path) -> dict[str, list[dict[str, Any]]]:
    """Folder of dicom/ -> what dcm2niix wrote of it, as the shared data tells."""
    found: dict[str, list[dict[str, Any]]] = json.loads((mri / "expected_dcm2niix.json").read_text())["folders"]
    return found


def equals(nifti: Path, one: dict[str, Any]) -> bool:
    """Whether an image is the expected one: shape, affine (2 micrometres) and the stored voxels, by their hash."""
    loaded: Any = nib.load(nifti)
    voxels = np.asanyarray(loaded.dataobj.get_unscaled())
    voxels = voxels if voxels.dtype.fields else voxels.astype(np.float64 if one["dtype"].startswith("[") else one["dtype"])
    values = hashlib.sha256(voxels.tobytes()).hexdigest()[:32]
    return list(loaded.shape) == one["shape"] and bool(np.allclose(loaded.affine, one["affine"], atol=2e-3)) and values == one["sha256_raw"]


def references(mri: Path, name: str) -> list[Path]:
    """NIfTI that other people made of a series and published, where there is one."""
    folder = mri / "ref" / name.split("/")[0]
    return sorted([*folder.glob("*.nii"), *folder.glob("*.nii.gz")])


def same_image(ours: Path, reference: Path) -> bool:
    """Whether two images have the same grid (0.01 mm) and the same bytes of voxels."""
    a: Any = nib.load(ours)
    b: Any = nib.load(reference)
    if a.shape != b.shape or a.get_data_dtype() != b.get_data_dtype() or not np.allclose(a.affine, b.affine, atol=0.01):
        return False
    return np.asanyarray(a.dataobj).tobytes() == np.asanyarray(b.dataobj).tobytes()
