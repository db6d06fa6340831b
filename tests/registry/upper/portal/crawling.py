"""Every page somebody can reach: from the start along each link, as that person; a few of each kind, for ten thousand people have a page each."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from django.test import Client
from django.urls import Resolver404, resolve

LINK = re.compile(r"""<a\b[^>]*\bhref=(?:"([^"]+)"|'([^']+)')""", re.I)


@dataclass(frozen=True)
class Page:
    """An answer, its address, the name of its door, and how long the server took (the best of three where it took long: others use this machine)."""

    path: str
    name: str
    answer: Any
    seconds: float

    @property
    def html(self) -> bool:
        """Whether it is a page to look at, and no file to keep."""
        headers = self.answer.headers
        return headers.get("Content-Type", "").startswith("text/html") and not headers.get("Content-Disposition", "").startswith("attachment")


def crawl(client: Client, start: str = "/", each: int = 2) -> Iterator[Page]:
    """The pages of the portal that are reached from here, at most so many behind one door, and as many more with words in their address (filters, pages)."""
    waiting, seen, asked = [start], {start}, Counter[tuple[str, bool]]()
    while waiting:
        path = waiting.pop(0)
        name = door(path)
        kind = (name, "?" in path)
        if not name or asked[kind] >= each:
            continue
        asked[kind] += 1
        page = looked_at(client, path, name)
        yield page
        if page.html and page.answer.status_code < 400:
            for link in links(path, page.answer.content.decode()):
                if link not in seen:
                    seen.add(link)
                    waiting.append(link)


def door(path: str) -> str:
    """The name of the page behind an address of the portal, "" where there is none: the API and the static files are no pages."""
    try:
        match = resolve(urlsplit(path).path)
    except Resolver404:
        return ""
    return match.url_name or "" if match.app_name == "portal" else ""


def links(path: str, text: str) -> list[str]:
    found = [urljoin(path, unescape(one or other)) for one, other in LINK.findall(text)]
    return [urldefrag(link).url for link in found if not urlsplit(link).netloc]


def looked_at(client: Client, path: str, name: str) -> Page:
    answer, seconds = _timed(client, path)
    for _ in range(2):
        if seconds > 0.5:
            answer, again = _timed(client, path)
            seconds = min(seconds, again)
    return Page(path, name, answer, seconds)


def _timed(client: Client, path: str) -> tuple[Any, float]:
    begun = time.perf_counter()
    answer = client.get(path)
    if answer.streaming:
        list(answer)
    return answer, time.perf_counter() - begun
