"""A desk without a registry says in a file what its study agreed on: it goes with every order, and a file that does not keep to it stops the run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deid.pseudonyms import new_key
from pipeline import agreed, standalone
from pipeline.__main__ import main

GOOD = {"protocol": {"inclusion": ["field_strength"]}, "faces": {"name": "trial-7", "exempt": ["bold"]}}


def written(folder: Path, value: Any) -> Path:
    path = folder / "agreed.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_what_was_agreed_on_goes_with_the_order(tmp_path: Path) -> None:
    told = agreed.read(written(tmp_path, GOOD))
    request = standalone.Request(tmp_path, tmp_path / "out", tmp_path / "key", agreed=told)
    assert (request.order().protocol, request.order().faces) == (GOOD["protocol"], GOOD["faces"])
    assert standalone.Request(tmp_path, tmp_path / "out", tmp_path / "key").order().faces == {}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ([], "nothing else"),
        ({"purpose": 1}, "nothing else"),
        ({"faces": {"name": "x", "exempt": ["T1w"]}}, "faces/exempt/0"),
        ({"faces": {"name": "x", "orbits": "restricted"}}, "two stewards"),
        ({"protocol": {"inclusion": ["beauty"]}}, "no rule of the profile"),
        ({"protocol": {"profile": {"name": "x"}}}, "profile"),
    ],
)
def test_a_file_that_does_not_keep_to_it_stops_the_run(tmp_path: Path, value: Any, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    new_key(tmp_path / "key")
    (tmp_path / "in").mkdir()
    command = [str(tmp_path / "in"), str(tmp_path / "out"), "--key", str(tmp_path / "key"), "--agreed", str(written(tmp_path, value))]
    with pytest.raises(SystemExit) as stopped:
        main(command)
    assert stopped.value.code == 2 and words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
