"""Runners are killed at random moments; every run is recorded exactly once in the end, and none is lost. On whichever database the tests run."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from registry.runs import actions
from registry.runs.models import Lease, Run

pytestmark = pytest.mark.django_db(databases="__all__")
ROOT = Path(__file__).resolve().parents[2]
RUNS, KILLS = 12, 6

# A runner of its own process: takes whatever is ready until nothing is. `record` writes one row per run; a second one would break its key.
RUNNER = """
    import os, sys, time, django
    os.environ["DJANGO_SETTINGS_MODULE"] = "registry.settings"
    from django.conf import settings
    django.setup()
    from django.db import connections
    from django.utils import timezone
    for alias in connections:
        connections[alias].settings_dict["NAME"] = sys.argv[1].split("|")[list(connections).index(alias)]
    settings.MYELIN_LEASE_S = 1
    settings.MYELIN_RUN_KINDS = {"slow": {"work": "work", "record": "record"}}
    from registry.runs import actions, kinds, runner
    from registry.runs.models import Lease, Run

    def work(run, beat):
        for _ in range(6):
            time.sleep(0.05)
            beat()
        return {"attempt": run.attempt}

    def record(run, result):
        Lease.objects.create(name=run.name, until=timezone.now())
        time.sleep(0.05)

    kinds.function = lambda path: {"work": work, "record": record}[path]
    while Run.objects.exclude(state__in=["done", "dead"]).exists():
        actions.reconcile()
        for pk in Run.objects.filter(state="ready").values_list("pk", flat=True):
            runner.carry(str(pk))
        time.sleep(0.1)
"""


def at_work(process: subprocess.Popen[bytes], seconds: float = 30.0) -> bool:
    """Waits until this runner has a run; False when there is none left for it."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and Run.objects.exclude(state="done").exists():
        Run.objects.filter(state="ready").update(not_before=None)
        if Run.objects.filter(state="running", owner__contains=f":{process.pid}:").exists():
            return True
        time.sleep(0.05)
    return False


def test_whatever_is_killed_every_run_is_recorded_once(committed: None, home: Path, settings: Any) -> None:
    settings.MYELIN_RUN_KINDS = {"slow": {"work": "work", "record": "record"}}
    settings.MYELIN_MAX_ATTEMPTS = 50
    for _ in range(RUNS):
        actions.enqueue("slow", uuid.uuid4())
    names = "|".join(str(connections[alias].settings_dict["NAME"]) for alias in connections)
    command, environment = [sys.executable, "-c", textwrap.dedent(RUNNER), names], {**os.environ, "MYELIN_HOME": str(home)}

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, cwd=ROOT, env=environment)

    rng, runners = random.Random(11), [start(), start()]
    try:
        for _ in range(KILLS):
            victim = rng.randrange(2)
            if at_work(runners[victim]):
                time.sleep(0.45 * rng.random())
            runners[victim].kill()
            runners[victim].wait()
            runners[victim] = start()
            # Never a record without its mark, nor a mark without its record. Both only grow, so each is read after what must be in it.
            marked = {run.name for run in Run.objects.filter(state="done")}
            recorded = set(Lease.objects.values_list("name", flat=True))
            assert marked <= recorded <= {run.name for run in Run.objects.filter(state="done")}
        until = timezone.now() + timedelta(seconds=120)
        while Run.objects.exclude(state="done").exists() and timezone.now() < until:
            Run.objects.filter(state="ready").update(not_before=None)  # the pause between attempts is not what is tested
            time.sleep(0.2)
    finally:
        for process in runners:
            process.kill()
            process.wait()
    assert set(Run.objects.values_list("state", flat=True)) == {"done"}
    assert Lease.objects.count() == RUNS
    assert sum(Run.objects.values_list("attempt", flat=True)) > RUNS, "nobody was killed at work: this test proved nothing"
