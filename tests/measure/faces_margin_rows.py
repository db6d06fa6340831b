"""The row of `make show-faces` about the brain: no voxel of it changes, and how far from it the zone stays.

On the template the brain is a mask drawn by rule. A living brain lies where it lies: one patient's brain was drawn by others (in a common space, with the
rigid transforms from it to each raw scan), and it is asked of that brain as well, on every scan of the patient, defaced through `faces.deface_visit`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from table import ROOT, Result

from deid import faces, facezones, headfit
from deid.faces import HeadImage
from spatial import volumes
from spatial.affines import Matrix
from spatial.resample import resample
from spatial.volumes import Volume

PATIENT = ROOT / ".cache" / "mri" / "nifti" / "ms_longitudinal_patient01"
LEAST_MM = 3.0
SCANS = [(study, contrast) for study in (1, 2) for contrast in ("T1W", "FLAIR")]


def transform(path: Path) -> Matrix:
    """An ITK text transform as a matrix (4, 4) in RAS+ mm: `Parameters` hold the matrix by rows and the shift about the centre in `FixedParameters`."""
    lines = (line.split(":")[1].split() for line in path.read_text("utf-8").splitlines() if line.startswith(("Parameters", "FixedParameters")))
    values, centre = (np.array(words, dtype=np.float64) for words in lines)
    matrix = np.eye(4)
    matrix[:3, :3] = values[:9].reshape(3, 3)
    matrix[:3, 3] = values[9:] + centre - matrix[:3, :3] @ centre
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK counts to the left and to the back
    return np.asarray(flip @ matrix @ flip)


def drawn_brain(study: int, contrast: str, like: Volume) -> NDArray[np.bool_]:
    """The brain that others drew, on the grid of a raw scan."""
    raw = PATIENT / "raw" / "patient01"
    brain = volumes.load(PATIENT / "coregistered" / "patient01" / "brainmask.nii.gz")
    place = transform(raw / f"study{study}_FLAIR_to_common_space.txt")
    if contrast != "FLAIR":
        place = transform(raw / f"study{study}_{contrast}_intrastudy_to_FLAIR.txt") @ place
    return np.asarray(resample(Volume(brain.data, place @ brain.affine), like, order="nearest").data > 0)


def brain_margin(depth: str) -> Result:
    """Template: every profile. Patient: the default profile (`quick`: one scan)."""
    margins = {profile: facezones.margin_mm(profile) for profile in facezones.BITS}
    words = ["on the template " + ", ".join(f"{profile} {margin:.1f} mm" for profile, margin in margins.items())]
    met = min(margins.values()) >= LEAST_MM
    changed, nearest = 0, []
    for study, contrast in SCANS[:1] if depth == "quick" else SCANS:
        scan = volumes.load(PATIENT / "raw" / "patient01" / f"study{study}_{contrast}.nii.gz")
        zone = faces.deface_visit({"scan": HeadImage(scan, "FLAIR" if contrast == "FLAIR" else "T1w")})["scan"].zone
        if zone is None:
            words.append(f"study {study} {contrast} not defaced")
            met = False
            continue
        brain = drawn_brain(study, contrast, scan)
        changed += int((brain & zone).sum())
        nearest.append(headfit.margin_mm(zone, brain, scan.affine) or 0.0)
    words.append(f"a patient's brain drawn by others: {changed} voxels changed on {len(nearest)} scans, smallest margin {min(nearest, default=0.0):.1f} mm")
    return Result("; ".join(words), met=met and changed == 0 and bool(nearest) and min(nearest) >= LEAST_MM, sample=depth == "quick")
