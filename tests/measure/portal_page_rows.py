"""The rows of `make show-portal` about every page: its headers, what axe says, how much its first view weighs, how long the server takes.

Pages are found, not listed: from the start along each link, as a stranger, a contributor, a steward and a researcher. A row that found too few is not met.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from portal_house import Portal, opened, served
from table import ROOT, Result

EACH = {"quick": 1, "usual": 2, "full": 3}
LEAST = 40  # kinds of page below which the crawl is not believed
LOOKS = [(360, "dark"), (1280, "light"), (360, "light"), (1280, "dark")]
LIGHT_KIB, SLOW_S = 300, 1.0
VIEWER = "vendor/niivue.js"


@cache
def crawled(depth: str) -> list[tuple[str, Any]]:
    """Every page that each of them reaches: (who, page)."""
    portal = opened(depth)
    from tests.registry.upper.portal.crawling import crawl

    return [(who, page) for who in portal.people for page in crawl(portal.client(who), ["/", *portal.beside[who]], each=EACH[depth])]


def kinds(found: list[tuple[str, Any]]) -> int:
    return len({page.name for _, page in found})


def told(found: list[tuple[str, Any]]) -> str:
    return f"{len(found)} pages of {kinds(found)} kinds as {len({who for who, _ in found})} people"


def broken(found: list[tuple[str, Any]]) -> list[str]:
    """A link of the portal that leads to a fault, or to what its reader may not see."""
    return [
        f"{page.path} {page.answer.status_code} as {who}"
        for who, page in found
        if page.answer.status_code >= 400 and not (who == "stranger" and page.answer.status_code == 401)
    ]


def headers(depth: str) -> Result:
    """The policy and the headers of every page and of what no page leads to, and Django's own check of a production set-up."""
    from tests.registry.upper.portal.strict import faults

    found = crawled(depth)
    beside = [(path, opened(depth).client("stranger").get(path)) for path in ("/nowhere", "/api/v1/docs", "/admin/", "/static/portal/base.js")]
    wrong = [one for _, page in found for one in faults(page.path, page.answer)] + [one for path, answer in beside for one in faults(path, answer)]
    dead, said = broken(found), deploy_check()
    figure = f"{len(wrong)} findings in {told(found)}, {len(dead)} links that fail; check --deploy: {said or 'nothing'}" + first(wrong + dead)
    return Result(figure, met=not wrong and not dead and not said and kinds(found) >= LEAST, sample=depth == "quick")


def first(wrong: list[str]) -> str:
    for one in wrong:
        print(f"  {one}", file=sys.stderr)
    return f"; first: {wrong[0]}" if wrong else ""


def deploy_check() -> str:
    """What Django says against a production set-up, "" where nothing."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"PATH": os.environ["PATH"], "MYELIN_HOME": home, "MYELIN_ENV": "development"}
        run = partial(subprocess.run, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        run([sys.executable, "manage.py", "keys"], env=environment)
        environment |= {"MYELIN_ENV": "production", "MYELIN_SECRET_KEY": secrets.token_urlsafe(64), "MYELIN_HOSTS": "registry.example.org"}
        environment |= {"MYELIN_URL": "https://registry.example.org"}
        done = run([sys.executable, "manage.py", "check", "--deploy", "--tag", "security", "--fail-level", "WARNING"], env=environment)
        return "" if done.returncode == 0 else done.stderr.strip()[-200:]


@dataclass
class Seen:
    """What a browser saw: what axe holds against pages, pages wider than their window, what went wrong, and bytes of each first view."""

    axe: list[str] = field(default_factory=list)
    wide: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    views: int = 0


@cache
def seen(depth: str) -> Seen:
    """Every page in a real browser, in all four ways. QUICK looks at one of each kind, in turn at 360 px in the dark and at 1280 px in the light."""
    portal, found = opened(depth), [(who, page) for who, page in crawled(depth) if page.html and page.answer.content]
    if depth == "quick":
        found = list({page.name: (who, page) for who, page in found}.values())
    from tests.registry.upper.portal.browsing import Browsing, started

    told = Seen()
    with served() as url, started() as browser:
        for place, look in enumerate(LOOKS[:2] if depth == "quick" else LOOKS):
            for who in portal.people:
                browse = Browsing(browser, url)
                page = browse(portal.people[who], width=look[0], color_scheme=look[1])
                for path in [one.path for name, one in (found[place::2] if depth == "quick" else found) if name == who]:
                    _look(page, path, f"{path} as {who} at {look[0]} px, {look[1]}", told)
                told.wrong += browse.close()
    return told


def _look(page: Any, path: str, name: str, told: Seen) -> None:
    from tests.registry.upper.portal.browsing import ask_axe

    weight: Counter[str] = Counter()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    asked: dict[str, str] = {}
    session.on("Network.requestWillBeSent", lambda event: asked.__setitem__(event["requestId"], event["request"]["url"]))
    session.on("Network.loadingFinished", lambda event: weight.update({asked.get(event["requestId"], ""): int(event["encodedDataLength"])}))
    page.goto(path, wait_until="load")
    told.views += 1
    told.axe += [f"{name}: {one}" for one in ask_axe(page)]
    if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        told.wide.append(f"{name}: wider than the window")
    told.bytes[name] = sum(size for address, size in weight.items() if VIEWER not in address)
    session.detach()


def axe(depth: str) -> Result:
    """What axe says of every page, with the size of targets asked too; and whether a page is wider than a telephone."""
    found = seen(depth)
    wrong = found.axe + found.wide + found.wrong
    figure = f"{len(found.axe)} violations in {found.views} views, {len(found.wide)} too wide, {len(found.wrong)} errors in consoles; {told(crawled(depth))}"
    return Result(figure + first(wrong), met=not wrong and kinds(crawled(depth)) >= LEAST, sample=depth == "quick")


def first_view(depth: str) -> Result:
    """Bytes over the wire with an empty cache: the page, its sheets, scripts and pictures; the viewer's library left out."""
    weights = seen(depth).bytes
    heavy = max(weights, key=lambda name: weights[name])
    worst = weights[heavy] / 1024
    return Result(f"heaviest {worst:.0f} KiB ({heavy}), of {len(weights)} views", met=worst < LIGHT_KIB, sample=depth == "quick")


def server_time(depth: str) -> Result:
    """From a request to its answer inside the server: middleware, queries, log line and template; the best of three where it took over half a second."""
    portal: Portal = opened(depth)
    found = crawled(depth)
    times = sorted(((page.seconds, page.path, who) for who, page in found), reverse=True)
    slow = [f"{path} as {who}: {seconds:.2f} s" for seconds, path, who in times if seconds >= SLOW_S]
    seconds, path, who = times[0]
    figure = f"longest {seconds:.2f} s ({path} as {who}), median {times[len(times) // 2][0] * 1000:.0f} ms; {told(found)}; {portal.crowd:,} participants"
    return Result(figure + (first(slow) if slow else ""), met=not slow and kinds(found) >= LEAST, sample=portal.crowd < 10_000)
