"""What kind of file a path is, asked of the paths that `bidstree` itself makes."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from bidstree import masks, names
from bidstree.said import SPACES
from registry.access import filekinds

STEM = "derivatives/myelin/sub-a/ses-m00/anat/sub-a_ses-m00"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("sub-a/ses-m00/anat/sub-a_ses-m00_T1w.nii.gz", "image"),
        ("sub-a/ses-m00/anat/sub-a_ses-m00_T1w.json", "image"),
        (f"{STEM}_space-FLAIR_label-lesion_desc-r1_mask.nii.gz", "mask"),
        (f"{STEM}_space-orig_label-lesion_mask.nii.gz", "mask"),
        (f"{STEM}_space-common_label-lesion_mask.nii.gz", "mask"),
        (f"{STEM}_space-common_T1w.nii.gz", "derivative"),
        (f"{STEM}_space-MNI152NLin2009cAsym_T1w.nii.gz", "normalised"),
        (f"{STEM}_space-MNI152NLin2009cAsym_label-lesion_mask.nii.gz", "normalised_mask"),
        (f"{STEM}_space-PAM50_T2w.nii.gz", "normalised"),
        ("derivatives/qa/phenotype/t1w.tsv", "quality"),
        ("phenotype/edss_m00.tsv", "clinical"),
        ("participants.tsv", "paper"),
    ],
)
def test_only_a_template_space_is_normalised(path: str, kind: str) -> None:
    assert filekinds.of(path) == kind
    assert filekinds.of(path, orbit=True) == "orbit"


@pytest.mark.parametrize("space", SPACES)
def test_every_space_that_an_image_may_be_brought_to_is_one_that_a_view_can_name(space: str) -> None:
    """The registry tells by the name alone; the pipeline writes the name."""
    assert filekinds.of(names.derived(PurePosixPath("sub-a/anat/sub-a_T1w.nii.gz"), "", "annotations", space).as_posix()) == "normalised"
    drawn = masks.path(f"derivatives/annotations/sub-a/anat/sub-a_space-{space}_T1w.nii.gz", "lesion", "r1")
    assert filekinds.of(drawn.as_posix()) == "normalised_mask"
