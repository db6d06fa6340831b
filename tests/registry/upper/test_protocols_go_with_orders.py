"""A dataset's profile and criteria of inclusion, and the purpose of a visit, go with its orders; a steward agrees on them, and nobody else."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from registry.access import actions as access
from registry.imaging import queries
from registry.imaging.models import Image
from registry.intake import carrying
from registry.intake.models import Study, Upload
from registry.rules import Denied, Invalid
from registry.runs.models import Run
from registry.subjects import actions as subjects

pytestmark = pytest.mark.django_db(databases="__all__")

OWN = {
    "name": "site",
    "title": "ours",
    "version": "1",
    "rule": [{"id": "tr", "says": "TR 2 s", "value": "RepetitionTime", "min": 1900, "max": 2100, "where": {}}],
    "visit": {"trial": {"brain": {"recommended": [{"says": "T1w of the brain", "any": ["T1w"]}]}}},
}


def order(house: Any, person: Any, visit: Any) -> dict[str, Any]:
    """The order of a study of that visit."""
    upload = Upload.objects.create(dataset=house.dataset, site=house.site, contributor=house.contributor, state="sorted")
    study = Study.objects.create(upload=upload, study_code="a" * 26, participant_code=person.code, participant=person, visit=visit, state="ready")
    return carrying.order_study(Run(subject_id=study.pk, kind="study"))


def test_what_was_agreed_on_goes_with_the_order_and_nothing_goes_where_nothing_was(house: Any) -> None:
    person = house.person()
    visit = house.visit(person)
    assert "protocol" not in order(house, person, visit)
    access.agree_protocol(house.steward, house.dataset, {}, ["field_strength"])
    plain = subjects.add_visit(person, "m12", visit_day(1), "monitoring")
    person.refresh_from_db()
    assert order(house, person, plain)["protocol"] == {"inclusion": ["field_strength"], "purposes": {"m12": "monitoring"}}
    access.agree_protocol(house.steward, house.dataset, OWN, ["tr"])
    told = order(house, house.person(), visit)["protocol"]
    assert told["profile"]["name"] == "site"
    assert told["inclusion"] == ["tr"]


def visit_day(years: int) -> Any:
    from datetime import date

    return date(2021 + years, 3, 4)


def test_only_a_steward_agrees_and_only_on_rules_that_there_are(house: Any, door: Any) -> None:
    with pytest.raises(Denied):
        access.agree_protocol(house.contributor, house.dataset, {}, [])
    for profile, rules, code in (({}, ["beauty"], "unknown_rule"), ({"name": "x"}, [], "bad_profile"), (OWN, ["field_strength"], "unknown_rule")):
        with pytest.raises(Invalid) as caught:
            access.agree_protocol(house.steward, house.dataset, profile, rules)
        assert caught.value.code == code
    birthday = OWN | {"rule": [OWN["rule"][0] | {"value": "PatientBirthDate"}]}
    with pytest.raises(Invalid):
        access.agree_protocol(house.steward, house.dataset, birthday, [])
    path = f"/datasets/{house.dataset.slug}/protocol"
    assert door(house.steward).post(path, {"inclusion": ["field_strength"]}, 200)["inclusion"] == ["field_strength"]
    door(house.contributor).post(path, {"inclusion": []}, 403)


def test_a_purpose_is_a_word_of_the_datasets_protocol(house: Any) -> None:
    person = house.person()
    with pytest.raises(Invalid) as caught:
        subjects.add_visit(person, "m00", visit_day(0), "trial")
    assert caught.value.code == "unknown_purpose"
    access.agree_protocol(house.steward, house.dataset, OWN, [])
    person.refresh_from_db()
    assert subjects.add_visit(person, "m00", visit_day(0), "trial").purpose == "trial"


def test_the_page_of_an_image_says_what_its_visit_lacks_by_all_that_was_handed_in(house: Any) -> None:
    person = house.person()
    visit = subjects.add_visit(person, "m00", visit_day(0), "diagnosis")
    report = {"grade": "pass", "reasons": [], "flags": [], "norm": "", "metrics": {"efc": {"value": 0.5, "unit": "1", "direction": "low"}}}
    told = {"quality": report | {"unavailable": {}, "drivers": ["efc"]}, "protocol": {"profile": "magnims-2024", "verdict": "unknown", "checks": []}}
    image = house.image(person, visit, suffix="T1w", provenance=told)
    house.image(person, visit, suffix="FLAIR", seed="f")
    page = queries.quality_page(image)
    assert page is not None
    assert "The visit, for diagnosis: deviates" in page
    missing = [one["says"] for one in queries.lacking(visit)["findings"] if one["status"] == "missing"]
    assert missing == ["T2w of the brain"]
    house.image(person, visit, state="refused", suffix="T2w", seed="r")
    assert queries.lacking(visit)["verdict"] == "deviates", "a refused one does not count"
    house.image(person, visit, suffix="T2w", seed="t")
    assert queries.lacking(visit)["verdict"] == "conforms"
    visit.purpose = ""
    assert queries.lacking(visit)["findings"] == []


def test_norms_are_built_once_for_a_study_however_many_images_it_has(house: Any, carried: Any, one_image: Any, monkeypatch: Any) -> None:
    built = []
    monkeypatch.setattr(queries, "usual", lambda real=queries.usual: built.append(1) or real())
    person = house.person()
    visit = house.visit(person)
    upload = Upload.objects.create(dataset=house.dataset, site=house.site, contributor=house.contributor, state="sorted")
    study = Study.objects.create(upload=upload, study_code="a" * 26, participant_code=person.code, participant=person, visit=visit, state="processing")
    row = {"bids": None, "contrast": {}, "conversion": {}, "deface": {"verdict": "withheld", "code": "x"}, "protocol": {}, "deid": {}}
    images = [row | {"quality": {"grade": "fail", "reasons": [], "metrics": {}}, "files": [n], "products": [], "review": []} for n in (1, 2, 3)]
    outcome = {"status": "done", "files": [], "images": images, "products": [], "versions": {}}
    carrying.record_study(Run(id=uuid.uuid4(), subject_id=study.pk, created_at=study.created_at), outcome, None)  # type: ignore[arg-type]
    assert Image.objects.filter(study_id=study.pk).count() == 3
    assert len(built) == 1
