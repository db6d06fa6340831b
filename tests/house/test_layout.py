"""The house is where DESIGN says it is: packages from this repository, sentences in docstrings, no dumping grounds, no package under tests/."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("spatial", "deid", "qa", "bidstree", "pipeline", "registry", "client")
SENTENCES = dict(re.findall(r"^\| `(\w+)/` \| (.+?) \|$", (ROOT / "docs/explanation/architecture.md").read_text("utf-8"), re.M))


def test_no_package_lies_under_tests() -> None:
    # With tests/deid/__init__.py, `import deid` inside a test would find the tests.
    assert [str(p) for p in (ROOT / "tests").rglob("__init__.py")] == []


@pytest.mark.parametrize("room", ROOMS)
def test_each_package_is_loaded_from_this_repository(room: str) -> None:
    # PyPI has another `deid`.
    assert Path(importlib.import_module(room).__file__ or "").parent == ROOT / room


@pytest.mark.parametrize("room", ROOMS)
def test_each_package_opens_with_its_sentence(room: str) -> None:
    assert (importlib.import_module(room).__doc__ or "").startswith(SENTENCES[room])


def test_every_module_says_what_it_is() -> None:
    silent = []
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if "migrations" in path.parts or not path.read_text("utf-8").strip():
                continue
            if not ast.get_docstring(ast.parse(path.read_text("utf-8"))):
                silent.append(str(path.relative_to(ROOT)))
    assert silent == []


def test_no_file_is_a_dumping_ground() -> None:
    names = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py", "tools.py"}
    assert [str(p) for room in (*ROOMS, "tests") for p in (ROOT / room).rglob("*.py") if p.name in names] == []


def test_pypi_deid_is_not_a_requirement() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        rows = (ROOT / name).read_text("utf-8").lower().splitlines()
        assert not [row for row in rows if row.startswith("deid")]
        assert all("==" in row for row in rows if row and not row.startswith("#"))
    assert "torch==2.13.0" in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
