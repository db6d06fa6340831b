"""The folder between runner and carrier: orders go in by rename, outcomes come out by rename, and neither side reads the other's half-written files.

    spool/RUN.ATTEMPT/order.json    spool/RUN.ATTEMPT.taken/    spool/RUN.ATTEMPT.done/    spool/carrier.alive

An order whose runner died is not done twice: the next attempt finds it by its content and waits for the same outcome.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from django.conf import settings

from registry.keyfiles import private_folder, sync_folder

ALIVE_S = 10.0
NAME = re.compile(r"^(?P<run>[0-9a-f]{32})\.(?P<attempt>\d{1,6})(?P<state>\.taken|\.done)?$")


def folder() -> Path:
    """The spool, made on first use (mode 0700)."""
    return private_folder(Path(settings.MYELIN_ZONES["spool"]))


def carrier_alive() -> bool:
    """Whether a carrier gave a sign of life in the last ten seconds."""
    try:
        return time.time() - (folder() / "carrier.alive").stat().st_mtime < ALIVE_S
    except FileNotFoundError:
        return False


def of_run(run: str) -> dict[int, list[Path]]:
    """The folders of this run, by attempt."""
    found: dict[int, list[Path]] = {}
    for path in folder().glob(f"{run}.*"):
        if match := NAME.match(path.name):
            found.setdefault(int(match["attempt"]), []).append(path)
    return found


def put(order: dict[str, Any]) -> int:
    """Lays the order out for a carrier and returns the attempt under which it lies: its own, or that of an equal order laid out before."""
    for attempt, paths in sorted(of_run(order["run"]).items(), reverse=True):
        if any(_same(path / "order.json", order) or path.name.endswith(".done") for path in paths):
            return attempt
    name = f"{order['run']}.{order['attempt']}"
    draft = folder() / f".tmp-{name}-{os.getpid()}-{time.monotonic_ns()}"
    draft.mkdir(mode=0o700)
    with (draft / "order.json").open("w", encoding="utf-8") as out:
        json.dump(order, out)
        out.flush()
        os.fsync(out.fileno())
    sync_folder(draft)
    draft.rename(folder() / name)
    sync_folder(folder())
    return int(order["attempt"])


def _same(path: Path, order: dict[str, Any]) -> bool:
    """Whether the order in this file asks for the same, whatever attempt it was."""
    try:
        return {**json.loads(path.read_bytes()), "attempt": 0} == {**order, "attempt": 0}
    except (OSError, ValueError):
        return False


def done(run: str, attempt: int) -> Path | None:
    """The published folder, once it is there."""
    path = folder() / f"{run}.{attempt}.done"
    return path if path.is_dir() and not path.is_symlink() else None


def progress(run: str) -> dict[str, Any]:
    """How far the carrier is: `step`, `done`, `total`; empty when it does not say."""
    for path in folder().glob(f"{run}.*.taken/progress.json"):
        try:
            value = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(value, dict):
            return {key: value[key] for key in ("step", "done", "total") if isinstance(value.get(key), str | int)}
    return {}


def clear(run: str) -> None:
    """Removes every folder of this run: first from sight by rename, then from the disk. A carrier that still works in one loses it and takes the next."""
    for paths in of_run(run).values():
        for path in paths:
            hidden = folder() / f".gone-{path.name}-{time.monotonic_ns()}"
            try:
                path.rename(hidden)
            except FileNotFoundError:
                continue
            shutil.rmtree(hidden, ignore_errors=True)


def sweep(older_than_s: float = 3600.0) -> int:
    """Removes drafts and remains that a killed process left; returns how many."""
    gone = 0
    for pattern in (".tmp-*", ".gone-*"):
        for path in folder().glob(pattern):
            try:
                old = time.time() - path.stat().st_mtime > older_than_s
            except FileNotFoundError:
                continue
            if old:
                shutil.rmtree(path, ignore_errors=True)
                gone += 1
    return gone
