"""A folder arrives whole, whatever the line does, without a name being sent."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import pytest

from client import said
from client.api import Registry
from client.errors import Broken, Refused, Usage
from client.upload import hand_in, manifest, write_names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "QUISTGAARD_MARGRETHE"
    for n in range(30):
        path = root / f"visit{n % 2}" / f"series{n % 3}" / f"im{n:03d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([n]) * (n * 1000))
    return root


def test_every_file_arrives_under_its_number_and_folder(little: Any, registry: Registry, folder: Path) -> None:
    entries = manifest(folder)
    sent = hand_in(registry, "u1", entries)
    assert (sent.sent, sent.skipped) == (30, 0)
    assert {e.number: e.path.read_bytes() for e in entries} == little.files
    assert little.completed == {"count": 30, "bytes": sum(range(30)) * 1000}
    assert len({little.folders[e.number] for e in entries}) == 6
    same = [little.folders[e.number] for e in entries if e.path.parent == entries[0].path.parent]
    assert set(same) == {"1.1"}


def test_no_name_is_sent(little: Any, registry: Registry, folder: Path) -> None:
    hand_in(registry, "u1", manifest(folder))
    sent = repr(little.seen) + repr(little.headers_seen) + repr(little.folders)
    assert "QUISTGAARD" not in sent
    assert "im0" not in sent
    assert "visit" not in sent


def test_of_a_masks_name_only_a_word_of_the_registrys_list_is_sent(little: Any, registry: Registry, tmp_path: Path) -> None:
    for name in ("quistgaard_lesion.nii.gz", "QUISTGAARD-CordSeg.nii", "t1_quistgaard.nii.gz", "lesion.txt"):
        (tmp_path / name).write_bytes(name.encode())
    entries = manifest(tmp_path)
    hand_in(registry, "u1", entries)
    assert {e.path.name: little.annotations[e.number] for e in entries} == {
        "quistgaard_lesion.nii.gz": "lesion",
        "QUISTGAARD-CordSeg.nii": "cord",
        "t1_quistgaard.nii.gz": "",
        "lesion.txt": "",
    }
    assert "uistgaard" not in (repr(little.seen) + repr(little.headers_seen) + repr(little.folders) + repr(little.annotations)).lower()


def test_a_broken_line_is_mended_and_what_arrived_is_not_sent_again(little: Any, registry: Registry, folder: Path) -> None:
    entries = manifest(folder)
    little.trouble = lambda method, path, nth: "cut" if method == "PUT" and path.endswith("7") and nth == 1 else None
    hand_in(registry, "u1", entries)
    assert len(little.files) == 30
    # Now a registry that stops half-way, and a second run after it came back.
    little.files.clear()
    little.trouble = lambda method, path, nth: 400 if method == "PUT" and path == "/uploads/u1/files/20" else None
    with pytest.raises(Refused):
        hand_in(registry, "u1", entries, threads=1)
    there = len(little.files)
    assert 10 < there < 30
    little.trouble = lambda method, path, nth: None
    little.seen.clear()
    sent = hand_in(registry, "u1", entries)
    assert sent.skipped == there
    assert sum(1 for method, _ in little.seen if method == "PUT") == 30 - there == sent.sent


def test_a_file_that_changes_under_way_is_noticed(little: Any, registry: Registry, folder: Path) -> None:
    entries = manifest(folder)
    entries[5].path.write_bytes(b"other")
    with pytest.raises(Broken) as no:
        hand_in(registry, "u1", entries)
    assert no.value.code == "file_changed"
    assert str(entries[5].path) not in str(no.value)


def test_one_file_can_be_handed_in_and_nothing_cannot(little: Any, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "scans.zip"
    path.write_bytes(b"zip")
    hand_in(registry, "u1", manifest(path))
    assert little.files == {1: b"zip"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(Usage):
        manifest(tmp_path / "empty")


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in" / "a").write_text("a")
    (tmp_path / "in" / "link").symlink_to(tmp_path / "secret")
    assert [e.path.name for e in manifest(tmp_path / "in")] == ["a"]


def test_names_are_kept_for_the_senders_eyes(folder: Path, tmp_path: Path) -> None:
    entries = manifest(folder)
    write_names(entries, tmp_path / "names.csv")
    rows = list(csv.DictReader((tmp_path / "names.csv").read_text().splitlines()))
    assert [int(r["number"]) for r in rows] == list(range(1, 31))
    assert rows[3]["sha256"] == hashlib.sha256(entries[3].path.read_bytes()).hexdigest()
    with pytest.raises(FileExistsError):
        write_names(entries, tmp_path / "names.csv")


def test_words_numbers_and_the_senders_own_table_go_along_instead_of_names(tmp_path: Path) -> None:
    lists = {"words": ["lesion"], "contrasts": ["FLAIR", "T1w"], "bodies": ["CSPINE"], "spaces": ["MNI152Lin"], "meanings": ["lesion"]}
    names = (
        "a/x_FLAIR.nii.gz",
        "a/x_FLAIR.json",
        "a/x_FLAIR_lesion.nii.gz",
        "b/Hansen.nii",
        "b/FLAIR_T1w.nii",
        "b/note.pdf",
        "c/x_space-MNI152Lin_T1w.nii",
        "c/x_space-Hansen_T1w.nii",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    table = tmp_path / "said.csv"
    table.write_text("path,visit,contrast,beside\nb/Hansen.nii,m12,T1w,a/x_FLAIR.nii.gz\n")
    paths = {n: tmp_path / name for n, name in enumerate(names, 1)}
    assert said.of(tmp_path, paths, lists, said.read(table)) == {
        1: {"contrast": "FLAIR"},
        2: {"beside": "1"},
        3: {"annotation": "lesion", "beside": "1"},
        4: {"contrast": "T1w", "visit": "m12", "beside": "1"},
        5: {},
        6: {},
        7: {"contrast": "T1w", "space": "MNI152Lin"},
        8: {"contrast": "T1w"},
    }
    for wrong in ("path,surname\nb/Hansen.nii,Hansen\n", "path,visit\n,m12\n"):
        table.write_text(wrong)
        with pytest.raises(Usage, match="bad_table"):
            said.read(table)
    table.write_text("path,visit\nnowhere.nii,m12\n")
    with pytest.raises(Usage, match="bad_table"):
        said.of(tmp_path, paths, lists, said.read(table))
