"""The rows of `make show-portal` about uploads: a hundred thousand small files, one of 5 GB, and a server that is killed while it receives.

The sender acts as the browser does (`portal_upload_sender`); the server is the real gunicorn, and what is asked of its answer is asked of the disk too: the
SHA-256 of every file that lies in quarantine is compared with the one of the file that was sent. The carrier is the pipeline itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from governance_house import opened
from table import Result

from tests.measure.portal_upload_sender import CHUNK, MIB, Made, Sender, parts
from tests.measure.portal_upload_server import Server, watched

FILES = {"quick": 300, "usual": 10_000, "full": 100_000}
BYTES = {"quick": 64 * MIB, "usual": 1024 * MIB, "full": 5_000_000_000}
KILLS = {"quick": 2, "usual": 10, "full": 10}
KILLED_BYTES = {"quick": 64 * MIB, "usual": 256 * MIB, "full": 512 * MIB}
LIMIT_MIB = 256


def small(count: int) -> list[Made]:
    """Files of 1 to 15 KiB in folders of 200, as slices of old scanners lie."""
    sizes = random.Random(1)
    return [Made(n, f"{1 + n // 2000}.{1 + n // 200}", sizes.randrange(1 << 10, 15 << 10)) for n in range(1, count + 1)]


@contextlib.contextmanager
def scene(slug: str) -> Iterator[tuple[Server, Sender, Any]]:
    """A server over the throw-away registry, a contributor with a token, and their house. What was sent is gone afterwards."""
    world = opened()
    from django.conf import settings

    from registry.accounts import actions as accounts
    from registry.intake import quarantine
    from tests.registry.upper.conftest import House
    from tests.registry.upper.test_download_live import databases, free_port

    site = world.site(f"site-{slug}")
    dataset = world.dataset(site, slug=slug, min_count=2)
    house = House(world, site, dataset, world.contributor(dataset, site), world.steward(dataset))
    home = Path(settings.MYELIN_HOME)
    plain = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment = {**plain, "MYELIN_HOME": str(home), "DJANGO_SETTINGS_MODULE": "registry.settings", "MYELIN_LOG": "ERROR", **databases(home)}
    server = Server(home, free_port(), environment)
    _, token = accounts.add_token(house.contributor, "measure", ("read", "write"))
    server.start()
    sender = Sender(server.url, token)
    try:
        yield server, sender, house
    finally:
        server.stop()
        if sender.upload:
            quarantine.wipe(UUID(sender.upload))


def wrong(sender: Sender, files: Sequence[Made]) -> int:
    """How many files are not in quarantine, byte for byte, or not in the registry's rows with their SHA-256."""
    from registry.intake import quarantine
    from registry.intake.models import UploadFile

    rows = dict(UploadFile.objects.filter(upload=sender.upload, piece__isnull=False).values_list("number", "sha256"))
    base, bad = quarantine.folder(UUID(sender.upload)), abs(len(rows) - len(files))
    for file in files:
        with contextlib.suppress(OSError), (base / quarantine.place(file.number, file.folder)).open("rb") as lying:
            bad += not (hashlib.file_digest(lying, "sha256").hexdigest() == rows.get(file.number) == file.sha256())
            continue
        bad += 1
    return bad


def sorted_by_carrier(sender: Sender) -> str:
    """Have the pipeline itself sort the upload, the runner's way but for the waiting; the state of the upload afterwards."""
    from pipeline import carrier, order
    from pipeline.isolate import Pool
    from pipeline.workspace import Workspace
    from registry.intake.models import Upload
    from registry.runs import kinds, ledger, outcome, runner

    claimed = ledger.claim("measure:1:a", run_id=Upload.objects.get(pk=sender.upload).run_id)
    assert claimed is not None
    folder = Path(tempfile.mkdtemp(prefix="myelin-carried-"))
    try:
        made, place = runner.make_order(claimed), folder / "done"
        for name in ("bids", "review"):
            (place / name).mkdir(parents=True)
        with Pool(2) as pool:
            carrier.carry_out(order.parse(made), Workspace(folder / "work", pool), place).write(place / "outcome.json")
        value = outcome.read(place, made)
        ledger.commit(claimed, lambda held: kinds.call(held.kind, "record", held, value, place))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return str(sender.state()["state"])


def sent(slug: str, files: list[Made], lines: int) -> tuple[str, bool]:
    """Send files, complete, sort, and look: (what was seen, whether it was right)."""
    with scene(slug) as (server, sender, house):
        sender.begin(house.dataset.slug, house.site.code, files)
        assert server.process is not None
        with watched(server.process.pid) as watch:
            begun = time.monotonic()
            sender.send_all(parts(files), lines)
            took = time.monotonic() - begun
            early = sender.state()["state"]
            answer = sender.complete(files)
        bad, state = wrong(sender, files), ""
        if answer.status_code == 202:
            state = sorted_by_carrier(sender)
        total = sum(file.size for file in files)
        figure = f"{len(files):,} files, {total / 1e9:.2f} GB in {took:.0f} s ({total / MIB / took:.0f} MiB/s); server grew by {watch.growth_mib:.0f} MiB; "
        figure += f"{bad} wrong of {len(files):,} hashed on the disk; the carrier agrees: {state or answer.status_code}"
        return figure, bad == 0 and state in ("sorted", "done") and early == "receiving" and watch.growth_mib < LIMIT_MIB


def small_files(depth: str) -> Result:
    """A hundred thousand small files, in bundles."""
    figure, met = sent("many", small(FILES[depth]), 3)
    return Result(figure, met=met, sample=depth != "full")


def one_file(depth: str) -> Result:
    """One file of 5 GB, in chunks."""
    figure, met = sent("large", [Made(1, "1", BYTES[depth])], 1)
    return Result(figure, met=met, sample=depth != "full")


def killed_server(depth: str) -> Result:
    """kill -9 of the server at random points of small files and a large one; the sender goes on by itself."""
    files = [*small(FILES["quick"]), Made(FILES["quick"] + 1, "9", KILLED_BYTES[depth])]
    total, kills, early = sum(file.size for file in files), KILLS[depth], 0
    with scene("killed") as (server, sender, house):
        sender.begin(house.dataset.slug, house.site.code, files)
        points = sorted(random.Random(os.getpid()).uniform(0.02, 0.95) * total for _ in range(kills))
        over = threading.Event()

        def assassin() -> None:
            for point in points:
                while sender.sent < point + server.killed * CHUNK / 2 and not over.wait(0.002):
                    pass
                if over.is_set():
                    return
                server.kill()
                server.start()

        thread = threading.Thread(target=assassin)
        thread.start()
        try:
            for order in (parts(files), parts(files)):  # the second time: the folder chosen again, nothing left to send
                before = sender.sent
                sender.send_all(order, 2)
        finally:
            over.set()
            thread.join()
        early += sender.state()["state"] != "receiving"
        answer = sender.complete(files)
        bad = wrong(sender, files)
        state = sorted_by_carrier(sender) if answer.status_code == 202 else str(answer.status_code)
        again = max(0, before - sum(part_length(part) for part in parts(files)))
        figure = f"{server.killed} kills in {total / MIB:.0f} MiB, {sender.breaks} broken requests; {again / MIB:.1f} MiB sent again "
        figure += f"(at most {server.killed} x 2 lines x 8), none when chosen again; {bad} wrong; complete too early {early} times; then {state}"
        fine = bad == 0 and early == 0 and state in ("sorted", "done") and again <= server.killed * 2 * CHUNK and sender.sent == before
    return Result(figure, met=fine and server.killed == kills, sample=depth != "full")


def part_length(part: Any) -> int:
    part.make()
    return int(part.length)


if __name__ == "__main__":
    import sys

    for name in sys.argv[2:] or ["small_files", "one_file", "killed_server"]:
        print(name, globals()[name](sys.argv[1]), flush=True)
