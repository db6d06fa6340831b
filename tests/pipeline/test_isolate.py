"""A child that dies, hangs, spins, eats memory or fills the disk costs one item; the next one is answered."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import isolate
from pipeline.isolate import Broken, Limits, Pool, each
from tests.pipeline import hostile

ACT = "tests.pipeline.hostile:act"
SMALL = Limits(memory_mb=512, cpu_s=20, wall_s=30, file_mb=8)


def run(*items: str, limits: Limits = SMALL, jobs: int = 1) -> dict[int, str]:
    """index -> "done …", or the code of the death."""
    return {answer.index: answer.death.code if answer.death else answer.value for answer in each(ACT, items, limits=limits, jobs=jobs)}


@pytest.mark.parametrize(
    ("item", "code", "limits"),
    [
        ("abort", "reader_died", SMALL),
        ("kill", "reader_died", SMALL),
        ("eat", "memory_limit", SMALL),
        ("nest", "nested_too_deep", SMALL),
        ("spin", "cpu_limit", Limits(512, 1, 30)),
        ("sleep", "time_limit", Limits(512, 20, 1)),
        ("raise", "unforeseen_error", SMALL),
        ("refuse", "empty_file", SMALL),
    ],
)
def test_a_death_costs_one_item_and_the_next_is_answered(item: str, code: str, limits: Limits) -> None:
    assert run("a", item, "b", limits=limits) == {0: "done a", 1: code, 2: "done b"}


def test_what_a_child_may_write_is_capped(tmp_path: Path) -> None:
    assert run(f"fill {tmp_path / 'big'}", "b") == {0: "file_size_limit", 1: "done b"}
    assert (tmp_path / "big").stat().st_size <= 8 * 1024 * 1024
    roomy = Limits(512, 20, 30, file_mb=100)
    assert run(f"fill {tmp_path / 'big'}", limits=roomy) == {0: f"done fill {tmp_path / 'big'}"}


def test_several_children_answer_every_item_once() -> None:
    items = [str(n) for n in range(50)]
    items[7] = items[31] = "abort"
    found = run(*items, jobs=2)
    assert found == {n: "reader_died" if item == "abort" else f"done {item}" for n, item in enumerate(items)}


def test_an_exception_crosses_without_its_message() -> None:
    answer = next(iter(each(ACT, ["raise"], limits=SMALL)))
    assert answer.death and answer.death.error == "ValueError"
    assert answer.death.where.startswith("tests/pipeline/hostile.py:")
    assert "Jensen" not in json.dumps(answer.death.__dict__)


def test_printing_neither_leaks_nor_forges_an_answer(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("print", "b") == {0: "done print", 1: "done b"}
    out, err = capfd.readouterr()
    assert "Jensen" not in out + err


def test_a_child_sees_no_secret_of_the_parents_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://nobody")
    monkeypatch.setenv("TZ", "UTC")
    answer = next(iter(each("tests.pipeline.hostile:seen", [0], limits=SMALL)))
    assert answer.value["environment"]["TZ"] == "UTC"
    assert "DATABASE_URL" not in answer.value["environment"]
    assert answer.value["core"] == [0, 0]


def may_leave_the_network() -> bool:
    """Whether this kernel lets a process like ours give up its network."""
    script = "import ctypes; l = ctypes.CDLL(None); exit(0 if l.unshare(0x40000000) == 0 or l.unshare(0x50000000) == 0 else 1)"
    return subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_child_has_no_way_out_of_the_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert hostile.call_home(port) == "reached"  # the twin: here, outside
        answer = next(iter(each("tests.pipeline.hostile:call_home", [port], limits=SMALL)))
    assert answer.value == ("no way out" if may_leave_the_network() else "reached")


def test_a_pool_keeps_its_child_for_the_next_call_and_ends_it() -> None:
    with Pool(1) as pool:
        pids = {pool.one("tests.pipeline.hostile:seen", 0, limits=SMALL).value["pid"] for _ in range(3)}
    assert len(pids) == 1
    with pytest.raises(ProcessLookupError):
        os.kill(pids.pop(), 0)


def test_a_time_out_ends_what_the_child_started_too() -> None:
    with Pool(1) as pool:
        orphan = int(pool.one(ACT, "orphan", limits=SMALL).value)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and Path(f"/proc/{orphan}/stat").exists() and " Z " not in Path(f"/proc/{orphan}/stat").read_text():
        time.sleep(0.05)
    assert not Path(f"/proc/{orphan}/stat").exists() or " Z " in Path(f"/proc/{orphan}/stat").read_text()


def test_a_child_dies_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "from pipeline.isolate import *\nimport sys\n"
        "with Pool(1) as pool:\n"
        "    print(pool.one('tests.pipeline.hostile:seen', 0, limits=Limits(512, 20, 30)).value['pid'], flush=True)\n"
        f"    pool.one('tests.pipeline.hostile:act', 'nap {tmp_path / 'napping'}', limits=Limits(512, 20, 30))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=isolate.ROOT)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    while not (tmp_path / "napping").exists():  # else it would merely see its input end
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and Path(f"/proc/{pid}").exists() and " Z " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()


def test_a_function_that_is_not_there_is_our_fault_not_the_files() -> None:
    with pytest.raises(Broken, match="no_such"):
        list(each("tests.pipeline.hostile:no_such", [1], limits=SMALL))
