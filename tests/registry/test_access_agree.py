"""One rule, two faces: on random worlds, the list holds exactly those of whom the single answer permits (10,000 of them in `make show-governance`)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import rules
from registry.access import policy
from tests.registry import worlds

pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def scene(world: Any) -> worlds.Scene:
    return worlds.scene_of(world)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.integers(0, 2**63))
def test_list_and_single_answer_agree_on_random_worlds(scene: worlds.Scene, seed: int) -> None:
    compared, differing = worlds.compared(scene, seed)
    assert differing == [] and compared >= 3 * len(rules.ACTIONS) * 4


def test_the_random_worlds_are_worth_asking(scene: worlds.Scene) -> None:
    """The test above would prove little if nobody were ever given anything, or everybody everything."""
    told = {"granted": 0, "asked": 0}
    for seed in range(30):
        with transaction.atomic():
            worlds.make(worlds.Dice(seed), scene)
            for user in scene.users:
                told["granted"] += policy.participants(user, "download", worlds.NOW).count()
                told["asked"] += len(scene.people)
            transaction.set_rollback(True)
    assert 0.05 < told["granted"] / told["asked"] < 0.5, told


def test_a_difference_would_be_found(scene: worlds.Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list forgets that a consent ends: some world tells."""
    monkeypatch.setattr(policy, "_valid", lambda path, at: policy.Q())
    assert any(worlds.compared(scene, seed)[1] for seed in range(30))
