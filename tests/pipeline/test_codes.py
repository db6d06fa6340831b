"""The page of codes lists every code that the source can give, and every code of the pipeline is one that it can give."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from deid.errors import REFUSALS
from pipeline.codes import CODES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def gatherer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("codes_page", ROOT / "tests" / "measure" / "codes_page.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed() -> set[str]:
    return set(re.findall(r"^\| `([a-z0-9_]+)` \|", (ROOT / "docs" / "reference" / "codes.md").read_text(encoding="utf-8"), re.M))


def test_every_code_in_the_source_is_on_the_page(gatherer: ModuleType) -> None:
    codes = {code for rows in gatherer.gather().values() for code in rows}
    assert len(codes) > 100
    missing = sorted(codes - listed())
    assert not missing, f"{missing}: python tests/measure/codes_page.py writes the page anew"


def test_a_code_that_is_not_listed_would_be_found(gatherer: ModuleType) -> None:
    planted = ast.parse('raise BidsError("planted_code", "Something is wrong.", "Set it right.")\nX = {"other_code": ("It is so.", "Do this.")}')
    assert set(gatherer.found(planted)) == {("planted_code", "Something is wrong.", "Set it right."), ("other_code", "It is so.", "Do this.")}


def used() -> set[str]:
    """Codes that the pipeline's own source gives: `verdict("...")`, `Refused("...")`, `death("...")`, and the tables of endings."""
    found: set[str] = set()
    for path in (ROOT / "pipeline").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if path.name == "codes.py" and not isinstance(node, ast.Call):
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and (node.value in CODES or node.value in REFUSALS):
                found.add(node.value)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("verdict", "Refused", "death") and node.args:
                ways = [node.args[0].body, node.args[0].orelse] if isinstance(node.args[0], ast.IfExp) else [node.args[0]]
                found |= {str(way.value) for way in ways if isinstance(way, ast.Constant)}
    return found


def test_the_pipeline_gives_no_code_without_words_and_has_no_words_without_use() -> None:
    assert not used() - set(CODES) - set(REFUSALS)
    assert not set(CODES) - used()
