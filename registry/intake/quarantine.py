"""Where identifiable bytes lie. No other module of the registry names this place.

`quarantine/UPLOAD/` holds what a sender gave, under names the server makes: `d000001/d000004/f000000012`, folder numbers and file number as the
sender counted them. No name of the sender's is used or kept. `review/STUDY/` holds renderings that still have a face, for a steward's eyes.

A file arrives under a temporary name outside the upload's folder, is hashed while it is written, and renamed. "Complete" is said only after `harden`:
everything was flushed to the disk at once (one sync for thousands of small files, not one each) and every file is there with its size; a file that a
power cut took is named, so that the sender sends it again.
One study's files can be emptied while others of the upload still wait: an emptied file keeps its place, so that the carrier's numbers stay true.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    root = Path(settings.MYELIN_ZONES["quarantine"])
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    if shutil.disk_usage(root).free - length < KEEP_FREE:
        raise Refused("no_space", "The registry's disk is too full to take this file.")
    target = folder(upload) / where
    temporary = root / f".tmp-{upload.hex}-{secrets.token_hex(8)}"
    try:
        seen = _write(temporary, stream, length)
        if seen != sha256:
            raise Refused("digest_mismatch", "The bytes that arrived do not have the digest they were announced with.")
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return Received(where, sha256, length)


def _write(temporary: Path, stream: BinaryIO, length: int) -> str:
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


def _sync(directory: Path) -> None:
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
    place_, root = folder(upload), Path(settings.MYELIN_ZONES["quarantine"])
    if not place_.exists():
        return False
    shutil.rmtree(place_)
    _sync(root)
    return True


def held() -> list[UUID]:
    """The uploads that have bytes here."""
    root = Path(settings.MYELIN_ZONES["quarantine"])
    return [UUID(hex=item.name) for item in root.iterdir() if re.fullmatch(r"[0-9a-f]{32}", item.name)] if root.exists() else []


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
    _sync(target)


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
    _sync(place_.parent)
    return True


def wipe_pictures(study: UUID, image: UUID) -> int:
    """Destroy the renderings of one image; return how many there were."""
    files = list(_review(study).glob(f"{image.hex}-*.png"))
    for file in files:
        file.unlink(missing_ok=True)
    if files:
        _sync(_review(study))
    return len(files)
