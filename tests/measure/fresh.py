"""What a stranger meets: the repository cloned anew, with no .venv, and its two commands."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from table import ROOT, Result

# The events of the demo that this process ran last, for the row that reads them.
TOLD: list[dict[str, Any]] = []


@contextmanager
def clone(*, shared: bool = False) -> Iterator[Path]:
    """The committed tree in a folder of its own; `shared` lays the shared test data beside it, as CI has it."""
    with tempfile.TemporaryDirectory(prefix="myelin-fresh-") as folder:
        subprocess.run(["git", "clone", "-q", str(ROOT), f"{folder}/main"], check=True)
        if shared and (ROOT.parent / "shared").is_dir():
            Path(folder, "shared").symlink_to(ROOT.parent / "shared")
        yield Path(folder, "main")


def stranger() -> dict[str, str]:
    """The environment of somebody who has set nothing."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("MYELIN_", "DATABASE_", "DJANGO_", "VIRTUAL_ENV"))}


def call(where: Path, *command: str, limit: int = 5000) -> tuple[int, str, float]:
    started = time.monotonic()
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    done = subprocess.run(command, cwd=where, env=stranger(), text=True, timeout=limit, check=False, **pipes)
    return done.returncode, done.stdout, time.monotonic() - started


def demo(depth: str) -> Result:
    """`make demo` in a fresh clone; the installing is timed apart from the story."""
    if depth == "quick":
        return Result("not run now", met=None, sample=True)
    with clone() as where:
        code, text, install = call(where, "make", ".venv/.ready")
        if code:
            return Result(f"installing failed: {text[-300:]}", met=False)
        code, text, story = call(where, "make", "demo")
        told = where / "var" / "demo" / "events.json"
        TOLD[:] = json.loads(told.read_text("utf-8"))["events"] if told.exists() else []
    return Result(f"exit {code}; install {install:.0f} s, story {story:.0f} s" + ("" if code == 0 else f": {text[-400:]}"), met=code == 0 and story < 480)


def waiting(depth: str) -> Result:
    """What the demo just told of the three studies that must wait: real scans, through the real API, worker and carrier."""
    if not TOLD:
        return Result("not run now", met=None, sample=True)
    mine = [event for event in TOLD if "waits" in event["expected"] or "wait, 0 converted" in event["expected"]]
    return Result("; ".join(event["shown"] for event in mine), met=len(mine) == 4 and all(event["happened"] for event in mine))


def counted(text: str) -> tuple[int, int, int]:
    """(passed, failed or broken, skipped) of pytest's closing line."""
    closing = [line for line in text.splitlines() if re.search(r"\d+ passed", line)]
    found = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", closing[-1] if closing else "")}
    return found.get("passed", 0), found.get("failed", 0) + found.get("error", 0) + found.get("errors", 0), found.get("skipped", 0)


def suite(depth: str) -> Result:
    """`make test` in a fresh clone; a sample of it (the house and the law) where the whole would take too long."""
    if depth == "quick":
        return Result("not run now", met=None, sample=True)
    arguments = [] if depth == "full" else ["ARGS=tests/spatial tests/registry/test_rules.py tests/client"]
    with clone(shared=True) as where:
        code, text, seconds = call(where, "make", "test", *arguments)
    passed, failed, skipped = counted(text)
    named = "; ".join(sorted(set(re.findall(r"^SKIPPED .*?: (.+)$", text, re.M)))) or "none"
    figure = f"exit {code}: {passed} passed, {failed} failed, {skipped} skipped ({named}) in {seconds / 60:.1f} min with installing"
    return Result(figure, met=code == 0 and passed > 0, sample=depth != "full")


def continuous(depth: str) -> Result:
    """`.ci/run` in a fresh clone, whole; only FULL=1 runs it (it calls make demo and make test itself)."""
    if depth != "full":
        return Result("not run now", met=None, sample=True)
    with clone(shared=True) as where:
        code, text, seconds = call(where, "bash", ".ci/run")
    (ROOT / "build" / "show" / "ci.log").write_text(text, "utf-8")
    passed, failed, skipped = counted(text)
    figure = f"exit {code}: {passed} passed, {failed} failed, {skipped} skipped, {seconds / 60:.1f} min"
    return Result(figure, met=code == 0 and skipped == 0 and seconds < 1800)
