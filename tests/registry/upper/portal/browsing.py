"""A real browser for the portal's tests: Debian's Chromium, led by Playwright; what its console and its policy complain of; and axe.

Chromium is started once per file of tests, not per session: while Playwright lives, this thread has a running event loop, which other tests may not expect.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, sync_playwright

if TYPE_CHECKING:
    from registry.accounts.models import User

AXE = Path(__file__).with_name("axe") / "axe.min.js"
# Without the background flags Chromium looks for Google's hosts at every start. SwiftShader draws WebGL on the CPU, for the viewer.
FLAGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--disable-dev-shm-usage",
]  # fmt: skip
# Every rule of axe, and the size of targets, which it leaves out unless it is asked.
ASK_AXE = "axe.run(document, {resultTypes: ['violations'], rules: {'target-size': {enabled: true}}}).then(found => JSON.stringify(found.violations))"


@contextmanager
def started() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Browsing:
    """Opens pages as somebody, and keeps what went wrong in any of them. `expected`: parts of messages that this test brings about on purpose."""

    browser: Browser
    url: str
    wrong: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    contexts: list[BrowserContext] = field(default_factory=list)

    def __call__(self, user: User | None = None, width: int = 1280, **context: Any) -> Page:
        """A page at the portal's start, signed in; `color_scheme="dark"`, `locale="de-DE"`, `java_script_enabled=False` and the like are Playwright's."""
        opened = self.browser.new_context(base_url=self.url, viewport={"width": width, "height": 900}, **{"locale": "en-GB", **context})
        opened.set_default_timeout(10_000)
        self.contexts.append(opened)
        if user is not None:
            from django.conf import settings  # late: whoever signs in through the pages needs no Django here
            from django.test import Client

            from tests.registry.browsers import shown

            client = shown(Client(), user)
            opened.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value, "url": self.url}])
        opened.on("console", self._console)
        opened.on("weberror", lambda error: self.wrong.append(f"uncaught: {error.error} ({error.page.url if error.page else ''})"))
        opened.on("response", self._response)
        page = opened.new_page()
        page.goto("/")
        return page

    def _console(self, message: ConsoleMessage) -> None:
        """Chromium says each breach of the policy here. What failed to load is counted by `_response`, which knows what it was."""
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            self.wrong.append(f"{message.text} ({message.location.get('url', '')})")

    def _response(self, response: Response) -> None:
        """A page may answer 401 or 404; a script, a sheet or a picture may not, and nothing may break."""
        if response.status >= 500 or (response.status >= 400 and response.request.resource_type not in ("document", "xhr", "fetch", "websocket")):
            self.wrong.append(f"{response.status} {response.url}")

    def close(self) -> list[str]:
        """What went wrong and was not expected."""
        for context in self.contexts:
            context.close()
        return [line for line in self.wrong if not any(part in line for part in self.expected)]


def until(page: Page, expression: str, seconds: float = 10) -> Any:
    """Asks a page until an expression is true. Playwright's own `wait_for_function` evaluates text in the page, which the policy forbids."""
    ends = time.monotonic() + seconds
    while not (told := page.evaluate(expression)):
        assert time.monotonic() < ends, f"never true: {expression}"
        page.wait_for_timeout(50)
    return told


def ask_axe(page: Page) -> list[str]:
    """What axe holds against a page, one line each: the rule, what it is, where. Asked over the debugger, which the page's policy does not bind."""
    session = page.context.new_cdp_session(page)
    try:
        session.send("Runtime.evaluate", {"expression": AXE.read_text("utf-8")})
        told = session.send("Runtime.evaluate", {"expression": ASK_AXE, "awaitPromise": True, "returnByValue": True})
    finally:
        session.detach()
    assert "exceptionDetails" not in told, told
    found = json.loads(told["result"]["value"])
    return [f"{one['id']}: {one['help']}: {node['target']} {node['html'][:120]}" for one in found for node in one["nodes"]]
