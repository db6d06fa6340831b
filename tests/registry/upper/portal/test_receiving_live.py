"""A researcher receives in a real browser: a key made there, a package made by the real code, downloaded, and opened with the file that the browser saved."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.db import transaction

from client.package import read_identity
from registry.access import actions as access
from registry.releases.models import Package
from tests.registry.upper.portal.browsing import Browsing

pytestmark = [pytest.mark.django_db(databases="__all__", transaction=True), pytest.mark.needs("chromium")]
SECRET = re.compile(r"AGE-SECRET-KEY-1[A-Z0-9]+")


def test_a_key_made_in_the_browser_opens_what_the_browser_downloads(
    browse: Browsing, house: Any, carried: Any, axe: Callable[[Any], list[str]], tmp_path: Path
) -> None:
    person = house.person("GRU")
    house.image(person)
    with transaction.atomic():
        house.release()
    rosa = house.world.user("rosa")
    held = house.world.request(house.dataset, rosa, recipient_key="")
    access.approve_request(house.steward, held)
    sent: list[str] = []
    page = browse(rosa)
    page.on("request", lambda request: sent.append(f"{request.url} {request.headers} {request.post_data_buffer or b''!r}"))

    page.goto(f"/requests/{held.pk}")
    assert axe(page) == []
    page.get_by_role("button", name="Make a key in this browser").click()
    secret = page.locator("[data-key-secret]").inner_text()
    assert SECRET.fullmatch(secret)
    give = page.get_by_role("button", name="Give this public key")
    assert give.is_disabled()
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the private key as a file").click()
    saved.value.save_as(tmp_path / "myelin-key.txt")
    page.get_by_label("I have saved the private key.").check()
    assert axe(page) == []
    give.click()
    held.refresh_from_db()
    identity = read_identity(tmp_path / "myelin-key.txt")
    assert held.recipient_key == str(identity.to_public()) and str(identity) == secret

    page.get_by_role("link", name="Read and sign the agreement").click()
    page.get_by_label("I have read the whole agreement").check()
    assert axe(page) == []
    page.get_by_role("button", name="Sign", exact=True).click()
    page.goto("/packages")
    page.get_by_role("button", name="Have a package of release").click()
    assert "being made" in page.inner_text("main")
    carried.work()
    page.get_by_role("link", name="Download").wait_for()  # the page looks by itself
    assert axe(page) == []
    with page.expect_download() as got:
        page.get_by_role("link", name="Download").click()
    got.value.save_as(tmp_path / "package.tar.age")

    with tarfile.open(fileobj=io.BytesIO(pyrage.decrypt((tmp_path / "package.tar.age").read_bytes(), [identity]))) as tar:
        names = tar.getnames()
        manifest = json.loads(tar.extractfile(next(name for name in names if name.endswith("MANIFEST.json"))).read())  # type: ignore[union-attr]
    assert manifest == Package.objects.get().manifest and any(f"sub-{person.label}" in name for name in names)
    assert len(sent) > 5 and not any("SECRET" in text or secret[16:40] in text for text in sent)


def test_the_pages_fit_a_telephone_and_say_what_to_do_when_empty(browse: Browsing, house: Any, axe: Callable[[Any], list[str]]) -> None:
    rosa = house.world.user("rosa")
    draft = access.draft_request(rosa, house.dataset, title="A study", abstract="Why.", purpose="HMB")
    page = browse(rosa, width=360)
    for path in ("/requests", "/requests/new", f"/datasets/{house.dataset.slug}/request", f"/requests/{draft.pk}", "/packages", "/notices"):
        page.goto(path)
        assert axe(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
