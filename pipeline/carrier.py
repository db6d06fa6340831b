"""I take an order from a folder, run its steps, and publish the outcome; I know no database.

    spool/RUN.ATTEMPT/order.json          written by the runner (the folder appears by rename)
    spool/RUN.ATTEMPT.taken/              claimed: one rename, so that of two carriers one gets it
        lock                              held by the kernel for the living carrier; free means its carrier died, and another takes the order up
        progress.json                     {"step", "done", "total"}: how far it is
        work/                             mode 0700: everything of the person, and pieces already finished; gone when done
    spool/RUN.ATTEMPT.done/               outcome.json, bids/, review/: appears by one rename
    spool/carrier.alive                   touched every two seconds while a carrier lives

SIGTERM ends the carrier cleanly: its children are ended, the order stays taken and unlocked, and the next carrier goes on with it. What was finished of it is
not done twice. Before anything else `cleaned` replaces the process by itself with an environment of a few named variables, so that no
database address or password that the starter had is in the carrier.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType

from deid.errors import DeidError
from pipeline.codes import Verdict, verdict
from pipeline.inventory import NoInput
from pipeline.isolate import Pool, clean_environment, place
from pipeline.order import BadOrder, Order, read
from pipeline.outcome import Outcome
from pipeline.workspace import Lock, Taken, Workspace, clear, flush_tree, private, publish, set_modes, write_json

__all__ = ["Carrier", "cleaned", "serve"]

BEAT_S = 2.0
REST_S = 0.5
MARK = "MYELIN_CARRIER"
TAKEN, DONE = ".taken", ".done"

LOG = logging.getLogger("pipeline.carrier")

Run = Callable[[Order, Workspace, Path], Outcome]


class Carrier:
    """One carrier on one spool. `jobs`, `device`: what this machine has; an order may ask for less, never for more."""

    def __init__(self, spool: Path, *, jobs: int = 1, device: str = "cpu", run: Run | None = None) -> None:
        self.spool, self.jobs, self.device = spool, jobs, device
        self.run = run or carry_out

    def work(self) -> bool:
        """Carry out one order, if one waits; whether there was one."""
        for folder in self.candidates():
            with contextlib.suppress(Taken), Lock(folder / "lock"):
                self.finish(folder)
                return True
        return False

    def candidates(self) -> Iterator[Path]:
        """Folders to work on: those whose carrier may have died, then new ones, each claimed by rename; oldest name first."""
        names = sorted(entry.name for entry in self.spool.iterdir() if entry.is_dir() and not entry.name.startswith("."))
        yield from (self.spool / name for name in names if name.endswith(TAKEN))
        for name in names:
            if name.endswith((TAKEN, DONE)) or not (self.spool / name / "order.json").exists():
                continue
            taken = self.spool / (name + TAKEN)
            with contextlib.suppress(OSError):
                (self.spool / name).rename(taken)
                yield taken

    def finish(self, taken: Path) -> None:
        """Carry a claimed order out, publish what came of it, and clear away."""
        done = taken.with_name(taken.name.removesuffix(TAKEN) + DONE)
        work = private(taken / "work")
        result, ready = work / "done", work / "ready"
        if not ready.exists():
            clear(result)
            self.answer(taken, work, result)
            # The runner may be another user of the same group; the spool itself is closed to everybody else.
            set_modes(result, folders=0o750, files=0o640)
            flush_tree(result)
            ready.touch()
        # Killed after this rename, the next carrier finds `ready` without a result, and knows that it was published.
        if result.exists():
            publish(result, done)
        clear(taken)

    def answer(self, taken: Path, work: Path, result: Path) -> None:
        """Fill `result` with outcome, products and pictures; an order that cannot be carried out is answered too."""
        try:
            order = read(taken / "order.json")
        except BadOrder as error:
            run, _, attempt = taken.name.removesuffix(TAKEN).rpartition(".")
            refusal = verdict("bad_order", f"The order is wrong at {error.place}.")
            return self.refuse(Outcome(run or "unknown", int(attempt) if attempt.isdecimal() and int(attempt) else 1, "sort"), refusal, result)
        with Pool(min(order.jobs, self.jobs)) as pool:
            try:
                outcome = self.run(self.fit(order), Workspace(work, pool, Reporter(taken / "progress.json")), result)
                private(result)
                return outcome.write(result / "outcome.json")
            except NoInput:
                refusal = verdict("no_such_input")
            except DeidError as error:
                refusal = verdict(error.code, error.reason, error.advice)
            except Exception as error:  # noqa: BLE001 - an order that cannot be done must be answered, or it would be tried for ever
                refusal = verdict("failed", f"The pipeline failed: {type(error).__name__} at {place(error)}.")
        return self.refuse(Outcome(order.run, order.attempt, order.kind), refusal, result)

    def fit(self, order: Order) -> Order:
        """The order with a device that this carrier has."""
        return order if order.device == self.device or order.device == "cpu" else replace(order, device="cpu")

    def refuse(self, outcome: Outcome, refusal: Verdict, result: Path) -> None:
        outcome.failure = refusal
        clear(result)
        private(result)
        outcome.write(result / "outcome.json")


class Reporter:
    """Writes how far an order is, at most once a second and at the end of each step."""

    def __init__(self, path: Path) -> None:
        self.path, self.last = path, 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self.last > 1.0 or done == total:
            self.last = now
            with contextlib.suppress(OSError):
                write_json(self.path, {"step": step, "done": done, "total": total})


def carry_out(order: Order, workspace: Workspace, result: Path) -> Outcome:
    """Run the order of either kind; products and pictures of a study go to `result`."""
    if order.kind == "sort":
        from pipeline.sort import run_sort

        return run_sort(order, workspace)
    from pipeline.steps import run_study

    return run_study(order, workspace, result)


@contextlib.contextmanager
def alive(path: Path) -> Iterator[None]:
    """Touch a file every two seconds, from now until the end of the block."""
    ended = threading.Event()

    def beat() -> None:
        while True:
            with contextlib.suppress(OSError):
                path.touch()
            if ended.wait(BEAT_S):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def stop(number: int, frame: FrameType | None) -> None:
    """SIGTERM and SIGINT: leave by the ordinary way out, which ends the children and lets the lock go."""
    raise SystemExit(0)


def serve(spool: Path, *, once: bool = False, jobs: int = 1, device: str = "cpu") -> None:
    """Work until SIGTERM; with `once`, until no order waits. Raises FileNotFoundError when there is no such spool."""
    if not spool.is_dir():
        raise FileNotFoundError(spool)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    carrier = Carrier(spool, jobs=jobs, device=device)
    with alive(spool / "carrier.alive"):
        while True:
            try:
                found = carrier.work()
            except OSError as error:
                # The disk is full or away: nothing was published and nothing is lost; the order is tried again when there is room.
                LOG.error("cannot work: %s at %s", type(error).__name__, place(error))
                found = False
            if once and not found:
                return
            if not found:
                time.sleep(REST_S)


def cleaned(arguments: list[str]) -> None:
    """Replace this process by itself in an environment of a few named variables (see `isolate.clean_environment`); returns when that is already so."""
    if MARK in os.environ:
        return
    home = {name: os.environ[name] for name in ("HOME",) if name in os.environ}
    environment = clean_environment() | home | {MARK: "1"}
    os.execve(sys.executable, [sys.executable, "-m", "pipeline", *arguments], environment)  # noqa: S606 - no shell is wanted
