"""A download through a real gunicorn: whole, in ranges, after a break; and one that a departure, a revocation or a disabled account ends in the middle.

What the recipient's program has not read when the act returns may still lie in two kernels' buffers; both are kept small here, as they are in production.
"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from django.conf import settings as django_settings
from django.db import connections

from registry.access import actions as access
from registry.audit.models import Line
from registry.releases import actions, packing
from registry.releases.models import Notice, Package

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")
MIB = 1 << 20
SIZE = 24 * MIB


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def server(home: Path, tmp_path: Path) -> Iterator[str]:
    with served(home, tmp_path) as url:
        yield url


@contextmanager
def served(home: Path, folder: Path) -> Iterator[str]:
    """Two gunicorn workers of four threads over this process's databases and zones."""
    port, log = free_port(), (folder / "gunicorn.log").open("wb")
    environment = {**os.environ, "MYELIN_HOME": str(home), "DJANGO_SETTINGS_MODULE": "registry.settings", "PYTHONWARNINGS": "ignore"}
    environment.pop("DATABASE_URL", None)
    environment |= databases(home)
    command = [sys.executable, "-m", "gunicorn", "registry.wsgi:application", "-k", "gthread", "--workers", "2", "--threads", "4", "-b", f"127.0.0.1:{port}"]
    with log, subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=django_settings.ROOT) as process:
        try:
            wait_until_up(f"http://127.0.0.1:{port}", process, folder / "gunicorn.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def databases(home: Path) -> dict[str, str]:
    """How another process finds this test's databases: links in the home folder (SQLite), or addresses (PostgreSQL)."""
    found = {}
    for alias, file, name in (("default", "registry", "DATABASE_URL"), ("vault", "vault", "VAULT_URL"), ("cache", "cache", "CACHE_DATABASE")):
        if alias not in connections:
            continue
        told = connections[alias].settings_dict
        if connections[alias].vendor == "sqlite":
            here, there = home / f"{file}.sqlite3", Path(told["NAME"]).resolve()
            if here.resolve() != there:
                here.unlink(missing_ok=True)
                here.symlink_to(there)
            continue
        password = f":{quote(told['PASSWORD'], safe='')}" if told["PASSWORD"] else ""
        host, port = quote(told["HOST"] or "", safe=""), f":{told['PORT']}" if told["PORT"] else ""
        found[name] = f"postgresql://{told['USER']}{password}@{host}{port}/{told['NAME']}"
    return found


def wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(150):
        try:
            if requests.get(f"{url}/api/v1/health", timeout=1).ok:
                return
        except requests.RequestException:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@pytest.fixture
def package(world: Any) -> Package:
    """A ready package of one person whose ciphertext is 24 MiB of noise: what is tested is who gets which byte, not what it says."""
    site = world.site()
    dataset = world.dataset(site)
    steward, person = world.steward(dataset), world.participant(dataset, site)
    world.consent(person, "GRU")
    entitlement = world.entitled(dataset, steward)
    release = dataset.releases.create(number=1, version="1.0.0", state="validated", sha256="0" * 64, created_by="test")
    noise = os.urandom(SIZE)
    made = Package.objects.create(
        entitlement=entitlement,
        release=release,
        recipient_key="age1",
        state="ready",
        sha256=hashlib.sha256(noise).hexdigest(),
        bytes=SIZE,
        manifest={"files": [{"path": f"x-1.0.0/sub-{person.label}/a.nii.gz", "sha256": "1" * 64, "bytes": 1}]},
    )
    person.refresh_from_db()
    made.people.create(participant=person, label=person.label, epoch=person.epoch)
    place = packing.place(made.pk)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(noise)
    return made


@pytest.fixture
def token(package: Package) -> str:
    return access.issue_token(package.entitlement.user, "desk", ["read", "write", "download"], 5)[1]


def ask(server: str, package: Package, token: str, **headers: str) -> requests.Response:
    return requests.get(f"{server}/api/v1/packages/{package.pk}/download", headers={"Authorization": f"Bearer {token}", **headers}, stream=True, timeout=30)


@pytest.mark.slow
def test_whole_and_in_ranges_it_is_the_same(server: str, package: Package, token: str) -> None:
    whole = ask(server, package, token)
    body = whole.content
    assert whole.status_code == 200, body[:500]
    assert hashlib.sha256(body).hexdigest() == package.sha256 and int(whole.headers["Content-Length"]) == SIZE
    assert whole.headers["ETag"] == f'"{package.sha256}"' and whole.headers["Accept-Ranges"] == "bytes"
    tail = ask(server, package, token, Range=f"bytes={SIZE - 1000}-")
    assert (tail.status_code, tail.content) == (206, body[-1000:])
    assert tail.headers["Content-Range"] == f"bytes {SIZE - 1000}-{SIZE - 1}/{SIZE}"
    assert ask(server, package, token, Range="bytes=-5").content == body[-5:]
    assert ask(server, package, token, Range="bytes=10-19").content == body[10:20]
    beyond = ask(server, package, token, Range=f"bytes={SIZE}-")
    assert (beyond.status_code, beyond.headers["Content-Range"], beyond.json()["code"]) == (416, f"bytes */{SIZE}", "range_not_satisfiable")
    other = ask(server, package, token, **{"Range": "bytes=5-9", "If-Range": '"another"'})
    assert other.status_code == 200 and int(other.headers["Content-Length"]) == SIZE
    other.close()
    same = ask(server, package, token, **{"Range": "bytes=5-9", "If-Range": f'"{package.sha256}"'})
    assert (same.status_code, same.content) == (206, body[5:10])


def test_nobody_else_gets_a_byte(server: str, package: Package, token: str, world: Any) -> None:
    stranger = access.issue_token(world.user("stranger"), "desk", ["read", "write", "download"], 5)[1]
    steward = access.issue_token(world.steward(package.release.dataset), "desk", ["read", "write", "download"], 5)[1]
    assert ask(server, package, stranger).status_code == 404
    assert ask(server, package, steward).status_code == 403
    assert requests.get(f"{server}/api/v1/packages/{package.pk}/download", timeout=10).status_code == 401
    assert ask(server, package, "myelin_" + "x" * 43).status_code == 401
    allowed = ask(server, package, token, Range="bytes=0-9")
    assert allowed.status_code == 206 and len(allowed.content) == 10


def leaves(package: Package) -> None:
    person = package.people.get().participant
    actions.withdraw(package.release.dataset.roles.get(kind="steward").user, person)


def is_revoked(package: Package) -> None:
    access.revoke_entitlement("system:test", package.entitlement, "for a test")


def is_disabled(package: Package) -> None:
    access.disable_account("system:test", package.entitlement.user)


@pytest.mark.slow
@pytest.mark.parametrize(("act", "after"), [(leaves, 410), (is_revoked, 403), (is_disabled, 401)])
def test_a_denial_half_way_ends_the_download_short(act: Callable[[Package], None], after: int, server: str, package: Package, token: str) -> None:
    with socket.create_connection(("127.0.0.1", int(server.rsplit(":", 1)[1])), timeout=20) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        line.sendall(f"GET /api/v1/packages/{package.pk}/download HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        got = 0
        while got < 3 * MIB:
            got += len(line.recv(64 * 1024))
        act(package)
        late = 0
        try:
            while chunk := line.recv(64 * 1024):
                late += len(chunk)
        except ConnectionResetError:
            pass
    print(f"{act.__name__}: {late} bytes after the act, {got} before")
    assert late <= MIB, late
    assert got + late < SIZE
    assert ask(server, package, token).status_code == after
    assert ask(server, package, token, Range="bytes=0-9").status_code == after
    assert Line.objects.filter(act="package.download", detail__has_key="denied").exists()
    assert Notice.objects.count() == (act is leaves)


@pytest.mark.slow
def test_an_undisturbed_reader_as_slow_as_that_one_gets_all(server: str, package: Package, token: str) -> None:
    """The twin of the denials above: the same slow reading, nothing happens meanwhile, and the last byte arrives."""
    answer = ask(server, package, token)
    digest, seen = hashlib.sha256(), 0
    for chunk in answer.iter_content(MIB):
        digest.update(chunk)
        seen += len(chunk)
        time.sleep(0.02)
    assert (seen, digest.hexdigest()) == (SIZE, package.sha256)
