"""A face is seen on a head that nobody owns, from the one picture alone; without its face the head is nobody to look at; half a face is still one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deid import faces, facezones, headfit, skin, surface
from deid.faces import HeadImage
from spatial import affines, register, templates, volumes
from spatial.resample import resample
from spatial.volumes import Volume


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def head(pose: affines.Matrix, zoom: tuple[float, float, float] = (2, 2, 2)) -> Volume:
    """The mean head without the haze around it, in a pose, with noise."""
    template = templates.head()
    whole = Volume(np.asarray(template.volume.data * template.head, dtype=np.float32), template.volume.affine)
    shape = [round(250 / z) for z in zoom]
    middle = affines.apply(pose, affines.centre(whole.shape, whole.affine)[None])[0]
    grid = affines.translation(middle - 125) @ affines.scaling(zoom)
    data = resample(whole, Volume(np.zeros(shape, dtype=np.uint8), grid), affines.inverse(pose)).data
    random = np.random.default_rng(0)
    return Volume(np.hypot(data + random.normal(0, 5, shape), random.normal(0, 5, shape)).astype(np.int16), grid)


def without(volume: Volume, pose: affines.Matrix, profile: str, off_mm: tuple[float, float, float] = (0, 0, 0)) -> Volume:
    """The head less a profile's zone, laid where it belongs or off by some millimetres."""
    gone = headfit.lookup(facezones.zone(profile), volume, affines.translation(off_mm) @ affines.inverse(pose)) > 0
    return Volume(np.where(gone, 0, volume.data), volume.affine)


POSES = {
    "upright": np.eye(4),
    "turned": affines.translation((9, -14, 20)) @ affines.rotation((18, -14, 20)),
    "small": affines.scaling(0.86) @ affines.rotation((-8, 5, 4)),
}


@pytest.mark.parametrize("name", POSES)
def test_a_face_is_seen_and_one_taken_out_is_not(name: str) -> None:
    pose = POSES[name]
    whole = head(pose)
    seen = surface.look(whole)
    assert seen.visible is True and {"face", "eyes"} <= set(seen.found) and seen.score > 0.3, seen
    bare = surface.look(without(whole, pose, "face"))
    assert bare.visible is False and not {"eyes", "face"} & set(bare.found) and bare.score <= 0, bare


def test_a_lesser_mask_leaves_more_of_the_eyes_than_ours_and_no_nose() -> None:
    whole = head(np.eye(4))
    lesser, ours = (surface.look(without(whole, np.eye(4), profile)) for profile in ("pydeface", "face"))
    assert lesser.features["eyes"] > ours.features["eyes"] + 0.1, (lesser, ours)
    assert "nose" not in lesser.found and "face" not in lesser.found


def test_a_zone_laid_before_the_head_leaves_a_face() -> None:
    assert surface.look(without(head(np.eye(4)), np.eye(4), "face", (0, -45, 0))).visible is True


def test_no_alignment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the surface check must not align")

    whole = head(np.eye(4), (2, 2, 4))
    monkeypatch.setattr(register, "align", never)
    monkeypatch.setattr(templates, "head", never)
    assert surface.look(whole).visible is True


def test_what_has_no_face_is_none() -> None:
    place = np.stack(np.indices((60, 60, 60)), axis=-1) - 30
    ball = np.random.default_rng(0).normal(20, 4, (60, 60, 60)) + 500 * ((place**2).sum(axis=-1) < 24**2)
    assert surface.look(Volume(ball.astype(np.int16), affines.translation((-110,) * 3) @ affines.scaling(3.5))).visible is False


def test_nothing_is_said_where_there_is_no_surface() -> None:
    seen = surface.look(Volume(np.zeros((30, 30, 30), dtype=np.int16), affines.scaling(4)))
    assert (seen.visible, seen.found) == (None, ()) and json.dumps(seen.as_json())


def test_skin_is_no_skin_where_the_picture_ends() -> None:
    block = np.zeros((40, 40, 40), dtype=np.float32)
    block[8:32, 8:32, :32] = 100  # cut by the lower face of the picture
    found = skin.find(Volume(block, affines.scaling(2)))
    points = found.points
    assert len(found.ends) and found.ends[:, 2].max() < 4
    assert len(points) and points[:, 2].min() > 2
    np.testing.assert_allclose([points[:, 0].min(), points[:, 0].max(), points[:, 2].max()], [12, 66, 66], atol=1.0)  # the foot of the blurred edge


def test_the_nearest_skin_wins_and_leans_as_it_does() -> None:
    x, z = np.meshgrid(np.arange(-60, 60.0), np.arange(-60, 60.0))
    near = np.stack([x.ravel(), 30 - 0.5 * x.ravel(), z.ravel()], axis=1)
    seen = skin.depth(skin.Skin(np.concatenate([near, near - np.array([0, 40, 0])]), np.empty((0, 3))), np.eye(3))
    lean = skin.slopes(seen)
    centre = skin.SIDE_PIXELS // 2
    assert abs(seen[centre, centre] - 30) < 1.5 and np.isnan(seen[0, 0])
    np.testing.assert_allclose(lean[:, centre, centre], [0.5 / np.sqrt(1.25), 0], atol=0.05)
    hidden = skin.depth(skin.Skin(near, near + np.array([0, 5, 0])), np.eye(3))
    assert np.isnan(hidden[centre, centre]), "the end of the picture hides what lies behind it"


@pytest.mark.needs("shared-data")
def test_a_real_face_of_nobody_we_learnt_from_is_seen_until_it_is_taken_out(mri: Path, tmp_path: Path) -> None:
    source = mri / "dicom" / "siemens_enh_xa30" / "5_anat-T1w_acq-tfl"
    subprocess.run([sys.executable, "-m", "dcm2niix", "-z", "n", "-b", "n", "-f", "head", "-o", tmp_path, source], check=True, capture_output=True)
    whole = volumes.load(tmp_path / "head.nii")
    done = faces.deface_visit({"t1": HeadImage(whole)})["t1"].volume
    assert done is not None
    assert surface.look(whole).visible is True
    assert surface.look(done).visible is False


def test_the_calibration_says_what_it_was_made_on() -> None:
    values = json.loads(surface.DATA.read_text())
    assert values["version"] and Path(values["made_by"]).name == "faces_calibrate.py"
    assert "mean" in values["calibrated_on"] and not {"siemens_enh_xa30", "siemens_visit_face_t1", "siemens_visit_face_t2"} & set(values["calibrated_on"])
    assert set(surface.detector()) == {"nose", "eyes", "mouth", "right_ear", "left_ear", "face"}
