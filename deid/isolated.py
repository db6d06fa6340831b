"""Untrusted bytes are read in a child process that may die: its death costs the one file in flight, and stops nothing.

A decoder that aborts the whole process cannot be caught with `try`, and a bomb eats all memory before an exception is thought of. So the parent
never parses: it hands a child a *batch* (a function and the items it is to be called with), and the child answers item by item, one JSON line each.
Because answers come in order, the item in flight is always the first without an answer. When a child dies there, a fresh one goes on with it, for the machine
may have killed the first (out of memory, a shutdown of somebody else's), or something nobody foresaw may have happened in it; when that fails there too, the
item gets a code, and a third goes on behind it.

A child lives under RLIMIT_DATA (private memory), RLIMIT_FSIZE, RLIMIT_CORE 0 (a core file would hold a patient's header), RLIMIT_CPU counted anew for
each item, and a wall clock that the parent keeps. It has no network where the kernel lets a process give it up, a few named environment variables,
no standard output or error (both could carry a name), and it ends with its parent, however that ends. Of an exception nobody foresaw it tells the
class and the line of our source, never the message, for messages quote what was read.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from deid.confine import FIXED, PASSED, confine
from deid.errors import DeidError

__all__ = ["Answer", "Batch", "Broken", "Limits", "Pool"]

ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
ANSWER_CAP = 64 * MIB
STARTS = 20  # children in a row that end before they begin: then it is not by chance
SIGNALS = {signal.SIGXCPU: "cpu_limit", signal.SIGXFSZ: "file_size_limit"}


class Broken(RuntimeError):
    """The isolation itself does not work (a function that cannot be had, a child that cannot start): our fault, never a file's."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one item may use: MiB of private memory, seconds of computing, seconds by the clock, MiB of the largest file written."""

    memory_mb: int
    cpu_s: int
    wall_s: float
    file_mb: int = 16 * 1024

    @classmethod
    def of(cls, size: int) -> Limits:
        """For reading or writing one file of `size` bytes: enough to tell a bomb for what it is, and all in all under 1 GiB for a file of a few MB."""
        mb = size >> 20
        return cls(memory_mb=640 + 4 * mb, cpu_s=60 + mb, wall_s=240.0 + 4 * mb)


@dataclass(frozen=True, slots=True)
class Batch:
    """Work for one child: `maker` ("module:name") is called once with `common` and gives the function that is called with each item. All JSON."""

    maker: str
    common: Any
    items: tuple[Any, ...]
    limits: Limits
    first: int = 0  # the number of items[0] in the batch as it was asked for
    again: bool = False  # items[0] has ended a child already
    starts: int = 0  # how many children ended before they could begin


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of batches[batch].items[index]: a value, or the code of a refusal and, for what nobody foresaw, the class and the line of our source."""

    batch: int
    index: int
    value: Any = None
    code: str = ""
    where: str = ""


class _Child:
    """One process: at most one batch in flight, answered item by item."""

    def __init__(self) -> None:
        kept = {name: os.environ[name] for name in PASSED if name in os.environ}
        kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT), *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]))
        command = [sys.executable, "-s", "-P", "-c", "from deid.isolated import serve; serve()"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=kept | FIXED, cwd="/", start_new_session=True
        )
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        self.buffer = bytearray()
        self.again = False

    def give(self, number: int, batch: Batch) -> None:
        """Send one batch; a child that is already dead shows itself at the next read."""
        self.number, self.batch, self.answered, self.began = number, batch, 0, False
        self.deadline = time.monotonic() + batch.limits.wall_s
        limits = {"memory_mb": batch.limits.memory_mb, "cpu_s": batch.limits.cpu_s, "file_mb": batch.limits.file_mb}
        line = json.dumps({"maker": batch.maker, "common": batch.common, "items": batch.items, "limits": limits}).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            self.input.write(line)
            self.input.flush()

    def lines(self) -> list[bytes] | None:
        """The whole lines that have come, or None at end of file."""
        try:
            chunk = os.read(self.output.fileno(), MIB)
        except BlockingIOError:
            return []
        if not chunk or len(self.buffer) > ANSWER_CAP:
            return None
        self.buffer += chunk
        if b"\n" not in chunk:
            return []
        *whole, rest = bytes(self.buffer).split(b"\n")
        self.buffer = bytearray(rest)
        return whole

    def kill(self) -> int:
        """End the child and whatever it started; its exit status."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.input.close()
        status = self.process.wait()
        self.output.close()
        return status

    def cause(self) -> str:
        """The code of its end (call at end of file)."""
        try:
            status = self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            status = 0
        self.kill()
        return SIGNALS.get(signal.Signals(-status), "reader_died") if status < 0 else "reader_died"


class Pool:
    """Up to `jobs` children, kept from call to call so that slow imports are paid once. Use `with`; all children end with it."""

    def __init__(self, jobs: int = 1) -> None:
        self.jobs = max(1, jobs)
        self.idle: list[_Child] = []

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for one in self.idle:
            one.kill()
        self.idle.clear()

    def each(self, batches: Iterable[Batch]) -> Iterator[Answer]:
        """One answer for every item of every batch; those of a batch in order. Raises Broken when a maker cannot be had."""
        waiting = deque((n, batch) for n, batch in enumerate(batches) if batch.items)
        busy: set[_Child] = set()
        selector = selectors.DefaultSelector()
        try:
            while waiting or busy:
                while waiting and len(busy) < self.jobs:
                    one = self._take()
                    one.give(*waiting.popleft())
                    selector.register(one.output, selectors.EVENT_READ, one)
                    busy.add(one)
                pause = max(0.0, min(one.deadline for one in busy) - time.monotonic())
                ready = [key.data for key, _ in selector.select(pause)]
                for one in list(busy):
                    if one not in ready and time.monotonic() < one.deadline:
                        continue
                    yield from self._hear(one, one in ready)
                    over = one.answered >= len(one.batch.items)
                    if not over and one.process.returncode is None:
                        continue
                    selector.unregister(one.output)
                    busy.discard(one)
                    if not over:
                        waiting.appendleft((one.number, self._rest(one)))
                    elif one.process.returncode is None:
                        self.idle.append(one)
        finally:
            for one in busy:
                one.kill()
            selector.close()

    def _rest(self, one: _Child) -> Batch:
        """What is left of a dead child's batch. Raises Broken where children end before they begin, again and again."""
        starts = 0 if one.began else one.batch.starts + 1
        if starts >= STARTS:
            raise Broken("the children that read files end before they begin")
        return replace(one.batch, items=one.batch.items[one.answered :], first=one.batch.first + one.answered, again=one.again, starts=starts)

    def _take(self) -> _Child:
        while self.idle:
            one = self.idle.pop()
            if one.process.poll() is None:
                return one
            one.kill()
        return _Child()

    def _hear(self, one: _Child, ready: bool) -> Iterator[Answer]:
        """The answers that have come from a child; of a dead or late one, the code for the item in flight."""
        lines = one.lines() if ready else None
        if lines is None:
            code = one.cause() if ready else "time_limit"
            if not ready:
                one.kill()
            again, one.again = one.batch.again and not one.answered, one.began and code == "reader_died"
            if again or (one.began and not one.again):
                one.again = False
                yield self._answer(one, {"code": code})
            return
        for line in lines:
            try:
                message = json.loads(line)
                if "broken" in message:
                    raise Broken(message["broken"])
                if "began" in message:
                    one.began = True
                    continue
            except (ValueError, TypeError):
                message = {"code": "reader_died", "fresh": True}
            if message.get("code") == "failed" and not (one.batch.again and not one.answered):
                one.again = True  # what nobody foresaw may be the child's own trouble: a fresh one tries the item once more
                one.kill()
                return
            if one.answered < len(one.batch.items):
                yield self._answer(one, message)
            if message.get("fresh"):
                one.kill()
                return
        one.deadline = time.monotonic() + one.batch.limits.wall_s

    def _answer(self, one: _Child, message: dict[str, Any]) -> Answer:
        index, one.answered = one.batch.first + one.answered, one.answered + 1
        return Answer(one.number, index, message.get("value"), str(message.get("code", "")), str(message.get("where", "")))


# --- inside a child ----------------------------------------------------------------------------------------------------------------------------------


def serve() -> None:
    """A child's whole life: one batch in, one line out per item, until standard input ends."""
    answers = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    confine()
    for line in sys.stdin.buffer:
        message = json.loads(line)
        _limit(message["limits"])
        try:
            module, _, name = message["maker"].partition(":")
            work = getattr(importlib.import_module(module), name)(message["common"])
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent is told and stops
            _say(answers, {"broken": f"{message['maker']}: {type(error).__name__} at {place(error)}"})
            return
        _say(answers, {"began": True})
        for item in message["items"]:
            _say(answers, _attempt(work, item, message["limits"]["cpu_s"]))


def _say(answers: int, message: dict[str, Any]) -> None:
    line = memoryview(json.dumps(message).encode() + b"\n")
    while line:
        line = line[os.write(answers, line) :]


def _attempt(work: Callable[[Any], Any], item: Any, cpu_s: int) -> dict[str, Any]:
    """One item under a CPU limit of its own. "fresh": after such an end this process cannot be trusted any more."""
    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + cpu_s + 1, resource.RLIM_INFINITY))
    try:
        return {"value": work(item)}
    except MemoryError:
        return {"code": "memory_limit", "fresh": True}
    except RecursionError:
        return {"code": "nested_too_deep", "fresh": True}
    except DeidError as refusal:
        return {"code": refusal.code}
    except Exception as error:  # noqa: BLE001 - hostile bytes raise anything; every kind becomes a verdict
        return {"code": "failed", "where": f"{type(error).__name__} at {place(error)}", "fresh": True}


def place(error: BaseException) -> str:
    """The last line of our own source that an exception came through, as "deid/module.py:line": it says where, and quotes nothing."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT / "deid"):
            return f"{path.relative_to(ROOT)}:{frame.lineno}"
    return "outside our source"


def _limit(limits: dict[str, int]) -> None:
    """Soft limits, so that the next batch may have others."""
    for kind, amount in ((resource.RLIMIT_DATA, limits["memory_mb"] * MIB), (resource.RLIMIT_FSIZE, limits["file_mb"] * MIB)):
        resource.setrlimit(kind, (amount, resource.RLIM_INFINITY))
