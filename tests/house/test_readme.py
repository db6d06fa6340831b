"""The README is true: its commands are tagged and run, and `.ci/run` calls what it promises."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
CI = (ROOT / ".ci/run").read_text("utf-8")
# ```sh run      a test runs it here
# ```sh root     needs root: .ci/run runs it
# ```sh by-ci    .ci/run itself calls it (make demo, make test)
# ```sh measure  make show*, of which a QUICK=1 form is run by a test
# ```sh deploy   a deployment block: run on another machine, by nobody here
FENCE = re.compile(r"^```(\w+) ?([\w-]*)\n(.*?)^```", re.M | re.S)
BLOCKS = FENCE.findall(README)
TAGS = {"run", "root", "by-ci", "measure", "deploy"}


def commands(tag: str) -> list[str]:
    return [body for language, found, body in BLOCKS if language == "sh" and found == tag]


def lines(body: str) -> list[str]:
    return [line.strip() for line in body.splitlines() if line.strip() and not line.strip().startswith("#")]


def test_every_shell_block_carries_one_of_the_tags() -> None:
    assert BLOCKS
    assert [found for language, found, _ in BLOCKS if language == "sh" and found not in TAGS] == []


def test_what_needs_root_or_is_set_up_stands_in_ci() -> None:
    for tag in ("root", "by-ci"):
        assert commands(tag)
        for body in commands(tag):
            for line in lines(body):
                assert line.split("  #")[0].strip() in CI, line


def test_ci_calls_the_two_commands() -> None:
    assert re.search(r"^make demo$", CI, re.M)
    assert re.search(r"^make test$", CI, re.M)


SERVING = [body for body in commands("run") if "make serve" in body]


@pytest.mark.parametrize("body", [body for body in commands("run") if body not in SERVING], ids=lambda body: lines(body)[0][:60])
def test_a_run_block_runs(body: str, tmp_path: Path) -> None:
    """Each block runs by itself from the repository's root, as its reader would run it, with a scratch folder as $TMP."""
    environment = {**os.environ, "TMP": str(tmp_path), "MYELIN_HOME": str(tmp_path / "home"), "PYTHONWARNINGS": "default"}
    environment.pop("DATABASE_URL", None)
    result = subprocess.run(["bash", "-eu", "-c", body], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, f"{body}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"


@pytest.mark.parametrize("body", SERVING)
def test_a_block_that_serves_answers(body: str, tmp_path: Path) -> None:
    """What runs until it is stopped: started as its reader would, asked for its health until web and worker are well, and stopped."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "PORT": str(port), "MYELIN_HOME": str(tmp_path / "home"), "MYELIN_URL": f"http://127.0.0.1:{port}"}
    environment.pop("DATABASE_URL", None)
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(["bash", "-eu", "-c", body], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        assert healthy(port, seconds=120), (tmp_path / "log").read_text("utf-8")[-2000:]
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def healthy(port: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            answer = requests.get(f"http://127.0.0.1:{port}/api/v1/health", timeout=5)
            if answer.ok and answer.json()["status"] == "ok" and answer.json()["worker"] == "alive":
                return True
        except requests.RequestException:
            pass
        time.sleep(0.5)
    return False


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert set(re.findall(r"\bmake ([a-z][\w-]*)", README)) <= targets


@pytest.mark.slow
def test_the_quick_form_of_every_measure_runs() -> None:
    for body in commands("measure"):
        for line in lines(body):
            done = subprocess.run([*line.split(), "QUICK=1"], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
            rows = json.loads((ROOT / f"build/show/{line.removeprefix('make show-')}.json").read_text("utf-8"))
            # What QUICK leaves to a full run is as good as the last full run, and what nobody has built says so; whatever it measured itself is met.
            excused = ("not run now", "not built yet")
            assert [row for row in rows if not row["met"] and not any(word in row["figure"] for word in excused)] == [], done.stderr[-2000:]
            assert done.returncode == (0 if all(row["met"] for row in rows) else 2 if rows else None), done.stderr[-2000:]


def test_make_help_names_every_target_people_use() -> None:
    if not shutil.which("make"):
        pytest.skip("needs make")
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("demo", "test", "check", "show", "serve", "worker"):
        assert re.search(rf"^  {target}\b", text, re.M), target
