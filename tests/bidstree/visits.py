"""The shared NIfTI cases as their sites would hand them in: an MS patient's two visits with a mask over both, and a cervical cord with its masks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bidstree import common_space
from bidstree.handed import Given, Laid, lay, write_drawn

ABOUT = {"Name": "Handed in as NIfTI", "License": "CC-BY-4.0", "Authors": ["A. Nobody", "B. Noone"]}


def ms_given(mri: Path) -> list[Given]:
    raw = mri / "nifti/ms_longitudinal_patient01/raw/patient01"
    return [Given(path, f"v{path.name[5]}", path.name) for path in sorted(raw.glob("study*.nii.gz"))]


def ms(mri: Path, root: Path) -> list[Laid]:
    """Both visits laid out, and the lesion-change mask with the two FLAIR it was drawn on, brought to its space by the site's transforms."""
    laid = lay(root, "ms1", ms_given(mri))
    raw = mri / "nifti/ms_longitudinal_patient01/raw/patient01"
    flair = {one.product: one.given for one in laid if one.product.endswith("_FLAIR.nii.gz")}
    images = {name: (root / name, raw / given.name.replace(".nii.gz", "_to_common_space.txt")) for name, given in flair.items()}
    done = common_space.attach(raw / "gt.nii.gz", images)
    for name, volume in done.images.items():
        write_drawn(root, common_space.brought_path(name), volume, common_space.brought_sidecar(name))
    later = max(done.images)
    product = common_space.mask_path(later, "lesion", "rater1")
    write_drawn(root, product, done.volume, common_space.mask_sidecar(list(done.images), common_space.brought_path(later), "Lesion"))
    return laid


def cord_given(mri: Path) -> list[Given]:
    """All of the cord but the cropped doubles; each folder a visit of its own, as the site's grids differ from folder to folder."""
    spine = mri / "nifti/cervical_spine"
    given = []
    for path in sorted(spine.rglob("*.nii.gz")):
        beside = path.with_name(path.name.replace(".nii.gz", ".json"))
        more: dict[str, Any] = {"sidecar": json.loads(beside.read_text())} if beside.exists() else {}
        if path.parent.name == "dmri":
            more |= {"bval": path.with_name("bvals.txt"), "bvec": path.with_name("bvecs.txt")}
        given.append(Given(path, "m00", path.name, body="CSPINE", **more))
    return given
