"""A contributor with the `myelin` command and a real registry: a scan is handed in, waits for three things in turn, and goes on by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from client.api import Registry, sign_in, wait_for
from client.records import Study
from pipeline import phantom, phantom_head, phantom_people
from registry.management.demo.serve import ROOT, Servers

PERSON = phantom_people.STRANGER
EMAIL = "contributor@santelmo.example"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    found = Servers(tmp_path_factory.mktemp("registry") / "demo")
    found.clear()
    found.manage("bootstrap")
    found.manage("accounts", "site", "santelmo", "San Telmo", "ES")
    agreement = found.folder / "agreement.txt"
    agreement.write_text("Be good.")
    found.manage("accounts", "dataset", "sheath", "Sheath", "--sites", "santelmo", "--agreement", str(agreement))
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="module")
def line(servers: Servers) -> Iterator[Registry]:
    password = servers.person(EMAIL)
    servers.manage("accounts", "role", EMAIL, "sheath", "contributor", "--site", "santelmo")
    found = Registry(servers.url, sign_in(servers.url, EMAIL, password, name="journey", scopes=["read", "write"]))
    yield found
    found.close()


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    return phantom.write_odd_study(phantom_head.average(), folder, "stranger", (PERSON,), 0).folder


def myelin(line: Registry, home: Path, *arguments: str) -> Any:
    """One `myelin --json` command as a shell runs it."""
    environment = {**os.environ, "MYELIN_DESK": str(home), "MYELIN_REGISTRY": line.url, "MYELIN_TOKEN": line.token, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "client", *arguments, "--json"], capture_output=True, text=True, env=environment)
    return done.returncode, json.loads(done.stdout)


def only_study(line: Registry, upload: str) -> Study:
    (study,) = line.studies(upload=upload)
    return study


@pytest.fixture(scope="module")
def upload(line: Registry, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    home = tmp_path_factory.mktemp("desk")
    code, sent = myelin(line, home, "upload", str(scans), "--dataset", "sheath", "--site", "santelmo", "--names", str(home / "names.csv"))
    assert (code, sent["files"]) == (0, 34)
    code, seen = myelin(line, home, "status", sent["upload"], "--wait")
    assert code == 0
    assert seen["state"] == "sorted"
    return str(sent["upload"])


def test_the_story_of_one_scan(line: Registry, upload: str) -> None:
    assert only_study(line, upload).code == "unknown_participant"
    (person,) = line.register("sheath", "santelmo", [{"patient_id": PERSON.source_id, "issuer": PERSON.issuer, "sex": PERSON.sex}])
    assert line.upload(upload).studies["waiting"] == 1
    line.add_visits([{"participant": person.id, "label": "m00", "date": phantom.ODD_DAY.isoformat()}])
    assert wait_for(lambda: only_study(line, upload), lambda s: s.code != "unknown_participant", limit_s=30).code in ("no_consent", "unknown_visit")
    paper = {"kind": "given", "permission": "GRU", "commercial": True, "ai_training": False, "evidence_sha256": "0" * 63 + "1"}
    line.add_consents([{"participant": person.id, **paper}])
    done = wait_for(lambda: only_study(line, upload), lambda s: s.state in ("recorded", "refused"), limit_s=240)
    assert done.state == "recorded", done.code
    verdicts = {(f.verdict, f.code) for f in line.upload_files(upload)}
    assert verdicts == {("kept", "ok")}
    (image,) = line.images(dataset="sheath")
    assert (image.suffix, image.participant) == ("T1w", person.id)


def test_no_name_reaches_the_registrys_database_or_logs(servers: Servers, upload: str) -> None:
    from registry.management.demo import search

    planted = phantom_people.identifiers((PERSON,), (phantom_people.SANTELMO,))
    places = [*servers.home.glob("registry.sqlite3*"), servers.home / "store", servers.folder / "logs"]
    assert search.look(places, planted, lambda done, total: None).hits == []
    # The search is able to find them: in quarantine, and only there, the originals still lie.
    originals = search.look([servers.home / "quarantine"], planted, lambda done, total: None)
    assert len({h.kind for h in originals.hits}) >= 10
