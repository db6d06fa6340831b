"""Whatever one file does to its reader costs that file and no other, inside limits, and nothing it says gets out."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from deid import __main__ as command
from deid import errors, pseudonyms
from deid.isolated import Batch, Broken, Limits, Pool
from tests.deid import hostile
from tests.deid.mutants import mutants

SMALL = Limits(memory_mb=512, cpu_s=1, wall_s=60.0, file_mb=64)


@pytest.fixture
def ask(monkeypatch):
    """Answers of a child to items, in order."""
    monkeypatch.setenv("MYELIN_SECRET_KEY", "hunter2")

    def go(*items: str, limits: Limits = SMALL, maker: str = "maker", jobs: int = 1):
        with Pool(jobs) as pool:
            answers = list(pool.each([Batch(f"tests.deid.hostile:{maker}", "c", items, limits), Batch(f"tests.deid.hostile:{maker}", "d", ("plain",), limits)]))
        first = [answer for answer in answers if answer.batch == 0]
        assert [answer.index for answer in first] == list(range(len(items))) and len(answers) == len(items) + 1
        return first

    return go


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ("abort", "reader_died"),
        ("crash", "reader_died"),
        ("leave", "reader_died"),
        ("hoard", "memory_limit"),
        ("one_great_block", "memory_limit"),
        ("spin", "cpu_limit"),
        ("dive", "nested_too_deep"),
        ("write", "file_size_limit"),
        ("refuse", "truncated"),
        ("fail", "failed"),
    ],
)
def test_a_file_that_ends_its_reader_costs_itself(ask, item, code):
    before, hit, after = ask("one", item, "two")
    assert (before.value[:2], hit.code, after.value[:2]) == (["c", "one"], code, ["c", "two"])
    assert hit.value is None and "Quibblewick" not in repr(hit) and code in errors.REFUSALS
    fresh = code != "truncated"
    assert (before.value[2] != after.value[2]) == fresh, "what was left went to a fresh child, where the old one is gone or cannot be trusted"
    assert (hit.where.startswith("ValueError at ")) == (item == "fail")


def test_what_nobody_foresaw_is_tried_once_more_by_a_fresh_child(ask, tmp_path):
    before, tried, after = ask("one", str(tmp_path / "stone"), "two")
    assert tried.code == "" and tried.value == after.value[2] != before.value[2]


def test_a_file_that_sleeps_is_not_waited_for(ask):
    started = time.monotonic()
    assert [answer.code for answer in ask("one", "sleep", "two", limits=Limits(512, 5, 1.5))] == ["", "time_limit", ""]
    assert time.monotonic() - started < 8


def test_many_deaths_in_many_hands(ask):
    items = ["abort", "one", "abort", "abort", "two", "leave", "three"] * 2
    assert [answer.code for answer in ask(*items, jobs=2)] == ["reader_died" if item in ("abort", "leave") else "" for item in items]


def test_a_child_says_nothing_aloud_and_knows_nothing_of_its_parent(ask, capfd):
    quiet, names = ask("speak", "environment")
    out = capfd.readouterr()
    assert quiet.code == "" and "Quibblewick" not in out.out + out.err
    assert "MYELIN_SECRET_KEY" not in names.value and set(names.value) <= {
        "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "LD_LIBRARY_PATH", "HOME", "PYTHONHASHSEED",
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
    }  # fmt: skip
    may = shutil.which("unshare") and subprocess.run(["unshare", "-n", "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0
    if may and len(hostile.network()) > 1:  # else there is no network to give up, or the kernel does not let a process do so
        assert set(ask("network")[0].value) <= {"lo"}


def test_isolation_that_does_not_work_stops_the_run_and_says_why(ask):
    for maker in ("broken", "not_there"):
        with pytest.raises(Broken) as caught:
            ask("one", maker=maker)
        assert "Quibblewick" not in str(caught.value) and maker in str(caught.value)


@pytest.fixture
def desk(mr, tmp_path):
    (tmp_path / "in").mkdir()
    for n in range(1, 41):
        mr(n=n).save_as(tmp_path / "in" / f"{n:02d}.dcm", enforce_file_format=True)
    pseudonyms.new_key(tmp_path / "key")
    return tmp_path


def run(desk: Path, out: str = "out", *more: str) -> dict:
    assert command.main(["headers", str(desk / "in"), str(desk / out), "--key", str(desk / "key"), "--report", str(desk / "r"), "--no-pixels", *more]) == 0
    return json.loads((desk / "r").read_text())


def readers() -> list[int]:
    """The isolated readers of this process. It has other children too: whatever an earlier test of the same worker left running."""
    children = [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in children}
    return [pid for pid, line in lines.items() if line.exists() and b"deid.isolated" in line.read_bytes()]


def test_readers_killed_by_others_cost_nothing(desk):
    """The machine may kill a reader (out of memory); whoever was in flight gets a second chance, and the tree is the same."""
    whole = run(desk)
    chance, kills, over = random.Random(5), [0], threading.Event()

    def hunt() -> None:
        while not over.is_set() and kills[0] < 3:
            time.sleep(0.7 + 0.2 * chance.random() if kills[0] else 0.02)  # the first soon, for a run is short; the same file twice would cost it
            for pid in readers()[:1]:
                os.kill(pid, signal.SIGKILL)
                kills[0] += 1

    hunter = threading.Thread(target=hunt)
    hunter.start()
    try:
        hunted = run(desk, "hunted")
    finally:
        over.set()
        hunter.join()
    assert kills[0] and hunted["files"] == whole["files"] and hunted["accounts"] == whole["accounts"]
    assert all((desk / "out" / row["product"]).read_bytes() == (desk / "hunted" / row["product"]).read_bytes() for row in whole["files"])


def test_mutations_of_valid_files_all_have_a_verdict(desk, mri):
    sources = [desk / "in" / "01.dcm", next((mri / "dicom" / "siemens_enh_xa30").rglob("*.dcm")), next((mri / "dicom" / "uih_dwi").rglob("*.dcm"))]
    for path in (desk / "in").iterdir():
        if path != sources[0]:
            path.unlink()
    for n, content in enumerate(mutants([path.read_bytes()[: 1 << 18] for path in sources], seed=7, count=150)):
        (desk / "in" / f"m{n:03d}").write_bytes(content)
    report = run(desk)
    assert len(report["files"]) == 151 and all(row["code"] in errors.REFUSALS or row["code"] == "ok" for row in report["files"])
    assert report["totals"].get("failed", 0) == 0, [row["where"] for row in report["files"] if row["verdict"] == "failed"]
    assert 20 < report["totals"]["refused"] < 150 and len(report["codes"]) > 3
