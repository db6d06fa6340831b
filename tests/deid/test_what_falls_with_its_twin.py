"""What cannot be asked of a volume itself is asked of the one beside it, of every frame, and of what the view should have held."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deid import faces, headfit, proof
from deid.faces import HeadImage
from deid.placing import Place
from deid.verdicts import Defaced, told
from spatial import affines, templates
from spatial.resample import resample
from spatial.volumes import Volume


@pytest.fixture(scope="module")
def head() -> Volume:
    """The mean head on 3 mm, with noise: it lies where the template lies."""
    whole = templates.head().volume
    grid = affines.translation(affines.centre(whole.shape, whole.affine) - 120) @ affines.scaling(3)
    data = resample(whole, Volume(np.zeros((80, 80, 80), dtype=np.uint8), grid)).data
    random = np.random.default_rng(0)
    return Volume(np.hypot(data + random.normal(0, 5, data.shape), random.normal(0, 5, data.shape)).astype(np.float32), grid)


def place(how: str = "template") -> Place:
    return Place(np.eye(4), headfit.Fit((1, 1, 1), 0, 1.1, 1, 1, 1, 1200), how, 0.5)


def verdict(kind: Any, code: str, **measures: Any) -> Defaced:
    volume = None if kind == "withheld" else Volume(np.zeros((2, 2, 2)), np.eye(4))
    return told(volume, None, kind, code, measures)


def test_a_volume_without_an_outline_is_held_back_with_the_one_on_its_grid() -> None:
    own = verdict("defaced", "ok")
    assert faces._with_its_twin(own, verdict("withheld", "face_not_proven_gone")).verdict == "withheld"
    doubted = faces._with_its_twin(own, verdict("review", "odd_amount", review=["odd_amount"]))
    assert (doubted.verdict, doubted.code, doubted.measures["review"]) == ("review", "odd_amount", ["odd_amount"])
    assert faces._with_its_twin(own, verdict("defaced", "ok")) is own


def test_a_twin_is_held_back_in_a_visit(head: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    visit = {"t1": HeadImage(head), "map": HeadImage(head, "T1map")}
    lies = {"t1": place(), "map": Place(np.eye(4), place().fit, "same_grid", 0.5, "t1", np.eye(4))}
    monkeypatch.setattr(faces, "places", lambda *_: lies)
    assert {found.verdict for found in faces.deface_visit(visit).values()} == {"defaced"}
    monkeypatch.setattr(faces.surface, "moved_share", lambda *_: 0.5)
    assert {found.verdict for found in faces.deface_visit(visit).values()} == {"withheld"}


@pytest.mark.parametrize(("moved_mm", "doubted"), [(0, False), (3, False), (12, True)])
def test_one_zone_does_not_serve_a_head_that_moved_between_frames(head: Volume, moved_mm: int, doubted: bool) -> None:
    frames = Volume(np.stack([head.data, head.data, np.roll(head.data, -moved_mm // 3, axis=1)], axis=-1), head.affine)
    assert (proof.frames_apart_mm(frames) > proof.MOST_MOVED_MM) is doubted


@pytest.mark.parametrize("suffix", ["T1w", "angio", "inplaneT1"])
def test_every_contrast_that_shows_skin_is_looked_at(head: Volume, suffix: str) -> None:
    assert proof.skin_is_seen(HeadImage(head, suffix), place())
    assert not proof.skin_is_seen(HeadImage(head, "T1map"), place()) and not proof.skin_is_seen(HeadImage(head, "bold", "func"), place())


def test_a_view_that_should_hold_a_face_is_not_passed_for_holding_none(head: Volume) -> None:
    assert proof.face_in_view(HeadImage(head), place(), "face")
    top = Volume(np.ascontiguousarray(head.data[:, :, 60:]), head.affine @ affines.translation((0, 0, 60)))
    assert not proof.face_in_view(HeadImage(top), place(), "face"), "the crown holds none"
