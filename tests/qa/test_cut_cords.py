"""A spine whose claimed segment of cord cannot be whole fails; its twins, cut beside the cord or meant to show less, do not. On the shared cervical scans."""

from __future__ import annotations

import numpy as np
import pytest

import qa
from qa.scene import canonical
from spatial.volumes import Volume, load

pytestmark = pytest.mark.needs("shared-data")
SPINE = "nifti/cervical_spine"


@pytest.fixture(scope="module")
def cervical(mri):
    """The T1w at 1 mm (77 mm from foot to head) and its cord as a rater drew it, axes R, A, S."""
    given = [load(mri / SPINE / "t1" / name) for name in ("t1w.nii.gz", "t1w_seg-manual.nii.gz")]
    (image, affine, _), (cord, _, _) = (canonical(np.asarray(v.data), np.asarray(v.affine)) for v in given)
    return Volume(np.array(image), affine), np.array(cord) > 0


def flags(volume, box=np.s_[:, :, :], cord=None, **options):
    options = {"body": "cspine"} | options
    part = Volume(np.ascontiguousarray(volume.data[box]), volume.affine)
    return qa.measure(part, options.pop("suffix", "T1w"), cord=None if cord is None else cord[box], **options)["flags"]


def test_a_field_of_view_that_holds_no_whole_segment_fails_and_one_that_claims_none_does_not(cervical):
    image, _ = cervical
    low = np.s_[:, :, 20:62]
    assert "cord_cut" in flags(image, low)
    assert "cord_cut" not in flags(image), "77 mm can be a whole one"
    for body in ("spine", "lspine"):
        assert "cord_cut" not in flags(image, low, body=body), "nobody said which segment it shows"


def test_blocks_of_slices_across_the_cord_are_not_meant_to_cover_it(cervical):
    image, _ = cervical
    block = Volume(np.ascontiguousarray(image.data[:, :, 20:62:5]), image.affine @ np.diag([1.0, 1.0, 5.0, 1.0]))
    assert "cord_cut" not in flags(block)


def test_a_cord_that_a_side_of_the_field_of_view_cuts_fails_and_one_just_inside_does_not(cervical):
    image, cord = cervical
    left, front = (np.flatnonzero(cord.any(axes)) for axes in ((1, 2), (0, 2)))
    middle, edge = int(left.mean()), int(left.min())
    report = qa.measure(Volume(np.ascontiguousarray(image.data[middle:]), image.affine), "T1w", body="spine", cord=cord[middle:])
    assert report["grade"] == "fail"
    assert [r for r in report["reasons"] if "reaches the left side" in r]
    assert "cord_cut" not in flags(image, np.s_[edge - 1 :], cord), "one voxel of room is room"
    assert "cord_cut" in flags(image, np.s_[:, : int(front.mean())], cord)
    assert "cord_cut" not in flags(image, np.s_[middle:], body="spine"), "without a mask nobody knows"


def test_a_sliver_without_a_mask_fails_too(cervical):
    image, _ = cervical
    assert "cord_cut" in flags(image, np.s_[15:21])
    assert "cord_cut" not in flags(image, np.s_[10:30])
