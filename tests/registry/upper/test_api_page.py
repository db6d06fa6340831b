"""The page about the API is true: every address it names exists with that method, every address that exists is on it, and so is every code we answer."""

from __future__ import annotations

import re
from pathlib import Path

from registry.api import errors, urls
from registry.intake import matching

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "api.md"
HIDDEN = {("get", "/openapi.json"), ("get", "/docs")}


def plain(address: str) -> str:
    """One form for `<uuid:pk>`, `ID`, `SLUG`, `NUMBER` and `N`."""
    return re.sub(r"<\w+:\w+>|\b(?:ID|SLUG|NUMBER|N)\b", "*", address.split("?")[0])


def on_the_page() -> set[tuple[str, str]]:
    return {(method.lower(), plain(address)) for method, address in re.findall(r"`(GET|POST|PUT|DELETE) (/[\w/.-]+)", PAGE.read_text(encoding="utf-8"))}


def that_exist() -> set[tuple[str, str]]:
    found = set()
    for pattern in urls.v1:
        view = pattern.callback.view_class  # type: ignore[attr-defined]
        found |= {(method, "/" + plain(str(pattern.pattern))) for method in ("get", "post", "put", "delete") if hasattr(view, method)}
    return found


def test_every_door_is_on_the_page_and_every_door_on_the_page_exists() -> None:
    assert {row for row in on_the_page() if row[1] not in ("/api/v1/openapi.json", "/api/v1/docs")} == that_exist() - HIDDEN


def test_every_code_with_a_status_of_its_own_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for code in (*errors.STATUS, *errors.ADVICE, *matching.WAITS):
        assert code in {"audit_broken"} or f"`{code}`" in text, code
