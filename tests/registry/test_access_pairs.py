"""Two people for a dangerous act. Each refusal has a twin that is allowed."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from registry.access import actions, pairs
from registry.access.models import DangerousAct
from registry.audit.models import Line
from registry.rules import Conflict, Denied, Invalid

pytestmark = pytest.mark.django_db(databases="__all__")
THING = "release:7"


@pytest.fixture
def scene(world: Any) -> Any:
    dataset = world.dataset(world.site())
    return SimpleNamespace(dataset=dataset, first=world.steward(dataset), other=world.steward(dataset))


@pytest.mark.parametrize("act", pairs.ACTS)
def test_two_people_open_an_act_once(scene: Any, act: str) -> None:
    with pytest.raises(Conflict, match="needs_two_people"):
        pairs.take(scene.first, scene.dataset, act, THING)
    proposal = pairs.propose(scene.first, scene.dataset, act, THING, "It is needed.", smallest=3)
    with pytest.raises(Conflict, match="needs_two_people"):
        pairs.take(scene.first, scene.dataset, act, THING)
    pairs.second(scene.other, proposal)
    taken = pairs.take(scene.first, scene.dataset, act, THING)
    assert taken.pk == proposal.pk and taken.used_at and taken.detail == {"smallest": 3}
    with pytest.raises(Conflict, match="needs_two_people"):
        pairs.take(scene.first, scene.dataset, act, THING)
    assert [line.act for line in Line.objects.filter(object=f"dangerousact:{proposal.pk}").order_by("seq")] == ["pair.propose", "pair.second"]


def test_what_two_said_opens_no_other_thing_act_or_dataset(scene: Any, world: Any) -> None:
    pairs.second(scene.other, pairs.propose(scene.first, scene.dataset, "orbit_release", THING, "It is needed."))
    elsewhere = world.dataset()
    actions.give_role("system:test", scene.first, elsewhere, "steward")
    for dataset, act, thing in [(scene.dataset, "orbit_release", "release:8"), (scene.dataset, "bulk_approval", THING), (elsewhere, "orbit_release", THING)]:
        with pytest.raises(Conflict, match="needs_two_people"):
            pairs.take(scene.first, dataset, act, thing)
    assert pairs.take(scene.first, scene.dataset, "orbit_release", THING)


def test_the_second_is_another_person_with_the_role(scene: Any, world: Any) -> None:
    proposal = pairs.propose(scene.first, scene.dataset, "orbit_release", THING, "It is needed.")
    with pytest.raises(Denied, match="self_approval"):
        pairs.second(scene.first, proposal)
    for who in (world.user(), world.user("admin", is_superuser=True), world.steward(world.dataset())):
        with pytest.raises(Denied, match="no_role"):
            pairs.second(who, proposal)
        with pytest.raises(Denied, match="no_role"):
            pairs.propose(who, scene.dataset, "orbit_release", THING, "It is needed.")
        with pytest.raises(Denied, match="no_role"):
            pairs.take(who, scene.dataset, "orbit_release", THING)
    with pytest.raises(IntegrityError, match="two_are_two_people"), transaction.atomic():
        DangerousAct.objects.update(seconded_by=scene.first, seconded_at=timezone.now())
    assert pairs.second(scene.other, proposal).seconded_by == scene.other
    with pytest.raises(Conflict, match="proposal_over"):
        pairs.second(world.steward(scene.dataset), proposal)


def test_a_proposal_runs_out_and_falls_with_the_role(scene: Any) -> None:
    late = pairs.propose(scene.first, scene.dataset, "orbit_release", THING, "It is needed.")
    DangerousAct.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Conflict, match="proposal_over"):
        pairs.second(scene.other, late)
    pairs.second(scene.other, pairs.propose(scene.first, scene.dataset, "orbit_release", THING, "It is needed."))
    DangerousAct.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Conflict, match="needs_two_people"):
        pairs.take(scene.first, scene.dataset, "orbit_release", THING)
    DangerousAct.objects.update(expires_at=timezone.now() + timedelta(days=1))
    role = scene.other.roles.get()
    actions.end_role("system:test", role)
    with pytest.raises(Conflict, match="needs_two_people"):
        pairs.take(scene.first, scene.dataset, "orbit_release", THING)
    actions.give_role("system:test", scene.other, scene.dataset, "steward")
    assert pairs.take(scene.first, scene.dataset, "orbit_release", THING)


def test_a_proposal_says_what_and_why(scene: Any) -> None:
    with pytest.raises(Invalid, match="unknown_act"):
        pairs.propose(scene.first, scene.dataset, "lunch", THING, "Hungry.")
    with pytest.raises(Invalid, match="reason_missing"):
        pairs.propose(scene.first, scene.dataset, "orbit_release", THING, "  ")
