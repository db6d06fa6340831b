"""What others wrote and we ship is what the list says, byte for byte, with its licence; and it does what our pages take it for."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
FOLDERS = ["registry/portal/static/vendor", "tests/registry/upper/portal/axe"]


def listed(folder: Path) -> list[dict[str, str]]:
    told: list[dict[str, str]] = json.loads((folder / "VENDORED.json").read_text("utf-8"))
    return told


def differences(folder: Path) -> list[str]:
    """Files that are not as listed, not there, or not listed."""
    rows = listed(folder)
    named = {row["file"] for row in rows} | {text for row in rows for text in row["licences"]} | {"VENDORED.json"}
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return sorted(named ^ there) + [row["file"] for row in rows if hashlib.sha256((folder / row["file"]).read_bytes()).hexdigest() != row["sha256"]]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_vendored_file_is_the_one_listed_with_its_licence(folder: str) -> None:
    assert listed(ROOT / folder)
    assert differences(ROOT / folder) == []
    for row in listed(ROOT / folder):
        assert re.match(r"https://registry\.npmjs\.org/", row["source"])
        assert row["name"] and row["licence"] and re.fullmatch(r"sha512-[\w+/=]+", row["integrity"])


def test_a_changed_a_missing_and_a_foreign_file_are_told(tmp_path: Path) -> None:
    text = "one();"
    row = {"file": "one.js", "licences": ["two.txt"], "sha256": hashlib.sha256(text.encode()).hexdigest()}
    (tmp_path / "VENDORED.json").write_text(json.dumps([row]))
    (tmp_path / "one.js").write_text(text)
    (tmp_path / "two.txt").write_text("Do as you like.")
    assert differences(tmp_path) == []
    (tmp_path / "one.js").write_text("two();")
    (tmp_path / "two.txt").rename(tmp_path / "three.txt")
    assert differences(tmp_path) == ["three.txt", "two.txt", "one.js"]


def test_the_versions_listed_are_those_pinned() -> None:
    wanted = json.loads((ROOT / "vendor/package.json").read_text("utf-8"))
    pinned = {**wanted["dependencies"], **wanted["devDependencies"]}
    locked = json.loads((ROOT / "vendor/package-lock.json").read_text("utf-8"))["packages"]
    for row in (row for folder in FOLDERS for row in listed(ROOT / folder)):
        assert pinned[row["name"]] == row["version"]
        assert locked[f"node_modules/{row['name']}"]["integrity"] == row["integrity"]
