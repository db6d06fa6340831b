"""A field map is named on both sides, for the images that saw its field."""

from __future__ import annotations

import pytest

from bidstree import fieldmaps, sidecar
from bidstree.convert import Conversion
from bidstree.fieldmaps import Scan

S = "sub-x/ses-a"


def gre(series: int, run: str = "", shim: tuple[float, ...] = ()) -> list[Scan]:
    return [Scan(f"{S}/fmap/sub-x_ses-a{run}_{suffix}.nii.gz", series + n // 2, shim) for n, suffix in enumerate(("magnitude1", "magnitude2", "phasediff"))]


BOLD = f"{S}/func/sub-x_ses-a_task-rest_bold.nii.gz"
DWI = f"{S}/dwi/sub-x_ses-a_dwi.nii.gz"
T1W = f"{S}/anat/sub-x_ses-a_T1w.nii.gz"


def test_maps_and_images_name_each_other() -> None:
    fields = fieldmaps.link([*gre(3), Scan(BOLD, 5), Scan(DWI, 6), Scan(T1W, 2)])
    name = fields[BOLD]["B0FieldSource"]
    assert fields[DWI] == {"B0FieldSource": name} and T1W not in fields
    for scan in gre(3):
        assert fields[scan.path] == {"B0FieldIdentifier": name, "IntendedFor": [f"bids::{DWI}", f"bids::{BOLD}"]}
        assert sidecar.clean(fields[scan.path]) == dict(sorted(fields[scan.path].items()))


def test_without_certainty_that_files_stay_together_only_identifiers_are_written() -> None:
    fields = fieldmaps.link([*gre(3), Scan(BOLD, 5)], intended=False)
    assert all("IntendedFor" not in one for one in fields.values()) and "B0FieldSource" in fields[BOLD]


def test_the_shim_decides_before_the_clock() -> None:
    first, second = gre(3, "_run-1", (1.0, 2.0)), gre(7, "_run-2", (9.0, 2.0))
    fields = fieldmaps.link([*first, *second, Scan(BOLD, 9, (1.0, 2.0)), Scan(DWI, 5, (9.0, 2.0))])
    assert fields[BOLD]["B0FieldSource"] == fields[first[0].path]["B0FieldIdentifier"]
    assert fields[DWI]["B0FieldSource"] == fields[second[0].path]["B0FieldIdentifier"]
    # A shim that no map has: none serves.
    assert BOLD not in fieldmaps.link([*first, *second, Scan(BOLD, 9, (5.0, 5.0))])


def test_without_shims_the_last_map_before_an_image_serves_it_else_the_first_after() -> None:
    first, second = gre(3, "_run-1"), gre(7, "_run-2")
    for series, serving in ((1, first), (5, first), (9, second)):
        fields = fieldmaps.link([*first, *second, Scan(BOLD, series)])
        assert fields[BOLD]["B0FieldSource"] == fields[serving[0].path]["B0FieldIdentifier"]


def test_magnitudes_alone_and_one_polarity_alone_correct_nothing() -> None:
    assert fieldmaps.link([*gre(3)[:2], Scan(BOLD, 5)]) == {}
    epi = [Scan(f"{S}/fmap/sub-x_ses-a_dir-{way}_epi.nii.gz", 3) for way in ("AP", "PA")]
    assert fieldmaps.link([epi[0], Scan(BOLD, 5)]) == {}
    assert set(fieldmaps.link([*epi, Scan(BOLD, 5)])) == {BOLD, epi[0].path, epi[1].path}


@pytest.mark.parametrize("both", [True, False])
def test_two_kinds_of_map_are_both_named(both: bool) -> None:
    epi = [Scan(f"{S}/fmap/sub-x_ses-a_dir-{way}_epi.nii.gz", 3) for way in ("AP", "PA")]
    found = fieldmaps.link([*epi, *(gre(4) if both else []), Scan(BOLD, 6)])[BOLD]["B0FieldSource"]
    assert isinstance(found, list) is both


def test_a_real_map_tells_its_shim(converted: dict[str, Conversion]) -> None:
    image = converted["siemens_fieldmap/3_gre_field_magph"].images[0]
    assert len(fieldmaps.scan("x", 3, image.sidecar).shim) >= 3
