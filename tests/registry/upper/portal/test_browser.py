"""The browser tests' own ground: a page is reached as somebody, and what goes wrong in it is seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pyrage
import pytest

from tests.registry.upper.portal.browsing import Browsing, until

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.needs("chromium")]


def test_a_page_is_reached_as_somebody_and_as_a_stranger(browse: Browsing, house: Any) -> None:
    page = browse(house.steward)
    page.goto("/account")
    assert house.steward.email in page.inner_text("main")
    assert "/account" not in [link.get_attribute("href") for link in browse().query_selector_all("nav a")]


def test_what_goes_wrong_in_a_page_is_seen(browse: Browsing) -> None:
    page = browse()
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {src: '/static/nothing.js'}))")
    page.evaluate("void setTimeout(() => { throw new Error('on purpose') })")
    until(page, "performance.getEntriesByName(location.origin + '/static/nothing.js').length")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    wrong = " | ".join(browse.wrong)
    assert "Content Security Policy" in wrong and "404" in wrong and "on purpose" in wrong
    browse.expected += ["Content Security Policy", "/static/nothing.js", "on purpose"]


def test_axe_sees_what_is_wrong_and_nothing_where_nothing_is(browse: Browsing, axe: Callable[[Any], list[str]]) -> None:
    page = browse()
    assert axe(page) == []
    page.evaluate("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"data:,\"><input>')")
    assert {line.partition(":")[0] for line in axe(page)} >= {"image-alt", "label"}


def test_the_vendored_hash_and_keys_work_under_the_policy(browse: Browsing) -> None:
    page = browse()
    told = page.evaluate(
        """async () => {
            const {sha256, bytesToHex} = await import('/static/vendor/sha256.js');
            const {generateX25519Identity, identityToRecipient} = await import('/static/vendor/age.js');
            const hash = sha256.create();
            hash.update(new TextEncoder().encode('a scan, ')).update(new TextEncoder().encode('in two parts'));
            const key = await generateX25519Identity();
            return {hash: bytesToHex(hash.digest()), key, recipient: await identityToRecipient(key)};
        }"""
    )
    assert told["hash"] == hashlib.sha256(b"a scan, in two parts").hexdigest()
    assert str(pyrage.x25519.Identity.from_str(told["key"]).to_public()) == told["recipient"]
