"""Where nobody looks, an uncertain contrast does not go out; and a contrast agent is not forgotten within a visit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import made
from pipeline.isolate import Answer
from pipeline.study import Image, Series


def contrast(suffix: str, *, agent: bool = False, sure: float = 0.95) -> dict[str, Any]:
    entities = {"ce": "gadolinium"} if agent else {}
    return {"suffix": suffix, "code": "ok", "entities": entities, "confidence": sure, "review": sure < 0.7, "words": "physics"}


def image(number: int, **more: Any) -> Image:
    kind = contrast(**more)
    return Image(str(number), Series("1.2", number, Path()), [number], Path("x.nii"), {}, None, None, {"verdict": "agreed"}, kind)


def test_an_image_after_the_agent_that_does_not_say_so_is_for_a_person() -> None:
    images = [image(2, suffix="T1w"), image(5, suffix="T1w", agent=True), image(6, suffix="T2w"), image(7, suffix="FLAIR")]
    made.doubt_agents(images)
    assert [one.contrast["review"] for one in images] == [False, False, False, True]
    assert images[3].contrast["confidence"] == 0.6 and "contrast agent" in images[3].contrast["words"]


@pytest.mark.parametrize(("steward", "sure", "withheld"), [(False, 0.6, "contrast_unsure"), (True, 0.6, None), (False, 0.9, None)])
def test_an_uncertain_name_goes_out_only_where_a_person_looks(tmp_path: Path, steward: bool, sure: float, withheld: str | None) -> None:
    row = {
        "nifti": "x.nii",
        "sidecar": {},
        "bval": None,
        "bvec": None,
        "measures": {"verdict": "agreed"},
        "files": ["1.dcm"],
        "contrast": contrast("T1w", sure=sure),
    }
    answer = Answer(0, {"verdict": "agreed", "images": [row]}, None)
    series = Series("1.2", 1, tmp_path, files={"1.dcm": 1})
    found: list[Image] = []
    order = SimpleNamespace(site="here", keys={}, corrections={}, session="m00")
    work: Any = SimpleNamespace(series=[series], all_images=found, images=found, steward=steward, order=order)
    work.place, work.each = lambda name: tmp_path / name, lambda *_: [answer]
    work.withhold = lambda one, word: setattr(one, "withheld", word)
    made.convert(work)
    (one,) = found
    assert (one.withheld.code if one.withheld else None) == withheld
