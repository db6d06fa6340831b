"""One small head with a face as DICOM, for tests that need the whole way: 3 mm, of nobody, made in a second."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np

from pipeline import phantom, phantom_dicom, phantom_head, phantom_people


def head(folder: Path, *, contrasts: tuple[str, ...] = ("T1w",), day: date = date(2021, 3, 4), person: int = 0, number: int = 1) -> Path:
    """Write one study: 64 x 80 x 60 voxels of 3 mm per contrast, each series in a folder of its own, and a lesion mask beside them."""
    who = phantom_people.PARTICIPANTS[person]
    rng = np.random.default_rng(number)
    base = phantom_head.average()
    grid = phantom.axial_grid((64, 80, 60), (3.0, 3.0, 3.0), top=92.0, samples=1)
    drawn = phantom_head.head(base, person)
    tissue = phantom_head.sample(drawn, drawn.lesion_map(3), grid, phantom_head.pose(rng))
    site = next(one for one in phantom_people.SITES if one.code == who.site)
    study = phantom_dicom.Study(who, site, day, f"77.{number}")
    for n, contrast in enumerate(contrasts, 2):
        image = phantom_head.mix(tissue, contrast, rng, noise=12.0)
        phantom_dicom.write_scan(study, phantom_dicom.Scan(n, contrast, grid, [image]), folder / f"{n:03d}_{contrast}")
    phantom.write_mask(folder / "lesions.nii.gz", tissue.lesion > 0.5, grid.affine, who)
    return folder
