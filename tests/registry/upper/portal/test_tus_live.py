"""A real gunicorn is killed with SIGKILL at random points while a contributor's files arrive: it goes on, and "complete" is never said too early."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.accounts import actions as accounts
from registry.intake import quarantine
from registry.intake.models import Piece, UploadFile
from tests.measure.portal_upload_sender import CHUNK, MIB, Made, Sender, digest, parts
from tests.measure.portal_upload_server import Server
from tests.registry.upper.test_download_live import databases, free_port

pytestmark = [pytest.mark.django_db(transaction=True, databases="__all__"), pytest.mark.slow]
KILLS = 3


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"MYELIN_HOME": str(home), "DJANGO_SETTINGS_MODULE": "registry.settings", "PYTHONWARNINGS": "ignore", "MYELIN_LOG": "ERROR"}
    made = Server(home, free_port(), environment | databases(home))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def sender(house: Any, server: Server) -> Sender:
    return Sender(server.url, accounts.add_token(house.contributor, "desk", ("read", "write"))[1])


def test_killed_at_random_points_it_goes_on(house: Any, server: Server, sender: Sender) -> None:
    files = [*(Made(n, f"{1 + n // 40}", 900 + 37 * n) for n in range(1, 161)), Made(161, "9", 20 * MIB + 5)]
    total = sum(file.size for file in files)
    sender.begin(house.dataset.slug, house.site.code, files)
    points = sorted(random.uniform(0.02, 0.9) * total for _ in range(KILLS))
    over, states = threading.Event(), []

    def assassin() -> None:
        for point in points:
            while sender.sent < point and not over.wait(0.001):
                pass
            if not over.is_set():
                server.kill()
                server.start()
                states.append(sender.state()["state"])

    thread = threading.Thread(target=assassin)
    thread.start()
    sender.send_all(parts(files), 2)
    over.set()
    thread.join()
    before = sender.sent
    sender.send_all(parts(files), 2)  # the folder chosen again: nothing is missing, so nothing is sent
    assert sender.sent == before and states == ["receiving"] * server.killed and server.killed > 0
    length = sum(len(part.data or b"") or part.files[0].size for part in made(parts(files)))
    assert before - length <= server.killed * 2 * CHUNK, "at most one chunk of each of two lines is sent again"
    assert sender.complete(files).status_code == 202 and sender.state()["state"] == "received"
    rows = dict(UploadFile.objects.values_list("number", "sha256"))
    assert rows == {file.number: file.sha256() for file in files}
    base = quarantine.folder(Piece.objects.first().upload_id)  # type: ignore[union-attr]
    for file in files:
        with (base / quarantine.place(file.number, file.folder)).open("rb") as lying:
            assert hashlib.file_digest(lying, "sha256").hexdigest() == rows[file.number]


def made(found: Any) -> Any:
    for part in found:
        part.make()
        yield part


def test_two_lines_for_one_piece_and_a_line_that_dies(house: Any, server: Server, sender: Sender) -> None:
    """Two chunks at once: one is taken, the other is told where to go on. A line that dies in the middle of a chunk leaves nothing and holds nothing up."""
    file = Made(1, "", 16 * MIB)
    sender.begin(house.dataset.slug, house.site.code, [file])
    answer = sender.ask(
        "POST", f"/api/v1/uploads/{sender.upload}/tus", headers={"Upload-Length": str(file.size), "Upload-Metadata": "kind ZmlsZQ==,number MQ=="}
    )
    place, data = answer.headers["Location"], file.read(0, CHUNK)
    headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0", "Upload-Checksum": f"sha256 {digest(data)}"}
    dying(server, place, {**headers, "Authorization": f"Bearer {sender.token}", "Tus-Resumable": "1.0.0"}, data)
    assert sender.ask("HEAD", place).headers["Upload-Offset"] == "0"
    codes: list[int] = []
    lines = [threading.Thread(target=lambda: codes.append(sender.ask("PATCH", place, data=data, headers=headers).status_code)) for _ in range(4)]
    for line in lines:
        line.start()
    for line in lines:
        line.join()
    assert codes.count(204) == 1 and set(codes) <= {204, 409, 423}
    assert sender.ask("HEAD", place).headers["Upload-Offset"] == str(CHUNK)
    late = sender.ask("PATCH", place, data=data, headers={**headers, "Upload-Offset": "4"})  # refused with its body read: the line stays whole
    assert late.status_code == 409 and late.headers["Upload-Offset"] == str(CHUNK)
    assert sender.ask("HEAD", place).status_code == 200


def dying(server: Server, place: str, headers: dict[str, str], data: bytes) -> None:
    """A line that dies in the middle of a chunk."""
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    line.putrequest("PATCH", place)
    for name, value in {**headers, "Content-Length": str(len(data))}.items():
        line.putheader(name, value)
    line.endheaders()
    line.send(data[: 3 * MIB])
    line.close()
