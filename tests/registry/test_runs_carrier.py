"""Runner and carrier, for real: orders and outcomes over the spool, an outcome that lies, a worker that is killed, an environment without a database."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.outcome import versions
from registry.accounts import keys
from registry.runs import actions, outcome, runner, spool, supervisor
from registry.runs.models import Run

pytestmark = pytest.mark.django_db(databases="__all__")
ROOT = Path(__file__).resolve().parents[2]
A26 = "a" * 26
SAID: list[Any] = []


# --- an outcome is untrusted input -----------------------------------------------------------------------------------------------------------------


def order(**fields: Any) -> dict[str, Any]:
    return {"run": "f" * 32, "attempt": 1, "kind": "study", "files": [{"n": 1, "sha256": "0" * 64}, {"n": 2, "sha256": "1" * 64}], **fields}


@pytest.fixture
def answer(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A folder and an outcome that are as they must be."""
    folder = tmp_path / "done"
    volume = folder / "bids/sub-x/anat/sub-x_T1w.nii.gz"
    volume.parent.mkdir(parents=True)
    volume.write_bytes(b"voxels")
    (folder / "review").mkdir()
    (folder / "review" / "head-0.png").write_bytes(b"png")
    row = {"bytes": 1, "verdict": "kept", "code": "ok", "reason": "", "advice": "", "product": None}
    product = {"path": "sub-x/anat/sub-x_T1w.nii.gz", "sha256": hashlib.sha256(b"voxels").hexdigest(), "bytes": 6}
    image = {
        "bids": product["path"], "contrast": {}, "conversion": {}, "deface": {"verdict": "defaced"}, "quality": {"grade": "pass"}, "protocol": {}, "deid": {},
        "files": [1, 2], "products": [product["path"]], "review": ["head-0.png"],
    }  # fmt: skip
    value = {
        "schema": 1, "run": "f" * 32, "attempt": 1, "kind": "study", "status": "done", "versions": versions(), "studies": [], "images": [image],
        "files": [{"n": 1, "sha256": "0" * 64, **row}, {"n": 2, "sha256": "1" * 64, **row}], "products": [product],
    }  # fmt: skip
    return folder, value


def put(folder: Path, value: Any) -> None:
    (folder / "outcome.json").write_text(json.dumps(value))


def test_an_outcome_that_is_as_it_must_be_is_taken(answer: Any) -> None:
    put(*answer)
    assert outcome.read(answer[0], order())["images"][0]["files"] == [1, 2]


def product(**fields: Any) -> Callable[[Path, dict[str, Any]], None]:
    return lambda folder, value: value["products"][0].update(fields)


def add(path: str) -> Callable[[Path, dict[str, Any]], Any]:
    return lambda folder, value: (folder / path).write_bytes(b"x")


def link(path: str, target: str) -> Callable[[Path, dict[str, Any]], None]:
    def plant(folder: Path, value: dict[str, Any]) -> None:
        (folder / path).unlink(missing_ok=True)
        (folder / path).symlink_to(target)

    return plant


def elsewhere(folder: Path, value: dict[str, Any]) -> None:
    """The product lies outside, reached through a linked folder."""
    (folder.parent / "outside").mkdir()
    (folder / "bids/sub-x/anat").rename(folder.parent / "outside" / "anat")
    (folder / "bids/sub-x/anat").symlink_to(folder.parent / "outside" / "anat")


LIES: dict[str, Callable[[Path, dict[str, Any]], Any]] = {
    "of another run": lambda folder, value: value.update(run="e" * 32),
    "of another attempt": lambda folder, value: value.update(attempt=2),
    "of another kind": lambda folder, value: value.update(kind="sort"),
    "a key too many": lambda folder, value: value.update(patient="Doe^Jane"),
    "a file left out": lambda folder, value: (value["files"].pop(), value["images"][0].update(files=[1])),
    "a file twice": lambda folder, value: value["files"].append(value["files"][0]),
    "a file nobody sent": lambda folder, value: value["files"].append({**value["files"][0], "n": 3}),
    "a file with another hash": lambda folder, value: value["files"][0].update(sha256="2" * 64),
    "an image of files that are not there": lambda folder, value: value["images"][0].update(files=[7]),
    "an image of products that are not there": lambda folder, value: value["images"][0].update(products=["sub-x/other.nii.gz"]),
    "a product with another hash": product(sha256="3" * 64),
    "a product with another size": product(bytes=7),
    "a product that is missing": product(path="sub-x/anat/other.nii.gz"),
    "a path upwards": product(path="../outcome.json"),
    "a path from the root": product(path="/etc/passwd"),
    "a path with a backslash": product(path="sub-x\\anat"),
    "a hidden path": product(path=".ssh/config"),
    "a product twice": lambda folder, value: value["products"].append(value["products"][0]),
    "a product that is a link": link("bids/sub-x/anat/sub-x_T1w.nii.gz", "/etc/hostname"),
    "a product behind a linked folder": elsewhere,
    "a product nobody listed": add("bids/sub-x/anat/extra.json"),
    "a pipe among the products": lambda folder, value: os.mkfifo(folder / "bids" / "pipe"),
    "a picture nobody listed": add("review/other.png"),
    "a picture that is missing": lambda folder, value: (folder / "review/head-0.png").unlink(),
    "a picture elsewhere": lambda folder, value: value["images"][0].update(review=["../outcome.json"]),
    "a text without end": lambda folder, value: value["files"][0].update(reason="x" * 5000),
    "an outcome that is a link": link("outcome.json", "/etc/hostname"),
}


@pytest.mark.parametrize("name", list(LIES))
def test_an_outcome_that_lies_is_refused_without_repeating_what_it_said(answer: Any, name: str) -> None:
    folder, value = answer
    if name != "an outcome that is a link":
        LIES[name](folder, value)
        put(folder, value)
    else:
        LIES[name](folder, value)
    with pytest.raises(outcome.BadOutcome) as refused:
        outcome.read(folder, order())
    assert "Doe" not in str(refused.value) and "/etc" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "null", "[]", "{", "[" * 100_000, '{"run": NaN}', "\x00"])
def test_what_is_no_outcome_at_all_is_refused(answer: Any, text: str) -> None:
    (answer[0] / "outcome.json").write_text(text)
    with pytest.raises(outcome.BadOutcome):
        outcome.read(answer[0], order())


# --- the spool -------------------------------------------------------------------------------------------------------------------------------------


def test_an_order_appears_whole_and_an_equal_one_of_a_later_attempt_is_the_same_order() -> None:
    first = {"run": "f" * 32, "attempt": 1, "kind": "sort", "input": "/x"}
    assert spool.put(first) == 1
    assert json.loads((spool.folder() / f"{'f' * 32}.1" / "order.json").read_text()) == first
    assert spool.put({**first, "attempt": 2}) == 1
    (spool.folder() / f"{'f' * 32}.1").rename(spool.folder() / f"{'f' * 32}.1.taken")
    assert spool.put({**first, "attempt": 3}) == 1
    assert spool.put({**first, "attempt": 4, "input": "/y"}) == 4
    spool.clear("f" * 32)
    assert spool.of_run("f" * 32) == {}
    assert not [path for path in spool.folder().iterdir() if not path.name.startswith("carrier")]


def test_remains_of_killed_processes_are_swept_and_fresh_ones_left() -> None:
    for name in (".tmp-old", ".gone-old", ".tmp-new"):
        (spool.folder() / name).mkdir()
    for name in (".tmp-old", ".gone-old"):
        os.utime(spool.folder() / name, (1e9, 1e9))
    assert spool.sweep() == 2
    assert (spool.folder() / ".tmp-new").exists()


# --- a real carrier --------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def carriers() -> Iterator[supervisor.Carriers]:
    runner.stopping.clear()
    found = supervisor.Carriers(spool.folder())
    found.watch()
    until = time.monotonic() + 30
    while not spool.carrier_alive() and time.monotonic() < until:
        time.sleep(0.1)
    yield found
    found.stop()


@pytest.fixture
def sorting(world: Any, settings: Any, monkeypatch: Any, tmp_path: Path) -> Run:
    """A sort of two files that are no DICOM, of a real dataset with real keys, with this test's own order and record."""
    upload = tmp_path / "upload"
    upload.mkdir()
    for name in ("a.txt", "b.bin"):
        (upload / name).write_bytes(b"not a scan " + name.encode())
    dataset = world.dataset(world.site())
    SAID.clear()
    parts: dict[str, Any] = {
        "order": lambda run: {"input": str(upload), "site": "aarhus", "keys": keys.paths(dataset)},
        "publish": lambda run, value, folder: SAID.append(("publish", sorted(path.name for path in folder.iterdir()))),
        "record": lambda run, value, folder: SAID.append(("record", [row["verdict"] for row in value["files"]])) or {"files": len(value["files"])},
        "dead": lambda run: SAID.append(("dead", run.code)),
    }
    monkeypatch.setattr("registry.runs.kinds.function", lambda path: parts[path])
    settings.MYELIN_RUN_KINDS = {"sort": {name: name for name in parts}}
    settings.MYELIN_LEASE_S = 3
    return actions.enqueue("sort", uuid.uuid4(), dataset.pk)


def test_an_order_goes_out_and_its_outcome_is_recorded(committed: None, sorting: Run, carriers: supervisor.Carriers) -> None:
    assert runner.carry(str(sorting.pk)) == "done"
    sorting.refresh_from_db()
    assert sorting.result == {"files": 2}
    assert [name for name, _ in SAID] == ["publish", "record"]
    assert SAID[1][1] == ["refused", "refused"]
    assert spool.of_run(sorting.name) == {}


def test_a_carrier_knows_no_database_and_loads_no_django(committed: None, carriers: supervisor.Carriers, monkeypatch: Any) -> None:
    [pid] = carriers.pids()
    environment = Path(f"/proc/{pid}/environ").read_bytes().decode()
    maps = Path(f"/proc/{pid}/maps").read_text()
    files = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    assert "pipeline" in Path(f"/proc/{pid}/cmdline").read_text()
    assert not [word for word in ("DATABASE", "VAULT_URL", "SECRET", "DJANGO", "EMAIL_URL", "CACHE_URL") if word in environment]
    assert "sqlite3" not in " ".join(files) and "psycopg" not in maps and "socket:" not in " ".join(files)


def test_the_carrier_s_environment_is_a_list_of_few_names(monkeypatch: Any) -> None:
    for name in ("DATABASE_URL", "VAULT_URL", "MYELIN_SECRET_KEY", "EMAIL_URL", "PGPASSWORD"):
        monkeypatch.setenv(name, "secret")
    assert "secret" not in supervisor.environment().values()
    assert supervisor.environment()["PATH"] == os.environ["PATH"]


def test_a_carrier_that_was_killed_is_started_again_and_the_order_is_carried_out(committed: None, sorting: Run, carriers: supervisor.Carriers) -> None:
    os.kill(carriers.pids()[0], signal.SIGKILL)
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            carriers.watch()

    # The kernel ends a carrier when the thread that started it ends, so this one lives until the run is done.
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        assert runner.carry(str(sorting.pk)) == "done"
    finally:
        ended.set()
        thread.join()


def test_a_runner_that_died_is_followed_by_one_that_waits_for_the_same_outcome(committed: None, sorting: Run, carriers: supervisor.Carriers) -> None:
    from registry.runs import ledger

    first = ledger.claim("died")
    assert first is not None
    spool.put(runner.make_order(first))
    until = time.monotonic() + 60
    while spool.done(first.name, 1) is None and time.monotonic() < until:
        time.sleep(0.1)
    Run.objects.update(state="ready", owner="", heartbeat_at=None)
    assert runner.carry(str(sorting.pk)) == "done"
    sorting.refresh_from_db()
    assert sorting.attempt == 2
    assert len(SAID) == 2
    assert spool.of_run(sorting.name) == {}


def test_an_order_that_cannot_be_carried_out_costs_the_attempt(committed: None, sorting: Run, carriers: supervisor.Carriers, tmp_path: Path) -> None:
    (tmp_path / "upload").rename(tmp_path / "gone")
    assert runner.carry(str(sorting.pk)) == "ready"
    sorting.refresh_from_db()
    assert sorting.code == "no_such_input" and SAID == []


# --- a real worker ---------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of its own, on SQLite, with nothing in it."""
    home = tmp_path_factory.mktemp("own")
    subprocess.run([sys.executable, "manage.py", "bootstrap"], cwd=ROOT, env=own_environment(home), check=True, capture_output=True, timeout=300)
    return home


def own_environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "VAULT_URL", "DJANGO_SETTINGS_MODULE"}}
    return {**kept, "MYELIN_HOME": str(home), "MYELIN_LOG": "INFO"}


@pytest.fixture
def worker(own_home: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `manage.py worker` there."""
    (own_home / "spool" / "carrier.alive").unlink(missing_ok=True)
    started: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "manage.py", "worker", *words]
        started.append(subprocess.Popen(command, cwd=ROOT, env=own_environment(own_home), stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def carrier_of(process: subprocess.Popen[str], home: Path) -> int:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        if children and (home / "spool" / "carrier.alive").exists():
            return int(children[0])
        time.sleep(0.2)
    raise AssertionError("no carrier came to life")


def gone(pid: int, seconds: float = 15.0) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.1)
    return False


def test_a_worker_ends_cleanly_and_takes_its_carrier_with_it(worker: Any, own_home: Path) -> None:
    process = worker()
    carrier = carrier_of(process, own_home)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert gone(carrier)


def test_a_worker_that_is_killed_leaves_no_carrier_behind(worker: Any, own_home: Path) -> None:
    process = worker()
    carrier = carrier_of(process, own_home)
    process.kill()
    assert gone(carrier)


def test_a_worker_with_nothing_to_do_ends_when_told_to(worker: Any) -> None:
    process = worker("--until-idle", "--carriers", "0")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
