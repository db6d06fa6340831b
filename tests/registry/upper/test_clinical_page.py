"""The page of the clinical dictionary is the dictionary, and the examples of the how-to are mappings that this registry takes."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from registry.clinical import mapping

ROOT = Path(__file__).resolve().parents[3]
HOW_TO = (ROOT / "docs/how-to/import-clinical-tables.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```json\n(.*?)^```", HOW_TO, re.M | re.S)


def test_the_page_is_made_from_the_dictionary() -> None:
    spec = importlib.util.spec_from_file_location("clinical_page", ROOT / "tests/measure/clinical_page.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page(), "PYTHONPATH=. python tests/measure/clinical_page.py writes the page anew"


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"example {n}" for n in range(len(EXAMPLES))])
def test_each_mapping_of_the_how_to_is_one(example: str) -> None:
    mapping.check(json.loads(example))


def test_the_how_to_has_one_for_a_csv_and_one_for_redcap() -> None:
    assert {json.loads(example).get("format", "csv") for example in EXAMPLES} == {"csv", "redcap"}
