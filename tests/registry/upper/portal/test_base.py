"""The ground of every page, in a real browser: it holds at 360 px and in the dark, axe finds nothing, a form says what is wrong and where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from tests.registry.upper.portal.browsing import Browsing, until

needs_chromium = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.needs("chromium")]
LOAD = "document.head.append(Object.assign(document.createElement('script'), {src: '/static/vendor/htmx.js'}))"
WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
PAGES = ["/", "/sign-in", "/account", "/account/password", "/nowhere"]


def with_htmx(page: Any) -> None:
    page.evaluate(LOAD)
    until(page, "Boolean(window.htmx)")


class TestInABrowser:
    pytestmark = needs_chromium

    @pytest.mark.parametrize(("width", "scheme", "locale"), [(360, "dark", "de-DE"), (1280, "light", "en-GB")])
    def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(
        self, browse: Browsing, axe: Callable[[Any], list[str]], house: Any, width: int, scheme: str, locale: str
    ) -> None:
        for user in (None, house.steward):
            page = browse(user, width=width, color_scheme=scheme, locale=locale)
            for path in PAGES:
                page.goto(path)
                assert (path, axe(page), page.evaluate(WIDER)) == (path, [], False)
                assert page.locator("h1").count() == 1

    def test_what_is_wrong_in_a_form_is_summed_up_with_links_and_read_with_its_field(
        self, browse: Browsing, axe: Callable[[Any], list[str]], house: Any
    ) -> None:
        page = browse(house.steward)
        page.goto("/account")
        page.fill("#id_name", "notebook")
        page.fill("#id_days", "400")
        page.evaluate("document.querySelector('#id_days').form.noValidate = true")
        page.get_by_role("button", name="Make a token").click()
        summary = page.locator(".wrong")
        assert summary.evaluate("one => one === document.activeElement")
        summary.get_by_role("link", name="Days it lives").click()
        assert page.evaluate("document.activeElement.id") == "id_days"
        assert page.locator("#id_days").get_attribute("aria-invalid") == "true"
        told = page.locator("#id_days").evaluate(
            "one => one.getAttribute('aria-describedby').split(' ').map(id => document.getElementById(id).innerText).join()"
        )
        assert "366" in told and axe(page) == []

    def test_the_keyboard_reaches_the_content_first_and_everything_after(self, browse: Browsing, house: Any) -> None:
        page = browse(house.steward)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.get_by_role("button", name="Deutsch").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("html[lang=de]")
        assert page.locator("[aria-current=page]").inner_text() == "Myelin"

    def test_pages_work_without_scripts(self, browse: Browsing, house: Any) -> None:
        page = browse(house.steward, java_script_enabled=False)
        page.goto("/account")
        page.fill("#id_name", "notebook")
        page.get_by_role("button", name="Make a token").click()
        assert "myelin_" in page.inner_text("main code")

    def test_htmx_sends_the_token_of_the_page_and_works_under_the_policy(self, browse: Browsing, house: Any) -> None:
        page = browse(house.steward)
        with_htmx(page)
        assert page.evaluate("[htmx.config.allowEval, htmx.config.includeIndicatorStyles, htmx.config.historyCacheSize]") == [False, False, 0]
        page.evaluate("htmx.ajax('POST', '/account', {target: 'main', values: {days: 3}})")
        page.get_by_role("alert").wait_for()  # 400, shown in place: the token was taken, and what is wrong is said
        assert page.evaluate("document.activeElement.matches('.wrong')")
        browse.expected.append("Response Status Error Code")  # htmx says each in the console
        page.evaluate("htmx.ajax('GET', '/nowhere', {target: 'main'})")
        page.get_by_text("This did not work").wait_for()
        page.context.clear_cookies()
        page.evaluate("htmx.ajax('GET', '/account', {target: 'main'})")
        page.get_by_role("link", name="Sign in").first.wait_for()  # 401: the page itself is asked for anew


@pytest.mark.django_db(databases="__all__")
class TestWithoutABrowser:
    def test_links_lead_where_the_reader_has_work_and_nowhere_that_is_not_there(self, house: Any, door: Any) -> None:
        def links(user: Any) -> str:
            told: str = door(user).client.get("/").content.decode()
            return told.partition("</nav>")[0]

        assert "/account" in links(house.steward) and "/account" not in links(None)
        assert 'aria-current="page">Myelin' in links(None)

    def test_the_time_zone_is_said(self) -> None:
        assert "Times are UTC." in Client().get("/").content.decode()
