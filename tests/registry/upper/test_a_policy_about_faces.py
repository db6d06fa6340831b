"""What a dataset agreed on about faces goes with its orders; a steward agrees on it, and nobody else; what is no policy is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import order
from registry.access import actions as access
from registry.intake import carrying
from registry.intake.models import Study, Upload
from registry.rules import Denied, Invalid
from registry.runs.models import Run

pytestmark = pytest.mark.django_db(databases="__all__")

POLICY = {"name": "trial-7", "exempt": ["bold"], "orbits": "restricted"}


def test_a_policy_goes_with_the_order_and_nothing_goes_where_there_is_none(house: Any) -> None:
    person = house.person()
    upload = Upload.objects.create(dataset=house.dataset, site=house.site, contributor=house.contributor, state="sorted")
    study = Study.objects.create(upload=upload, study_code="a" * 26, participant_code=person.code, participant=person, visit=house.visit(person), state="ready")
    run = Run(subject_id=study.pk, kind="study")
    assert "faces" not in carrying.order_study(run)
    access.agree_faces(house.steward, house.dataset, POLICY)
    told = carrying.order_study(run)
    assert told["faces"] == POLICY
    assert order.parse({**told, "run": "r", "attempt": 1, "files": [{"n": 1, "sha256": "0" * 64}]}).faces == POLICY, "a carrier reads it"


@pytest.mark.parametrize(
    "policy", [{"exempt": ["bold"]}, {"name": "A b"}, {"name": "x", "exempt": ["T1w"]}, {"name": "x", "orbits": "open"}, {"name": "x", "more": 1}, {"name": 7}]
)
def test_what_is_no_policy_is_refused(house: Any, policy: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        access.agree_faces(house.steward, house.dataset, policy)
    assert caught.value.code == "bad_face_policy"
    house.dataset.refresh_from_db()
    assert house.dataset.faces == {}


def test_only_a_steward_agrees_and_may_end_it(house: Any, door: Any) -> None:
    with pytest.raises(Denied):
        access.agree_faces(house.contributor, house.dataset, POLICY)
    path = f"/datasets/{house.dataset.slug}/faces"
    assert door(house.steward).post(path, POLICY, 200)["faces"] == POLICY
    door(house.contributor).post(path, POLICY, 403)
    door(house.steward).post(path, {"name": "x", "exempt": ["T1w"]}, 400)
    assert door(house.steward).raw("delete", path).json()["faces"] == {}
