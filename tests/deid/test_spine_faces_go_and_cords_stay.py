"""Where no head is in view but a chin is: the face above a neck goes by its skin, cord and vertebrae stay bit for bit, and what is no such view is not cut."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from deid import faces, sideview, spineface
from deid.facepolicy import FacePolicy
from deid.faces import HeadImage
from spatial import affines, volumes
from spatial.volumes import Volume

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "measure"))

import faces_phantoms  # the phantoms of `make show-faces`, other seeds than are reported there
from faces_phantoms import Neck

SEEDS = (104, 107, 111)  # a slab of sagittal slices; an axial view and an isotropic one of children
CORDS = "t1/t1w", "t2/t2", "t2/t2_fake_lesion", "t2s/t2s", "t2s/t2s_uncropped", "dmri/dmri", "mt/mt0"


@pytest.fixture(scope="module", params=SEEDS)
def neck(request: pytest.FixtureRequest) -> Neck:
    return faces_phantoms.neck(request.param)


def part(seen: Neck, landmark: str, mm: float, *, above: bool) -> Volume:
    """What of a neck lies above (or below) a height: some mm (of size 1) from a landmark."""
    volume = seen.volume
    axis = int(np.argmax(abs(volume.affine[2, :3]) / volume.zooms))
    place = faces_phantoms.shown_at(seen.body, np.array([faces_phantoms.LANDMARKS[landmark]])) + np.array([[0, 0, mm * seen.body.size]])
    at = round(float(affines.apply(affines.inverse(volume.affine), place)[0][axis]))
    first = above == bool(volume.affine[2, axis] > 0)
    move = [at if first and own == axis else 0 for own in range(3)]
    cut = [*[slice(None)] * axis, slice(at, None) if first else slice(0, at)]
    return Volume(np.ascontiguousarray(volume.data[tuple(cut)]), volume.affine @ affines.translation(move))


def test_the_face_goes_and_cord_and_vertebrae_stay(neck: Neck) -> None:
    found = faces.deface_visit({"a": HeadImage(neck.volume, neck.suffix, region="spine")})["a"]
    assert (found.verdict, found.code, found.measures["method"]) == ("defaced", "ok", "spine_skin"), found
    assert found.volume is not None and found.zone is not None
    assert {"chin", "mouth"} <= set(neck.face)
    for name, tissue in neck.face.items():
        assert (neck.volume.data[tissue] > 0).any(), "it was there before"
        assert (tissue & ~found.zone).sum() <= 0.05 * tissue.sum(), name
    assert neck.cord.any() and neck.spine.any()
    assert not (found.zone & (neck.cord | neck.spine)).any()
    np.testing.assert_array_equal(found.volume.data[~found.zone], neck.volume.data[~found.zone])
    assert not found.volume.data[found.zone].any()


def test_what_is_left_shows_no_face_to_the_same_look(neck: Neck) -> None:
    found = spineface.spine_zone(neck.volume)
    assert found.zone is not None and found.measures["left_mm"] <= spineface.LEFT_MM
    again = spineface.spine_zone(Volume(np.where(found.zone, 0, neck.volume.data), neck.volume.affine))
    assert again.measures.get("chin_rise_mm", 0) < spineface.SURE_MM < found.measures["chin_rise_mm"]


def test_the_question_put_to_the_rest_sees_a_zone_that_leaves_the_chin(neck: Neck) -> None:
    edge = sideview.level(neck.volume)
    body = sideview.look(neck.volume, edge)
    middle = sideview.middle_of(body)
    notch = spineface._notch(*sideview.profile(body, middle))
    assert notch is not None
    nothing = np.zeros(neck.volume.shape, dtype=bool)
    assert spineface._left(neck.volume, nothing, edge, notch, middle) > 3 * spineface.LEFT_MM


def test_a_view_that_begins_within_the_face_is_held_back_never_passed(neck: Neck) -> None:
    face = part(neck, "mouth", -4, above=True)
    if min(face.shape) >= 8:
        assert spineface.spine_zone(face).code == "face_not_separable"


def test_a_neck_without_a_chin_passes_whole_and_only_where_a_header_says_spine() -> None:
    below = part(faces_phantoms.neck(104), "chin", -28, above=False)
    found = faces.deface_visit({"a": HeadImage(below, "T2w", region="spine")})["a"]
    assert (found.verdict, found.code) == ("no_face", "no_face_in_view"), found
    assert found.volume is not None
    np.testing.assert_array_equal(found.volume.data, below.data)
    assert faces._without_head(HeadImage(below, "T2w"), faces.Asked("face", 0), ()).verdict == "withheld"


def test_a_label_in_the_face_refuses_the_neck_and_one_in_the_cord_does_not(neck: Neck) -> None:
    for mask, verdict in ((neck.face["chin"], "withheld"), (neck.cord, "defaced")):
        labels = {"a": [mask.astype(np.uint8) * 3]}
        found = faces.deface_visit({"a": HeadImage(neck.volume, neck.suffix, region="spine")}, labels=labels)["a"]
        assert found.verdict == verdict and found.measures["labels_in_zone"] == ([3] if verdict == "withheld" else [])


def test_the_same_neck_gives_the_same_zone(neck: Neck) -> None:
    first, second = (spineface.spine_zone(Volume(neck.volume.data.copy(), neck.volume.affine)).zone for _ in range(2))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", ["ball", "bottle", "noise"])
def test_what_is_no_neck_is_not_cut(kind: str) -> None:
    place = np.stack(np.indices((60, 60, 60)), axis=-1) - 30
    noise = np.random.default_rng(0).normal(20, 4, (60, 60, 60))
    shapes = {"ball": (place**2).sum(axis=-1) < 24**2, "bottle": (place[..., :2] ** 2).sum(axis=-1) < 15**2, "noise": np.zeros((60, 60, 60), dtype=bool)}
    volume = Volume((np.abs(noise) + 500 * shapes[kind]).astype(np.int16), affines.scaling(3.5))
    found = faces._without_head(HeadImage(volume), faces.Asked("face", 0), ())
    assert (found.verdict, found.zone) == ("withheld", None)


@pytest.mark.needs("shared-data")
@pytest.mark.parametrize("name", CORDS)
def test_no_tissue_of_a_real_neck_is_cut(mri: Path, name: str) -> None:
    """Crops around the cord, and one axial stack whose front is blanked by saturation: there, only what lies before the blanked edge goes."""
    volume = volumes.load(mri / "nifti" / "cervical_spine" / f"{name}.nii.gz")
    found = faces._early(HeadImage(volume, region="spine"), FacePolicy()) or faces._without_head(HeadImage(volume, region="spine"), faces.Asked("face", 0), ())
    verdicts = {"t2s/t2s_uncropped": "defaced", "t2s/t2s": "no_face", "dmri/dmri": "no_face", "mt/mt0": "no_face"}
    assert found.verdict == verdicts.get(name, "withheld")
    if found.zone is None:
        assert found.volume is None or (found.volume.data == volume.data).all()
    else:
        assert found.measures["tissue_removed_ml"] < 0.5 and found.measures["blanked_before_mm"] is not None
        cord = volumes.load(mri / "nifti" / "cervical_spine" / "t2s" / "t2s_uncropped_gmseg_manual.nii.gz").data > 0
        assert cord.any() and not (cord & found.zone).any()
