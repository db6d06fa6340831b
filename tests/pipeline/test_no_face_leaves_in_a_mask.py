"""An annotation that says anything where a face was taken is refused, on whatever grid, with however many volumes and in whatever space it comes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from bidstree.errors import BidsError
from pipeline import drawn, handed, rooms
from pipeline.codes import Refused, verdict

SHAPE = (30, 30, 20)
AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
FACE = (slice(2, 10), slice(2, 10), slice(2, 8))
FLAIR = "sub-a/ses-1/anat/sub-a_ses-1_FLAIR.nii.gz"
LATER = "sub-a/ses-2/anat/sub-a_ses-2_FLAIR.nii.gz"
STILL = "#Insight Transform File V1.0\nTransform: AffineTransform_double_3_3\nParameters: 1 0 0 0 1 0 0 0 1 {} 0 0\nFixedParameters: 0 0 0\n"


def save(path: Path, data: Any, affine: Any = AFFINE) -> str:
    nib.save(nib.Nifti1Image(data, affine), path)
    return str(path)


def moved(mm: float) -> Any:
    affine = AFFINE.copy()
    affine[0, 3] = mm
    return affine


def spot(at: int) -> Any:
    data = np.zeros(SHAPE, np.uint8)
    data[at : at + 3, at : at + 3, at // 2 : at // 2 + 2] = 1
    return data


def item(folder: Path, mask: Any, affine: Any = AFFINE, **more: Any) -> dict[str, Any]:
    """One mask for `rooms.attach`; the zone belongs to another image of the visit, the image itself has none."""
    zone = np.zeros(SHAPE, np.uint8)
    zone[FACE] = 1
    image = save(folder / "image.nii.gz", np.random.default_rng(1).integers(200, 900, SHAPE).astype(np.int16))
    path = save(folder / "mask.nii.gz", mask, affine)
    same = {"path": path, "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(), "hint": "brain", "out": str(folder / "out.nii.gz")}
    # A zone of another grid than the image's, whose first axis runs the other way: only places in the world are alike.
    turned = np.diag([-1.0, 1.0, 2.0, 1.0])
    turned[0, 3] = SHAPE[0] - 1
    gone = [save(folder / "zone.nii.gz", zone[::-1], turned)]
    return same | {"images": {FLAIR: image}, "labels": {}, "gone": {FLAIR: gone}, "resample": False, "bare": []} | more


def head() -> Any:
    """A picture of a head scaled to parts of 1, as an annotation that is none."""
    return np.random.default_rng(2).uniform(0.1, 1, SHAPE).astype(np.float32)


def soft() -> Any:
    data = np.zeros(SHAPE, np.float32)
    data[14:28] = 0.5
    return data


def four(at: int) -> Any:
    return np.stack([spot(15), spot(at)], axis=-1)


@pytest.mark.parametrize(
    ("inside", "beside", "affine", "more"),
    [
        (spot(5), spot(15), AFFINE, {}),
        (spot(5), spot(15), moved(0.3), {"resample": True}),
        (four(5), four(20), AFFINE, {"labels": {"C": 1, "ST": 2}}),
        (head(), spot(15) * np.float32(0.5), AFFINE, {}),
        (head(), soft(), moved(0.3), {"resample": True}),
    ],
    ids=["grid", "resampled", "volumes", "picture", "picture resampled"],
)
def test_what_is_in_the_zone_is_refused_and_what_is_beside_it_is_written(tmp_path: Path, inside: Any, beside: Any, affine: Any, more: dict[str, Any]) -> None:
    with pytest.raises(Refused) as error:
        rooms.attach(item(tmp_path, inside, affine, **more))
    assert error.value.code == "mask_in_zone" and not (tmp_path / "out.nii.gz").exists()
    rooms.attach(item(tmp_path, beside, affine, **more))
    assert (tmp_path / "out.nii.gz").exists()


@pytest.mark.parametrize("fourth", [False, True])
@pytest.mark.parametrize(("at", "code"), [(5, "mask_in_zone"), (14, "")])
def test_a_mask_over_visits_is_held_against_the_zones_of_each_through_its_transform(tmp_path: Path, fourth: bool, at: int, code: str) -> None:
    one = item(tmp_path, four(at) if fourth else spot(at), labels={"C": 1, "ST": 2} if fourth else {})
    data = np.random.default_rng(1).integers(200, 900, SHAPE).astype(np.int16)
    images = {}
    for n, (name, mm) in enumerate(((FLAIR, 0), (LATER, 100))):  # ITK counts x to the other side
        (tmp_path / f"{n}.txt").write_text(STILL.format(-mm))
        images[name] = [save(tmp_path / f"in{n}.nii.gz", data, moved(mm)), str(tmp_path / f"{n}.txt"), str(tmp_path / f"brought{n}.nii.gz")]
    zone = np.zeros(SHAPE, np.uint8)
    zone[FACE] = 1
    one |= {"images": images, "gone": {FLAIR: [], LATER: [save(tmp_path / "later.nii.gz", zone, moved(100))]}, "here": []}
    if not code:
        assert rooms.common(one)["kind"] == ("probseg" if fourth else "mask")
        return
    with pytest.raises(Refused) as error:
        rooms.common(one)
    assert error.value.code == code and not (tmp_path / "out.nii.gz").exists()


def test_on_an_image_without_a_face_nothing_is_drawn_where_it_is_empty(tmp_path: Path) -> None:
    bare = np.zeros(SHAPE, np.int16)
    bare[10:20, 10:20, 5:15] = 500
    brain = (bare > 0).astype(np.uint8)
    one = item(tmp_path, head(), gone={}, bare=[FLAIR])
    save(tmp_path / "image.nii.gz", bare)
    with pytest.raises(Refused) as error:
        rooms.attach(one)
    assert error.value.code == "mask_off_image"
    one = item(tmp_path, brain, gone={}, bare=[FLAIR])
    save(tmp_path / "image.nii.gz", bare)
    assert rooms.attach(one)["kind"] == "mask"


@pytest.mark.parametrize(
    ("mask", "labels", "sound"),
    [
        (spot(15), {"lesion": 1}, True),
        (spot(15), {"B": 0, "lesion": 1}, True),
        (spot(15), {"lesion": 1, "B": 310577204}, False),
        (spot(15), {"lesion": 310577204}, False),
        (spot(15).astype(np.int32) * 310577204, {"lesion": 310577204}, False),
        (spot(15) + 2 * spot(20), {"lesion": 1, "new": 2}, True),
        (spot(15) + 2 * spot(20), {"lesion": 1, "new": 2, "core": 3}, False),
        (spot(15) * np.float32(0.5), {"lesion": 1}, True),
        (spot(15) * np.float32(0.5), {"lesion": 1, "core": 1961}, False),
    ],
)
@pytest.mark.parametrize("told", ["sender", "sidecar"])
def test_a_dictionary_holds_the_values_of_its_mask_and_no_other_number(tmp_path: Path, mask: Any, labels: dict[str, int], sound: bool, told: str) -> None:
    beside = tmp_path / "beside.json"
    beside.write_text(json.dumps({"Labels": labels}))
    side = [{"path": str(beside), "sha256": hashlib.sha256(beside.read_bytes()).hexdigest()}]
    one = item(tmp_path, mask, **({"labels": labels} if told == "sender" else {"beside": side}))
    if sound:
        assert rooms.attach(one)["labels"] == labels
        return
    with pytest.raises(BidsError) as error:
        rooms.attach(one)
    assert error.value.code in ("labels_unknown", "mask_values")


@pytest.mark.parametrize(
    ("text", "whole", "code"), [('{"Labels": {"lesion": 1}}', True, ""), ('{"Labels": {"lesion": 1}}', False, "changed"), ("[" * 9999, True, "")]
)
def test_the_sidecar_of_a_mask_is_read_in_the_child_and_only_as_it_was_sorted(tmp_path: Path, text: str, whole: bool, code: str) -> None:
    beside = tmp_path / "beside.json"
    beside.write_text(text)
    one = item(tmp_path, spot(15), beside=[{"path": str(beside), "sha256": hashlib.sha256(beside.read_bytes()).hexdigest()}])
    if not whole:
        beside.write_text(text + " ")
    if code:
        with pytest.raises(Refused) as error:
            rooms.attach(one)
        assert error.value.code == code
    else:
        assert rooms.attach(one)["labels"] == ({"lesion": 1} if text.startswith("{") else {})


def image(key: int, bids: str, session: str, word: Any = None, zone: str | None = None) -> Any:
    return SimpleNamespace(key=f"handed/{key}", bids=bids, session=session, files=[key], withheld=word, zone=zone, contrast={}, space="", moved=False)


def work(images: list[Any], said: dict[int, dict[str, Any]], names: dict[int, str]) -> Any:
    rows = {n: SimpleNamespace(sha256="0", verdict=verdict("ok")) for n in names}
    sources = {n: SimpleNamespace(name=name, path=Path("in") / str(n)) for n, name in names.items()}
    kept = [one for one in images if one.withheld is None]
    return SimpleNamespace(all_images=images, images=kept, order=SimpleNamespace(said=said), rows=rows, sources=sources, companions={}, bids=Path("bids"))


def test_a_mask_of_one_visit_never_asks_the_images_of_another(tmp_path: Path) -> None:
    images = [image(1, FLAIR, "1", zone="z1"), image(2, LATER, "2", verdict("label_in_zone"), zone="z2")]
    state = work(images, {3: {"session": "2"}, 4: {"session": "1"}}, {1: "1", 2: "2", 3: "3", 4: "4", 5: "5"})
    shown = {n: drawn.item(state, n, {FLAIR: images[0]}, [], tmp_path) for n in (3, 4, 5)}
    assert [list(shown[n]["images"]) for n in (3, 4, 5)] == [[], [FLAIR], [FLAIR]]
    assert shown[4]["gone"] == {FLAIR: ["z1"]} and drawn.gone(state, "2") == ["z2"], "the zone of a withheld image counts"


def test_a_mask_whose_image_stays_here_gets_its_reason_and_goes_to_no_other(tmp_path: Path) -> None:
    t1 = FLAIR.replace("FLAIR", "T1w")
    names = {1: "FLAIR.nii.gz", 2: "T1.nii.gz", 3: "m.nii.gz", 4: "FLAIR_lesion.nii.gz", 5: "T1_lesion.nii.gz"}
    said = {3: {"beside": 1}}
    held = work([image(1, FLAIR, "1", verdict("label_in_zone")), image(2, t1, "1")], said, names)
    assert [getattr(handed.lost(held, n), "code", "") for n in (3, 4, 5)] == ["label_in_zone", "label_in_zone", ""]
    whole = work([image(1, FLAIR, "1"), image(2, t1, "1")], said, names)
    assert [handed.lost(whole, n) for n in (3, 4, 5)] == [None] * 3 and handed.kin(whole, 3) == [FLAIR]
    dead = work([image(2, t1, "1")], said, names)
    dead.rows[1].verdict = verdict("nifti_refused")
    assert getattr(handed.lost(dead, 3), "code", "") == "nifti_refused"
