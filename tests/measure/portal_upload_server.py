"""The real server for the rows about uploads: gunicorn as it is deployed, over the throw-away registry, killed and started again; and what memory it takes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20


@dataclass
class Server:
    """gunicorn on a port of its own. `killed`: how often it was ended by SIGKILL, with its workers and their children."""

    home: Path
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    killed: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers. Raises TimeoutError."""
        how = ("-k", "gthread", "--workers", "1", "--threads", "64", "--timeout", "120", "--bind", f"127.0.0.1:{self.port}", "--no-control-socket")
        log = (self.home / "gunicorn.log").open("ab")
        command = [sys.executable, "-m", "gunicorn", "registry.wsgi:application", *how]
        with log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{self.url}/api/v1/health", timeout=2).ok:
                    return
            time.sleep(0.05)
        raise TimeoutError("gunicorn")

    def kill(self) -> None:
        """SIGKILL for master and workers at once; their children die with them."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.killed += 1

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


def tree(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += [int(word) for word in (task / "children").read_text().split()]
    return found


def resident(pid: int) -> int:
    """Bytes of memory that a process tree holds: each page once (PSS)."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            told = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += sum(int(line.split()[1]) << 10 for line in told.splitlines() if line.startswith("Pss:"))
    return total


@dataclass
class Watch:
    """How much a process tree grew over what it had when the watch began."""

    pid: int
    before: int = 0
    most: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def growth_mib(self) -> float:
        return (self.most - self.before) / MIB


@contextlib.contextmanager
def watched(pid: int) -> Iterator[Watch]:
    watch = Watch(pid, resident(pid))

    def look() -> None:
        while not watch.over.wait(0.2):
            watch.most = max(watch.most, resident(pid))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        watch.over.set()
        thread.join()
        watch.most = max(watch.most, resident(pid))
