"""OpenNeuro: a dataset is exported for open sharing only when every participant's consent allows it; else refused with the count of those that do not."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from bidstree import check
from registry.access import actions as access
from registry.audit.models import Line
from registry.releases import opening
from registry.releases.models import Release
from registry.rules import Denied, Invalid
from tests.registry.upper.desks import Desk, at_desk

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.slow]
FREE = {"transfer": "any", "commercial": True, "ai_training": True, "public_crowd": True, "genetic_linkage": True}
BLOCKERS = 3


def test_open_only_when_every_consent_allows_it(house: Any, live_server: Any, carried: Any, tmp_path: Path) -> None:
    people = [house.person(None) for _ in range(6)]
    for n, person in enumerate(people):
        house.image(person)
        house.world.consent(person, "NRES", **(FREE if n >= BLOCKERS else {**FREE, "commercial": n == 0, "modifiers": ["PUB"] if n == 0 else []}))
    steward, stranger = at_desk(live_server, house.steward), at_desk(live_server, house.world.user("stranger"))
    steward.post("/releases", {"dataset": house.dataset.slug, "changes": "first"}, 202)
    while carried.work():
        pass
    release = Release.objects.get()
    assert release.state == "validated", release.validator
    target = tmp_path / "open"

    # Not at the level open; then open, but three consents forbid it. Stewards are told how many, others about how many, or nothing.
    refused(house, release, target, "not_open")
    access.set_level("system:test", house.dataset, "open")
    told = asked(steward, house)
    assert (told["allowed"], told["blockers"]) == (False, BLOCKERS)
    assert {row["code"]: row["participants"] for row in told["reasons"]} == {"open_commercial": 2, "open_conditions": 1}
    blurred = asked(stranger, house)
    assert (blurred["allowed"], blurred["blockers"]) == (False, 5)  # of 3, where the least count is 2
    assert {row["code"]: row["participants"] for row in blurred["reasons"]} == {"open_commercial": 0, "open_conditions": None}
    refused(house, release, target, "consent_forbids_opening", f"{BLOCKERS} participants")

    # Two of them agree to more, one leaves nothing but a no: still refused. When all allow it, it is done.
    for person in people[:BLOCKERS]:
        refused(house, release, target, "consent_forbids_opening")
        house.world.consent(person, "NRES", kind="renewed", **FREE)
    assert asked(steward, house) == {**told, "allowed": True, "blockers": 0, "reasons": []}
    assert asked(stranger, house)["blockers"] == 0
    for who in (house.contributor, house.world.user("another")):
        with pytest.raises(Denied, match="no_role"):
            opening.export_open(who, house.dataset, release, target)
    export(house, target)
    check_tree(house, target, people)
    line = Line.objects.get(act="release.export_open")
    assert line.detail["participants"] == len(people) and line.actor.split()[0] == f"user:{house.steward.pk}"
    with pytest.raises(Invalid, match="target_exists"):
        opening.export_open(house.steward, house.dataset, release, target)


def asked(desk: Desk, house: Any) -> dict[str, Any]:
    found: dict[str, Any] = desk.get(f"/datasets/{house.dataset.slug}/opening")
    return found


def export(house: Any, target: Path) -> str:
    out = StringIO()
    call_command("export_open", house.dataset.slug, str(target), "--as", house.steward.email, stdout=out)
    return out.getvalue()


def refused(house: Any, release: Any, target: Path, code: str, words: str = "") -> None:
    """The command and the act refuse, and nothing is written."""
    with pytest.raises(Denied, match=code):
        opening.export_open(house.steward, house.dataset, release, target)
    with pytest.raises(CommandError, match=words or code):
        export(house, target)
    assert not target.exists() and not list(target.parent.glob(".tmp-*")) and not Line.objects.filter(act="release.export_open").exists()


def check_tree(house: Any, target: Path, people: list[Any]) -> None:
    """A plain tree that the official validator accepts, under CC0, that names nobody and links to nothing of the store."""
    report = check.validate(target)
    assert report.errors == 0, report.findings
    assert json.loads((target / "dataset_description.json").read_text())["License"] == "CC0"
    readme = (target / "README").read_text()
    assert "shared openly (CC0)" in readme and "terms that came with this package" not in readme
    images = list(target.glob("sub-*/ses-*/anat/*_T1w.nii.gz"))
    assert len(images) == len(people) and all(image.stat().st_nlink == 1 for image in images)
    text = "".join(file.read_text() for file in target.rglob("*") if file.suffix in (".tsv", ".json"))
    assert not any(person.code in text for person in people)
