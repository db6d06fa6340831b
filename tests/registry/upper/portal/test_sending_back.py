"""Acts that came with the pages: an image given back to its site, and many accepted after a sample was looked at. Each refusal has its allowed twin."""

from __future__ import annotations

from typing import Any

import pytest

from registry.access import actions as access
from registry.access import pairs
from registry.audit.models import Line
from registry.imaging.models import Decision, Image
from registry.intake import actions, deciding, wiping
from registry.intake.models import Study, Upload
from registry.rules import Conflict, Denied, Invalid
from registry.runs.models import Mail

pytestmark = pytest.mark.django_db(databases="__all__")


def crowd(house: Any, number: int) -> list[Image]:
    """Proposed images of one person, under names of their own."""
    person = house.person()
    return [house.image(person, state="proposed", suffix=f"T1w{n}") for n in range(number)]


def code(act: Any, *args: Any) -> str:
    with pytest.raises((Conflict, Denied, Invalid)) as error:
        act(*args)
    return error.value.code


def test_an_image_goes_back_to_its_site_and_comes_again(house: Any) -> None:
    image = house.image(house.person(), state="proposed")
    assert code(actions.return_image, house.contributor, image, "Why?") == "no_role"
    assert code(actions.return_image, house.steward, image, "  ") == "reason_missing"
    assert actions.return_image(house.steward, image, "Is this the follow-up?").state == "returned"
    assert Mail.objects.get().to == house.contributor.email
    assert code(actions.return_image, house.steward, image, "Again?") == "image_state"
    assert code(actions.answer_image, house.steward, image, "Yes.") == "no_role"
    assert code(actions.answer_image, house.contributor, image, "") == "reason_missing"
    assert actions.answer_image(house.contributor, image, "Yes, it is.").state == "proposed"
    assert code(actions.answer_image, house.contributor, image, "Yes.") == "image_state"
    assert actions.accept_image(house.steward, image).state == "accepted"
    assert code(actions.return_image, house.steward, image, "Too late") == "image_decided"
    assert list(Decision.objects.values_list("verdict", flat=True)) == ["returned", "answered", "accepted"]
    assert list(Line.objects.filter(object=f"image:{image.pk}").values_list("act", flat=True)) == ["image.returned", "image.answered", "image.accepted"]


def test_originals_of_an_image_that_went_back_are_kept(house: Any) -> None:
    image = house.image(house.person(), state="proposed")
    upload = Upload.objects.create(dataset=house.dataset, site=house.site, contributor=house.contributor, state="done")
    visit = image.visit
    Study.objects.create(pk=image.study_id, upload=upload, study_code="s", state="recorded", participant=visit.participant, visit=visit)
    actions.return_image(house.steward, image, "Is this the follow-up?")
    assert not wiping.finished_studies().exists()
    actions.refuse_image(house.steward, image, "Nobody knows.")
    assert wiping.finished_studies().exists()


def test_many_are_accepted_once_the_sample_was_looked_at_by_this_steward(house: Any) -> None:
    images = crowd(house, 12)
    drawn = deciding.sample(house.steward, images)
    assert len(drawn) == 5 and drawn == deciding.sample(house.steward, list(reversed(images)))
    assert deciding.sample(house.steward, images[:10]) == []
    other = house.world.steward(house.dataset)
    assert drawn != deciding.sample(other, images)
    for image in images:
        actions.volume(other, image.files.get(kind="image"))
    with pytest.raises(Conflict) as error:
        actions.accept_images(house.steward, images)
    assert error.value.code == "sample_not_looked_at" and len(error.value.errors) == 5
    for image in images:
        if image.pk in drawn[:4]:
            actions.volume(house.steward, image.files.get(kind="image"))
    assert code(actions.accept_images, house.steward, images) == "sample_not_looked_at"
    assert not Image.objects.filter(state="accepted").exists()
    actions.volume(house.steward, next(image for image in images if image.pk == drawn[4]).files.get(kind="image"))
    assert {image.state for image in actions.accept_images(house.steward, images)} == {"accepted"}


def test_many_of_a_restricted_dataset_need_two_people(house: Any) -> None:
    access.set_level("system:test", house.dataset, "restricted")
    images = crowd(house, 11)
    for image in images:
        image.refresh_from_db()
        actions.volume(house.steward, image.files.get(kind="image"))
    assert code(actions.accept_images, house.steward, images) == "needs_two_people"
    proposal = pairs.propose(house.steward, house.dataset, "bulk_acceptance", deciding.bulk(images), "One sequence, one scanner.")
    pairs.second(house.world.steward(house.dataset), proposal)
    assert code(actions.accept_images, house.steward, [*images[:10], house.image(house.person(), state="proposed")]) in (
        "needs_two_people",
        "sample_not_looked_at",
    )
    assert len(actions.accept_images(house.steward, images)) == 11


def test_a_volume_is_for_whom_the_policy_lets_see_it(house: Any) -> None:
    image = house.image(house.person())
    file = image.files.get(kind="image")
    stranger = house.world.user("stranger")
    before = Line.objects.count()
    with pytest.raises(Denied):
        actions.volume(stranger, file)
    assert Line.objects.count() == before
    assert actions.volume(house.contributor, file).is_file()
    assert list(Line.objects.filter(seq__gt=before).values_list("act", flat=True)) == ["image.view"]


def test_the_site_may_answer_by_saying_what_the_image_is(house: Any) -> None:
    image = house.image(house.person(), state="proposed", provenance={"contrast": {"protocol": "0a" * 16}})
    upload = Upload.objects.create(dataset=house.dataset, site=house.site, contributor=house.contributor, state="done")
    study = Study.objects.create(pk=image.study_id, upload=upload, study_code="s", state="recorded", participant=image.visit.participant, visit=image.visit)
    actions.return_image(house.steward, image, "Is this no T2w?")
    actions.correct(house.contributor, image, {"datatype": "anat", "suffix": "T2w"})
    image.refresh_from_db()
    study.refresh_from_db()
    assert (image.state, image.decided_by) == ("refused", None)  # nobody refused it: what the study gives anew may take its place
    assert study.state == "ready"
