"""What the defacer says becomes what the pipeline does: a doubt waits for a steward, orbits stay behind, and a label where a face was stops its image."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pipeline import made, rooms
from pipeline.study import Image, Series

AFFINE = np.diag([2.0, 2.0, 4.0, 1.0])
SHAPE = (20, 20, 10)


def image(folder: Path) -> Image:
    return Image(
        "0001/01",
        Series("1.2", 1, folder, facts={"BodyPartExamined": "ORBIT", "FrameOfReferenceUID": "1.2.3"}),
        [1],
        folder / "a.nii.gz",
        {},
        None,
        None,
        {},
        dict.fromkeys(("suffix", "datatype"), "x"),
    )


def said(verdict: str, code: str, nifti: str | None = "done.nii.gz", review: list[str] | None = None) -> dict[str, Any]:
    measures = {"review": review} if review else {}
    return {
        "verdict": verdict,
        "code": code,
        "reason": "Why.",
        "advice": "Do.",
        "measures": measures,
        "nifti": nifti,
        "zone": None,
        "before": None,
        "after": None,
    }


class Study(SimpleNamespace):
    """As much of `pipeline.study.Work` as one verdict needs."""

    def withhold(self, one: Image, word: Any) -> None:
        one.withheld = word

    def refuse(self, numbers: list[int], word: Any) -> None:
        self.refused = dict.fromkeys(numbers, word.code)


@pytest.mark.parametrize(
    ("row", "steward", "verdict", "held"),
    [
        (said("defaced", "ok"), False, "defaced", None),
        (said("no_face", "no_face_in_view"), False, "no_face", None),
        (said("review", "engines_apart", review=["engines_apart"]), True, "review", None),
        (said("review", "engines_apart", review=["engines_apart"]), False, "withheld", "engines_apart"),
        (said("orbit_restricted", "orbit_restricted", None), True, "withheld", "orbit_restricted"),
        (said("orbit_restricted", "orbit_restricted"), True, "orbit_restricted", None),
        (said("orbit_restricted", "orbit_restricted"), False, "withheld", "orbit_restricted"),
        (said("withheld", "no_head_found", None), True, "withheld", "no_head_found"),
    ],
)
def test_a_doubt_goes_on_only_where_somebody_will_look(tmp_path: Path, row: dict[str, Any], steward: bool, verdict: str, held: str | None) -> None:
    one = image(tmp_path)
    made.defaced(Study(steward=steward), one, row)  # type: ignore[arg-type]
    assert (one.deface["verdict"], one.withheld and one.withheld.code) == (verdict, held)
    assert one.deface["code"] == row["code"] and one.deface.get("review", []) == row["measures"].get("review", [])
    assert held is None or (one.withheld.reason, one.withheld.advice) == ("Why.", "Do.")


def test_the_header_says_which_part_of_the_body_it_is(tmp_path: Path) -> None:
    order = SimpleNamespace(deface="face", device="cpu", faces={"name": "trial-7"})
    row = made.deface_item(SimpleNamespace(order=order, steward=True), {"k": image(tmp_path)}, tmp_path / "out")  # type: ignore[arg-type]
    assert (row["images"]["k"]["region"], row["images"]["k"]["frame"]) == ("orbit", "1.2.3")
    assert row["faces"] == {"name": "trial-7"}


@pytest.mark.parametrize(("at", "hit"), [((5, 5, 3), {"0001/01": [4]}), ((15, 15, 8), {})])
def test_a_label_where_a_face_was_is_named_and_one_beside_it_is_not(tmp_path: Path, at: tuple[int, int, int], hit: dict[str, list[int]]) -> None:
    paths = {name: tmp_path / f"{name}.nii.gz" for name in ("image", "zone", "mask")}
    values = {name: np.zeros(SHAPE, np.uint8) for name in ("zone", "mask")}
    values["zone"][4:8, 4:8, 2:5] = 1
    values["mask"][at] = 4
    nib.save(nib.Nifti1Image(np.arange(4000, dtype=np.int16).reshape(SHAPE), AFFINE), paths["image"])
    for name, data in values.items():
        nib.save(nib.Nifti1Image(data, AFFINE), paths[name])
    same = {"path": str(paths["mask"]), "sha256": hashlib.sha256(paths["mask"].read_bytes()).hexdigest(), "hint": "m", "out": str(tmp_path / "out.nii.gz")}
    item = same | {"images": {"0001/01": str(paths["image"])}, "zones": {"0001/01": str(paths["zone"])}}
    assert rooms.labels(item) == hit
    fourth = np.stack([values["mask"] * 0, values["mask"]], axis=-1)
    nib.save(nib.Nifti1Image(fourth, AFFINE), paths["mask"])
    assert rooms.labels(item | {"sha256": hashlib.sha256(paths["mask"].read_bytes()).hexdigest()}) == hit, "with four axes too"
    nib.save(nib.Nifti1Image(values["mask"], AFFINE), paths["mask"])
    item["sha256"] = hashlib.sha256(paths["mask"].read_bytes()).hexdigest()
    assert rooms.labels(item | {"zones": {"0001/01": None}}) == {}, "an image that kept its face zone has nothing to lose"


def test_a_study_with_such_a_label_loses_that_image_and_says_which_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hit, other = image(tmp_path), image(tmp_path)
    hit.zone, other.zone, other.key = "z", "z", "0002/01"
    rows = {7: SimpleNamespace(sha256="0")}
    asked: list[str] = []

    def each(step: str, function: str, items: list[Any], limits: Any) -> list[Any]:
        asked.append(function)
        return [SimpleNamespace(death=None, value={hit.key: [4, 5]}) for _ in items]

    work = Study(images=[hit, other], masks=[7], sources={7: SimpleNamespace(path=tmp_path, name="m.nii.gz")}, rows=rows, each=each)
    made.spare_labels(work, tmp_path)  # type: ignore[arg-type]
    assert asked == ["labels"]
    assert hit.withheld is not None and hit.withheld.code == "label_in_zone" and "4, 5" in hit.withheld.reason
    assert (hit.deface["verdict"], hit.deface["labels_in_zone"]) == ("withheld", [4, 5])
    assert other.withheld is None
    assert work.masks == [] and work.refused == {7: "mask_in_zone"}, "no other image may take it"
