"""The runner: claims a run, has it done (by a carrier through the spool, or by itself), checks what came of it, commits fenced.

Whatever goes wrong costs this attempt and nothing else; whatever is killed, the ledger's heartbeat tells, and another runner goes on.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from django.conf import settings
from django.db import connections

from pipeline.order import BadOrder, parse
from registry.rules import Refusal
from registry.runs import actions, kinds, ledger, outcome, spool
from registry.runs.models import Run

log = logging.getLogger(__name__)
POLL_S = 0.2
NO_CARRIER_S = 60.0

# Set by `manage.py worker` when it is asked to stop; a process-wide fact, as signals are.
stopping = threading.Event()


class Stopped(Exception):
    """The worker was asked to stop: the run goes back, uncounted."""


class AttemptFailed(Exception):
    """This attempt came to nothing; another may succeed."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code)
        self.code, self.reason = code, reason


class Beating:
    """Renews the heartbeat of a run in a thread every third of the lease, while the block lasts. `lost` is set when the run was taken away."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.lost = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True, name=f"beat-{run.name[:8]}")

    def __enter__(self) -> Beating:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        try:
            while not self._ended.wait(settings.MYELIN_LEASE_S / 3):
                try:
                    ledger.beat(self.run)
                except ledger.Lost:
                    self.lost.set()
                    return
                except Exception as error:  # noqa: BLE001 - a database that is away for a moment must not end the heart
                    log.warning("heartbeat of run %s failed: %s", self.run.pk, type(error).__name__)
                    connections["default"].close()
        finally:
            connections.close_all()

    def check(self) -> None:
        """What a long work calls now and then. Raises Lost, Stopped."""
        if self.lost.is_set():
            raise ledger.Lost
        if stopping.is_set():
            raise Stopped


def carry(run_id: str) -> str:
    """Carries one run as far as it goes; returns its state, or `not_claimed`, `no_carrier`, `lost`, `given_back`."""
    kind = Run.objects.filter(pk=run_id).values_list("kind", flat=True).first()
    if kind is None:
        return "not_claimed"
    if kinds.has(kind, "order") and not _carrier_comes():
        return "no_carrier"
    run = ledger.claim(ledger.new_owner(), run_id=run_id)
    if run is None:
        return "not_claimed"
    try:
        with Beating(run) as beating:
            return _attempt(run, beating)
    except ledger.Lost:
        return "lost"


def _carrier_comes(patience_s: float = 5.0) -> bool:
    """Whether a carrier lives, or comes to life within a moment: a run is not claimed for nobody."""
    until = time.monotonic() + patience_s
    while not spool.carrier_alive():
        if time.monotonic() > until or stopping.wait(POLL_S):
            return False
    return True


def _attempt(run: Run, beating: Beating) -> str:
    try:
        do = _by_carrier if kinds.has(run.kind, "order") else _by_ourselves
        do(run, beating)
    except (Stopped, ledger.Lost) as ended:
        if isinstance(ended, ledger.Lost):
            raise
        ledger.give_back(run)
        return "given_back"
    except AttemptFailed as failed:
        return _fail(run, failed.code, failed.reason, again=True)
    except outcome.BadOutcome as wrong:
        return _fail(run, wrong.code, wrong.reason, again=True)
    except Refusal as refused:
        return _fail(run, refused.code, refused.reason, again=False)
    except Exception as error:  # noqa: BLE001 - every attempt ends in the ledger
        # The class and the line, never the message: it may quote what it could not handle.
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
        log.error("run %s attempt %s: %s", run.pk, run.attempt, where)
        return _fail(run, "internal_error", f"An unforeseen error: {where}.", again=True)
    spool.clear(run.name)
    return "done"


def _fail(run: Run, code: str, reason: str, *, again: bool) -> str:
    state = ledger.fail(run, code, reason, again=again)
    spool.clear(run.name)
    if state == "ready":
        run.refresh_from_db()
        actions.wake(run, after=run.not_before)
    return state


def _by_ourselves(run: Run, beating: Beating) -> None:
    """A kind with `work`: done here, outside any transaction, then recorded."""
    result = kinds.call(run.kind, "work", run, beating.check)
    beating.check()
    ledger.commit(run, lambda held: _record(held, result))


def _record(held: Run, result: Any) -> dict[str, Any]:
    """What `record` returns is kept; where it returns nothing, what `work` returned is."""
    kept = kinds.call(held.kind, "record", held, result)
    return kept if isinstance(kept, dict) else result if isinstance(result, dict) else {}


def make_order(run: Run) -> dict[str, Any]:
    """The whole order: what the kind's room says, and run, attempt, kind, device and jobs. Raises Refusal."""
    base = {"schema": 1, "profile": "myelin-2026", "device": settings.MYELIN_DEVICE, "jobs": settings.MYELIN_JOBS}
    order = {**base, **kinds.call(run.kind, "order", run), "run": run.name, "attempt": run.attempt, "kind": run.kind}
    try:
        parse(order)
    except BadOrder as wrong:
        raise Refusal("bad_order", f"The order is wrong at {wrong.place}.", "Tell those who run this registry.") from None
    return order


def _by_carrier(run: Run, beating: Beating) -> None:
    order = make_order(run)
    order["attempt"] = spool.put(order)
    folder = _wait(run, order["attempt"], beating)
    value = outcome.read(folder, order)
    if value["status"] != "done":
        raise AttemptFailed(str(value.get("code") or "pipeline_failed"), str(value.get("reason") or "The pipeline could not carry out the order."))
    kinds.call(run.kind, "publish", run, value, folder)
    beating.check()
    ledger.commit(run, lambda held: kinds.call(run.kind, "record", held, value, folder))


def _wait(run: Run, attempt: int, beating: Beating, clock: Callable[[], float] = time.monotonic) -> Path:
    """Waits for the outcome while a carrier lives. Raises Stopped, Lost, AttemptFailed."""
    started = last_sign = clock()
    while (folder := spool.done(run.name, attempt)) is None:
        beating.check()
        if spool.carrier_alive():
            last_sign = clock()
        elif clock() - last_sign > NO_CARRIER_S:
            raise AttemptFailed("carrier_lost", "The carrier that worked on this gives no sign of life.")
        if clock() - started > settings.MYELIN_RUN_LIMIT_S:
            raise AttemptFailed("took_too_long", "The work took longer than is allowed.")
        time.sleep(POLL_S)
    return folder
