"""Handing in a folder: hash everything first, then send file by file; what already arrived is never sent again.

Files are numbered by sorted path, folders by their place in their parent, and no name is ever sent: a name can identify. The registry keeps what
arrived under its number and hash, so going on after a broken line needs nothing but the same folder and the upload's id. What goes along with a file
instead of its name is in `client.said`.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import local

from client.api import Registry
from client.errors import Broken, Refused, Usage
from client.records import Upload
from client.said import Table, is_nifti, of

CHUNK = 1 << 20
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Entry:
    """One file to hand in: its number from 1, where it lies here, the numbers of its folders, hash and size."""

    number: int
    path: Path
    folder: str
    digest: bytes
    bytes: int

    @property
    def sha256(self) -> str:
        return self.digest.hex()


@dataclass(frozen=True)
class Sent:
    """What became of a hand-in: the upload, every entry, how many were sent now and how many had arrived before."""

    upload: Upload
    entries: list[Entry]
    sent: int
    skipped: int


def quiet(what: str, done: int, total: int) -> None:
    """A progress nobody looks at."""


def manifest(folder: Path, progress: Progress = quiet) -> list[Entry]:
    """Every regular file under `folder` (or the file itself) with its SHA-256. Links are not followed. Raises Usage when there is none."""
    paths = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    if not paths:
        raise Usage("nothing_to_send", "There is no file there.", "Name a folder with scans, or one file.")
    numbers = number_folders(folder)
    entries = []
    for n, path in enumerate(paths, 1):
        digest, size = hash_file(path)
        entries.append(Entry(n, path, "" if folder.is_file() else numbers[path.parent], digest, size))
        progress("hashing", n, len(paths))
    return entries


def number_folders(root: Path) -> dict[Path, str]:
    """Each folder under `root` -> the numbers of the folders on the way to it, dot between; the root is empty."""
    found = {root: ""}
    for folder in sorted(p for p in root.rglob("*") if p.is_dir() and not p.is_symlink()):
        above = found[folder.parent]
        place = 1 + sum(1 for other in found if other != root and other.parent == folder.parent)
        found[folder] = f"{above}.{place}" if above else str(place)
    return found


def hash_file(path: Path) -> tuple[bytes, int]:
    total, size = hashlib.sha256(), 0
    with path.open("rb") as source:
        while chunk := source.read(CHUNK):
            total.update(chunk)
            size += len(chunk)
    return total.digest(), size


def hand_in(
    registry: Registry,
    upload: str,
    entries: list[Entry],
    *,
    folder: Path | None = None,
    table: Table | None = None,
    threads: int = 4,
    progress: Progress = quiet,
) -> Sent:
    """Send what the registry does not have yet into an open upload, and close it. `folder`, `table`: where files lie, and what is said of them by path.

    Raises Broken (file_changed) when a file is no longer what was hashed; Refused and Unreachable as they come: what arrived stays, call again to go on.
    """
    there = {f.number: f.sha256 for f in registry.upload_files(upload)}
    missing = [e for e in entries if there.get(e.number) != e.sha256]
    done = len(entries) - len(missing)
    paths = {e.number: e.path for e in entries}
    lists = registry.lists() if table or any(is_nifti(e.path) for e in missing) else {}
    told = of(folder or Path("/"), paths, lists, table) if lists else {}
    mine = local()
    lines: list[Registry] = []

    def send(entry: Entry) -> None:
        if not hasattr(mine, "registry"):
            mine.registry = registry.twin()
            lines.append(mine.registry)
        send_one(mine.registry, upload, entry, told.get(entry.number, {}))

    with ExitStack() as after, ThreadPoolExecutor(threads) as pool:
        after.callback(hang_up, lines)
        for _ in finished(pool, send, missing, ahead=threads * 4):
            done += 1
            progress("sending", done, len(entries))
    closed = registry.complete_upload(upload, len(entries), sum(e.bytes for e in entries))
    return Sent(closed, entries, len(missing), len(entries) - len(missing))


def hang_up(lines: list[Registry]) -> None:
    for line in lines:
        line.close()


def finished(pool: ThreadPoolExecutor, work: Callable[[Entry], None], items: Iterable[Entry], ahead: int) -> Iterable[None]:
    """Run `work` on items with at most `ahead` under way, yielding as each ends; the first error cancels what has not begun and is raised."""
    running: set[Future[None]] = set()
    queue = iter(items)
    try:
        while True:
            while len(running) < ahead and (item := next(queue, None)) is not None:
                running.add(pool.submit(work, item))
            if not running:
                return
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                yield future.result()
    finally:
        for future in running:
            future.cancel()


def send_one(registry: Registry, upload: str, entry: Entry, told: Mapping[str, str]) -> None:
    """One file. An empty one travels as bytes, for a stream without length would be sent in chunks."""
    try:
        seen = registry.put_file(upload, entry.number, (lambda: entry.path.open("rb")) if entry.bytes else b"", entry.digest, entry.folder, told)
    except Refused as no:
        if no.code == "digest_mismatch":
            raise Broken("file_changed", f"File number {entry.number} changed while it was handed in.", "Let nothing write there, and start again.") from None
        raise
    if seen != entry.sha256:
        raise Broken("file_changed", f"File number {entry.number} arrived as other bytes.", "Start again.")


def write_names(entries: list[Entry], path: Path) -> None:
    """Number -> path for the sender's own eyes, as CSV: the registry answers with numbers only."""
    with path.open("x", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["number", "path", "sha256"])
        writer.writerows([e.number, str(e.path), e.sha256] for e in entries)
