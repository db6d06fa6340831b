"""The first row of `make show-portal`: the whole story, through pages alone, in a real browser, on the real web, worker and carrier.

A hospital hands in, a steward looks and accepts and freezes, a researcher finds, asks, signs and decrypts, one participant leaves, and the researcher
deletes. Screenshots of each step lie in build/show/portal. An error of the console or a breach of the policy fails the row.
"""

from __future__ import annotations

import dataclasses
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import portal_story_acts as acts
import portal_story_asks as asks
from portal_story_desk import Desk, Gallery, Missing
from table import Result

AGREEMENT = (
    "1. You use these data for the purpose of your request only.\n\n2. You do not try to identify anybody, and pass the data on to nobody.\n\n"
    "3. You delete what a notice of withdrawal names, and say so.\n\n4. You tell the registry what you publish."
)
DATASET = ("--sites", "nordvik", "--min-count", "2", "--k", "1", "--licence", "Trial only", "--description", "Heads that never existed, of one hospital.")
STEPS: list[tuple[str, Callable[[Any], None]]] = [
    ("a stranger reads the catalogue", acts.stranger),
    ("the contributor signs in", acts.contributor_arrives),
    ("participants, visits and consents are pasted", acts.registers),
    ("a folder is handed in to complete", acts.hands_in),
    ("the grouping is seen", acts.sees_grouping),
    ("the images come", acts.images_come),
    ("the steward signs in with an authenticator", acts.steward_arrives),
    ("the steward looks: a volume is drawn", acts.looks),
    ("before and after", acts.compares),
    ("the queue is accepted", acts.accepts),
    ("a release is frozen and valid", acts.freezes),
    ("the researcher counts a cohort", asks.counts),
    ("the researcher asks", asks.asks),
    ("the steward decides", acts.decides),
    ("the researcher makes a key", asks.makes_key),
    ("the researcher signs", asks.signs),
    ("a package is built", asks.has_built),
    ("it is downloaded and decrypted", asks.decrypts),
    ("the site withdraws a participant", acts.withdraws),
    ("the old package is refused", asks.refused),
    ("the notice is attested", asks.attests),
    ("the departure is certified, the next release lacks them", acts.certified),
    ("the next package lacks them", asks.again),
]


@dataclass
class Told:
    """What the steps share: the people at their browsers, the folder of scans, and what one step learns for a later one."""

    contributor: Desk
    steward: Desk
    researcher: Desk
    anybody: Any
    scans: Path
    cast: list[Any]
    gallery: Gallery
    seen: dict[str, Any] = dataclasses.field(default_factory=dict)


def scans(folder: Path) -> list[Any]:
    """One coarse T1w each of three people of one hospital, and of a fourth who was never registered there; the three are returned."""
    from pipeline import phantom, phantom_head, phantom_people

    base, cast = phantom_head.average(), list(phantom_people.PARTICIPANTS[:2])
    third = phantom_people.PARTICIPANTS[2]  # whose consent covers no commercial use
    cast.append(dataclasses.replace(third, site="nordvik"))
    for n, person in enumerate([*cast, dataclasses.replace(phantom_people.STRANGER, site="nordvik")]):
        phantom.write_odd_study(base, folder, "stranger", (person,), n)
    return cast


def opened(servers: Any, anybody: Any, gallery: Gallery) -> Told:
    """The registry as its operator opens it, by command; and three people at their browsers, who are not signed in."""
    agreement = servers.folder / "agreement.txt"
    agreement.write_text(AGREEMENT, "utf-8")
    servers.manage("accounts", "site", "nordvik", "Nordvik hospital", "NO")
    servers.manage("accounts", "dataset", "sheath", "Sheath trial", *DATASET, "--agreement", str(agreement))
    who = {"contributor": ("maria@nordvik.example", "Nordvik hospital", "NO"), "steward": ("steward@myelin.example", "Myelin", "DK")}
    who["researcher"] = ("ana@pharma.example", "Nerve Pharma", "CH")
    desks = {}
    for role, (email, institution, country) in who.items():
        password = servers.person(email, "--institution", institution, "--country", country)
        servers.manage("accounts", "role", email, "sheath", role, *(("--site", "nordvik") if role == "contributor" else ()))
        page = anybody()
        page.set_default_timeout(30_000)
        desks[role] = Desk(page, email, password, gallery)
    return Told(**desks, anybody=anybody, scans=servers.folder / "scans" / "nordvik", cast=[], gallery=gallery)


def story(depth: str) -> Result:
    """Every step in turn, until one does not go."""
    from registry.management.demo.serve import Servers
    from tests.registry.upper.portal.browsing import Browsing, started

    begun, gallery = time.monotonic(), Gallery()
    home = Path(tempfile.mkdtemp(prefix="myelin-story-"))
    servers = Servers(home / "demo")
    servers.clear()
    try:
        cast = scans(servers.folder / "scans")
        servers.manage("bootstrap")
        servers.start()
        with started() as browser:
            anybody = Browsing(browser, servers.url)
            told = opened(servers, anybody, gallery)
            told.cast = cast
            done, failed = _through(told)
            wrong = anybody.close()
    finally:
        servers.stop()
        shutil.rmtree(home, ignore_errors=True)
    for line in wrong:
        print(f"  {line}", file=sys.stderr)
    figure = f"{done} of {len(STEPS)} steps in {time.monotonic() - begun:.0f} s, {len(gallery.taken)} screenshots; {len(wrong)} errors in consoles"
    return Result(figure + (f"; {failed}" if failed else "") + (f"; first: {wrong[0]}" if wrong else ""), met=done == len(STEPS) and not wrong)


def _through(told: Told) -> tuple[int, str]:
    """How many steps went, and what stopped the next."""
    from playwright.sync_api import Error

    for n, (words, step) in enumerate(STEPS):
        print(f"  {n + 1}. {words}", file=sys.stderr, flush=True)
        try:
            step(told)
        except (Missing, Error) as error:
            for desk in (told.contributor, told.steward, told.researcher):
                desk.shot(f"failed-{desk.email.split('@')[0]}")
            return n, f"stopped where {words}: {str(error).splitlines()[0]}"
    return len(STEPS), ""


if __name__ == "__main__":
    print(story(sys.argv[1] if len(sys.argv) > 1 else "usual"))
