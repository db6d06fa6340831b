"""A hospital that never existed goes through the real command: nothing planted is left, what can be cleaned is written, and the judge sees leaks.

The set and its judge are those of `make show-headers` (tests/measure/hiding*.py), in their small form.
"""

from __future__ import annotations

import gzip
import importlib
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tools() -> Iterator[tuple[Any, Any]]:
    """The generator and the judge: modules that lie beside each other, outside every package."""
    sys.path.insert(0, str(ROOT / "tests" / "measure"))
    try:
        yield importlib.import_module("hiding"), importlib.import_module("hiding_score")
    finally:
        sys.path.remove(str(ROOT / "tests" / "measure"))


@pytest.fixture(scope="module")
def made(tools: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is planted is odd on purpose, and pydicom says so
        return tools[0].write(tmp_path_factory.mktemp("hospital") / "in", form="small")


@pytest.fixture(scope="module")
def cleaned(made: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `python -m deid headers` makes of it; writing in the pixels has tests of its own."""
    folder = tmp_path_factory.mktemp("cleaned")
    (folder / "key").write_text("7f" * 32 + "\n")
    (folder / "key").chmod(0o600)
    command = [sys.executable, "-m", "deid", "headers", str(made.folder), str(folder / "out"), "--key", str(folder / "key"), "--no-pixels"]
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-1000:]
    return folder / "out"


def judge(tools: tuple[Any, Any], made: Any, out: Path) -> Any:
    return tools[1].score(made, out)


@pytest.fixture(scope="module")
def score(tools: tuple[Any, Any], made: Any, cleaned: Path) -> Any:
    """What the judge says of the cleaned hospital."""
    return judge(tools, made, cleaned)


def test_every_planted_value_is_in_the_file_it_was_planted_in(tools: tuple[Any, Any], made: Any) -> None:
    assert sum(len(one.tokens) for one in made.files) > 10_000
    assert len({token.place for one in made.files for token in one.tokens}) > 50
    assert [(token.place, token.detail) for token in tools[1].unplanted(made)] == []


def test_nothing_planted_is_left(score: Any) -> None:
    assert score.where == []
    assert score.left.total() == 0 < score.planted.total()


def test_every_image_is_written_and_every_document_refused(made: Any, score: Any) -> None:
    assert score.missing == []
    assert score.written == score.cleanable > 90
    assert score.refused_right == sum(not one.image for one in made.files) > 5


def test_what_research_needs_is_kept(score: Any) -> None:
    assert score.descriptors == (score.plain, 0, 0)
    assert +score.lost == {}
    for kept, total in (score.needed, score.safe, score.people, score.old, score.pixels, score.intervals, score.codes):
        assert kept == total > 0
    assert set(score.offsets) == {1}
    assert score.references[0] > 0
    assert score.references[1:] == (0, 0)


def test_the_judge_sees_a_tool_that_does_nothing(tools: tuple[Any, Any], made: Any) -> None:
    """Everything planted counts as left where the input itself is handed in, documents and paths included."""
    score = judge(tools, made, made.folder)
    # A person's values are looked for in every one of their files, and stand in most.
    assert {place for place in score.planted if score.left[place] != score.planted[place]} == {"values of the person, again and again"}
    assert score.left.total() > 12_000
    assert score.left["identity in an output path"] > 90
    assert score.descriptors[2] == score.plain


@pytest.mark.parametrize("form", ["plain", "upper case", "UTF-16", "gzip", "name of the file"])
def test_the_judge_sees_one_value_that_was_put_back(tools: tuple[Any, Any], made: Any, cleaned: Path, tmp_path: Path, form: str) -> None:
    known, _ = tools[1].outputs(made, cleaned)
    number, clean = next(iter(sorted(known.items())))
    surname = made.by_number[number].person.name.split("^")[0]
    out = tmp_path / "out"
    path = out / clean.relative_to(cleaned)
    path.parent.mkdir(parents=True)
    shutil.copy(clean, path)
    before = judge(tools, made, out).left.total()
    content = path.read_bytes()
    if form == "name of the file":
        path.rename(path.with_name(f"{surname}.dcm"))
    else:
        text = {
            "plain": surname.encode(),
            "upper case": surname.upper().encode(),
            "UTF-16": surname.encode("utf-16-le"),
            "gzip": gzip.compress(surname.encode()),
        }
        path.write_bytes(content + text[form])
    assert judge(tools, made, out).left.total() == before + 1


def test_the_same_seed_gives_the_same_hospital(tools: tuple[Any, Any], made: Any, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = tools[0].write(tmp_path / "in", form="small")
    assert [(one.path, one.tokens) for one in again.files] == [(one.path, one.tokens) for one in made.files]
    assert all((again.folder / one.path).read_bytes() == (made.folder / one.path).read_bytes() for one in made.files)
