"""A mask lands on its image by geometry, without a voxel changed, or is refused with the numbers."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from bidstree import masks
from bidstree.errors import BidsError

CORD = "nifti/cervical_spine"


def images(mri: Path) -> dict[str, Path]:
    spine = mri / CORD
    names = {"T1w": "t1/t1w", "T2w": "t2/t2", "T2starw": "t2s/t2s_uncropped"}
    return {f"sub-c/ses-m00/anat/sub-c_ses-m00_{suffix}.nii.gz": spine / f"{stem}.nii.gz" for suffix, stem in names.items()}


@pytest.mark.parametrize(
    ("mask", "suffix", "label"),
    [("t1/t1w_seg-manual", "T1w", "ROI"), ("t2/t2_seg-manual", "T2w", "ROI"), ("t2s/t2s_uncropped_gmseg_manual", "T2starw", "GM")],
)
def test_real_cord_masks_go_to_the_image_they_were_drawn_on(mri: Path, mask: str, suffix: str, label: str) -> None:
    path = mri / CORD / f"{mask}.nii.gz"
    done = masks.attach(path, images(mri))
    assert done.image.endswith(f"_{suffix}.nii.gz") and done.kind == "mask"
    assert masks.label_of(path.name)[0] == label
    assert int(np.count_nonzero(done.volume.data)) == int(np.count_nonzero(nib.load(path).dataobj))


def test_every_order_and_direction_of_axes_comes_back_to_the_same_voxels(mri: Path, tmp_path: Path) -> None:
    """48 ways to store one mask; each lands on the image's grid as the very same array."""
    mask = nib.load(mri / CORD / "t2/t2_seg-manual.nii.gz")
    expected = np.asanyarray(mask.dataobj)
    for n, (order, signs) in enumerate(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3))):
        turn = np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
        path = tmp_path / f"{n}.nii"
        nib.save(mask.as_reoriented(turn), path)
        done = masks.attach(path, images(mri))
        assert done.image.endswith("_T2w.nii.gz")
        assert np.array_equal(done.volume.data, expected)
    assert n == 47


def test_a_mask_on_another_grid_is_refused_with_the_numbers(mri: Path, tmp_path: Path) -> None:
    mask = nib.load(mri / CORD / "t2/t2_seg-manual.nii.gz")
    for step, allowed in ((0.005, True), (0.05, False)):
        moved = mask.affine.copy()
        moved[:3, 3] += moved[:3, :3] @ [step, 0, 0]
        nib.save(nib.Nifti1Image(np.asanyarray(mask.dataobj), moved), tmp_path / "moved.nii")
        if allowed:
            assert masks.attach(tmp_path / "moved.nii", images(mri)).how["residual_voxel"] == pytest.approx(0.005, abs=1e-4)
            continue
        with pytest.raises(BidsError) as error:
            masks.attach(tmp_path / "moved.nii", images(mri))
        assert error.value.code == "mask_other_grid" and "60 x 55 x 52 voxels of 1.00 x 1.00 x 1.00 mm" in error.value.reason


def test_the_registered_mask_of_the_ms_case_is_refused_on_raw_images_and_taken_on_its_own(mri: Path) -> None:
    folder = mri / "nifti/ms_longitudinal_patient01"
    raw = {f"sub-m/ses-a/anat/sub-m_ses-a_{name}.nii.gz": folder / f"raw/patient01/study1_{stem}.nii.gz" for name, stem in (("FLAIR", "FLAIR"), ("T1w", "T1W"))}
    with pytest.raises(BidsError) as error:
        masks.attach(folder / "raw/patient01/gt.nii.gz", raw)
    assert error.value.code == "mask_other_grid"
    common = {"sub-m/ses-a/anat/sub-m_ses-a_FLAIR.nii.gz": folder / "coregistered/patient01/brainmask.nii.gz"}
    assert masks.attach(folder / "coregistered/patient01/gt.nii.gz", common).kind == "mask"


def write(path: Path, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]], like: Path) -> Path:
    nib.save(nib.Nifti1Image(values, nib.load(like).affine), path)
    return path


def test_kinds_of_annotation_are_told_by_their_values(mri: Path, tmp_path: Path) -> None:
    image = mri / CORD / "t2/t2.nii.gz"
    own = {"sub-c/anat/sub-c_T2w.nii.gz": image}
    shape = nib.load(image).shape
    some = np.zeros(shape, np.float32)
    some[1, 2, 3] = 1
    kinds = {"mask": some, "dseg": some + (np.arange(some.size).reshape(shape) == 0) * 2, "probseg": some * 0.4}
    for kind, values in kinds.items():
        assert masks.attach(write(tmp_path / f"{kind}.nii", values.astype(np.float32), image), own).kind == kind
    for code, values in (("mask_empty", some * 0), ("mask_values", some - 0.5), ("mask_values", some * 7.3)):
        with pytest.raises(BidsError) as error:
            masks.attach(write(tmp_path / "x.nii", values.astype(np.float32), image), own)
        assert error.value.code == code
    with pytest.raises(BidsError) as error:
        masks.attach(image, own)
    assert error.value.code == "mask_values"


def test_no_image_no_mask_and_no_volume_no_mask(mri: Path, tmp_path: Path) -> None:
    with pytest.raises(BidsError) as error:
        masks.attach(mri / CORD / "t2/t2_seg-manual.nii.gz", {})
    assert error.value.code == "mask_without_image"
    (tmp_path / "x.nii").write_bytes(b"no volume")
    with pytest.raises(BidsError) as error:
        masks.attach(tmp_path / "x.nii", images(mri))
    assert error.value.code == "mask_unreadable"


def test_images_on_one_grid_are_told_apart_by_words_then_by_custom(mri: Path, tmp_path: Path) -> None:
    image = mri / CORD / "t2/t2.nii.gz"
    same = {f"sub-c/anat/sub-c_{suffix}.nii.gz": image for suffix in ("T1w", "T2w", "FLAIR")}
    some = np.zeros(nib.load(image).shape, np.uint8)
    some[1, 2, 3] = 1
    path = write(tmp_path / "m.nii", some, image)
    assert masks.attach(path, same).image.endswith("_FLAIR.nii.gz")
    assert masks.attach(path, same, hint="lesions_T1.nii.gz").image.endswith("_T1w.nii.gz")
    assert masks.attach(path, same).how["same_grid"] == sorted(same)


def test_names_of_annotations_say_whose_and_on_what() -> None:
    flair = "sub-c/ses-m00/anat/sub-c_ses-m00_ce-gadolinium_run-2_FLAIR.nii.gz"
    expected = "derivatives/annotations/sub-c/ses-m00/anat/sub-c_ses-m00_ce-gadolinium_run-2_space-FLAIR_label-lesion_desc-r1_mask.nii.gz"
    assert str(masks.path(flair, "lesion", "r1")) == expected
    with pytest.raises(BidsError):
        masks.path(flair, "lesion", "Dr. Mustermann")
