"""The pages of releases: what the next would hold is said without writing it, who may freeze does, and others see the state and no form."""

from __future__ import annotations

from typing import Any

import pytest

from registry.access.models import DangerousAct
from registry.releases.models import Release
from tests.registry.upper.desks import released
from tests.registry.upper.portal.test_looking import person, text

pytestmark = pytest.mark.django_db(databases="__all__")


def test_a_steward_looks_at_the_next_release_and_freezes_it(house: Any) -> None:
    here, page = f"/releases/{house.dataset.slug}", person(house.steward)
    assert "None yet" in text(page.get(here))
    assert page.post(here, {"act": "freeze"}).status_code == 409  # nothing is accepted
    house.image(house.person())
    told = text(page.post(here, {"act": "look", "changes": "First"}))
    assert "would hold 1 participant with" in told and ">First</textarea>" in told and not Release.objects.exists()
    assert page.post(here, {"act": "freeze", "changes": "First", "part": "major"}).status_code == 302
    made = Release.objects.get()
    assert (made.state, made.changes, made.part, made.created_by) == ("freezing", "First", "major", house.steward.email)
    told = text(page.get(here))
    assert "is being put together" in told and "One is under way" in told and 'value="freeze"' not in told
    assert "is being put together" in text(page.get("/releases"))
    assert page.post(here, {"act": "melt"}).status_code == 422


def test_below_k_the_tables_are_proposed_to_a_second_person(house: Any) -> None:
    here, page = f"/releases/{house.dataset.slug}", person(house.steward)
    house.image(house.person())
    type(house.dataset).objects.filter(pk=house.dataset.pk).update(k=5)
    assert 'value="propose"' in text(page.post(here, {"act": "look"}))
    assert page.post(here, {"act": "propose", "changes": "Few people, all of them asked."}).status_code == 302
    assert DangerousAct.objects.get().act == "release_below_k"
    assert "waits for a second person" in text(page.post(here, {"act": "look"}))
    type(house.dataset).objects.filter(pk=house.dataset.pk).update(k=1)
    assert 'value="propose"' not in text(page.post(here, {"act": "look"}))


def test_who_may_not_freeze_sees_the_state_alone_and_a_stranger_to_the_dataset_nothing(house: Any, world: Any) -> None:
    here = f"/releases/{house.dataset.slug}"
    house.image(house.person())
    page = person(house.contributor)
    assert 'value="freeze"' not in text(page.get(here))
    assert page.post(here, {"act": "freeze"}).status_code == 403 and page.post(here, {"act": "look"}).status_code == 403
    other = world.steward(world.dataset(world.site("bergen")))
    assert person(other).get(here).status_code == 404 and house.dataset.name not in text(person(other).get("/releases"))
    assert not Release.objects.exists()
    assert 'value="freeze"' in text(person(house.steward).get(here))


@pytest.mark.django_db(databases="__all__", transaction=True)
@pytest.mark.needs("chromium")
def test_the_pages_of_releases_and_the_start_stand_before_axe_and_fit_a_telephone(browse: Any, house: Any, axe: Any) -> None:
    house.image(house.person())
    released(house)
    page = browse(house.steward, width=360)
    for path in ("/", "/releases", f"/releases/{house.dataset.slug}", "/queue"):
        page.goto(path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
