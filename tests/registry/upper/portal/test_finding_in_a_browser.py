"""The cohort builder in a real browser: typed, paused, counted once; by keyboard alone; and what axe says of the pages of finding."""

from __future__ import annotations

import random
from typing import Any

import pytest

from registry.audit.models import Line
from registry.counts import cohorts, publishing
from tests.registry.upper import cohorts as people
from tests.registry.upper.invented import drawn

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.django_db(databases="__all__", transaction=True)]


@pytest.fixture
def north(world: Any) -> Any:
    site = world.site()
    dataset = world.dataset(site, slug="north", description="Scans from the north.", licence="CC-BY-4.0")
    people.put(dataset, site, drawn(random.Random(1), 120), people.facts_of(world, dataset, site))
    publishing.tick()
    return dataset


def counts() -> int:
    return Line.objects.filter(act="count.ask").count()


def test_who_types_and_pauses_is_told_once_and_the_keyboard_is_enough(north: Any, world: Any, browse: Any, axe: Any) -> None:
    researcher = world.user("researcher")
    page = browse(researcher)
    page.goto("/datasets/north/build")
    page.locator("#where-1").focus()
    for letters in ("Sex: fe", "male"):
        page.keyboard.type(letters, delay=15)
    page.locator("#answer h2").wait_for()
    assert page.locator("#answer h2").inner_text().startswith("About ")
    assert page.locator("#said").inner_text() == page.locator("#answer h2").inner_text()
    assert page.evaluate("document.activeElement.id") == "where-1"
    assert counts() == 1
    page.keyboard.press("Escape")  # the list of suggestions
    with page.expect_response("**/count?**"):
        page.keyboard.press("Enter")
    assert counts() == 2  # the same question again costs nothing
    assert "has 99 of 100" in page.locator("#answer").inner_text()
    draw = page.get_by_role("link", name="Draw: Sex")
    draw.focus()
    page.keyboard.press("Enter")
    page.locator("#picture-sex svg").wait_for()
    assert page.evaluate("document.activeElement.id") == "title-sex"
    assert axe(page) == []
    page.locator("#cohort-name").focus()
    page.keyboard.type("Women")
    page.keyboard.press("Enter")
    page.wait_for_url("**/cohorts/*")
    assert page.get_by_role("heading", level=1).inner_text() == "Women"
    assert axe(page) == []


def test_half_a_condition_counts_nothing_and_a_refusal_is_shown_where_the_answer_would_stand(north: Any, browse: Any) -> None:
    page = browse()
    page.goto("/datasets/north/build")
    before = counts()
    page.locator("#where-1").press_sequentially("Sex: fem")
    page.get_by_text("Not a condition yet: Sex: fem").wait_for()
    assert counts() == before
    page.locator("#where-1").fill("Sex: female")
    page.locator("#where-2").fill("Diagnosis: multiple sclerosis, CIS or RIS")
    page.locator("#answer h2").wait_for()
    page.evaluate("""document.querySelector("#where-1").insertAdjacentHTML("afterend", '<input name="where" value="csf.ocb:positive">')""")
    page.get_by_role("button", name="Count").click()
    page.get_by_text("A question has at most 2 conditions here.").wait_for()
    assert page.locator("#messages").inner_text() == ""


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(north: Any, world: Any, browse: Any, axe: Any, width: int, scheme: str) -> None:
    steward = world.steward(north)
    first, second = (cohorts.save(steward, north, name, [where]) for name, where in (("Women", "sex:F"), ("MS", "diagnosis:ms")))
    page = browse(steward, width=width, color_scheme=scheme)
    north_s = ("", "/build", "/count?where=sex:F", "/pictures", "/pictures/accrual", "/pictures/quality-site")
    others = ("/cohorts", f"/cohorts/{first.pk}", f"/cohorts/{first.pk}/with/{second.pk}", "/dictionary", "/why", "/storage", "/datasets")
    for address in (*(f"/datasets/north{one}" for one in north_s), *others):
        page.goto(address)
        assert axe(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
