"""The carrier takes an order by rename, works without a database in sight, and publishes by rename, whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deid.pseudonyms import new_key
from pipeline import outcome as outcomes
from pipeline.carrier import Carrier
from pipeline.isolate import ROOT
from pipeline.order import Order
from pipeline.outcome import Outcome
from pipeline.workspace import Lock, Taken, Workspace, private
from tests.pipeline.made import scan

SECRET = "postgres://registry:hunter2@db/registry"


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    new_key(tmp_path / "key")
    for n in range(3):
        scan(tmp_path / "in" / f"{n}", instance=n + 1)
    return private(tmp_path / "spool")


def order(spool: Path, name: str = "r1.1", **change: Any) -> Path:
    """Put an order into the spool as the runner does."""
    run, _, attempt = name.rpartition(".")
    value = Order(run, int(attempt), "sort", spool.parent / "in", "aarhus", {"file": str(spool.parent / "key")}).as_json() | change
    hidden = private(spool / f".tmp-{name}")
    (hidden / "order.json").write_text(json.dumps(value))
    hidden.rename(spool / name)
    return spool / name


def start(spool: Path, *options: str) -> subprocess.Popen[bytes]:
    environment = os.environ | {"DATABASE_URL": SECRET, "DJANGO_SETTINGS_MODULE": "registry.settings", "MYELIN_SECRET_KEY": "x" * 50}
    return subprocess.Popen([sys.executable, "-m", "pipeline", "serve", str(spool), *options], cwd=ROOT, env=environment)


def wait_for(path: Path, seconds: float = 60) -> Path:
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} did not appear"
        time.sleep(0.02)
    return path


@pytest.fixture
def served(spool: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = start(spool)
    yield process
    process.kill()
    process.wait()


def test_an_order_comes_back_done_with_an_account_of_every_file(spool: Path) -> None:
    order(spool)
    assert start(spool, "--once").wait(120) == 0
    assert sorted(path.name for path in spool.iterdir()) == ["carrier.alive", "r1.1.done"]
    value = outcomes.read(spool / "r1.1.done" / "outcome.json")
    assert (value["run"], value["attempt"], value["status"], value["kind"]) == ("r1", 1, "done", "sort")
    assert [row["verdict"] for row in value["files"]] == ["kept"] * 3
    assert len(value["studies"]) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [({"schema": 9}, "bad_order"), ({"input": "/nowhere/at/all"}, "no_such_input"), ({"keys": {"file": "/nowhere/key"}}, "bad_key")],
)
def test_an_order_that_cannot_be_carried_out_is_answered_and_the_next_one_done(spool: Path, change: dict[str, Any], code: str) -> None:
    order(spool, "r1.4", **change)
    order(spool, "r2.1")
    carrier = Carrier(spool)
    assert carrier.work()
    assert carrier.work()
    assert not carrier.work()
    value = outcomes.read(spool / "r1.4.done" / "outcome.json")
    assert (value["status"], value["code"], value["run"], value["attempt"]) == ("failed", code, "r1", 4)
    assert outcomes.read(spool / "r2.1.done" / "outcome.json")["status"] == "done"


def test_what_the_starter_knows_of_the_database_is_not_in_the_carrier(spool: Path, served: subprocess.Popen[bytes]) -> None:
    wait_for(spool / "carrier.alive")
    environment = Path(f"/proc/{served.pid}/environ").read_bytes()
    assert b"PATH=" in environment
    for secret in (b"DATABASE_URL", b"hunter2", b"DJANGO", b"MYELIN_SECRET_KEY"):
        assert secret not in environment
    mapped = Path(f"/proc/{served.pid}/maps").read_text()
    assert "libpq" not in mapped
    assert "sqlite" not in mapped


def test_it_shows_that_it_lives_and_stops_cleanly_when_asked(spool: Path, served: subprocess.Popen[bytes]) -> None:
    alive = wait_for(spool / "carrier.alive")
    first = alive.stat().st_mtime
    end = time.monotonic() + 10
    while alive.stat().st_mtime == first and time.monotonic() < end:
        time.sleep(0.1)
    assert alive.stat().st_mtime > first
    served.send_signal(signal.SIGTERM)
    assert served.wait(10) == 0


@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGTERM, 0)])
def test_an_order_whose_carrier_ended_is_taken_up_by_the_next(spool: Path, number: int, status: int) -> None:
    for n in range(300):
        scan(spool.parent / "in" / f"more{n:03d}", instance=n + 10)
    order(spool)
    first = start(spool)
    wait_for(spool / "r1.1.taken" / "progress.json")
    first.send_signal(number)
    assert first.wait(10) == status
    assert (spool / "r1.1.taken").exists()
    assert not (spool / "r1.1.done").exists()
    assert start(spool, "--once").wait(120) == 0
    assert len(outcomes.read(spool / "r1.1.done" / "outcome.json")["files"]) == 303
    assert not (spool / "r1.1.taken").exists()


def test_an_order_whose_carrier_lives_is_left_alone(spool: Path) -> None:
    order(spool).rename(spool / "r1.1.taken")
    with Lock(spool / "r1.1.taken" / "lock"):
        assert not Carrier(spool).work()
    assert Carrier(spool).work()
    assert (spool / "r1.1.done").exists()


def test_of_two_carriers_one_gets_the_order(spool: Path) -> None:
    for n in range(6):
        order(spool, f"r{n}.1")
    carriers = [start(spool, "--once") for _ in range(2)]
    assert [carrier.wait(120) for carrier in carriers] == [0, 0]
    assert sorted(path.name for path in spool.glob("r*")) == [f"r{n}.1.done" for n in range(6)]


def test_a_carrier_killed_after_publishing_does_not_do_the_order_again(spool: Path) -> None:
    taken = spool / "r1.1.taken"
    order(spool).rename(taken)
    private(taken / "work")
    (taken / "work" / "ready").touch()  # and no result: it was published, and since fetched by the runner

    def never(order: Order, workspace: Workspace, result: Path) -> Outcome:
        raise AssertionError("carried out twice")

    assert Carrier(spool, run=never).work()
    assert not taken.exists()
    assert not (spool / "r1.1.done").exists()


def test_a_failure_of_our_own_is_answered_once_and_not_tried_for_ever(spool: Path) -> None:
    def fail(order: Order, workspace: Workspace, result: Path) -> Outcome:
        (private(result) / "half").write_text("half")
        raise ZeroDivisionError("Vestergaard")

    order(spool)
    assert Carrier(spool, run=fail).work()
    assert not Carrier(spool, run=fail).work()
    value = outcomes.read(spool / "r1.1.done" / "outcome.json")
    assert (value["status"], value["code"]) == ("failed", "failed")
    assert "ZeroDivisionError at tests/pipeline/test_carrier.py:" in value["reason"]
    assert "Vestergaard" not in json.dumps(value)
    assert not (spool / "r1.1.done" / "half").exists()


def test_a_disk_that_is_full_loses_no_order(spool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import carrier

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    order(spool)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(carrier, "publish", full)
        Carrier(spool).work()
    assert not (spool / "r1.1.done").exists()
    assert Carrier(spool).work()
    assert outcomes.read(spool / "r1.1.done" / "outcome.json")["status"] == "done"


def test_a_lock_is_free_again_when_its_holder_is_gone(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock"), pytest.raises(Taken), Lock(tmp_path / "lock"):
        pass
    with Lock(tmp_path / "lock"):
        pass
