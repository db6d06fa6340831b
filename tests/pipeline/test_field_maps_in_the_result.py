"""Field maps and the images they serve name each other in what the pipeline writes, and name nothing that does not go out."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import named
from pipeline.codes import verdict
from pipeline.study import Image, Series


def image(number: int, path: str, session: str, **sidecar: Any) -> Image:
    suffix = path.split("/")[1].split("_")[-1]
    kind = {"suffix": suffix, "datatype": path.split("/")[0], "fields": {}, "context": [], "code": "ok"}
    one = Image(str(number), Series("1.2", number, Path()), [number], Path("x.nii"), sidecar, None, None, {}, kind, session)
    one.bids = f"sub-p/ses-{session}/{path.split('/')[0]}/sub-p_ses-{session}_{path.split('/')[1]}.nii.gz"
    one.products = [one.bids, one.bids.replace(".nii.gz", ".json")]
    return one


class Going(SimpleNamespace):
    """What `named.beside` asks of a study."""

    @property
    def images(self) -> list[Image]:
        return [one for one in self.all_images if one.withheld is None]


@pytest.fixture
def work(tmp_path: Path) -> Any:
    images = [
        image(2, "fmap/magnitude1", "m00", EchoTime=0.005),
        image(2, "fmap/phasediff", "m00", EchoTime1=0.005, EchoTime2=0.007),
        image(3, "func/task-rest_bold", "m00", RepetitionTime=2.0),
        image(4, "dwi/dwi", "m00"),
        image(3, "func/task-rest_bold", "m12", RepetitionTime=2.0),
    ]
    for one in images:
        (tmp_path / one.bids).parent.mkdir(parents=True, exist_ok=True)
    return Going(bids=tmp_path, all_images=images)


def told(work: Any, n: int) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((work.bids / work.all_images[n].bids.replace(".nii.gz", ".json")).read_text())
    return value


def test_the_map_names_the_images_of_its_visit_and_they_name_it(work: Any) -> None:
    named.beside(work)
    paths = [f"bids::{one.bids}" for one in work.all_images]
    name = told(work, 1)["B0FieldIdentifier"]
    assert told(work, 1)["IntendedFor"] == told(work, 0)["IntendedFor"] == sorted([paths[2], paths[3]])
    assert told(work, 2)["B0FieldSource"] == told(work, 3)["B0FieldSource"] == name
    assert "B0FieldSource" not in told(work, 4)


def test_what_is_withheld_is_named_by_nobody(work: Any) -> None:
    named.beside(work)
    work.all_images[3].withheld = verdict("identity_left")
    named.beside(work)
    assert told(work, 1)["IntendedFor"] == [f"bids::{work.all_images[2].bids}"]
    work.all_images[1].withheld = verdict("identity_left")
    named.beside(work)
    assert "B0FieldSource" not in told(work, 2) and "IntendedFor" not in told(work, 0)
