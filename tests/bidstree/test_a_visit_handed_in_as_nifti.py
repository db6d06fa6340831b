"""Sites that hold NIfTI only: an MS patient's two visits with a mask over both, a cervical cord with its masks, and several raters of one lesion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bidstree import check, common_space, consensus, dataset, masks, raters
from bidstree.errors import BidsError
from bidstree.handed import Given, Laid, is_drawn, lay
from tests.bidstree import visits

LATER = "derivatives/annotations/sub-ms1/ses-v2/anat/sub-ms1_ses-v2_space-common"


@pytest.fixture(scope="module")
def pieces(mri: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Laid], list[Laid]]:
    """Both cases laid out once: the folder, and what became of each file."""
    root = tmp_path_factory.mktemp("handed")
    return root, visits.ms(mri, root / "ms"), lay(root / "cord", "cord1", visits.cord_given(mri))


def test_every_file_gets_a_name_and_the_release_is_valid(pieces: tuple[Path, list[Laid], list[Laid]], tmp_path: Path) -> None:
    root, ms, cord = pieces
    assert [one.code for one in [*ms, *cord]] == ["ok"] * 21
    dataset.assemble([root / "ms", root / "cord"], tmp_path / "ds", visits.ABOUT)
    assert [one for one in check.validate(tmp_path / "ds").findings if one.severity == "error"] == []
    assert sorted(one.product.rsplit("_", 1)[1] for one in ms) == ["FLAIR.nii.gz"] * 2 + ["T1w.nii.gz"] * 2 + ["T2w.nii.gz"] * 2
    kinds = {one.given.path.parent.name + "/" + one.given.name: one.product.rsplit("_", 1)[1] for one in cord if one.kind == "image"}
    assert {kinds["dmri/dmri.nii.gz"], kinds["t2s/t2s.nii.gz"], kinds["mt/mt0.nii.gz"]} == {"dwi.nii.gz", "T2starw.nii.gz", "MTR.nii.gz"}


def test_masks_go_to_the_image_whose_name_begins_theirs(pieces: tuple[Path, list[Laid], list[Laid]]) -> None:
    products = {one.given.name: one.product for one in pieces[2] if one.kind == "mask"}
    assert "space-MTRmtoff_" in products["mt0_seg.nii.gz"]
    assert "label-SC_" in products["t2_fake_lesion_sc_seg.nii.gz"] and "label-lesion_" in products["t2_fake_lesion_lesion_seg.nii.gz"]
    assert "label-GM_" in products["t2s_uncropped_gmseg_manual.nii.gz"]


def test_a_second_upload_in_another_order_gives_the_same_names(mri: Path, tmp_path: Path, pieces: tuple[Path, list[Laid], list[Laid]]) -> None:
    given = [one for one in visits.cord_given(mri) if one.path.parent.name in {"t1", "mt"}]
    first, second = lay(tmp_path / "a", "c", given), lay(tmp_path / "b", "c", given[::-1])
    assert {one.given.path: one.product for one in first} == {one.given.path: one.product for one in second}


def test_the_mask_of_both_visits_names_both_and_brings_their_images(pieces: tuple[Path, list[Laid], list[Laid]], mri: Path) -> None:
    root = pieces[0] / "ms"
    beside = json.loads((root / f"{LATER}_label-lesion_desc-rater1_mask.json").read_text())
    assert beside["Sources"] == [f"bids:raw:sub-ms1/ses-v{n}/anat/sub-ms1_ses-v{n}_FLAIR.nii.gz" for n in (1, 2)]
    mask: Any = nib.load(root / f"{LATER}_label-lesion_desc-rater1_mask.nii.gz")
    drawn: Any = nib.load(mri / "nifti/ms_longitudinal_patient01/raw/patient01/gt.nii.gz")
    assert np.array_equal(mask.dataobj, drawn.dataobj) and np.allclose(mask.affine, drawn.affine)
    brought: Any = nib.load(root / f"{LATER}_desc-aligned_FLAIR.nii.gz")
    assert brought.shape == mask.shape and np.allclose(brought.affine, mask.affine, atol=1e-4)
    # A changed lesion is bright on FLAIR of at least one visit; a wrong transform would put the mask on anything.
    inside = np.asanyarray(mask.dataobj) > 0
    values = np.asanyarray(brought.dataobj)
    assert values[inside].mean() > 1.3 * values[values > 20].mean()


def test_the_mask_goes_when_either_of_its_images_goes(pieces: tuple[Path, list[Laid], list[Laid]], tmp_path: Path) -> None:
    for visit in ("v1", "v2"):
        shutil.copytree(pieces[0] / "ms", tmp_path / visit)
        for path in (tmp_path / visit).glob(f"sub-ms1/ses-{visit}/anat/*_FLAIR.*"):
            path.unlink()
        dataset.assemble([tmp_path / visit], tmp_path / f"ds-{visit}", visits.ABOUT)
        left = [path.name for path in (tmp_path / f"ds-{visit}/derivatives").rglob("*.nii.gz")]
        assert not any("mask" in name for name in left) and len(left) == 1 and visit not in left[0]


def test_transforms_that_do_not_belong_are_seen(pieces: tuple[Path, list[Laid], list[Laid]], mri: Path, tmp_path: Path) -> None:
    raw = mri / "nifti/ms_longitudinal_patient01/raw/patient01"
    text = (raw / "study2_FLAIR_to_common_space.txt").read_text()
    line = next(line for line in text.splitlines() if line.startswith("Parameters"))
    words = line.split()
    (tmp_path / "moved.txt").write_text(text.replace(line, " ".join([*words[:-1], str(float(words[-1]) + 40)])))
    flair = [pieces[0] / f"ms/sub-ms1/ses-v{n}/anat/sub-ms1_ses-v{n}_FLAIR.nii.gz" for n in (1, 2)]
    with pytest.raises(BidsError) as error:
        common_space.attach(raw / "gt.nii.gz", {"a": (flair[0], raw / "study1_FLAIR_to_common_space.txt"), "b": (flair[1], tmp_path / "moved.txt")})
    assert error.value.code == "spaces_differ"
    (tmp_path / "none.txt").write_text("Transform: BSplineTransform\n")
    with pytest.raises(BidsError) as error:
        common_space.read_transform(tmp_path / "none.txt")
    assert error.value.code == "transform_unreadable"


def drawn(path: Path, like: Path, values: Any) -> Path:
    image: Any = nib.load(like)
    nib.save(nib.Nifti1Image(values, image.affine), path)
    return path


def test_soft_maps_labels_and_raters_codes_come_out_right(mri: Path, tmp_path: Path) -> None:
    t2 = mri / "nifti/cervical_spine/t2/t2.nii.gz"
    shape = nib.load(t2).shape
    some = np.zeros(shape, np.float32)
    some[20:30, 20:30, 20:30] = 0.4
    several = (some > 0).astype(np.uint8)
    several[25] *= 2
    given = [
        Given(t2, "a", "t2.nii.gz"),
        Given(drawn(tmp_path / "soft.nii", t2, some), "a", "t2_lesion_prob_seg.nii", rater="r7"),
        Given(drawn(tmp_path / "several.nii", t2, several), "a", "t2_tissue_seg.nii", labels={"GM": 1, "WM": 2}),
        Given(drawn(tmp_path / "unknown.nii", t2, several), "a", "t2_tissue_seg.nii", labels={"GM": 1}),
        Given(drawn(tmp_path / "one.nii", t2, several), "b", "t2_seg.nii", labels={"GM": 1, "WM": 2}),
    ]
    laid = lay(tmp_path / "out", "x", given)
    assert [(one.kind, one.code) for one in laid] == [
        ("image", "ok"), ("probseg", "ok"), ("dseg", "ok"), ("mask", "labels_unknown"), ("mask", "mask_without_image"),
    ]  # fmt: skip
    assert laid[1].product.endswith("_space-T2w_label-lesion_desc-r7_probseg.nii.gz") and laid[2].product.endswith("_space-T2w_desc-rater1_dseg.nii.gz")
    assert json.loads((tmp_path / "out" / laid[2].product.replace(".nii.gz", ".json")).read_text())["Labels"] == {"GM": 1, "WM": 2}
    dataset.assemble([tmp_path / "out"], tmp_path / "ds", visits.ABOUT)
    assert check.validate(tmp_path / "ds").ok


def test_consensus_of_three_raters_tells_how_far_they_agree(mri: Path, tmp_path: Path) -> None:
    t2 = mri / "nifti/cervical_spine/t2/t2.nii.gz"
    marks = np.zeros((3, *nib.load(t2).shape), np.uint8)
    marks[0, 10:20, 10:20, 10:20] = marks[1, 10:20, 10:20, 11:21] = 1
    marks[2, 10:20, 10:20, 10:30] = 1
    files = [drawn(tmp_path / f"{n}.nii", t2, one) for n, one in enumerate(marks)]
    laid = lay(tmp_path / "out", "x", [Given(t2, "a", "t2.nii.gz"), *(Given(path, "a", "t2_lesion.nii", rater=f"r{n}") for n, path in enumerate(files))])
    made = consensus.write(tmp_path / "out", laid[0].product, [one.product for one in laid[1:]], "lesion")
    majority: Any = nib.load(tmp_path / "out" / made[0])
    assert np.array_equal(np.asanyarray(majority.dataobj) > 0, marks.sum(axis=0) > 1)
    told = json.loads((tmp_path / "out" / made[1].replace(".nii.gz", ".json")).read_text())
    assert told["Agreement"]["Dice"] == {"r0 r1": 0.9, "r0 r2": 0.6667, "r1 r2": 0.6667} and told["Method"] == "STAPLE"
    assert np.allclose(raters.dice(list(marks))[0], [1, 0.9, 2 / 3])
    assert len(told["Sources"]) == 4 and told["Sources"][0] == f"bids:raw:{laid[0].product}"
    dataset.assemble([tmp_path / "out"], tmp_path / "ds", visits.ABOUT)
    assert check.validate(tmp_path / "ds").ok
    with pytest.raises(BidsError) as error:
        consensus.write(tmp_path / "out", laid[0].product, [laid[1].product], "lesion")
    assert error.value.code == "raters_missing"


def test_an_image_is_not_taken_for_a_mask_nor_a_mask_for_an_image(mri: Path) -> None:
    for path in sorted((mri / "nifti").rglob("*.nii.gz")):
        image: Any = nib.load(path)
        is_mask = any(word in path.name for word in ("seg", "gt", "brainmask"))
        assert is_drawn(np.asanyarray(image.dataobj), path.name) == is_mask, path.name
        assert is_drawn(np.asanyarray(image.dataobj), "x.nii.gz") == is_mask


def test_what_says_nothing_is_listed_not_guessed(mri: Path, tmp_path: Path) -> None:
    t2 = mri / "nifti/cervical_spine/t2/t2.nii.gz"
    laid = lay(tmp_path / "out", "x", [Given(t2, "a", "scan0001.nii.gz"), Given(tmp_path / "no.nii", "a", "t2.nii"), Given(t2, "a", "t2.nii.gz")])
    assert [one.code for one in laid] == ["contrast_unknown", "nifti_refused", "ok"]
    assert [path.suffix for path in sorted((tmp_path / "out").rglob("*")) if path.is_file()] == [".json", ".gz"]
    dwi = mri / "nifti/cervical_spine/dmri"
    wrong = Given(dwi / "dmri.nii.gz", "a", "dmri.nii.gz", bval=dwi / "bvals.txt", bvec=dwi / "bvals.txt")
    assert lay(tmp_path / "wrong", "x", [wrong])[0].code == "gradients_missing"
    assert masks.FOLDER == "annotations"
