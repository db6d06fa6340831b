"""The `myelin` command: answers for scripts, exit statuses, and what the desk remembers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from client.cli import run
from client.desk import Desk, upload_key
from client.errors import Usage


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    for name in ("MYELIN_REGISTRY", "MYELIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MYELIN_DESK", str(tmp_path / "home"))
    return Desk(tmp_path / "home")


def test_login_upload_and_again(little: Any, desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    little.answers["/me"] = {"id": "1", "email": "kari@nordvik.example"}
    little.answers["/uploads"] = {"id": "u1", "dataset": "ms", "site": "nordvik", "state": "receiving"}
    assert run(["--json", "login", little.url, "--token", "myl_t"]) == 0
    assert (desk.home / "login.json").stat().st_mode & 0o777 == 0o600
    (tmp_path / "scans").mkdir()
    for n in range(5):
        (tmp_path / "scans" / f"{n}").write_bytes(bytes([n + 1]))
    little.trouble = lambda method, path, nth: 400 if path.endswith("/files/4") else None
    arguments = ["upload", str(tmp_path / "scans"), "--dataset", "ms", "--site", "nordvik", "--threads", "1", "--json"]
    assert run(arguments) == 1
    little.trouble = lambda method, path, nth: None
    capsys.readouterr()
    assert run(arguments) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["files"] == 5
    assert answer["skipped"] >= 3
    assert sum(1 for seen in little.seen if seen == ("POST", "/uploads")) == 1
    assert "scans" not in (desk.home / "uploads.json").read_text()


def test_errors_have_a_code_and_a_status(little: Any, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "query", "images"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not_logged_in"
    desk.remember(little.url, "t")
    assert run(["--json", "query", "images"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "not_found"
    little.answers["/images"] = {"next": None, "results": [{"id": "i", "grade": "pass"}]}
    assert run(["--json", "query", "images", "grade=pass"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"id": "i", "grade": "pass"}]
    assert run(["query", "images", "grade=pass"]) == 0
    assert "grade" in capsys.readouterr().out


def test_counting(little: Any, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.remember(little.url, "t")
    little.answers["/count-fields"] = {"results": [{"field": "sex", "values": ["F", "M", "O"]}]}
    told = {"conditions": ["diagnosis:ms"], "counts": [{"value": "F", "count": 45}, {"value": "O", "count": None}], "exact": False, "left": 97}
    little.answers["/datasets/ms/count"] = told
    assert run(["count", "--fields"]) == 0
    assert capsys.readouterr().out == "sex: F, M, O\n"
    assert run(["count", "diagnosis:ms", "--dataset", "ms", "--by", "sex"]) == 0
    assert capsys.readouterr().out == "F: 45\nO: not told\n"
    assert run(["--json", "count", "diagnosis:ms", "--dataset", "ms"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert run(["count", "sex:F", "--dataset", "closed"]) == 1


def test_a_remembered_token_is_not_given_to_another_registry(desk: Desk) -> None:
    desk.remember("https://one.example", "myl_one")
    assert desk.login({}) == ("https://one.example", "myl_one")
    assert desk.login({"MYELIN_REGISTRY": "https://two.example", "MYELIN_TOKEN": "myl_two"}) == ("https://two.example", "myl_two")
    with pytest.raises(Usage):
        desk.login({"MYELIN_REGISTRY": "https://two.example"})


def test_a_folder_is_remembered_without_its_name(desk: Desk, tmp_path: Path) -> None:
    key = upload_key("https://one.example", "ms", "nordvik", tmp_path)
    desk.remember_upload(key, "u1")
    assert desk.upload_of(key) == "u1"
    assert desk.upload_of(upload_key("https://one.example", "ms", "nordvik", tmp_path / "other")) is None
    desk.remember_upload(key, None)
    assert desk.upload_of(key) is None


def test_the_client_runs_without_django_torch_or_imaging(tmp_path: Path) -> None:
    """In a process of its own: what the client loads is what a desk must install."""
    heavy = {"django", "torch", "numpy", "pydicom", "nibabel", "cryptography", "registry"}
    code = f"import client.cli, sys; print(sorted({{m.split('.')[0] for m in sys.modules}} & {heavy}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert answer.stdout.strip() == "[]"
    helped = subprocess.run(
        [sys.executable, "-m", "client", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "100"},
        cwd=Path(__file__).parents[2],
    )
    for name in ("login", "upload", "status", "query", "count", "request", "download", "verify", "withdraw-ack"):
        assert name in helped.stdout
