"""Loose files become studies; a study is somebody's by code only, or it waits with the reason."""

from __future__ import annotations

import json
import os
import shutil
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from deid.pseudonyms import keys_from_file, new_key
from pipeline.isolate import Pool
from pipeline.order import Order
from pipeline.sort import Sorted, run_sort, sort
from pipeline.workspace import Workspace
from tests.pipeline.made import scan

Sorting = Callable[..., Sorted]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def order(tmp_path: Path, key: Path) -> Order:
    return Order("r1", 1, "sort", tmp_path / "in", "aarhus", {"file": str(key)})


@pytest.fixture
def sorting(tmp_path: Path, order: Order, pool: Pool) -> Sorting:
    def run(order: Order = order) -> Sorted:
        return sort(order, Workspace(tmp_path / "work", pool))

    return run


def codes(found: Sorted) -> dict[str, str]:
    """name -> code"""
    return {one.name: found.rows[one.n].verdict.code for one in found.sources}


def mask(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), path)
    return path


def test_two_visits_of_one_person_are_two_studies_of_one_code_with_the_interval_kept(tmp_path: Path, sorting: Sorting, key: Path) -> None:
    for visit, date in ((1, "20190311"), (2, "20190410")):
        for n in (1, 2):
            scan(tmp_path / "in" / f"v{visit}" / f"{n}", study=visit, instance=n, StudyDate=date)
    found = sorting()
    first, second = sorted(found.studies, key=lambda study: study.files)
    assert [study.files for study in (first, second)] == [[1, 2], [3, 4]]
    assert first.participant == second.participant == keys_from_file(key)[0].code("aarhus", "", "310577-2046")
    assert first.day != second.day
    assert "20190311" not in (first.session, second.session)
    days = [np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}") for text in (first.session, second.session)]
    assert (days[1] - days[0]).astype(int) == 30


def test_equal_patient_numbers_of_two_sites_are_two_people(tmp_path: Path, sorting: Sorting, order: Order) -> None:
    from dataclasses import replace

    scan(tmp_path / "in" / "1")
    here, there = sorting(), sorting(replace(order, site="odense"))
    assert here.studies[0].participant != there.studies[0].participant
    assert here.studies[0].participant == sorting().studies[0].participant


@pytest.mark.parametrize("number", ["", "***", "ANONYMOUS", "000000"])
def test_a_scan_of_nobody_waits(tmp_path: Path, sorting: Sorting, number: str) -> None:
    scan(tmp_path / "in" / "1", PatientID=number)
    found = sorting()
    assert found.studies[0].participant is None
    assert codes(found) == {"1": "no_identity"}


def test_a_study_of_two_patients_waits_and_its_neighbour_does_not(tmp_path: Path, sorting: Sorting) -> None:
    scan(tmp_path / "in" / "1", instance=1)
    scan(tmp_path / "in" / "2", instance=2, PatientID="020202-1111", PatientName="Holm^Jens", PatientBirthDate="19020202", PatientSex="M")
    scan(tmp_path / "in" / "3", study=2, PatientID="999999-0001")
    assert codes(sorting()) == {"1": "two_patients", "2": "two_patients", "3": "ok"}


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"PatientBirthDate": "19770601"}, "identity_conflict"),
        ({"PatientSex": "M"}, "identity_conflict"),
        ({"PatientName": "Holm^Jens"}, "identity_conflict"),
        ({"PatientName": "Vestergaard^Jens"}, "identity_conflict"),
        ({"PatientBirthDate": ""}, "ok"),
        ({"PatientBirthDate": "", "PatientName": ""}, "identity_conflict"),
        ({"PatientSex": "O", "PatientName": ""}, "ok"),
        ({"PatientName": "VESTERGAARD^S"}, "ok"),
        ({"PatientName": "SOLVEIG VESTERGAARD"}, "ok"),
        ({"PatientName": "Lund^Solveig"}, "ok"),
    ],
)
def test_one_number_for_two_people_waits_but_a_new_surname_does_not(tmp_path: Path, sorting: Sorting, values: dict[str, str], code: str) -> None:
    scan(tmp_path / "in" / "1", study=1)
    scan(tmp_path / "in" / "2", study=2, **values)
    assert codes(sorting()) == {"1": code, "2": code}


def test_doubles_go_and_an_identifier_given_twice_refuses_both(tmp_path: Path, sorting: Sorting) -> None:
    scan(tmp_path / "in" / "a", instance=1)
    shutil.copy(tmp_path / "in" / "a", tmp_path / "in" / "b")
    scan(tmp_path / "in" / "c", instance=1, StudyTime="111111")  # other bytes, same image
    scan(tmp_path / "in" / "d", instance=2)
    scan(tmp_path / "in" / "e", instance=2, shown=9)
    scan(tmp_path / "in" / "f", instance=3)
    assert codes(sorting()) == {"a": "ok", "b": "duplicate", "c": "duplicate", "d": "uid_clash", "e": "uid_clash", "f": "ok"}


def test_one_image_under_two_names_is_a_study_of_two_patients_not_a_double(tmp_path: Path, sorting: Sorting) -> None:
    scan(tmp_path / "in" / "a")
    scan(tmp_path / "in" / "b", PatientID="999999-0001")
    assert codes(sorting()) == {"a": "two_patients", "b": "two_patients"}


def test_a_mask_belongs_to_the_study_that_alone_owns_its_nearest_folder(tmp_path: Path, sorting: Sorting) -> None:
    root = tmp_path / "in"
    scan(root / "anna" / "dicom" / "1", study=1)
    scan(root / "bo" / "dicom" / "1", study=2, PatientID="")
    for place in ("anna/lesion.nii.gz", "anna/masks/deep/lesion.nii", "bo/lesion.nii.gz", "lesion.nii.gz"):
        mask(root / place)
    found = sorting()
    assert codes(found) == {
        "anna/dicom/1": "ok",
        "anna/lesion.nii.gz": "ok",
        "anna/masks/deep/lesion.nii": "ok",
        "bo/dicom/1": "no_identity",
        "bo/lesion.nii.gz": "mask_waits",
        "lesion.nii.gz": "mask_ambiguous",
    }
    assert sorted(len(study.masks) for study in found.studies) == [1, 2]


def test_nifti_without_any_scan_is_a_visit_that_waits_for_somebody_to_say_whose_it_is(tmp_path: Path, sorting: Sorting) -> None:
    root = tmp_path / "in"
    mask(root / "p1" / "ses-1" / "t1.nii.gz")
    (root / "p1" / "ses-1" / "t1.json").write_text('{"EchoTime": 0.003}')
    mask(root / "p1" / "ses-2" / "t1.nii")
    mask(root / "01" / "t1.nii")
    (root / "letters").mkdir()
    (root / "letters" / "note.json").write_text("{}")
    found = sorting()
    assert codes(found) == {
        "01/t1.nii": "no_identity",
        "letters/note.json": "companion_alone",
        "p1/ses-1/t1.json": "no_identity",
        "p1/ses-1/t1.nii.gz": "no_identity",
        "p1/ses-2/t1.nii": "no_identity",
    }
    assert sorted((study.whose, len(study.masks), study.participant) for study in found.studies) == [("01", 1, None), ("p1", 3, None)]
    again = sorting()
    assert [study.code for study in again.studies] == [study.code for study in found.studies]
    assert not any(word in json.dumps([study.as_json() for study in found.studies]) for word in ("p1", "ses-1"))


def test_nifti_of_somebody_else_is_not_given_to_the_only_scanned_person_nor_to_one_of_two(tmp_path: Path, sorting: Sorting) -> None:
    root = tmp_path / "in"
    scan(root / "anna" / "1", study=1)
    scan(root / "bo" / "1", study=2, PatientID="888888-1111", PatientBirthDate="19880101", PatientName="Holm^Bo")
    mask(root / "carla" / "t1.nii")
    found = sorting()
    assert codes(found)["carla/t1.nii"] == "no_identity"
    assert [study.masks for study in found.studies if study.files] == [[], []]


def whose(found: Sorted) -> dict[str, list[str]]:
    """Whom a desk would take each visit handed in as NIfTI for -> its files"""
    names = {one.n: one.name for one in found.sources}
    people: dict[str, list[str]] = {}
    for study in found.studies:
        if not study.files:
            people.setdefault(study.whose, []).extend(names[n] for n in study.masks)
    return people


@pytest.mark.parametrize(
    ("scanned", "other", "mine"),
    [
        ("A/1", "B/t1.nii", ("A/t1.nii", "A/masks/lesion.nii")),
        ("all/A/1", "all/B/t1.nii", ("all/A/t1.nii", "all/masks/lesion.nii")),
        ("d000001/d000002/f01", "d000003/f02", ("d000001/d000004/f03", "d000001/f04")),
        ("x/01/1", "x/02/t1.nii", ("x/01/t1.nii", "x/ses-2/t1.nii")),
    ],
)
def test_with_one_scanned_person_another_s_nifti_stays_another_s(tmp_path: Path, sorting: Sorting, scanned: str, other: str, mine: tuple[str, ...]) -> None:
    root = tmp_path / "in"
    scan(root / scanned)
    for seed, name in enumerate((other, *mine)):
        made = mask(root / f"{name}.nii")
        nib.save(nib.Nifti1Image(np.full((2, 2, 2), seed, np.uint8), np.eye(4)), made)
        made.rename(root / name)
    found = sorting()
    said = codes(found)
    assert said[other] == "no_identity" and [said[name] for name in mine] == ["ok", "ok"]
    (study,) = (study for study in found.studies if study.files)
    assert len(study.masks) == 2


def test_archives_and_folders_above_tell_people_apart_and_one_archive_does_not(tmp_path: Path, sorting: Sorting) -> None:
    root = tmp_path / "in"
    root.mkdir()
    for n, name in enumerate(("a.zip", "b.zip")):
        with zipfile.ZipFile(root / name, "w") as packed:
            for place in ("sub-01/t1.nii", "masks/sub-01/lesion.nii"):
                packed.writestr(place, nib.Nifti1Image(np.full((2, 2, 2), n + 1, np.uint8), np.eye(4)).to_bytes())
    for n, place in enumerate(("centre1", "centre2")):
        made = mask(root / place / "sub-01" / "t1.nii")
        nib.save(nib.Nifti1Image(np.full((2, 2, 2), n + 5, np.uint8), np.eye(4)), made)
    found = whose(sorting())
    assert {name: len(files) for name, files in found.items()} == {"a.zip/sub-01": 2, "b.zip/sub-01": 2, "centre1/sub-01": 1, "centre2/sub-01": 1}


def test_a_folder_that_holds_people_is_nobody_and_one_that_holds_a_person_s_files_is(tmp_path: Path, sorting: Sorting) -> None:
    root = tmp_path / "in"
    names = ("ward/sub-01/t1.nii", "ward/t1.nii", "x/P001_FLAIR.nii", "x/P002_FLAIR.nii", "y/study1_FLAIR.nii", "y/study2_FLAIR.nii")
    for n, name in enumerate(names):
        nib.save(nib.Nifti1Image(np.full((2, 2, 2), n + 1, np.uint8), np.eye(4)), mask(root / name))
    assert {name: len(files) for name, files in whose(sorting()).items()} == {"ward/sub-01": 1, "": 3, "y": 2}


def test_a_sidecar_that_names_another_is_not_taken(tmp_path: Path, sorting: Sorting) -> None:
    root = tmp_path / "in" / "images"
    mask(root / "sub-01_T1w.nii")
    for name in ("sub-01_T1w.json", "sub-02_T1w.json"):
        (root / name).write_text('{"EchoTime": 0.003}')
    said = codes(sorting())
    assert (said["images/sub-01_T1w.json"], said["images/sub-02_T1w.json"]) == ("no_identity", "companion_alone")


def test_what_is_no_file_is_never_opened_and_what_is_no_scan_is_refused(tmp_path: Path, sorting: Sorting) -> None:
    root = tmp_path / "in"
    scan(root / "scan")
    (tmp_path / "secret").write_text("never read")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder-link").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    (root / "empty").touch()
    (root / "notes.txt").write_text("Vestergaard phoned.")
    (root / "scan.tar").write_bytes(b"\0" * 257 + b"ustar" + b"\0" * 300)
    with socket.socket(socket.AF_UNIX) as plug:
        plug.bind(str(root / "s"))
        found = sorting()
    assert codes(found) == {
        "empty": "empty_file",
        "folder-link": "link",
        "link": "link",
        "notes.txt": "not_dicom",
        "pipe": "not_a_file",
        "s": "not_a_file",
        "scan": "ok",
        "scan.tar": "archive_kind",
    }


def test_a_slice_cut_anywhere_is_never_accepted_and_the_whole_one_is(tmp_path: Path, sorting: Sorting) -> None:
    for n in range(1, 11):
        whole = scan(tmp_path / "made" / str(n), instance=n).read_bytes()
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / f"{n:02d}-whole").write_bytes(whole)
        for tenth in range(1, 10):
            (tmp_path / "in" / f"{n:02d}-{tenth}").write_bytes(whole[: len(whole) * tenth // 10])
        (tmp_path / "in" / f"{n:02d}-almost").write_bytes(whole[:-1])
    found = codes(sorting())
    assert {name for name, code in found.items() if code == "ok"} == {f"{n:02d}-whole" for n in range(1, 11)}
    assert len(found) == 110


def test_nothing_of_the_person_is_in_the_outcome(tmp_path: Path, order: Order, pool: Pool) -> None:
    scan(tmp_path / "in" / "Vestergaard" / "1")
    scan(tmp_path / "in" / "2", study=2, PatientID="")
    text = json.dumps(run_sort(order, Workspace(tmp_path / "work", pool)).as_json())
    for planted in ("Vestergaard", "vestergaard", "Solveig", "solveig", "310577", "19770531", "1977-05-31", "20190311", "98765.2"):
        assert planted not in text
    assert '"no_identity"' in text  # the twin: it does say what there is to say


def test_the_same_upload_gives_the_same_numbers_and_the_same_outcome(tmp_path: Path, order: Order) -> None:
    for name in ("b/2", "a/10", "a/9", "c"):
        scan(tmp_path / "in" / name, instance=ord(name[-1]))
    texts = []
    for jobs in (1, 2):
        with Pool(jobs) as pool:
            texts.append(json.dumps(run_sort(order, Workspace(tmp_path / f"work{jobs}", pool)).as_json()))
    assert texts[0] == texts[1]


def test_a_file_too_large_for_a_child_to_hash_is_hashed_all_the_same(tmp_path: Path, sorting: Sorting, monkeypatch: pytest.MonkeyPatch, key: Path) -> None:
    """28 GB take longer to hash than a child may compute: the carrier hashes it, and the child is told."""
    scan(tmp_path / "in" / "a.dcm")
    (tmp_path / "in" / "junk").write_bytes(b"no scan at all" * 99)
    (tmp_path / "in" / "dies").write_bytes(b"DICM" * 40)
    before = {row.n: (row.sha256, row.verdict.code) for row in sorting().rows.values()}
    seen: list[Path] = []

    def once(path: Path) -> str:
        seen.append(path)
        return real(path)

    from pipeline import sort as room

    real = room.digest
    monkeypatch.setattr(room, "LARGE", 0)
    monkeypatch.setattr(room, "digest", once)
    assert {row.n: (row.sha256, row.verdict.code) for row in sorting().rows.values()} == before
    assert sorted(path.name for path in seen) == ["a.dcm", "dies", "junk"]
