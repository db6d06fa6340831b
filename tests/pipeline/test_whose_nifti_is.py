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
        ("raw/p3/m12/t1.nii", "p3", "m12"),
        ("01/T1.nii", "01", "01"),
        ("study1/T1.nii", "study1", "study1"),
        ("cervical_spine/t2/t2.nii.gz", "cervical_spine", ""),
        ("t2/t2.nii.gz", "ROOT", ""),
        ("ses-1/t1.nii", "ROOT", "1"),
        ("p/2019-03-04/t1.nii", "p", "20190304"),
        ("p/2019_scan/t1.nii", "p", ""),
    ],
)
def test_a_path_names_a_person_and_perhaps_a_visit(name: str, person: str, visit: str) -> None:
    assert (given.person(name, "ROOT"), given.session(name)) == (person, visit)


def test_two_numbered_folders_are_two_people() -> None:
    assert given.person("01/T1.nii", "R") != given.person("02/T1.nii", "R")


def test_a_date_is_moved_before_it_is_a_label_and_two_dates_are_two_visits() -> None:
    names = {1: "p/20190304/t1.nii", 2: "p/20200304/t1.nii", 3: "p/gt.nii"}
    assert given.sessions(names, "undated", lambda day: f"1{day[1:]}") == {1: "10190304", 2: "10200304", 3: "undated"}
    assert given.sessions({1: "p/m12_t1.nii", 2: "p/t2.nii"}, "undated", str) == {1: "m12", 2: "m12"}


def test_small_files_lie_beside_the_image_whose_name_begins_theirs() -> None:
    volumes = {1: "p/dwi.nii.gz", 2: "p/dwi_b0.nii.gz", 3: "q/t1.nii"}
    others = {4: "p/dwi.bval", 5: "p/dwi_b0.json", 6: "q/notes.txt", 7: "p/other.json", 8: "p/x.txt"}
    assert given.beside(volumes, others, {8: 3}) == {1: [4], 2: [5], 3: [6, 8]}
