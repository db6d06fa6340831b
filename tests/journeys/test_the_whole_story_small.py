"""The demo's acts on small scans: accepted, released, asked for, received, and left again, through the real API, worker and carrier."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from pipeline import phantom, phantom_head, phantom_people
from pipeline.phantom import Participant, Story, Visit
from registry.management.demo import recipients, story
from registry.management.demo.ledger import Ledger
from registry.management.demo.serve import Servers
from registry.management.demo.stage import Stage


def small_story(folder: Path) -> Story:
    """One coarse T1w of each of the four, and the one who never consented."""
    base, people = phantom_head.average(), []
    for n, person in enumerate(phantom_people.PARTICIPANTS):
        extra = phantom.write_odd_study(base, folder, "stranger", (person,), n)
        measures = (("edss", 2.0 + n / 2),)
        people.append(Participant(person, (Visit("m00", phantom.ODD_DAY, extra.folder, "", "", extra.files, measures=measures),)))
    unasked = phantom.write_odd_study(base, folder, "no_consent", (phantom_people.P5,), 9)
    planted = tuple(phantom_people.identifiers(phantom_people.PARTICIPANTS, phantom_people.SITES))
    files = sum(p.visits[0].files for p in people) + unasked.files
    return Story(folder, phantom_people.SITES, tuple(people), (unasked,), planted, files)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    servers = Servers(tmp_path_factory.mktemp("story") / "demo")
    servers.clear()
    made = Stage(servers, small_story(servers.folder / "scans"), Ledger(), Console(file=io.StringIO()))
    servers.manage("bootstrap")
    try:
        servers.start()
        story.open_registry(made)
        yield made
    finally:
        for line in made.lines.values():
            line.close()
        servers.stop()


def missed(stage: Stage) -> list[str]:
    return [f"{e.expected} ({e.shown})" for e in stage.ledger.events if not e.happened]


@pytest.mark.slow
def test_from_dicom_to_a_participant_who_leaves(stage: Stage) -> None:
    story.send_and_wait(stage)
    studies = [s for site in stage.story.sites for s in stage.contributor(site.code).studies(dataset="sheath")]
    assert sorted((s.state, s.code) for s in studies if s.state == "waiting") == [("waiting", "no_consent")]
    assert sum(s.state == "recorded" for s in studies) == 4
    story.accept_and_freeze(stage)
    assert missed(stage) == []
    old = recipients.ask_and_receive(stage)
    assert missed(stage) == []
    recipients.leave(stage, old)
    assert missed(stage) == []
    recipients.prove(stage)
    assert missed(stage) == []
    assert len(stage.ledger.events) == 24
