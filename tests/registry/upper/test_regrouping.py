"""A person says how an upload is grouped: one NIfTI study split in two, two studies merged into one visit; and what nobody may split."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import pytest

from registry.audit.models import Line
from registry.intake import actions, regrouping
from registry.intake.models import Study, Upload
from registry.rules import Conflict, Denied, Invalid

pytestmark = pytest.mark.django_db(databases="__all__")


def received(house: Any, bodies: list[tuple[str, bytes, dict[str, Any]]]) -> Upload:
    upload = actions.begin_upload(house.contributor, house.dataset, house.site)
    for n, (folder, body, said) in enumerate(bodies, 1):
        actions.receive_file(house.contributor, upload, n, folder, io.BytesIO(body), len(body), hashlib.sha256(body).hexdigest(), said=said)
    return actions.complete_upload(house.contributor, upload, len(bodies), sum(len(body) for _, body, _ in bodies))


@pytest.fixture
def loose(house: Any, carried: Any) -> Any:
    """Two NIfTI volumes in one folder and one in another, sorted by the pipeline itself: two studies that wait for a person's word."""
    from tests.registry.upper.conftest import volume

    house.upload = received(house, [("1", volume("one"), {"contrast": "T1w"}), ("1", volume("two"), {}), ("2", volume("three"), {})])
    assert carried.really("sort") == 1
    house.upload.refresh_from_db()
    house.two, house.one = sorted(house.upload.studies.all(), key=lambda study: -study.files.count())
    return house


def test_a_study_handed_in_as_nifti_is_split_and_each_part_bound_to_its_own_visit(loose: Any) -> None:
    assert regrouping.is_nifti(loose.two)
    second = loose.two.files.get(number=2)
    apart = regrouping.split(loose.contributor, loose.two, [second])
    assert [row.number for row in apart.files.all()] == [2] and [row.number for row in loose.two.files.all()] == [1]
    assert (apart.state, apart.code, regrouping.is_nifti(apart)) == ("waiting", "no_identity", True)
    assert Line.objects.get(act="study.split").detail["files"] == 1
    person = loose.person()
    actions.bind_study(loose.contributor, apart, person, loose.visit(person))
    apart.refresh_from_db()
    loose.two.refresh_from_db()
    assert (apart.state, loose.two.state) == ("ready", "waiting")


def test_nifti_studies_that_are_one_visit_become_one(loose: Any) -> None:
    person = loose.person()
    visit = loose.visit(person)
    kept = regrouping.merge(loose.contributor, [loose.two, loose.one], visit)
    assert [(study.state, study.visit_id, study.files.count()) for study in kept] == [("ready", visit.pk, 3)]
    ended = loose.upload.studies.exclude(pk=kept[0].pk).get()
    assert (ended.state, ended.code, ended.files.count()) == ("refused", "joined", 0)
    line = Line.objects.get(act="study.merge")
    assert set(line.detail["studies"]) == {str(loose.two.pk), str(loose.one.pk)} and line.detail["visit"] == str(visit.pk)


def test_studies_of_a_scanner_stay_two_and_are_bound_to_one_visit(house: Any, carried: Any) -> None:
    upload = received(house, [("", b"a", {}), ("", b"b", {})])
    carried.sort(str(upload.pk), ["no_identity", "identity_conflict"])
    person = house.person()
    kept = regrouping.merge(house.contributor, list(upload.studies.all()), house.visit(person))
    assert [study.state for study in kept] == ["ready", "ready"] and {study.participant_id for study in kept} == {person.pk}


def test_nobody_parts_a_mask_from_its_image_or_two_patients_by_number(house: Any, carried: Any, loose: Any) -> None:
    loose.two.files.filter(number=2).update(said={"beside": 1})
    with pytest.raises(Invalid, match="split_cuts"):
        regrouping.split(house.contributor, loose.two, [loose.two.files.get(number=2)])
    with pytest.raises(Invalid, match="split_nothing"):
        regrouping.split(house.contributor, loose.two, list(loose.two.files.all()))
    with pytest.raises(Invalid, match="split_nothing"):
        regrouping.split(house.contributor, loose.two, list(loose.one.files.all()))
    upload = received(house, [("", b"a", {}), ("", b"b", {})])
    carried.sort(str(upload.pk), ["two_patients", "no_identity"])
    both = upload.studies.get(code="two_patients")
    visit = house.visit(house.person())
    with pytest.raises(Conflict, match="study_whole"):
        regrouping.split(house.contributor, both, list(both.files.all()))
    with pytest.raises(Conflict, match="study_unbindable"):
        regrouping.merge(house.contributor, list(upload.studies.all()), visit)
    with pytest.raises(Invalid, match="merge_apart"):
        regrouping.merge(house.contributor, [loose.one, both], visit)
    assert Study.objects.exclude(state="waiting").count() == 0


def test_who_may_regroup(loose: Any) -> None:
    visit = loose.visit(loose.person())
    for who in (loose.steward, loose.world.user("stranger")):
        with pytest.raises(Denied):
            regrouping.split(who, loose.two, [loose.two.files.get(number=2)])
        with pytest.raises(Denied):
            regrouping.merge(who, [loose.two, loose.one], visit)
    lund = loose.world.site("lund", "SE")
    loose.dataset.sites.add(lund)
    elsewhere = loose.visit(loose.world.participant(loose.dataset, lund))
    with pytest.raises(Denied):
        regrouping.merge(loose.contributor, [loose.two, loose.one], elsewhere)
    assert regrouping.merge(loose.contributor, [loose.two, loose.one], visit)
    for again in (lambda: regrouping.merge(loose.contributor, [loose.two, loose.one], visit), lambda: regrouping.split(loose.contributor, loose.two, [])):
        with pytest.raises(Conflict):
            again()
