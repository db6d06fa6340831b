"""The acceptance stories, one per system our users know: each is a test file, run by pytest on SQLite and, where PostgreSQL is found, on PostgreSQL.

A story whose file is missing, or that failed, was skipped or ran on one database alone, is not met. QUICK runs one on SQLite.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from table import Result

ROOT = Path(__file__).resolve().parents[2]
STORIES = ("pedims", "atlas", "inni", "msbase", "adni", "openneuro", "cspineseg")
FIRST = "msbase"
TIME_S = 1800


def stories(depth: str) -> Result:
    """How many stories passed on each database."""
    there = [name for name in STORIES if _file(name).is_file()]
    chosen = [FIRST] if depth == "quick" else there
    sqlite = _passed(chosen, {})
    with _postgresql() if depth != "quick" else _nothing() as address:
        postgresql = _passed(chosen, address) if address else []
    figure = f"{len(sqlite)} of {len(chosen)} on SQLite" + (f", {len(postgresql)} on PostgreSQL" if address else ", PostgreSQL not asked")
    lacking = sorted(set(chosen) - (set(sqlite) & set(postgresql) if address else set(sqlite)))
    missing = [name for name in STORIES if name not in there]
    words = [f"{len(there)} of {len(STORIES)} written", figure]
    words += [f"not passed: {', '.join(lacking)}"] if lacking else []
    words += [f"missing: {', '.join(missing)}"] if missing else []
    return Result("; ".join(words), met=not lacking and not missing and (depth == "quick" or bool(address)), sample=depth == "quick")


def _file(name: str) -> Path:
    return ROOT / "tests" / "registry" / "upper" / f"test_story_{name}.py"


def _passed(names: list[str], address: dict[str, str]) -> list[str]:
    """Those of these stories whose every test passed; a skipped test is none that passed."""
    return [name for name in names if _run(_file(name), address)]


def _run(file: Path, address: dict[str, str]) -> bool:
    environment = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "VAULT_URL")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **address}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIME_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and " passed" in done.stdout and " skipped" not in done.stdout


@contextmanager
def _nothing() -> Iterator[dict[str, str]]:
    yield {}


@contextmanager
def _postgresql() -> Iterator[dict[str, str]]:
    """A PostgreSQL of our own in a throw-away folder, as `.ci/run` starts one; empty where none is installed, or we may not act as its user."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found or os.geteuid() != 0 or not shutil.which("setpriv"):
        yield {}
        return
    folder, port = Path(tempfile.mkdtemp(prefix="myelin-stories-", dir="/tmp")), 20_000 + os.getpid() % 20_000
    shutil.chown(folder, "postgres")

    def as_postgres(name: str, *words: str) -> None:
        command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups", str(found[-1] / name), *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"})

    as_postgres("initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "myelin")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    as_postgres("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
    try:
        for name in ("myelin", "vault"):
            as_postgres("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "myelin", name)
        base = f"postgresql://myelin@127.0.0.1:{port}"
        yield {"DATABASE_URL": f"{base}/myelin", "VAULT_URL": f"{base}/vault", "MYELIN_HOME": f"{folder}.home"}
    finally:
        as_postgres("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(f"{folder}.home", ignore_errors=True)
