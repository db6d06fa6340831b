"""The real processes on a fresh folder: gunicorn (gthread) with the API, and `manage.py worker` with its carrier, on a free port of this machine.

They get an environment of their own: whatever MYELIN_ or DATABASE_URL says around the demo does not reach them, so no other registry can be touched.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from client.api import Registry
from client.errors import ClientError

ROOT = Path(__file__).resolve().parents[3]
MARK = "this folder is made and removed by manage.py demo"
ELSEWHERE = ("MYELIN_", "DATABASE_URL", "VAULT_URL", "CACHE_URL", "EMAIL_URL", "DJANGO_")


class NotStarted(Exception):
    """A process ended or did not answer in time: the message names its log."""


@dataclass
class Servers:
    """The demo's folder with its registry, and the processes that serve it."""

    folder: Path
    port: int = 0
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    logs: list[IO[bytes]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What the processes see: the surroundings without any other registry's settings, and this registry's home."""
        own = {k: v for k, v in os.environ.items() if not k.startswith(ELSEWHERE)}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        jobs = str(max(1, min(4, len(os.sched_getaffinity(0)))))
        return {**own, **threads, "MYELIN_HOME": str(self.home), "MYELIN_URL": self.url, "MYELIN_JOBS": jobs, "DJANGO_SETTINGS_MODULE": "registry.settings",
                "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_ET": "1", "NIPYPE_NO_ET": "1"}  # fmt: skip

    def clear(self) -> None:
        """A fresh folder. Raises NotStarted rather than remove one that is not the demo's."""
        if self.folder.exists() and not (self.folder / "README").is_file():
            raise NotStarted(f"{self.folder} exists and is not the demo's: move it away")
        shutil.rmtree(self.folder, ignore_errors=True)
        for path in (self.folder, self.home, self.folder / "logs", self.folder / "pictures"):
            path.mkdir(mode=0o700, parents=True)
        (self.folder / "README").write_text(MARK + "\n")
        self.port = free_port()

    def manage(self, *arguments: str, text: str = "") -> str:
        """Run one management command to its end and return what it printed. Raises NotStarted when it fails."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment(), input=text.encode(), capture_output=True, check=False)
        if done.returncode:
            (self.folder / "logs" / "manage.log").write_bytes(done.stdout + done.stderr)
            raise NotStarted(f"manage.py {arguments[0]} failed: see {self.folder}/logs/manage.log")
        return done.stdout.decode()

    def person(self, email: str, *options: str) -> str:
        """Open an account by command, as the very first ones must be, and return its password."""
        password = secrets.token_urlsafe(12)
        self.manage("accounts", "user", email, "--password-stdin", *options, text=password + "\n")
        return password

    def start(self) -> None:
        """Start web and worker, and wait until the registry says that both live. Raises NotStarted."""
        how = ("--worker-class", "gthread", "--workers", "2", "--threads", "4", "--timeout", "120", "--no-control-socket")
        self.spawn("web", ["-m", "gunicorn", "registry.wsgi:application", "--bind", f"127.0.0.1:{self.port}", *how])
        self.spawn("worker", ["manage.py", "worker"])
        registry, end = Registry(self.url, attempts=1), time.monotonic() + 60
        while time.monotonic() < end:
            for name, process in self.running.items():
                if process.poll() is not None:
                    raise NotStarted(f"{name} ended: see {self.folder}/logs/{name}.log")
            try:
                if registry.health().get("worker") == "alive":
                    registry.close()
                    return
            except ClientError:
                pass
            time.sleep(0.3)
        raise NotStarted(f"the registry did not answer within a minute: see {self.folder}/logs")

    def spawn(self, name: str, arguments: list[str]) -> None:
        log = (self.folder / "logs" / f"{name}.log").open("wb")
        self.logs.append(log)
        self.running[name] = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment(), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )

    def stop(self) -> None:
        """End what was started, the worker first so that it hands its work back; never anything else."""
        for name in ("worker", "web"):
            process = self.running.pop(name, None)
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        while self.logs:
            self.logs.pop().close()


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
