"""The row of `make show-portal` about a browser that is killed while it hands in: the folder is chosen again, and only what is missing is sent.

A real Chromium speaks with the real gunicorn, through a line that counts what goes up. It is ended by SIGKILL at random points of its own progress; what
arrived is hashed on the disk and by the carrier.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from portal_upload_rows import scene, sorted_by_carrier
from table import Result

MIB = 1 << 20
CHUNK, LINES = 8 * MIB, 3  # lines: pieces under way at once
SMALL = {"quick": 60, "usual": 2000, "full": 10_000}
LARGE = {"quick": 48 * MIB, "usual": 400 * MIB, "full": 2048 * MIB}
KILLS = {"quick": 1, "usual": 10, "full": 10}
NAME = "Jensen^Anna"


def folder(depth: str, root: Path) -> int:
    """Small files in folders, and a large one, under names that name somebody; how many bytes they are."""
    dice = random.Random(8)
    for n in range(SMALL[depth]):
        place = root / f"{NAME} {n // 200}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{NAME} {n:05d}.dcm").write_bytes(dice.randbytes(dice.randrange(8 << 10, 60 << 10)))
    with (root / f"{NAME} large.bin").open("wb") as out:
        for _ in range(LARGE[depth] // MIB):
            out.write(dice.randbytes(MIB))
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


class Chromium:
    """A browser that can be ended by SIGKILL: it is found again among the processes by a mark of its own."""

    def __init__(self, playwright: Any, url: str, cookie: dict[str, str]) -> None:
        self.playwright, self.url, self.cookie = playwright, url, cookie
        self.named = 0

    def open(self, path: str) -> Any:
        from tests.registry.upper.portal.browsing import FLAGS

        self.mark = f"--myelin-mark={secrets.token_hex(8)}"
        self.browser = self.playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS, self.mark])
        context = self.browser.new_context(base_url=self.url)
        context.add_cookies([self.cookie])
        context.on("request", self._heard)
        page = context.new_page()
        page.goto(path)
        return page

    def _heard(self, request: Any) -> None:
        self.named += "Jensen" in f"{request.url} {request.headers}"

    def kill(self) -> None:
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and self.mark.encode() in (entry / "cmdline").read_bytes() and b"--type=" not in (entry / "cmdline").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
        with contextlib.suppress(Exception):
            self.browser.close()


class Line:
    """A line to a server that counts the bytes that go up, and lets no more than `speed` a second through: a kill shall find something under way."""

    def __init__(self, port: int, speed: float) -> None:
        self.port, self.speed, self.up, self.ear = port, speed, 0, socket.create_server(("127.0.0.1", 0))
        self.narrow = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ear.getsockname()[1]}"

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # until the ear is closed
            while True:
                near, far = self.ear.accept()[0], socket.create_connection(("127.0.0.1", self.port))
                threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, up: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                if up:
                    with self.narrow:
                        time.sleep(len(data) / self.speed)
                        self.up += len(data)
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def chromium(url: str, user: Any) -> Iterator[Chromium]:
    from django.conf import settings
    from django.test import Client
    from playwright.sync_api import sync_playwright

    client = Client()
    client.force_login(user)
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": client.cookies[settings.SESSION_COOKIE_NAME].value, "url": url}
    with sync_playwright() as playwright:
        yield Chromium(playwright, url, cookie)


def far(page: Any) -> float:
    return float(page.evaluate("Number(document.getElementById('bar').value)"))


def go(page: Any, root: Path) -> None:
    page.wait_for_selector("#choose:visible")
    page.set_input_files("#folder", root)
    page.wait_for_selector("#start:enabled", timeout=15_000)
    page.click("#start")


def killed_browser(depth: str) -> Result:
    """SIGKILL of the browser at random points; then the folder is chosen again, until all of it is there."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    root = Path(tempfile.mkdtemp(prefix="myelin-folder-"))
    try:
        total = folder(depth, root)
        with scene("browser") as (server, sender, house):
            line = Line(server.port, max(16 * MIB, total / 20))
            with line.ear, chromium(line.url, house.contributor) as browser:
                return _killed(depth, root, total, sender, house, browser, line)
    finally:
        shutil.rmtree(root)


def _killed(depth: str, root: Path, total: int, sender: Any, house: Any, browser: Chromium, line: Line) -> Result:
    from registry.intake.models import Piece, Upload

    points = sorted(random.Random(os.getpid()).uniform(0.03, 0.85) for _ in range(KILLS[depth]))
    at, kills, early = f"/hand-in/new?where={house.dataset.slug}/{house.site.code}", 0, 0
    for point in points:
        page = browser.open(at)
        go(page, root)
        while far(page) < point:
            page.wait_for_timeout(10)
        early += page.query_selector("#hand-in[data-complete]") is not None
        browser.kill()
        upload = Upload.objects.latest("created_at")
        at = f"/uploads/{upload.pk}/send"
        if upload.state != "receiving":  # the last byte was faster than the kill
            break
        kills += 1
    if upload.state == "receiving":
        page = browser.open(at)
        go(page, root)
        while Upload.objects.get(pk=upload.pk).state == "receiving":
            page.wait_for_timeout(50)
        early += page.query_selector("#hand-in[data-complete]") is not None
    sender.upload = str(upload.pk)
    state = sorted_by_carrier(sender)
    if kills == len(points):
        page.wait_for_selector("#hand-in[data-complete]", timeout=60_000)
        browser.browser.close()
    again, wrong = line.up - sum(Piece.objects.filter(upload=upload).values_list("length", flat=True)), _wrong(root, upload)
    figure = f"{kills} kills in {total / MIB:.0f} MiB; {again / MIB:.1f} MiB sent again, with all headers (at most {kills} x {LINES} lines x 8); "
    figure += f"{wrong} wrong of {len(list(root.rglob('*.*'))):,}; said complete too early {early} times; names in requests {browser.named}; then {state}"
    met = kills == len(points) and not wrong and not early and not browser.named and again <= kills * LINES * CHUNK + MIB and state in ("sorted", "done")
    return Result(figure, met=met, sample=depth != "full")


def _wrong(root: Path, upload: Any) -> int:
    """How many files of the folder are not in quarantine, byte for byte, and in the registry's rows."""
    from registry.intake import quarantine
    from registry.intake.models import UploadFile

    def digests(paths: Any) -> list[str]:
        return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths if path.is_file())

    here, there = digests(root.rglob("*")), digests(quarantine.folder(upload.pk).rglob("*"))
    rows = sorted(UploadFile.objects.filter(upload=upload, number__isnull=False).values_list("sha256", flat=True))
    return sum(one != other for one, other in zip(here, there, strict=False)) + abs(len(here) - len(there)) + (rows != here)


if __name__ == "__main__":
    import sys

    begun = time.monotonic()
    print(killed_browser(sys.argv[1]), f"{time.monotonic() - begun:.0f} s")
