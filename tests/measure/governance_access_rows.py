"""Half of the first row of `make show-governance`: every state, role and command of a request, asked of the acts."""

from __future__ import annotations

import sys

from governance_house import engine, opened
from table import Result


def state_by_role_by_command(depth: str) -> Result:
    """The whole matrix, at every depth: it takes seconds."""
    world = opened()
    from django.db import transaction

    from tests.registry import request_table

    with transaction.atomic():  # its people and places are of no other row
        asked, allowed, wrong = request_table.wrong(request_table.scene_of(world))
        transaction.set_rollback(True)
    for line in wrong[:10]:
        print(line, file=sys.stderr)
    return Result(f"state x role x command: {asked:,} cells asked ({allowed:,} of them allowed), {len(wrong)} wrong ({engine()})", met=not wrong)
