"""The main promise on real input: what is converted is the reference image, and nothing wrong is passed as right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bidstree import convert
from bidstree.convert import Conversion
from tests.bidstree.known import REFUSED, equals, expected, references, same_image


def test_every_folder_is_converted_or_refused_for_the_reason_that_holds(converted: dict[str, Conversion]) -> None:
    assert len(converted) >= 38
    assert {name: done.code for name, done in converted.items() if done.code != "ok"} == REFUSED


def test_our_own_geometry_and_values_agree_with_every_image(converted: dict[str, Conversion]) -> None:
    images = [(name, image) for name, done in converted.items() for image in done.images]
    assert len(images) >= 40
    for name, image in images:
        assert (name, image.measures["geometry"], image.measures["values"]) == (name, "agrees", "equal")
        assert image.measures["residual_voxel"] < 0.01
        assert image.measures["verdict"] == "agreed"


def test_images_are_voxel_for_voxel_the_expected_ones(mri: Path, converted: dict[str, Conversion]) -> None:
    known = expected(mri)
    checked = 0
    for name, done in converted.items():
        for image in done.images:
            # The Philips series: dcm2niix writes 16 volumes, and all 17 again; we keep the 17th alone.
            if name.startswith("philips_dwi") and image.measures["volumes"] == 1:
                continue
            assert any(equals(image.nifti, one) for one in known[name.split("/")[0]]), name
            checked += 1
    assert checked >= 40


def test_images_equal_the_references_that_the_sources_ship(mri: Path, converted: dict[str, Conversion]) -> None:
    """Independent of any dcm2niix of ours: NIfTI that other people made and published."""
    found = 0
    for case in sorted(path for path in (mri / "ref").iterdir() if path.is_dir()):
        ours = [image.nifti for name, done in converted.items() if name.split("/")[0] == case.name for image in done.images]
        for reference in references(mri, case.name):
            assert any(same_image(one, reference) for one in ours), reference.name
            found += 1
    assert found >= 25


def test_gradients_equal_the_references(mri: Path, converted: dict[str, Conversion]) -> None:
    for case in ("ge_dwi", "philips_dwi", "uih_dwi"):
        bval, bvec = next((mri / "ref" / case).glob("*.bval")), next((mri / "ref" / case).glob("*.bvec"))
        image = next(image for name, done in converted.items() if name.startswith(case) for image in done.images if image.bval)
        assert image.bval is not None and image.bvec is not None
        assert np.allclose(np.loadtxt(image.bval), np.loadtxt(bval))
        assert np.allclose(np.loadtxt(image.bvec), np.loadtxt(bvec), atol=1e-4)


def test_the_computed_volume_of_a_philips_series_is_set_apart(converted: dict[str, Conversion]) -> None:
    done = next(done for name, done in converted.items() if name.startswith("philips_dwi"))
    whole, trace = sorted(done.images, key=lambda image: -int(image.measures["volumes"]))
    assert (len(whole.files), len(trace.files)) == (640, 40)
    assert not set(whole.files) & set(trace.files) and not [path for path in done.unused if path.suffix == ".dcm"]
    assert "TRACEW" in trace.sidecar["ImageType"]


def test_echoes_and_components_become_images_of_their_own(converted: dict[str, Conversion]) -> None:
    images = converted["siemens_fieldmap/2_gre_field_magph"].images
    assert [image.sidecar["EchoTime"] for image in images] == [0.00519, 0.00765]
    assert not set(images[0].files) & set(images[1].files)
    assert len(converted["philips_enh_fieldmap_face"].images) == 4


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("d2n_ge/ge/anatomical/001", "agrees"),
        ("siemens_bold_mosaic/cor/corint36", "geometry_differs"),  # dicom2nifti mirrors it
        ("siemens_bold_mosaic/sag/sagasc35", "geometry_differs"),
        ("siemens_enh_xa30/14_DWI_dir80_PA", "crashed"),
        ("ge_dwi/01_Ax_DWI_TENSOR_R2", "refused"),
    ],
)
def test_the_second_opinion_is_heard_and_its_dissent_settled_by_geometry(mri: Path, tmp_path: Path, case: str, said: str) -> None:
    done = convert.series(mri / "dicom" / case, tmp_path)
    assert done.verdict == "agreed"
    assert [image.measures["second"] for image in done.images] == [said]
    if said == "geometry_differs":
        assert done.images[0].measures["second_flipped"]


def test_two_conversions_of_one_series_are_the_same_bytes(mri: Path, tmp_path: Path) -> None:
    folder = mri / "dicom/siemens_fieldmap/2_gre_field_magph"
    first, second = (convert.series(folder, tmp_path / name, ask_second=False) for name in "ab")
    assert [image.nifti.read_bytes() for image in first.images] == [image.nifti.read_bytes() for image in second.images]


def test_nothing_is_left_in_the_folder_but_the_images(mri: Path, tmp_path: Path) -> None:
    convert.series(mri / "dicom/ge_dwi/01_Ax_DWI_TENSOR_R2", tmp_path, ask_second=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01.bval", "01.bvec", "01.nii"]
