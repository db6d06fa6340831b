"""A person at a browser, for the row that goes through the whole story: signs in, says again who they are, and leaves a screenshot of each step."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from table import ROOT

PICTURES = ROOT / "build" / "show" / "portal"
WORK_S = 1500  # for what worker and carrier do, on a machine that others share
PHONE = {"width": 360, "height": 800}


class Missing(AssertionError):
    """What the story needs at this step is not there; the sentence says what."""


def need(true: Any, what: str) -> Any:
    if not true:
        raise Missing(what)
    return true


@dataclass
class Gallery:
    """The screenshots, in the order in which they were taken."""

    taken: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        for old in PICTURES.glob("[0-9][0-9]-*.png"):
            old.unlink()

    def take(self, page: Any, name: str) -> None:
        self.part(page, name, full_page=True)

    def part(self, what: Any, name: str, **how: Any) -> None:
        """A page, or a part of it. On a busy machine Chromium's drawing is now and then too slow for one picture: it is asked again."""
        from playwright.sync_api import Error

        path = PICTURES / f"{len(self.taken) + 1:02}-{name}.png"
        for left in (2, 1, 0):
            try:
                what.screenshot(path=path, **how)
                break
            except Error as error:
                if not left or "Unable to capture" not in str(error):
                    raise
                time.sleep(1)
        self.taken.append(path)

    def phone(self, page: Any, name: str) -> None:
        """The same page on a telephone in the dark. Raises Missing where it is wider than the window."""
        before = page.viewport_size
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size(PHONE)
        page.wait_for_timeout(300)
        self.take(page, f"{name}-phone-dark")
        wide = page.evaluate("document.documentElement.scrollWidth")
        page.set_viewport_size(before)
        page.emulate_media(color_scheme="light")
        need(wide <= PHONE["width"], f"{name} is {wide} px wide on a telephone of {PHONE['width']}")


@dataclass
class Desk:
    """Somebody's browser. `secret`: of their authenticator, once it is set up."""

    page: Any
    email: str
    password: str
    gallery: Gallery
    secret: str = ""
    spent: int = 0

    def shot(self, name: str) -> None:
        self.gallery.take(self.page, name)

    def go(self, path: str) -> None:
        self.page.goto(path)

    def press(self, words: str) -> None:
        self.page.get_by_role("button", name=words, exact=True).first.click()
        self.page.wait_for_load_state()

    def follow(self, words: str) -> None:
        self.page.get_by_role("link", name=words).first.click()
        self.page.wait_for_load_state()

    def field(self, label: str) -> Any:
        """What is labelled so; Django ends most labels with a colon."""
        return self.page.get_by_label(re.compile(rf"^\s*{re.escape(label)}:?\s*$")).first

    def fill(self, label: str, text: str) -> None:
        self.field(label).fill(text)

    def text(self) -> str:
        return str(self.page.inner_text("main"))

    def shows(self, words: str) -> None:
        need(words in self.text(), f"the page at {self.page.url.rsplit('/', 1)[0]} does not say: {words}")

    def sign_in(self) -> None:
        self.go("/sign-in")
        self.fill("E-mail address", self.email)
        self.page.locator("main input[type=password]").fill(self.password)
        self.press("Sign in")

    def code(self) -> str:
        """The next code of the authenticator that was not spent yet: each is taken once."""
        from tests.registry.authenticator import totp

        while (at := max(int(time.time()) // 30, self.spent + 1)) > int(time.time()) // 30 + 1:
            self.page.wait_for_timeout(500)
        self.spent = at
        return totp(self.secret, at * 30)

    def step_up(self, name: str = "") -> None:
        """Says once more who one is, where the page asks."""
        if not self.page.locator("[name=step_up-password]").count():
            return
        if name:
            self.shot(name)
        self.page.fill("[name=step_up-password]", self.password)
        if self.page.locator("[name=step_up-code]").count():
            self.page.fill("[name=step_up-code]", self.code())
        self.press("Go on")

    def until(self, true: Callable[[], Any], what: str, seconds: float = WORK_S) -> Any:
        """Loads the page again until something is true."""
        end = time.monotonic() + seconds
        while not (found := true()):
            need(time.monotonic() < end, f"never came: {what}")
            self.page.wait_for_timeout(2000)
            self.page.reload()
        return found


def drawn(page: Any) -> float:
    """How much of the viewer's canvas is a volume: the share of bright pixels. Raises Missing where it is empty, full or flat."""
    import numpy as np
    from PIL import Image as Picture

    page.wait_for_selector("#viewer[data-state]", timeout=120_000)
    need(page.get_attribute("#viewer", "data-state") == "drawn", "the viewer did not draw")
    page.wait_for_timeout(1000)
    seen = np.asarray(Picture.open(io.BytesIO(page.locator("#canvas").screenshot())).convert("RGB"), dtype=np.float64).max(axis=2)
    bright = seen > 60
    need(0.02 < bright.mean() < 0.9 and seen[bright].std() > 10, f"the canvas holds no volume: {bright.mean():.3f} of it is bright")
    return float(bright.mean())
