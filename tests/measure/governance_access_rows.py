"""Half of the first row of `make show-governance`: every state, role and command of a request, asked of the acts."""

from __future__ import annotations

import random
import sys

from governance_house import engine, opened
from table import Result


def state_by_role_by_command(depth: str) -> Result:
    """The whole matrix; of QUICK=1 four commands drawn by seed, in every state and by everybody: the tests ask the whole."""
    world = opened()
    from django.db import transaction

    from registry.access import machine
    from tests.registry import request_table

    commands = sorted(machine.COMMANDS)
    chosen = random.Random(7).sample(commands, 4) if depth == "quick" else commands

    with transaction.atomic():  # its people and places are of no other row
        asked, allowed, wrong = request_table.wrong(request_table.scene_of(world), chosen)
        transaction.set_rollback(True)
    for line in wrong[:10]:
        print(line, file=sys.stderr)
    figure = f"state x role x command: {asked:,} cells asked ({allowed:,} of them allowed), {len(wrong)} wrong ({engine()})"
    return Result(figure, met=not wrong and allowed > 0, sample=depth == "quick")
