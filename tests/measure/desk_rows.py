"""The rows of `make show-headers` about the desk: what is written of the shared scans, what ten thousand broken files do, how fast it goes."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from table import ROOT, Result

from deid import identity, inputs, pixels, tasks
from deid.pseudonyms import new_key

sys.path.insert(0, str(ROOT))

from tests.deid.mutants import mutants

MRI = ROOT / ".cache" / "mri"
SEED = 2026
MR_CLASSES = tuple(f"1.2.840.10008.5.1.4.1.1.{tail}" for tail in ("4", "4.1", "4.3", "4.4", "7", "7.1", "7.2", "7.3", "7.4"))


@contextmanager
def desk() -> Iterator[Path]:
    """A folder with a key; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="myelin-desk-") as folder:
        new_key(Path(folder, "key"))
        yield Path(folder)


@dataclass(frozen=True)
class Run:
    """One run of the command: its exit status, the report, number -> input path, the most memory (MiB) that parent and children had, and seconds."""

    status: int
    report: dict[str, Any]
    names: dict[int, str]
    peak_mb: float
    seconds: float
    errors: str


def command(here: Path, *more: str, jobs: int = 1) -> Run:
    """`python -m deid headers here/in here/out`, watched."""
    words = [sys.executable, "-m", "deid", "headers", str(here / "in"), str(here / "out"), "--key", str(here / "key"), "--jobs", str(jobs)]
    words += ["--report", str(here / "report.json"), "--names", str(here / "names.tsv"), *more]
    started, peak = time.monotonic(), [0.0]
    with (here / "errors").open("w") as errors:
        process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=errors, env=os.environ | {"OMP_NUM_THREADS": "1"})
        watcher = threading.Thread(target=watch, args=(process, peak))
        watcher.start()
        status = process.wait()
        watcher.join()
    report = json.loads((here / "report.json").read_text()) if (here / "report.json").exists() else {"files": [], "review": {}, "accounts": {}}
    lines = (here / "names.tsv").read_text(errors="surrogateescape").splitlines()[1:] if (here / "names.tsv").exists() else []
    names = {int(n): name for n, name in (line.split("\t") for line in lines)}
    return Run(status, report, names, peak[0], time.monotonic() - started, (here / "errors").read_text())


def watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    """Keep the largest sum of resident memory of a process and its children, looked at fifty times a second."""
    while process.poll() is None:
        total = 0
        with contextlib.suppress(OSError, ValueError):
            for pid in [process.pid, *children(process.pid)]:
                with contextlib.suppress(OSError, IndexError):
                    total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        peak[0] = max(peak[0], total / 2**20)
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


# --- good input ------------------------------------------------------------------------------------------------------------------------------------


def good_images() -> dict[Path, str]:
    """Shared files that hold an MR image (or a capture of an MR study) that can be cleaned -> their case. Pydicom and its decoders are asked, not the room:
    it has pixel data, the three UIDs, and decodes to as many pixels as it says."""
    found: dict[Path, str] = {}
    for root in (MRI / "dicom", MRI / "edge"):
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            if is_good(path, decode=root.name == "edge"):
                found[path] = "/".join(path.relative_to(MRI).parts[1:3] if root.name == "edge" else path.relative_to(MRI).parts[1:2])
    return found


def is_good(path: Path, *, decode: bool) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = pydicom.dcmread(path, force=True, stop_before_pixels=not decode)
            if not data.get("Rows") or not all(data.get(f"{level}InstanceUID") for level in ("Study", "Series", "SOP")):
                return False
            kind, modality = str(data.get("SOPClassUID", "")), str(data.get("Modality", ""))
            if not (kind in MR_CLASSES and modality in ("MR", "OT", "SC", "")) and not (not kind and modality == "MR"):
                return False
            return not decode or (data.pixel_array.size > 0 and complete(data))
        except Exception:  # whatever it is: pydicom cannot show the picture, and it is no good input
            return False


def complete(data: pydicom.Dataset) -> bool:
    """Whether native pixels are as many as the header says; pydicom pads some that are not."""
    if data.file_meta.get("TransferSyntaxUID") and data.file_meta.TransferSyntaxUID.is_compressed:
        return True
    need = int(data.Rows) * int(data.Columns) * int(data.get("NumberOfFrames", 1) or 1) * int(data.get("SamplesPerPixel", 1)) * int(data.BitsAllocated) // 8
    return len(data.PixelData) >= need


def sampled(good: Mapping[Path, str], depth: str) -> list[Path]:
    """All of them, or the first and every 40th of each folder."""
    if depth != "quick":
        return list(good)
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in good:
        folders[path.parent].append(path)
    return [path for paths in folders.values() for path in paths[::40]]


def lay_out(paths: Sequence[Path], here: Path) -> None:
    for path in paths:
        copy = here / "in" / path.relative_to(MRI)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


_RUNS: dict[str, tuple[dict[Path, str], Run]] = {}


def good_run(depth: str) -> tuple[dict[Path, str], Run]:
    """The good input and what the command made of it, run once for both rows."""
    if depth not in _RUNS:
        good = good_images()
        with desk() as here:
            paths = sampled(good, depth)
            lay_out(paths, here)
            _RUNS[depth] = ({path: good[path] for path in paths}, command(here, jobs=2))
    return _RUNS[depth]


def shared_series(depth: str) -> Result:
    """Good input refused, withheld or sent to review, by case and reason. The whole command, writing in pixels too."""
    good, run = good_run(depth)
    lost: Counter[str] = Counter()
    rows = {row["n"]: row for row in run.report["files"]}
    case = {n: good[MRI / name] for n, name in run.names.items()}
    for n, row in rows.items():
        if row["verdict"] != "kept":
            where = f" {row['where']}" if row.get("where") else ""
            lost[f"{case[n]} {row['code']}{where}"] += 1
    series = {row["product"].rpartition("/")[0]: case[row["n"]] for row in rows.values() if row["product"]}
    noted: dict[str, set[str]] = defaultdict(set)
    for name, account in run.report["accounts"].items():
        for what in account["review"]:
            noted[what].add(series[name])
    figure = f"{sum(lost.values())} of {len(rows)} images in {len(run.report['accounts'])} series refused, withheld or waiting"
    figure += f" ({'; '.join(f'{count} {what}' for what, count in lost.most_common())})" if lost else ""
    # Nothing waits for these: the series are written, and a steward may look at what was taken out of their words.
    figure += "".join(f"; written with a note, {what}: {', '.join(sorted(cases))}" for what, cases in sorted(noted.items()))
    return Result(figure, met=run.status == 0 and len(rows) == len(good) and not lost, sample=depth == "quick")


def written(depth: str) -> Result:
    """The share of files that hold an image and can be cleaned that is written, and that the rest of the shared files is refused with a code."""
    good, run = good_run(depth)
    kept = sum(row["verdict"] == "kept" for row in run.report["files"])
    share = 100 * kept / len(good)
    others = [path for root in ("dicom", "edge") for path in sorted((MRI / root).rglob("*")) if path.is_file() and path not in good_images_cached()]
    with desk() as here:
        lay_out(others, here)
        rest = command(here, "--no-pixels")
    coded = sum(bool(row["code"]) and (row["verdict"] == "kept" or bool(row["reason"] and row["advice"])) for row in rest.report["files"])
    codes = Counter(row["code"] for row in rest.report["files"] if row["verdict"] != "kept")
    figure = f"{kept} of {len(good)} written ({share:.1f} %); of {len(others)} other files {coded} have a verdict with a code"
    figure += f" ({', '.join(f'{count} {code}' for code, count in codes.most_common())})"
    met = kept == len(good) and coded == len(others) == len(rest.report["files"]) and "failed" not in codes
    return Result(figure, met=met, sample=depth == "quick")


def good_images_cached() -> Mapping[Path, str]:
    return _RUNS["usual"][0] if "usual" in _RUNS else _RUNS["full"][0] if "full" in _RUNS else good_images()


# --- broken input ----------------------------------------------------------------------------------------------------------------------------------


def of_each_syntax() -> list[bytes]:
    """The smallest shared file of each transfer syntax and case, cut at 512 KiB only by choosing no larger ones."""
    best: dict[tuple[str, str], Path] = {}
    for path in [p for root in ("dicom", "edge") for p in sorted((MRI / root).rglob("*")) if p.is_file() and 400 < p.stat().st_size < 1 << 19]:
        with contextlib.suppress(Exception):
            syntax = str(pydicom.filereader.read_file_meta_info(path).get("TransferSyntaxUID", ""))
            key = (syntax, path.relative_to(MRI).parts[1])
            if key not in best or path.stat().st_size < best[key].stat().st_size:
                best[key] = path
    return [path.read_bytes() for _, path in sorted(best.items())]


def mutations(depth: str) -> Result:
    """Seeded mutations of valid files of all transfer syntaxes through the whole command, in groups; `full` keeps in build/ what is done, and goes on."""
    total, group = {"quick": 200, "usual": 1000}.get(depth, 10_000), 500 if depth != "quick" else 200
    sources = of_each_syntax()
    state = ROOT / "build" / "mutations.json"
    done: dict[str, dict[str, Any]] = json.loads(state.read_text()) if depth == "full" and state.exists() else {}
    done = {name: value for name, value in done.items() if value["program"] == program()}
    for first in range(0, total, group):
        if str(first) not in done:
            done[str(first)] = broken_group(sources, first, min(group, total - first))
            if depth == "full":
                state.parent.mkdir(exist_ok=True)
                state.write_text(json.dumps(done))
    codes = sum((Counter(value["codes"]) for value in done.values()), Counter[str]())
    deaths, silent = sum(value["died"] for value in done.values()), sum(value["silent"] for value in done.values())
    peak = max(value["peak"] for value in done.values())
    figure = f"{codes.total()} mutations of {len(sources)} files: the command died {deaths} times, {silent} files without a verdict, "
    figure += f"{codes['ok']} written, {codes['failed']} unforeseen, at most {peak:.0f} MiB; "
    figure += ", ".join(f"{count} {code}" for code, count in codes.most_common() if code not in ("ok", "failed"))
    return Result(figure, met=deaths == 0 and silent == 0 and codes.total() == total and peak < 1024, sample=depth != "full")


def program() -> str:
    from deid.person import program as digest

    return digest()


def broken_group(sources: Sequence[bytes], first: int, count: int) -> dict[str, Any]:
    """One run of the command over mutants number `first` and on."""
    with desk() as here:
        (here / "in").mkdir()
        for n, content in enumerate(mutants(sources, seed=SEED, count=count, first=first)):
            (here / "in" / f"{first + n:05d}").write_bytes(content)
        run = command(here)
    codes = Counter(row["code"] for row in run.report["files"] if row["verdict"])
    for row in run.report["files"]:
        if row["code"] == "failed":
            print(f"mutant {run.names[row['n']]}: {row.get('where')}", file=sys.stderr)
    return {"died": int(run.status != 0), "silent": count - codes.total(), "codes": dict(codes), "peak": run.peak_mb, "program": program()}


# --- speed -----------------------------------------------------------------------------------------------------------------------------------------


def plain_files(folder: Path, count: int) -> list[Path]:
    """Plain MR files of 256 x 256 with everything a scanner writes, of one person, and texture in their pixels."""
    spec = importlib.util.spec_from_file_location("a_hospital_that_never_existed", ROOT / "tests" / "deid" / "conftest.py")
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    y, x = np.mgrid[:256, :256]
    head = 600 * np.exp(-(((x - 128) / 70) ** 2 + ((y - 128) / 90) ** 2))
    for n in range(1, count + 1):
        data = made.make_mr(n=n)
        data.Rows = data.Columns = 256
        data.PixelData = (head + np.random.default_rng(n).normal(40, 12, head.shape)).clip(0).astype(np.uint16).tobytes()
        data.save_as(folder / f"{n:04d}.dcm", enforce_file_format=True)
    return sorted(folder.iterdir())


def ours(paths: Sequence[Path], out: Path, key: Path) -> None:
    """What a child of the command does with one person's series: identify, clean, the cheap test on every slice, the last gate."""
    identify = tasks.identifier({})
    who = [tasks.unpack(identify({"path": str(path)})["who"]) for path in paths]
    starts = {uid: tasks.pack_start(start) for uid, start in identity.study_starts(who).items()}
    common = {"key": str(key), "profile": "myelin-2026", "code": "a" * 26, "births": ["1962-03-04"], "starts": starts, "over_89": False, "searched": True}
    clean = tasks.cleaner(common | {"identifiers": sorted({name for one in who for name in (*one.others, one.patient_id)})})
    removed: set[str] = set()
    for path in paths:
        removed |= set(clean({"path": str(path), "stamp": list(inputs.stamp(path.stat())), "out": str(out / path.name)})["removed"])
    products = [out / path.name for path in paths]
    assert all(verdict.code is None for verdict in pixels.check(products, finder=lambda image, strict: []))
    search = tasks.searcher({"removed": sorted(removed), "key": str(key), "code": common["code"]})
    assert not any(search({"path": str(path)}) for path in products)


def bare(paths: Sequence[Path], out: Path) -> None:
    """Pydicom's bare read and write."""
    for path in paths:
        pydicom.dcmread(path).save_as(out / path.name)


def whole_command(here: Path) -> float:
    """CPU seconds, user and system, of the command and its child, from the start of the interpreter to its end; the pixels are not searched for writing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = command(here, "--no-pixels")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert run.status == 0 and all(row["verdict"] == "kept" for row in run.report["files"]), run.errors
    shutil.rmtree(here / "out")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def speed(depth: str) -> Result:
    """Files per CPU-second, the best of three, and pydicom's bare read-and-write in the same minute.

    "One process" is the one that does the work: user and system time over the files, with start-up and imports left out, for us as for pydicom and for each
    peer (`peer_work`). What one pays in all is the second figure: the whole command, its interpreter, its child, both their imports, the report.
    """
    with desk() as here:
        (here / "in").mkdir()
        paths = plain_files(here / "in", 100 if depth == "quick" else 500)
        best = {"ours": 0.0, "bare": 0.0, "command": 0.0}
        for _ in range(3):
            for name, work in (("ours", lambda out: ours(paths, out, here / "key")), ("bare", lambda out: bare(paths, out))):
                out = here / name
                out.mkdir()
                started = time.process_time()
                work(out)
                best[name] = max(best[name], len(paths) / (time.process_time() - started))
                shutil.rmtree(out)
            best["command"] = max(best["command"], len(paths) / whole_command(here))
    figure = f"{best['ours']:.0f} files per CPU-second of {len(paths)} plain 256x256 MR in one process, start-up not counted, as for all here; "
    figure += f"pydicom's bare read and write {best['bare']:.0f}; our whole command with start-up and bookkeeping, pixels not searched, {best['command']:.0f}"
    return Result(figure, met=best["ours"] >= 200, sample=depth == "quick")
