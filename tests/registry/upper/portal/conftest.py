"""What the portal's tests may ask for: a real browser (`browse`) and what axe says of a page (`axe`)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.registry.upper.portal import browsing


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium; skips where it is absent."""
    if not shutil.which("chromium"):
        pytest.skip("needs chromium")
    kept = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    # Playwright's loop runs in this thread, so Django would take every query of a test for one inside a coroutine.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    try:
        with browsing.started() as browser:
            yield browser
    finally:
        if kept is None:
            del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def browse(live_server: Any, chromium: Any) -> Iterator[browsing.Browsing]:
    """`browse(user)` opens a page as somebody (`browse()`: as a stranger). At the end nothing may have gone wrong in any page:
    no error in a console, no breach of the policy, no script, sheet or picture that failed, no answer of 500."""
    opened = browsing.Browsing(chromium, live_server.url)
    yield opened
    assert opened.close() == []


@pytest.fixture
def axe() -> Callable[[Any], list[str]]:
    """`axe(page)`: what axe holds against it, one line per place. An empty list is right."""
    return browsing.ask_axe
