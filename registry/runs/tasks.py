"""The wake-up call: a Tasks message that says "look at this run". It may be lost or doubled; the ledger knows."""

from __future__ import annotations

from django_tasks import task


@task()
def carry(run_id: str) -> str:
    """Claims this run, if it is still to be had, and carries it to its end. Returns what became of it."""
    from registry.runs import runner

    return runner.carry(run_id)
