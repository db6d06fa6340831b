"""A zip is opened in a child, none of its names becomes a name on our disk, and one bad member costs only itself."""

from __future__ import annotations

import stat
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deid.pseudonyms import new_key
from pipeline.archive import Budget
from pipeline.codes import Refused
from pipeline.isolate import Pool
from pipeline.order import Order
from pipeline.sort import Sorted, sort
from pipeline.workspace import Workspace
from tests.pipeline.made import scan

Sorting = Callable[[Path, Path], Sorted]


@pytest.fixture
def sorted_(tmp_path: Path, pool: Pool) -> Sorting:
    new_key(tmp_path / "key")
    order = Order("r", 1, "sort", tmp_path, "x", {"file": str(tmp_path / "key")})
    return lambda folder, source: sort(replace(order, input=source), Workspace(folder / "work", pool))


def codes(found: Sorted) -> dict[str, str]:
    return {one.name.partition(".zip/")[2] or one.name: found.rows[one.n].verdict.code for one in found.sources}


@pytest.fixture
def dicom(tmp_path: Path) -> bytes:
    return scan(tmp_path / "made" / "one").read_bytes()


def test_the_members_of_a_zip_are_counted_after_it_and_sorted_like_a_folder(tmp_path: Path, dicom: bytes, sorted_: Sorting) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with zipfile.ZipFile(folder / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("z/", b"")
        archive.writestr("z/2.dcm", scan(tmp_path / "m" / "2", instance=2).read_bytes())
        archive.writestr("a/1.dcm", dicom)
    scan(folder / "a.dcm", instance=3)
    scan(folder / "c.dcm", instance=4)
    found = sorted_(tmp_path, folder)
    assert [one.name for one in found.sources] == ["a.dcm", "b.zip", "b.zip/a/1.dcm", "b.zip/z/2.dcm", "c.dcm"]
    assert set(codes(found).values()) == {"ok"}
    assert [study.files for study in found.studies] == [[1, 3, 4, 5]]
    assert all(row.sha256 for row in found.rows.values())


def test_a_zip_alone_is_an_input_too(tmp_path: Path, dicom: bytes, sorted_: Sorting) -> None:
    with zipfile.ZipFile(tmp_path / "up.zip", "w") as archive:
        archive.writestr("1.dcm", dicom)
    assert codes(sorted_(tmp_path, tmp_path / "up.zip")) == {"up.zip": "ok", "1.dcm": "ok"}


def test_bad_members_are_refused_one_by_one_and_the_good_ones_kept(tmp_path: Path, dicom: bytes, sorted_: Sorting) -> None:
    path = tmp_path / "up.zip"
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("x", b"x")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.dcm", dicom)
        for name in ("../../escape.dcm", "/etc/escape.dcm", "C:\\escape.dcm", "a\\..\\..\\escape.dcm"):
            archive.writestr(zipfile.ZipInfo(name), b"x")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        device = zipfile.ZipInfo("device")
        device.external_attr = (stat.S_IFCHR | 0o666) << 16
        archive.writestr(device, b"")
        archive.writestr(zipfile.ZipInfo("bell\x07"), b"x")
        archive.writestr("nested.zip", inner.read_bytes())
        archive.writestr("bzip", dicom, zipfile.ZIP_BZIP2)
    found = codes(sorted_(tmp_path, path))
    assert found == {
        "up.zip": "ok",
        "good.dcm": "ok",
        "../../escape.dcm": "archive_traversal",
        "/etc/escape.dcm": "archive_traversal",
        "C:\\escape.dcm": "archive_traversal",
        "a\\..\\..\\escape.dcm": "archive_traversal",
        "link": "archive_link",
        "device": "archive_special",
        "bell\x07": "archive_path",
        "nested.zip": "archive_nested",
        "bzip": "archive_method",
    }
    assert not list(tmp_path.rglob("escape*"))


def patched(path: Path, signature: bytes, offset: int, value: bytes) -> None:
    """Change a field of every header of one kind in a zip."""
    data = bytearray(path.read_bytes())
    start = data.find(signature)
    while start >= 0:
        data[start + offset : start + offset + len(value)] = value
        start = data.find(signature, start + 4)
    path.write_bytes(data)


@pytest.mark.parametrize(("claim", "code"), [(100, "archive_damaged"), (10**6, "archive_size_lies")])
def test_a_member_that_lies_about_its_size_is_refused(tmp_path: Path, dicom: bytes, claim: int, code: str, sorted_: Sorting) -> None:
    path = tmp_path / "up.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.dcm", dicom)
    patched(path, b"PK\x01\x02", 24, struct.pack("<I", claim))
    assert codes(sorted_(tmp_path, path)) == {"up.zip": "ok", "1.dcm": code}


def test_a_locked_member_and_a_broken_one_are_refused(tmp_path: Path, dicom: bytes, sorted_: Sorting) -> None:
    path = tmp_path / "up.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.dcm", dicom)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    assert codes(sorted_(tmp_path, path))["1.dcm"] == "archive_damaged"
    patched(path, b"PK\x01\x02", 8, b"\x01\x00")
    assert codes(sorted_(tmp_path, path))["1.dcm"] == "archive_encrypted"


def test_a_bomb_is_refused_and_an_empty_slice_of_a_scan_is_not(tmp_path: Path, sorted_: Sorting) -> None:
    path = tmp_path / "up.zip"
    black = scan(tmp_path / "m" / "1", Rows=2048, Columns=2048, PixelData=bytes(2048 * 2048 * 2)).read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("black.dcm", black)
        with archive.open("bomb.dcm", "w") as file:
            for _ in range(300):
                file.write(bytes(2**20))
    assert path.stat().st_size < 2**20
    assert codes(sorted_(tmp_path, path)) == {"up.zip": "ok", "black.dcm": "ok", "bomb.dcm": "archive_bomb"}
    assert sum(one.stat().st_size for one in (tmp_path / "work").rglob("*")) < 20 * 2**20


def test_many_small_bombs_are_stopped_by_what_they_unpack_to_together(tmp_path: Path) -> None:
    small, large = Budget(tmp_path, 2**20), Budget(tmp_path, 2**30)
    small.spend(2**30)
    large.spend(2**30)
    with pytest.raises(Refused, match="archive_bomb"):
        small.spend(1)
    large.spend(1)
    large.room = 0
    with pytest.raises(Refused, match="archive_too_large"):
        large.spend(1)


def test_an_archive_whose_members_lie_over_one_another_is_refused_whole(tmp_path: Path, dicom: bytes, sorted_: Sorting) -> None:
    path = tmp_path / "up.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.dcm", dicom)
        archive.writestr("2.dcm", dicom)
    patched(path, b"PK\x01\x02", 42, struct.pack("<I", 0))
    assert codes(sorted_(tmp_path, path)) == {"up.zip": "archive_overlap"}


@pytest.mark.parametrize("cut", [30, 200, -1, -30])
def test_half_a_zip_is_refused_and_accounted_for(tmp_path: Path, dicom: bytes, cut: int, sorted_: Sorting) -> None:
    path = tmp_path / "up.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("1.dcm", dicom)
    path.write_bytes(path.read_bytes()[:cut])
    assert codes(sorted_(tmp_path, path)) == {"up.zip": "archive_damaged"}
