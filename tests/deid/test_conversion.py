"""De-identification costs conversion nothing: dcm2niix gives the same voxels, affine, b-values, directions and sidecar before and after.

The row "conversion costs nothing" of `make show-headers` measures every shared series; here stands one of each maker and kind, judged by the same rules.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from deid import identity

MEASURE = Path(__file__).resolve().parents[1] / "measure"
CASES = [
    "siemens_bold_mosaic/cor",
    "siemens_enh_xa30/5_anat",
    "siemens_enh_xa30/8_gre",
    "siemens_bold_compressed/AxInt36mb",
    "siemens_fieldmap/3_gre",
    "d2n_ge/ge/anatomical/001_implicit",
    "ge_dwi",
    "d2n_hitachi_hyperfine/hitachi/anatomical/001_implicit",
    "d2n_hitachi_hyperfine/hyperfine",
    "d2n_compressed/compressed_jpegls",
    "philips_enh_fieldmap_face",
    "philips_enh_pcasl",
    "uih_dwi",
]


@pytest.fixture(scope="module")
def rows():
    """tests/measure/conversion_rows.py, which is no package."""
    sys.path.insert(0, str(MEASURE))
    try:
        spec = importlib.util.spec_from_file_location("conversion_rows", MEASURE / "conversion_rows.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(str(MEASURE))


@pytest.mark.parametrize("case", CASES)
def test_conversion_loses_nothing(mri, tmp_path, rows, case):
    series, known = rows.all_series([mri / "dicom" / case.split("/")[0]])
    chosen = [one for one in series if one.name.startswith(case)]
    starts = dict(identity.study_starts(known.values()))
    for n, shared in enumerate(chosen):
        refused = rows.cleaned(shared, known, starts, tmp_path / str(n))
        found, _ = rows.judged(tmp_path / str(n), refused.values())
        assert not found
    assert chosen


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_comparison_sees_what_is_lost(mri, tmp_path, rows):
    """A product whose b-values, slice times or one voxel were spoilt is not taken for the original."""
    import pydicom

    series, known = rows.all_series([mri / "dicom" / "siemens_bold_mosaic"])
    shared = next(one for one in series if "cor" in one.name)
    rows.cleaned(shared, known, dict(identity.study_starts(known.values())), tmp_path)
    paths = sorted((tmp_path / "out").iterdir())
    clean = [path.read_bytes() for path in paths]
    for spoil, word in (
        (lambda data: data.remove_private_tags(), "SliceTiming lost"),
        (lambda data: setattr(data, "PixelData", b"\xff" + bytes(data.PixelData)[1:]), "data"),
        (lambda data: setattr(data, "RepetitionTime", "1234"), "RepetitionTime changed"),
        (lambda data: setattr(data, "AcquisitionTime", f"12000{data.InstanceNumber}"), "the clock's steps changed"),
    ):
        for path in paths:
            data = pydicom.dcmread(path)
            spoil(data)
            data.save_as(path)
        found, _ = rows.judged(tmp_path, ())
        assert any(word in line for line in found), word
        for path, whole in zip(paths, clean, strict=True):
            path.write_bytes(whole)
        for made in ("a", "b", "c", "clock"):
            rows.shutil.rmtree(tmp_path / made, ignore_errors=True)
