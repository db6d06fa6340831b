"""Folders say whose NIfTI is and of which visit, and two people never become one."""

from __future__ import annotations

import pytest

from pipeline import given


@pytest.mark.parametrize(
    ("name", "person", "visit"),
    [
        ("patient01/study1_FLAIR.nii.gz", "patient01", "study1"),
        ("patient01/gt.nii.gz", "patient01", ""),
        ("sub-7/ses-2/anat/sub-7_ses-2_T1w.nii.gz", "sub-7", "2"),
        ("sub-7_ses-2/T1w.nii.gz", "sub-7", "2"),
        ("rawdata/sub-7/anat/sub-7_T1w.nii.gz", "sub-7", ""),
        ("images/sub-7_T1w.nii.gz", "sub-7", ""),
        ("images/sub-7.nii.gz", "sub-7", ""),
        ("sub-01_002/sub-01_002_T1w.nii.gz", "sub-01_002", ""),
        ("centre1/sub-7/t1.nii", "centre1/sub-7", ""),
        ("centre1/012/t1.nii", "centre1/012", ""),
        ("raw/p3/m12/t1.nii", "p3", "m12"),
        ("p3/01/t1.nii", "p3", "01"),
        ("01/T1.nii", "01", ""),
        ("012/t1.nii.gz", "012", ""),
        ("012/012_t1.nii.gz", "012", ""),
        ("cervical_spine/t2/t2.nii.gz", "cervical_spine", ""),
        ("baseline/p3/t1.nii", "p3", "baseline"),
        ("20190304/p3/t1.nii", "p3", "20190304"),
        ("p/2019-03-04/t1.nii", "p", "20190304"),
        ("d000001/f000000012", "d000001", ""),
    ],
)
def test_a_path_names_a_person_and_perhaps_a_visit(name: str, person: str, visit: str) -> None:
    assert (given.person(name), given.session(name)) == (person, visit)


@pytest.mark.parametrize(
    "name",
    [
        *("t2/t2.nii.gz", "images/P001.nii.gz", "P001_FLAIR.nii.gz", "012_T1w.nii.gz", "ses-1/t1.nii", "ses-01/mueller.nii.gz", "19870304/t1.nii"),
        *("study1/T1.nii", "m00/P001.nii", "cohort/mueller.nii", "dataset/p3/head/t1.nii", "p/2019_scan/t1.nii", "p/012/t1.nii", "study1/p3/t1.nii"),
        *("images/sub-01_002.nii.gz", "images/sub-01_mueller.nii.gz", "sub-01/sub-02_T1w.nii.gz", "sub-01/sub-02.nii", "sub-centre1/sub-01/t1.nii"),
        *("d000001/d000002/f000000012", "f000000012"),
    ],
)
def test_where_nobody_or_two_could_be_meant_nobody_is_named(name: str) -> None:
    assert given.person(name) == ""


def test_what_named_a_person_names_no_visit() -> None:
    for name in ("01/T1.nii", "012/t1.nii", "012/012_t1.nii", "012/ses-2/t1.nii", "centre1/07/t1.nii", "x/012_T1w.nii"):
        assert given.session(name) in ("", "2"), name


def test_two_people_s_files_in_one_folder_are_known_by_their_numbers_and_one_person_s_are_not() -> None:
    for two in (("x/P001_T1w.nii", "x/P002_T1w.nii"), ("x/012_T1w.nii", "x/013_T1w.nii"), ("x/patient1.nii", "x/patient2.nii")):
        assert given.several(two)
    one = ("x/study1_FLAIR.nii", "x/study2_FLAIR.nii", "x/mt0.nii", "x/mt1.nii", "x/b1000_dwi.nii", "x/b2000_dwi.nii", "x/20190304_t1.nii", "x/P001_T1w.nii")
    assert not given.several((*one, "x/P001_T2w.nii", "x/sub-01/003_t1.nii"))


def test_two_numbered_folders_are_two_people() -> None:
    assert given.person("01/T1.nii") != given.person("02/T1.nii")


def test_a_date_is_moved_before_it_is_a_label_and_two_dates_are_two_visits() -> None:
    names = {1: "p/20190304/t1.nii", 2: "p/20200304/t1.nii", 3: "p/gt.nii"}
    assert given.sessions(names, "undated", lambda day: f"1{day[1:]}") == {1: "10190304", 2: "10200304", 3: "undated"}
    assert given.sessions({1: "p/m12_t1.nii", 2: "p/t2.nii"}, "undated", str) == {1: "m12", 2: "m12"}


def test_small_files_lie_beside_the_image_whose_name_begins_theirs() -> None:
    volumes = {1: "p/dwi.nii.gz", 2: "p/dwi_b0.nii.gz", 3: "q/t1.nii"}
    others = {4: "p/dwi.bval", 5: "p/dwi_b0.json", 6: "q/notes.txt", 7: "p/other.json", 8: "p/x.txt"}
    assert given.beside(volumes, others, {8: 3}) == {1: [4], 2: [5], 3: [6, 8]}
