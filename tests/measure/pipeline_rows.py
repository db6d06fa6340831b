"""The rows of `make show-main` about the pipeline: real input, kills at random moments, what the carrier can see."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
from table import ROOT, Result

from bidstree import check
from deid.pseudonyms import new_key
from pipeline import outcome as outcomes

CACHE = ROOT / ".cache" / "mri"
JOBS = "2"
SEED = 2026
LINKER = ("/usr/", "/lib/", "/lib64/", "/etc/ld.so.cache")  # what the system's linker opens when a process starts


@contextmanager
def desk() -> Iterator[Path]:
    """A folder with a key; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="myelin-rows-") as folder:
        new_key(Path(folder, "key"))
        yield Path(folder)


def command(source: Path, out: Path, key: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "pipeline", str(source), str(out), "--key", str(key), "--jobs", JOBS, *more]


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))} | more


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


# --- real input ------------------------------------------------------------------------------------------------------------------------------------


def series_of(source: Path) -> dict[str, set[str]]:
    """SeriesInstanceUID -> SHA-256 of its files, over every MR image that pydicom itself can open: an account that owes nothing to the pipeline."""
    found: dict[str, set[str]] = {}
    for path in files_of(source):
        with contextlib.suppress(Exception):
            data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Modality", "SOPClassUID", "Rows"])
            if data.get("Rows") and (data.get("Modality") == "MR" or str(data.get("SOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.4")):
                found.setdefault(str(data.SeriesInstanceUID), set()).add(hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def shared_data(depth: str) -> Result:
    """All of the shared scans as one upload."""
    with desk() as here:
        source = here / "in"
        for case in [*sorted((CACHE / "dicom").iterdir()), CACHE / "edge"]:
            (shutil.copytree if case.is_dir() else shutil.copy)(case, source / case.name) if source.exists() or not source.mkdir() else None
        started = time.monotonic()
        done = subprocess.run(command(source, here / "out", here / "key"), env=environment(), cwd=here, capture_output=True, text=True, check=False)
        minutes = (time.monotonic() - started) / 60
        return judged(source, here / "out", done, minutes)


def judged(source: Path, out: Path, done: subprocess.CompletedProcess[str], minutes: float) -> Result:
    """The figures of one run."""
    if done.returncode or "Traceback" in done.stderr:
        return Result(f"exit {done.returncode}: {done.stderr[-300:]}", met=False)
    value = outcomes.read(out / "outcome.json")
    given = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in files_of(source))
    told = Counter(row["sha256"] for row in value["files"])
    words = Counter(row["verdict"] for row in value["files"])
    series = series_of(source)
    verdicts = {row["sha256"]: row["verdict"] for row in value["files"]}
    through = sum(1 for digests in series.values() if any(verdicts[digest] == "kept" for digest in digests))
    waits = sum(1 for digests in series.values() if all(verdicts[digest] == "waiting" for digest in digests))
    report = check.validate(out / "bids")
    figure = f"{given.total()} files in = {told.total()} accounted for ({', '.join(f'{n} {word}' for word, n in sorted(words.items()))}); "
    figure += f"{through} of {len(series)} series converted, {waits} wait; {sum(1 for image in value['images'] if image['products'])} images; "
    figure += f"validator errors {report.errors}; {minutes:.1f} min"
    return Result(figure, met=given == told and report.errors == 0 and through > 0 and words["failed"] == 0)


# --- killed ----------------------------------------------------------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, str]:
    """Path, mode and digest of everything below a folder."""
    rows = {}
    for path in folder.rglob("*"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        rows[path.relative_to(folder).as_posix()] = f"{path.stat().st_mode:o} {digest}"
    return rows


def upload(folder: Path) -> Path:
    """One visit of a head that never existed (one contrast and a mask), and files that wait or are refused."""
    sys.path.insert(0, str(ROOT))
    from tests.pipeline.made import scan
    from tests.pipeline.small_head import head

    head(folder / "first", number=1)
    scan(folder / "nobody" / "1", study=8, PatientID="ANONYMOUS")
    (folder / "letter.txt").write_text("no scan")
    return folder


def kill_once(here: Path, source: Path, out: Path, moment: float) -> tuple[bool, bool]:
    """Start, kill after `moment` seconds, look, run again. (was it killed before the end, was OUT whole or absent after the kill)"""
    process = subprocess.Popen(command(source, out, here / "key"), env=environment(), cwd=here, stdout=subprocess.DEVNULL)
    try:
        process.wait(timeout=moment)
        early = False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        early = True
    seen = tree(out) if out.exists() else None
    subprocess.run(command(source, out, here / "key"), env=environment(), cwd=here, stdout=subprocess.DEVNULL, check=True)
    return early, seen is None or seen == tree(out)


def killed(depth: str) -> Result:
    """Kills spread over the whole of a run, each followed by a run to the end (a sample of the 20 unless `full`)."""
    trials = 20 if depth == "full" else 8
    with desk() as here:
        source = upload(here / "in")
        started = time.monotonic()
        subprocess.run(command(source, here / "whole", here / "key"), env=environment(), cwd=here, stdout=subprocess.DEVNULL, check=True)
        length, whole = time.monotonic() - started, tree(here / "whole")
        chance, early, halves, equal = random.Random(SEED), 0, 0, 0
        for n in range(trials):
            out = here / f"out{n}"
            # One moment drawn from each of `trials` equal parts of the run, so that no stage is missed by luck.
            was_early, sound = kill_once(here, source, out, length * (n + chance.random()) / trials)
            early += was_early
            halves += not sound
            equal += tree(out) == whole and not (here / f".out{n}.myelin-work").exists()
            shutil.rmtree(out)
    figure = f"{early} of {trials} kills hit a run of {length:.0f} s: {halves} half-written trees, "
    figure += f"{equal} of {trials} reruns give the same tree of {len(whole)} entries"
    return Result(figure, met=halves == 0 and equal == trials and early >= trials * 0.7, sample=depth != "full")


# --- the carrier -----------------------------------------------------------------------------------------------------------------------------------

SECRETS = {
    "DATABASE_URL": "postgres://registry:hunter2@10.9.8.7/registry",
    "PGPASSWORD": "hunter2",
    "VAULT_DATABASE_URL": "sqlite:////vault/hunter2.sqlite3",
    "DJANGO_SETTINGS_MODULE": "registry.settings",
    "MYELIN_SECRET_KEY": "hunter2" * 8,
}
LIBRARIES = re.compile(r"libpq|psycopg|_sqlite3|libsqlite|django|registry", re.I)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            found += [int(child) for task in Path(f"/proc/{one}/task").iterdir() for child in (task / "children").read_text().split()]
    return found


def look(pid: int, seen: dict[str, set[str]]) -> None:
    """Note what one process has in its environment, its memory map and its open files."""
    with contextlib.suppress(OSError):
        seen["environment"] |= {entry.partition(b"=")[0].decode() for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if entry}
        seen["values"] |= {"hunter2"} if b"hunter2" in Path(f"/proc/{pid}/environ").read_bytes() else set()
        seen["libraries"] |= set(LIBRARIES.findall("\n".join(re.findall(r"/\S+", Path(f"/proc/{pid}/maps").read_text()))))
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                seen["files"].add(str(handle.readlink()))
        seen["processes"].add(str(pid))


def carrier(depth: str) -> Result:
    """Watch the carrier and its children while they take a study to BIDS, started with every secret of a registry in the environment."""
    with desk() as here:
        source, spool, trap = upload(here / "in"), here / "spool", here / "trap"
        (trap / "django").mkdir(parents=True)
        (trap / "django" / "__init__.py").write_text(f"open({str(here / 'django-was-imported')!r}, 'w').close()\nraise ImportError('a trap')\n")
        names = environment(**SECRETS, PYTHONPATH=os.pathsep.join([str(trap), environment()["PYTHONPATH"]]))
        twin = subprocess.run([sys.executable, "-c", "import django"], env=names, cwd=here, capture_output=True, check=False)
        trapped = twin.returncode != 0 and (here / "django-was-imported").exists()
        (here / "django-was-imported").unlink(missing_ok=True)
        seen: dict[str, set[str]] = {name: set() for name in ("environment", "values", "libraries", "files", "processes")}
        (spool / "r1.1").mkdir(parents=True)
        sort = {"schema": 1, "run": "r1", "attempt": 1, "kind": "sort", "input": str(source), "site": "x", "keys": {"file": str(here / "key")}}
        (spool / "r1.1" / "order.json").write_text(json.dumps(sort | {"profile": "myelin-2026", "device": "cpu", "jobs": 1}))
        watch(spool, names, seen)
        sorted_ = outcomes.read(spool / "r1.1.done" / "outcome.json")
        study = next(row for row in sorted_["studies"] if row["verdict"] == "kept")
        files = [{"n": row["n"], "sha256": row["sha256"]} for row in sorted_["files"] if row["n"] in study["files"]]
        order: dict[str, Any] = sort | {"run": "r2", "kind": "study", "study": study["study"], "session": "m00", "files": files, "jobs": 1}
        order |= {"profile": "myelin-2026", "device": "cpu", "participant": {"code": study["participant"], "label": "k3w9x0ab"}}
        (spool / "r2.1").mkdir()
        (spool / "r2.1" / "order.json").write_text(json.dumps(order))
        watch(spool, names, seen)
        images = outcomes.read(spool / "r2.1.done" / "outcome.json")["images"]
        allowed = (str(here), str(ROOT), sys.prefix, sys.base_prefix, "/dev/", "pipe:", "socket:", "anon_inode:", "/tmp/", "/proc/", *LINKER)
        foreign = {name for name in seen["files"] if not name.startswith(allowed)}
        imported = (here / "django-was-imported").exists()
    if foreign:
        sys.stderr.write(f"open files elsewhere: {sorted(foreign)[:10]}\n")
    secret = sorted(set(SECRETS) & seen["environment"]) + sorted(seen["values"])
    figure = f"{len(seen['processes'])} processes watched over {len(images)} image(s): {len(secret)} secrets in the environment, "
    figure += f"Django imported: {'yes' if imported else 'no'} (the trap {'works' if trapped else 'FAILED'}), database libraries mapped: "
    figure += f"{', '.join(sorted(seen['libraries'])) or 'none'}; {len(seen['files'])} open files seen, outside spool, input, keys and code: {len(foreign)}"
    return Result(figure, met=trapped and not secret and not imported and not seen["libraries"] and not foreign and bool(images))


def watch(spool: Path, names: dict[str, str], seen: dict[str, set[str]]) -> None:
    """Run the carrier until no order waits, looking at it twenty times a second."""
    process = subprocess.Popen([sys.executable, "-m", "pipeline", "serve", str(spool), "--once"], env=names, cwd=spool)
    started = False
    while process.poll() is None:
        # Until it has replaced itself by a clean process it is still its starter's image.
        started = started or b"MYELIN_CARRIER" in Path(f"/proc/{process.pid}/environ").read_bytes()
        if started:
            for pid in family(process.pid):
                look(pid, seen)
        time.sleep(0.05)
