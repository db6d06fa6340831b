"""The carriers of one machine: child processes without a database address, kept alive while the worker lives and gone when it dies.

Linux only in one point: the kernel is asked to end a carrier when its parent dies (prctl PR_SET_PDEATHSIG), so that a killed worker leaves none behind.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings

log = logging.getLogger(__name__)

# What a carrier may know of its starter's environment. No DATABASE_URL, no secret: the keys it needs are named in each order.
KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
DIES_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"
STABLE_S = 30.0


def environment() -> dict[str, str]:
    """The carrier's whole environment."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": str(settings.ROOT), "NO_ET": "1", "NIPYPE_NO_ET": "1", "PYTHONDONTWRITEBYTECODE": "1"}


class Carriers:
    """`count` carriers on the spool. `watch` restarts what ended, slower each time it ends soon; `stop` ends all."""

    def __init__(self, spool: Path, count: int = 1, jobs: int = 1, device: str = "cpu") -> None:
        self.spool, self.jobs, self.device = spool, jobs, device
        self._children: list[subprocess.Popen[bytes] | None] = [None] * count
        self._began = [0.0] * count
        self._pause = [0.0] * count

    def command(self) -> list[str]:
        serve = [sys.executable, "-m", "pipeline", "serve", str(self.spool), "--jobs", str(self.jobs), "--device", self.device]
        return [sys.executable, "-c", DIES_WITH_PARENT, *serve] if sys.platform == "linux" else serve

    def watch(self) -> None:
        """Starts what does not run. Call it from the thread that lives as long as the process does: the kernel counts that thread as the parent."""
        for n, child in enumerate(self._children):
            if child is not None and child.poll() is None:
                continue
            now = time.monotonic()
            if child is not None and self._pause[n] == 0.0:
                lived = now - self._began[n]
                log.warning("a carrier ended with %s after %.0f s", child.returncode, lived)
                self._pause[n] = 1.0 if lived > STABLE_S else min(60.0, max(1.0, 2.0 * (STABLE_S - lived) / STABLE_S))
                self._began[n] = now
            if child is None or now - self._began[n] >= self._pause[n]:
                self._start(n)

    def _start(self, n: int) -> None:
        self._children[n] = subprocess.Popen(self.command(), env=environment(), cwd=settings.ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
        self._began[n], self._pause[n] = time.monotonic(), 0.0

    def pids(self) -> list[int]:
        return [child.pid for child in self._children if child is not None and child.poll() is None]

    def stop(self, patience_s: float = 10.0) -> None:
        """Asks all to end, and ends by force what does not."""
        living = [child for child in self._children if child is not None and child.poll() is None]
        for child in living:
            child.terminate()
        until = time.monotonic() + patience_s
        for child in living:
            try:
                child.wait(timeout=max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
