"""What is read is written back bit for bit; what cannot be a volume is refused before it is unpacked."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from spatial import volumes
from spatial.errors import ADVICE, SpatialError
from spatial.volumes import Volume

AFFINE = np.array([[-2.0, 0, 0, 90], [0, 0.5, 0.1, -120], [0, -0.1, 3.0, -60], [0, 0, 0, 1]])


def made(path: Path, *, kind: type = np.int16, slope: float | None = None, inter: float = 0.0) -> nib.Nifti1Image:
    data = np.random.default_rng(0).integers(0, 200, (7, 8, 9)).astype(kind)
    image = nib.Nifti1Image(data, AFFINE)
    image.header.set_data_dtype(kind)
    image.header["descrip"] = b"Doe^Jane 12:31:07"
    image.set_qform(AFFINE, code=1, strip_shears=True)
    if slope is not None:
        image.header.set_slope_inter(slope, inter)
    nib.save(image, path)
    return nib.load(path)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize(("slope", "inter"), [(None, 0.0), (133.88156127929688, 0.0), (0.0015344619750976562, -3.141592502593994)])
def test_stored_voxels_come_back_bit_for_bit_in_every_type(tmp_path: Path, kind: type, slope: float | None, inter: float) -> None:
    before = made(tmp_path / "a.nii.gz", kind=kind, slope=slope, inter=inter)
    volume = volumes.load(tmp_path / "a.nii.gz")
    volumes.save(volume, tmp_path / "b.nii.gz", like=tmp_path / "a.nii.gz")
    after = nib.load(tmp_path / "b.nii.gz")
    if kind in (np.float32, np.float64) and slope is not None:
        np.testing.assert_allclose(after.dataobj.get_unscaled(), before.dataobj.get_unscaled(), rtol=1e-6)
    else:
        np.testing.assert_array_equal(after.dataobj.get_unscaled(), before.dataobj.get_unscaled())
    assert after.get_data_dtype() == before.get_data_dtype()
    assert (after.dataobj.slope, after.dataobj.inter) == (before.dataobj.slope, before.dataobj.inter)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert (after.header["sform_code"], after.header["qform_code"]) == (before.header["sform_code"], before.header["qform_code"])


@pytest.mark.needs("shared-data")
def test_real_scans_come_back_bit_for_bit(mri: Path, tmp_path: Path) -> None:
    found = sorted((mri / "nifti").rglob("*.nii.gz")) + sorted((mri / "ref").rglob("*.nii*"))[:12]
    assert len(found) > 20
    for path in found:
        before = nib.load(path)
        if before.get_data_dtype().fields is not None:
            continue
        volumes.save(volumes.load(path), tmp_path / "b.nii.gz", like=path)
        after = nib.load(tmp_path / "b.nii.gz")
        np.testing.assert_array_equal(np.squeeze(after.dataobj.get_unscaled()), np.squeeze(before.dataobj.get_unscaled()))
        np.testing.assert_array_equal(after.affine, before.affine)


def test_the_same_volume_gives_the_same_bytes_without_a_time_or_a_name(tmp_path: Path) -> None:
    volume = Volume(np.arange(60, dtype=np.int16).reshape(3, 4, 5), AFFINE)
    for name in ("jane.nii.gz", "other.nii.gz"):
        volumes.save(volume, tmp_path / name)
    blob = (tmp_path / "jane.nii.gz").read_bytes()
    assert blob == (tmp_path / "other.nii.gz").read_bytes()
    assert blob[3] == 0 and blob[4:8] == b"\0\0\0\0", "no file name flag, no time"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["jane.nii.gz", "other.nii.gz"], "no part left behind"


def test_free_text_of_the_header_is_not_carried_over(tmp_path: Path) -> None:
    made(tmp_path / "a.nii.gz")
    assert b"Doe^Jane" in gzip.decompress((tmp_path / "a.nii.gz").read_bytes())
    volumes.save(volumes.load(tmp_path / "a.nii.gz"), tmp_path / "b.nii.gz", like=tmp_path / "a.nii.gz")
    assert b"Doe" not in gzip.decompress((tmp_path / "b.nii.gz").read_bytes())


def header_with(tmp_path: Path, **fields: object) -> Path:
    image = nib.Nifti1Image(np.ones((3, 4, 5), dtype=np.int16), AFFINE)
    image.set_qform(AFFINE, code=1, strip_shears=True)
    raw = bytearray(image.to_bytes())
    header = nib.Nifti1Header(bytes(raw[:348]), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    path = tmp_path / "bad.nii"
    path.write_bytes(bytes(raw))
    return path


NAN = float("nan")
BAD = {
    "zero spacing": ({"pixdim": [1, 0, 1, 1, 0, 0, 0, 0]}, "bad_spacing"),
    "NaN spacing": ({"pixdim": [1, 1, NAN, 1, 0, 0, 0, 0]}, "bad_spacing"),
    "negative spacing": ({"pixdim": [1, 1, -1, 1, 0, 0, 0, 0]}, "bad_spacing"),
    "flat voxel": ({"srow_z": [0, 0.5, 0.1, 0]}, "singular_affine"),
    "NaN orientation": ({"srow_x": [NAN, 0, 0, 0]}, "singular_affine"),
    "endless voxel": ({"srow_x": [1e9, 0, 0, 0]}, "bad_spacing"),
    "no orientation": ({"sform_code": 0, "qform_code": 0}, "no_orientation"),
    "a petabyte": ({"dim": [3, 30000, 30000, 30000, 1, 1, 1, 1]}, "too_large"),
    "many times": ({"dim": [4, 512, 512, 512, 9000, 1, 1, 1]}, "too_large"),
    "five axes": ({"dim": [5, 3, 4, 5, 2, 2, 1, 1]}, "bad_dimensions"),
    "colour": ({"datatype": 128, "bitpix": 24}, "unsupported_values"),
    "complex": ({"datatype": 32, "bitpix": 64}, "unsupported_values"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_volume_is_refused_with_a_code(tmp_path: Path, case: str) -> None:
    fields, code = BAD[case]
    with pytest.raises(SpatialError) as caught:
        volumes.load(header_with(tmp_path, **fields))
    assert caught.value.code == code and caught.value.advice == ADVICE[code]
    assert volumes.load(header_with(tmp_path)).shape == (3, 4, 5), "the twin without the fault is taken"


@pytest.mark.parametrize("keep", [0.02, 0.5, 0.95])
def test_half_a_file_is_refused(tmp_path: Path, keep: float) -> None:
    made(tmp_path / "a.nii.gz")
    blob = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "half.nii.gz").write_bytes(blob[: int(len(blob) * keep)])
    with pytest.raises(SpatialError) as caught:
        volumes.load(tmp_path / "half.nii.gz")
    assert caught.value.code == "unreadable_volume"
    assert "half" not in caught.value.reason


def test_a_value_that_does_not_fit_is_refused_not_wrapped(tmp_path: Path) -> None:
    made(tmp_path / "a.nii.gz", kind=np.uint8)
    volume = volumes.load(tmp_path / "a.nii.gz")
    volumes.save(Volume(volume.data.astype(np.int16), volume.affine), tmp_path / "fits.nii.gz", like=tmp_path / "a.nii.gz")
    with pytest.raises(SpatialError) as caught:
        volumes.save(Volume(volume.data.astype(np.int16) + 300, volume.affine), tmp_path / "b.nii.gz", like=tmp_path / "a.nii.gz")
    assert caught.value.code == "out_of_range" and not (tmp_path / "b.nii.gz").exists()


def test_a_moved_volume_cannot_take_another_files_header(tmp_path: Path) -> None:
    made(tmp_path / "a.nii.gz")
    volume = volumes.load(tmp_path / "a.nii.gz")
    moved = Volume(volume.data, volume.affine + np.eye(4) * [0.5, 0, 0, 0])
    assert volumes.same_grid(volume, volume) and not volumes.same_grid(volume, moved)
    with pytest.raises(SpatialError) as caught:
        volumes.save(moved, tmp_path / "b.nii.gz", like=tmp_path / "a.nii.gz")
    assert caught.value.code == "grid_mismatch"
