"""The peers beside us: each in an environment of its own under build/peers/, over the very same files, judged by the same score.

Made on demand from PyPI with pinned versions (Orthanc from Debian, if it is installed or can be: as root); never installed into ours. One that cannot be had
here is "not run (why)", never a number. What is run is what the tool's documentation shows for ordinary use, with its defaults; `peer_work` has the calls.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from table import ROOT

HOME = ROOT / "build" / "peers"
WORK = Path(__file__).with_name("peer_work.py")
KEY = "7f" * 32


@dataclass(frozen=True)
class Peer:
    """`tool`: its name in peer_work; `install`: what pip is asked for."""

    name: str
    tool: str
    folder: str
    install: tuple[str, ...]


PEERS = (
    Peer("openmed 3.1.0", "openmed", "openmed", ("openmed==3.1.0", "pydicom==3.0.2", "numpy==2.4.6")),
    Peer("openmed 3.1.0 longitudinal", "openmed, longitudinal", "openmed", ("openmed==3.1.0", "pydicom==3.0.2", "numpy==2.4.6")),
    Peer("dicognito 0.19.0", "dicognito", "dicognito", ("dicognito==0.19.0",)),
    Peer("dicom-anonymizer 2.1.0", "dicom-anonymizer", "dicom-anonymizer", ("dicom-anonymizer==2.1.0",)),
    Peer("deid 0.4.13", "deid", "deid", ("deid==0.4.13",)),
    Peer("deid 0.4.13 private removed", "deid, private removed", "deid", ("deid==0.4.13",)),
    Peer("idiscore 1.2.0", "idiscore", "idiscore", ("idiscore==1.2.0",)),
)


class NotRun(Exception):
    """Why a tool was not run here."""


@dataclass(frozen=True)
class Done:
    """What a run took: CPU seconds over the files (start-up and imports not counted), and what it raised."""

    cpu: float
    failed: dict[str, int]


def python_of(peer: Peer) -> Path:
    """The peer's own interpreter, made if it is not there.

    Raises NotRun where it cannot be made.
    """
    folder = HOME / peer.folder
    ready = folder / ".ready"
    if ready.exists() and ready.read_text() == " ".join(peer.install):
        return folder / "bin" / "python"
    HOME.mkdir(parents=True, exist_ok=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check", *peer.install],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        if done.returncode:
            raise NotRun(f"could not be installed: {(done.stderr.strip() or 'no reason given').splitlines()[-1][:120]}")
    ready.write_text(" ".join(peer.install))
    return folder / "bin" / "python"


def run(peer: Peer, files: Sequence[Path], out: Path, *, seconds: float = 1500) -> Done:
    """Run a peer over files into an empty folder.

    Raises NotRun.
    """
    python = python_of(peer)
    with tempfile.TemporaryDirectory(prefix="myelin-peer-") as scratch:
        listed = Path(scratch, "files.json")
        listed.write_text(json.dumps([str(path) for path in files]))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
        try:
            done = subprocess.run(
                [str(python), str(WORK), peer.tool, str(listed), str(out)],
                capture_output=True,
                text=True,
                check=False,
                env=environment,
                cwd=scratch,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            raise NotRun(f"took longer than {seconds / 60:.0f} min") from None
    if done.returncode:
        raise NotRun(f"exit {done.returncode}: {(done.stderr.strip() or '-').splitlines()[-1][:120]}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return Done(said["cpu"], said["failed"])


# --- Orthanc -------------------------------------------------------------------------------------------------------------------------------------------


def orthanc_program() -> str:
    """Where Orthanc is, installed from Debian where root may.

    Raises NotRun.
    """
    for attempt in (1, 2):
        found = shutil.which("Orthanc") or ("/usr/sbin/Orthanc" if Path("/usr/sbin/Orthanc").exists() else None)
        if found:
            return found
        if os.geteuid() or not shutil.which("apt-get") or attempt == 2:
            break
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", "orthanc"],
            capture_output=True,
            check=False,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            timeout=300,
        )
    raise NotRun("Orthanc is not installed, and apt-get could not install it")


def orthanc_version() -> str:
    done = subprocess.run([orthanc_program(), "--version"], capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0].removeprefix("Orthanc ").strip() or "of unknown version"


@contextmanager
def orthanc() -> Iterator[str]:
    """A server of our own with an empty store; its address."""
    program = orthanc_program()
    with tempfile.TemporaryDirectory(prefix="myelin-orthanc-") as scratch, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        settings = {
            "StorageDirectory": f"{scratch}/db",
            "IndexDirectory": f"{scratch}/db",
            "HttpPort": port,
            "DicomServerEnabled": False,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "Plugins": [],
        }
        Path(scratch, "orthanc.json").write_text(json.dumps(settings))
        process = subprocess.Popen([program, f"{scratch}/orthanc.json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        address = f"http://127.0.0.1:{port}"
        try:
            for _ in range(150):
                try:
                    requests.get(f"{address}/system", timeout=2).raise_for_status()
                    break
                except requests.RequestException:
                    time.sleep(0.2)
            else:
                raise NotRun("Orthanc did not start")
            yield address
        finally:
            process.terminate()
            process.wait(30)


def run_orthanc(files: Sequence[Path], out: Path) -> Done:
    """Store every file, anonymise each study with the defaults, fetch what came of it.

    Raises NotRun.
    """
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    with orthanc() as address, requests.Session() as session:

        def ask(method: str, path: str, **more: Any) -> Any:
            answer = session.request(method, f"{address}{path}", timeout=300, **more)
            answer.raise_for_status()
            return answer.json() if "json" in answer.headers.get("Content-Type", "") else answer.content

        for path in files:
            try:
                ask("POST", "/instances", data=path.read_bytes())
            except requests.RequestException:
                failed += 1
        for study in ask("GET", "/studies"):
            try:
                new = ask("POST", f"/studies/{study}/anonymize", json={})
            except requests.RequestException:
                failed += 1
                continue
            for instance in ask("GET", f"/studies/{new['ID']}/instances"):
                (out / f"{instance['ID']}.dcm").write_bytes(ask("GET", f"/instances/{instance['ID']}/file"))
    return Done(0.0, {"refused": failed} if failed else {})


# --- ours ----------------------------------------------------------------------------------------------------------------------------------------------


def run_ours(source: Path, out: Path, *more: str) -> dict[str, Any]:
    """The real command, as its reader would run it; gives its report."""
    with tempfile.TemporaryDirectory(prefix="myelin-ours-") as scratch:
        key, report = Path(scratch, "key"), Path(scratch, "report.json")
        key.write_text(KEY + "\n")
        key.chmod(0o600)
        command = [sys.executable, "-m", "deid", "headers", str(source), str(out), "--key", str(key), "--report", str(report), *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=scratch, env=os.environ | {"PYTHONPATH": str(ROOT)})
        if done.returncode or not report.exists():
            raise NotRun(f"exit {done.returncode}: {done.stderr.strip()[-200:]}")
        return json.loads(report.read_text("utf-8"))
