"""Quality is told where a brain lies only where nothing doubts it, and what part of the body the words of a series name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import made, measuring
from pipeline.study import Image, Series

PLACE = [[1.0, 0, 0, 2], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]


def image(body: str = "BRAIN", header: str = "BRAIN", **deface: Any) -> Image:
    series = Series("1.2", 1, Path("s"), facts={"BodyPartExamined": header})
    one = Image("1/1", series, [1], Path("a.nii"), {}, None, None, {}, {"suffix": "T1w", "fields": {"BodyPart": body}, "code": "ok"}, "")
    one.deface |= deface
    return one


def test_a_place_that_a_second_engine_stands_behind_is_kept() -> None:
    assert measuring.placement_of(image(verdict="defaced", code="ok", aligned_to="template", affine=PLACE)) == PLACE


@pytest.mark.parametrize(
    "deface",
    [
        {"verdict": "review", "code": "engines_apart", "aligned_to": "template"},
        {"verdict": "withheld", "code": "brain_in_zone", "aligned_to": "template"},
        {"verdict": "defaced", "code": "ok", "aligned_to": "reference"},
        {"verdict": "defaced", "code": "ok", "aligned_to": "brain_rigid"},
    ],
    ids=str,
)
def test_any_other_is_found_anew(deface: dict[str, Any]) -> None:
    assert measuring.placement_of(image(affine=PLACE, **deface)) is None


@pytest.mark.parametrize(
    ("words", "header", "told"),
    [("BRAIN", "CSPINE", "BRAIN"), ("CSPINE", "BRAIN", "CSPINE"), ("CSPINE", "CSPINE", "CSPINE"), ("BRAIN", "ORBIT", "ORBIT"), ("BRAIN", "HEAD", "HEAD")],
)
def test_words_are_believed_before_a_header_that_says_one_thing_for_all(words: str, header: str, told: str) -> None:
    assert made.facts_of(image(words, header))["BodyPartExamined"] == told
