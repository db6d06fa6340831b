"""Where identifiable bytes lie. No other module of the registry names this place.

`quarantine/UPLOAD/` holds what a sender gave, under names the server makes: `d000001/d000004/f000000012`, folder numbers and file number as the
sender counted them. No name of the sender's is used or kept. `.parts/UPLOAD/PIECE` is what has arrived of a piece that is still being sent
(`registry.intake.arriving`). `review/STUDY/` holds renderings that still have a face, for a steward's eyes.

A file arrives under a temporary name outside the upload's folder, is hashed while it is written, and renamed. "Complete" is said only after `harden`:
everything was flushed to the disk at once (one sync for thousands of small files, not one each) and every file is there with its size; a file that a
power cut took is named, so that the sender sends it again.
One study's files can be emptied while others of the upload still wait: an emptied file keeps its place, so that the carrier's numbers stay true.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from django.conf import settings

CHUNK = 1 << 18
FOLDER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,11}", re.ASCII)
PICTURE = re.compile(r"[0-9]{1,3}\.png", re.ASCII)
KEEP_FREE = 1 << 30


@dataclass(frozen=True)
class Received:
    """What arrived: the server-made place, the hash and the size."""

    place: str
    sha256: str
    bytes: int


class Refused(Exception):
    """The bytes are not taken: `code` and `reason`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def folder(upload: UUID) -> Path:
    """The folder of one upload: what a carrier's order names as its input."""
    return Path(settings.MYELIN_ZONES["quarantine"]) / upload.hex


def place(number: int, folders: str) -> str:
    """The server-made path of file `number` in the folder `1.3` (numbers, dot between; empty: the top). Raises Refused for anything else."""
    if not 1 <= number <= 999_999_999 or (folders and not FOLDER.fullmatch(folders)):
        raise Refused("bad_folder", "A file's number counts from 1, and its folder is numbers with dots between.")
    parts = [f"d{int(part):06d}" for part in folders.split(".")] if folders else []
    return "/".join([*parts, f"f{number:09d}"])


def receive(upload: UUID, where: str, stream: BinaryIO, length: int, sha256: str) -> Received:
    """Write `length` bytes of `stream` to `where`. Raises Refused: `digest_mismatch`, `cut_short`, `no_space`; then nothing is kept."""
    if free() < length:
        raise Refused("no_space", "The registry's disk is too full to take this file.")
    target, temporary = folder(upload) / where, draft(upload)
    try:
        seen = write(temporary, stream, length)
        if seen != sha256:
            raise Refused("digest_mismatch", "The bytes that arrived do not have the digest they were announced with.")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return Received(where, sha256, length)


def free() -> int:
    """How many bytes the disk can still take."""
    root = Path(settings.MYELIN_ZONES["quarantine"])
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    return max(0, shutil.disk_usage(root).free - KEEP_FREE)


def draft(upload: UUID) -> Path:
    """Where bytes lie that nobody has looked at yet. Whatever is killed, `sweep` finds what stayed."""
    return Path(settings.MYELIN_ZONES["quarantine"]) / f".tmp-{upload.hex}-{secrets.token_hex(8)}"


def parts(upload: UUID) -> Path:
    """The folder of what has arrived of an upload's pieces: outside the upload's own, which a carrier reads."""
    return Path(settings.MYELIN_ZONES["quarantine"]) / ".parts" / upload.hex


def write(temporary: Path, stream: BinaryIO, length: int) -> str:
    """Write `length` bytes of a stream, and return their SHA-256. Raises Refused: `cut_short`."""
    digest, left = hashlib.sha256(), length
    with temporary.open("xb") as out:
        while left:
            chunk = stream.read(min(CHUNK, left))
            if not chunk:
                raise Refused("cut_short", "The connection ended before the whole file had arrived.")
            digest.update(chunk)
            out.write(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def sync(directory: Path) -> None:
    """Make the names in a folder last."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def harden(upload: UUID, sizes: Mapping[str, int]) -> list[str]:
    """Make everything that was received last through a power cut; return the places whose file is not there with its size."""
    os.sync()
    base = folder(upload)
    return [where for where, size in sizes.items() if not (base / where).is_file() or (base / where).stat().st_size != size]


def settle(upload: UUID, places: Iterable[str]) -> None:
    """Before an upload is closed: remove what no row names (a file that was sent again to another place)."""
    base, known = folder(upload), set(places)
    for file in list(base.rglob("*")) if base.exists() else []:
        if file.is_file() and file.relative_to(base).as_posix() not in known:
            file.unlink()


def drop(upload: UUID, where: str) -> None:
    """Remove one file of an upload that is still being received."""
    (folder(upload) / where).unlink(missing_ok=True)


def empty(upload: UUID, places: Iterable[str]) -> int:
    """Destroy the bytes of some files and leave empty ones in their places, so that the others keep their numbers; return how many."""
    count = 0
    for where in places:
        file = folder(upload) / where
        if file.is_file() and file.stat().st_size:
            with file.open("r+b") as out:
                out.truncate(0)
                os.fsync(out.fileno())
            count += 1
    return count


def wipe(upload: UUID) -> bool:
    """Destroy all of an upload; return whether there was anything."""
    found = [place_ for place_ in (folder(upload), parts(upload)) if place_.exists()]
    for place_ in found:
        shutil.rmtree(place_)
        sync(place_.parent)
    return bool(found)


def held() -> list[UUID]:
    """The uploads that have bytes here."""
    root = Path(settings.MYELIN_ZONES["quarantine"])
    found = [item for place_ in (root, root / ".parts") if place_.exists() for item in place_.iterdir()]
    return sorted({UUID(hex=item.name) for item in found if re.fullmatch(r"[0-9a-f]{32}", item.name)})


def older(upload: UUID, age: timedelta) -> bool:
    """Whether nothing was added to an upload's folders for so long."""
    found = [place_.stat().st_mtime for place_ in (folder(upload), parts(upload)) if place_.exists()]
    return bool(found) and time.time() - max(found) > age.total_seconds()


def sweep(older_than_s: float = 24 * 3600.0) -> int:
    """Destroy drafts that a killed process left; return how many."""
    root, count = Path(settings.MYELIN_ZONES["quarantine"]), 0
    for item in root.glob(".tmp-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - item.stat().st_mtime > older_than_s:
                shutil.rmtree(item) if item.is_dir() else item.unlink()
                count += 1
    return count


def _review(study: UUID) -> Path:
    return Path(settings.MYELIN_ZONES["review"]) / study.hex


def keep_review(study: UUID, pictures: Iterable[tuple[str, Path]]) -> None:
    """Take renderings into the review zone as `IMAGE-N.png`; publish by rename."""
    target = _review(study)
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, source in pictures:
        temporary = target / f".tmp-{secrets.token_hex(8)}"
        shutil.copyfile(source, temporary)
        temporary.replace(target / name)
    sync(target)


def review(study: UUID, image: UUID, number: int) -> bytes | None:
    """One rendering with a face, or None when it is gone."""
    file = _review(study) / f"{image.hex}-{number}.png"
    return file.read_bytes() if file.is_file() else None


def wipe_review(study: UUID) -> bool:
    """Destroy the renderings of a study; return whether there were any."""
    place_ = _review(study)
    if not place_.exists():
        return False
    shutil.rmtree(place_)
    sync(place_.parent)
    return True


def wipe_pictures(study: UUID, image: UUID) -> int:
    """Destroy the renderings of one image; return how many there were."""
    files = list(_review(study).glob(f"{image.hex}-*.png"))
    for file in files:
        file.unlink(missing_ok=True)
    if files:
        sync(_review(study))
    return len(files)
