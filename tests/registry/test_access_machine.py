"""The life of a request is the table: every cell is asked of the acts, the page is made from it, and what must never be is not in it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from registry.access import deciding, machine
from tests.registry import request_table

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.django_db(databases="__all__")


@pytest.fixture
def scene(world: Any) -> Any:
    return request_table.scene_of(world)


def test_every_state_role_and_command_is_as_the_table_says(scene: Any) -> None:
    assert set(request_table.ACTS) == set(machine.COMMANDS)
    asked, allowed, wrong = request_table.wrong(scene)
    assert wrong == [] and asked == len(machine.STATES) * len(scene.people) * len(machine.COMMANDS) and allowed > 80, (asked, allowed)


def test_a_wrong_cell_would_be_found(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An act that asks for nobody's role tells at once."""
    monkeypatch.setattr(machine, "require", lambda command, state, roles: None)
    assert request_table.outcomes(scene, "in_review", ["researcher"], ["reject"]) == {("researcher", "reject"): "rejected"}
    assert request_table.expected("in_review", {"researcher"}, "reject") == {"no_role"}


def test_data_are_given_in_two_states_and_no_other(scene: Any) -> None:
    told = {state: request_table.gives(scene, state) for state in machine.STATES}
    assert told == {state: (2, 2) if state in ("active", "renewal_due") else (0, 0) for state in machine.STATES}


def follows(state: str) -> set[str]:
    return {after for command in machine.COMMANDS.values() for after in command.moves.get(state, ())}


def test_what_must_never_be_is_not_in_the_table() -> None:
    assert follows("draft") == {"draft", "submitted", "withdrawn"}
    before_active = {state for state in machine.STATES if "active" in follows(state)} - {"active"}
    assert before_active == {"screening", "in_review", "approved_pending_signatures", "suspended", "renewal_due"}
    for end in ("rejected", "withdrawn", "closed"):
        assert follows(end) == set()
    seen, todo = set(), ["draft"]
    while todo:
        if (state := todo.pop()) not in seen:
            seen.add(state)
            todo += follows(state)
    assert seen == set(machine.STATES)
    for name, command in machine.COMMANDS.items():
        assert command.judges or not command.roles & {"steward", "voter"}, name
        assert command.roles <= set(machine.ROLES) and set(command.moves) <= set(machine.STATES), name
    with pytest.raises(KeyError):
        machine.after("approve", "in_review", "closed")
    assert deciding.LEFT.reasons[0].code == "withdrawn"


def test_the_page_is_made_from_the_table() -> None:
    spec = importlib.util.spec_from_file_location("requests_page", ROOT / "tests/measure/requests_page.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.PAGE.read_text("utf-8") == module.page(), "PYTHONPATH=. python tests/measure/requests_page.py writes the page anew"
