"""The demo judges others, so it is judged first: its search finds, its ledger does not flatter, and it removes nobody's folder."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import phantom_people as people
from registry.management.demo import search, table
from registry.management.demo.ledger import Ledger
from registry.management.demo.serve import NotStarted, Servers

PLANTED = people.identifiers(people.EVERYBODY, people.SITES)


def kinds(folder: Path) -> set[str]:
    return {h.kind for h in search.look([folder], PLANTED, lambda done, total: None).hits}


@pytest.mark.parametrize("offset", [10_000, 10_001])
def test_every_identifier_is_found_alone_among_noise(tmp_path: Path, offset: int) -> None:
    for n, planted in enumerate(PLANTED):
        (tmp_path / str(n)).write_bytes(bytes(range(256)) * (offset // 256) + b"\0" * (offset % 256) + planted.value.encode() + b"\0" * 5000)
    hits = search.look([tmp_path], PLANTED, lambda done, total: None).hits
    assert {(h.where, h.kind) for h in hits} >= {(str(n), planted.kind) for n, planted in enumerate(PLANTED)}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("change", [str, str.lower, str.upper])
def test_a_name_is_found_in_any_spelling(tmp_path: Path, encoding: str, change: type[str]) -> None:
    (tmp_path / "a").write_bytes(b"x" + change(people.P2.family).encode(encoding))
    assert kinds(tmp_path) == {"family name"}


def test_a_name_is_found_packed_and_in_file_names_and_at_the_very_end(tmp_path: Path) -> None:
    name = people.P1.family.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b" " * 1000 + name)
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        info = tarfile.TarInfo("inner.zip")
        info.size = len(packed.getvalue())
        archive.addfile(info, io.BytesIO(packed.getvalue()))
    (tmp_path / "x").write_bytes(gzip.compress(whole.getvalue()))
    assert kinds(tmp_path) == {"family name"}
    (tmp_path / "x").unlink()
    (tmp_path / f"{people.P1.family.lower()}.json").write_text("{}")
    assert kinds(tmp_path) == {"family name"}


def test_what_is_clean_is_clean_and_the_value_is_never_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(gzip.compress(bytes(range(256)) * 4000))
    (tmp_path / "empty").touch()
    assert kinds(tmp_path) == set()
    (tmp_path / "b").write_text(people.P1.source_id)
    found = search.look([tmp_path], PLANTED, lambda done, total: None)
    assert found.files == 3
    assert people.P1.source_id not in repr(found)


def test_the_ledger_is_complete_only_if_everything_happened(tmp_path: Path) -> None:
    ledger = Ledger()
    assert not ledger.complete
    with ledger.telling(1):
        ledger.note("a", True, "shown")
    assert ledger.complete
    ledger.note("b", False, "missing [why]")
    assert not ledger.complete
    console = Console(width=120, record=True, file=io.StringIO())
    table.show(ledger, console)
    text = console.export_text()
    assert "1 of 2 expected events happened" in text
    assert "missing [why]" in text


def test_the_demo_removes_its_own_folder_only(tmp_path: Path) -> None:
    mine = Servers(tmp_path / "demo")
    mine.clear()
    (mine.home / "old").touch()
    mine.clear()
    assert not (mine.home / "old").exists()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "work").touch()
    with pytest.raises(NotStarted):
        Servers(tmp_path / "theirs").clear()
    assert (tmp_path / "theirs" / "work").exists()


def test_settings_around_the_demo_do_not_reach_its_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://real/registry")
    monkeypatch.setenv("MYELIN_KEYS", "/keys/of/another")
    seen = Servers(tmp_path, 1234).environment()
    assert "DATABASE_URL" not in seen
    assert "MYELIN_KEYS" not in seen
    assert seen["MYELIN_HOME"] == str(tmp_path / "home")
