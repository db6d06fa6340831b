"""Untrusted bytes are parsed in a child process that may die: its death costs one item and stops nothing.

A decoder that aborts the whole process cannot be caught with `try`, a deflated bomb eats all memory before an exception is thought of, and a nest
of a thousand sequences never ends. So a parent hands items to children as JSON lines and reads JSON lines back. Each child lives under

- RLIMIT_AS and RLIMIT_DATA (memory), RLIMIT_FSIZE (what it may write), RLIMIT_CORE 0 (a core file would hold a patient's header),
- RLIMIT_CPU, counted anew for each item, and a wall clock kept by the parent, which kills the child's whole process group,
- no network, where the kernel lets a process give it up (a namespace of its own, in which there is none),
- an environment of a few named variables, no standard output or error (both could carry a name), PR_SET_NO_NEW_PRIVS, and
  PR_SET_PDEATHSIG, so that no child outlives a parent that was killed.

What comes back is the function's JSON value or a `Death`: a stable code and, for an exception nobody foresaw, its class and the line of
our source, never its message, for messages quote what was read.

    for answer in each("pipeline.inside:look", items, limits=Limits(memory_mb=1024, cpu_s=60, wall_s=120), jobs=2):
        ...

Answers come as they are ready; `Answer.index` says which item each belongs to.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from deid import confine
from pipeline.confined import ROOT, Death, death, place

__all__ = ["Answer", "Broken", "Death", "Limits", "Pool", "clean_environment", "each", "place"]

ANSWER_CAP = 256 * 1024 * 1024
# A child that has begun to answer may finish its line.
ANSWER_SECONDS = 10.0
RECYCLE_AFTER = 2000
MIB = 1024 * 1024

# As in `deid.confine`, and what a graphics card needs.
PASSED = (*confine.PASSED, "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES")
FIXED = confine.FIXED | dict.fromkeys(("NO_ET", "NIPYPE_NO_ET"), "1")


class Broken(RuntimeError):
    """The isolation itself does not work (a function that cannot be imported, a child that cannot start): our fault, never an item's."""


@dataclass(frozen=True)
class Limits:
    """What one item may use.

    `memory_mb`: MiB of private memory (and, with room for mapped files, of address space); `cpu_s`, `wall_s`: seconds; `file_mb`: MiB of the largest
    file written; `address_space` False leaves RLIMIT_AS off (CUDA maps more than any machine has) and keeps RLIMIT_DATA.
    """

    memory_mb: int
    cpu_s: int
    wall_s: float
    file_mb: int = 16 * 1024
    address_space: bool = True

    def as_json(self) -> dict[str, Any]:
        return {"memory_mb": self.memory_mb, "cpu_s": self.cpu_s, "file_mb": self.file_mb, "address_space": self.address_space}


@dataclass(frozen=True)
class Answer:
    """What came of `items[index]`: a value, or a death."""

    index: int
    value: Any = None
    death: Death | None = None


# How a child ended, by the signal that ended it; any other way is `reader_died`.
SIGNALS = {signal.SIGXCPU: "cpu_limit", signal.SIGXFSZ: "file_size_limit"}


def each(function: str, items: Sequence[Any], *, limits: Limits, jobs: int = 1) -> Iterator[Answer]:
    """Run `function` ("module:name", taking and returning JSON) over `items` in up to `jobs` children; see `Pool.each`."""
    with Pool(jobs) as pool:
        yield from pool.each(function, items, limits=limits)


def clean_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The few variables a child may see, with the repository first on its module path."""
    kept = {name: environment[name] for name in PASSED if name in environment}
    kept["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT), *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]))
    return kept | FIXED


class Child:
    """One child process: at most one item in flight."""

    def __init__(self, limits: Limits) -> None:
        command = [sys.executable, "-s", "-P", "-c", "from pipeline.confined import child; child()", json.dumps(limits.as_json())]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment(), cwd="/", start_new_session=True
        )
        assert self.process.stdin and self.process.stdout
        self.input, self.output = self.process.stdin, self.process.stdout
        os.set_blocking(self.output.fileno(), False)
        self.limits = limits
        self.index: int | None = None
        self.deadline = 0.0
        self.served = 0
        self.buffer = bytearray()

    def give(self, function: str, index: int, item: Any) -> None:
        """Send one item; a child that is already dead shows itself at the next read."""
        self.index, self.deadline = index, time.monotonic() + self.limits.wall_s
        self.served += 1
        self.buffer.clear()
        line = json.dumps({"function": function, "item": item, "cpu_s": self.limits.cpu_s}).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            self.input.write(line)
            self.input.flush()

    def read(self) -> bytes | None:
        """The whole answer line, b"" at end of file, or None when more is to come."""
        try:
            chunk = os.read(self.output.fileno(), MIB)
        except BlockingIOError:
            return None
        if not chunk:
            return b""
        self.buffer += chunk
        self.deadline = max(self.deadline, time.monotonic() + ANSWER_SECONDS)
        if self.buffer.endswith(b"\n"):
            return bytes(self.buffer)
        return None if len(self.buffer) <= ANSWER_CAP else b""

    def kill(self) -> int:
        """End the child and whatever it started; its exit status."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            self.input.close()
        status = self.process.wait()
        self.output.close()
        return status

    def dead(self) -> Death:
        """Why the child ended by itself (call at end of file)."""
        try:
            status = self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            status = 0
        self.kill()
        return death(SIGNALS.get(signal.Signals(-status), "reader_died") if status < 0 else "reader_died")


class Pool:
    """Up to `jobs` children at a time for each set of limits, kept for the next call, so that a slow import is paid once. Close it, or use `with`."""

    def __init__(self, jobs: int = 1) -> None:
        self.jobs = max(1, jobs)
        self.idle: dict[Limits, list[Child]] = {}

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End every idle child."""
        for children in self.idle.values():
            for one in children:
                one.kill()
        self.idle.clear()

    def each(self, function: str, items: Sequence[Any], *, limits: Limits) -> Iterator[Answer]:
        """Answers as they are ready. A child that dies costs the item in flight; the rest go to a fresh one. Raises Broken when `function` cannot be had."""
        waiting = deque(enumerate(items))
        busy: set[Child] = set()
        selector = selectors.DefaultSelector()
        try:
            while waiting or busy:
                while waiting and len(busy) < self.jobs:
                    one = self._take(limits)
                    one.give(function, *waiting.popleft())
                    selector.register(one.output, selectors.EVENT_READ, one)
                    busy.add(one)
                yield from self._collect(selector, busy)
        finally:
            for one in busy:
                one.kill()
            selector.close()

    def one(self, function: str, item: Any, *, limits: Limits) -> Answer:
        """The answer for a single item."""
        return next(iter(list(self.each(function, [item], limits=limits))))

    def _take(self, limits: Limits) -> Child:
        children = self.idle.setdefault(limits, [])
        while children:
            one = children.pop()
            if one.process.poll() is None and one.served < RECYCLE_AFTER:
                return one
            one.kill()
        return Child(limits)

    def _collect(self, selector: selectors.BaseSelector, busy: set[Child]) -> Iterator[Answer]:
        pause = max(0.0, min(one.deadline for one in busy) - time.monotonic())
        ready = [key.data for key, _ in selector.select(pause)]
        now = time.monotonic()
        for one in list(busy):
            line = one.read() if one in ready else None
            if line is None and now < one.deadline:
                continue
            selector.unregister(one.output)
            busy.discard(one)
            yield self._answer(one, line)

    def _answer(self, one: Child, line: bytes | None) -> Answer:
        index = one.index
        assert index is not None
        if line is None:
            one.kill()
            return Answer(index, death=death("time_limit"))
        if not line:
            return Answer(index, death=one.dead())
        try:
            message = json.loads(line)
        except ValueError:
            one.kill()
            return Answer(index, death=death("reader_died"))
        if "broken" in message:
            one.kill()
            raise Broken(message["broken"])
        if "value" in message:
            self.idle.setdefault(one.limits, []).append(one)
            return Answer(index, value=message["value"])
        if message.pop("fresh"):
            one.kill()
        else:
            self.idle.setdefault(one.limits, []).append(one)
        return Answer(index, death=Death(**message["death"]))
