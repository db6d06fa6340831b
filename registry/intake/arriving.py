"""The bytes of a piece while they arrive. How much is there is the length of its file, and nothing else counts it.

A chunk is written and hashed apart, under no lock and in constant memory, for a line may be slow or die. Only when it is the one announced is it added to
the piece's file, under a lock that the kernel lets go when its holder dies, and flushed before anybody is told. So whatever is killed, the file
holds a beginning of what was sent, all of it checked, and its length is where to go on. No number in a database can disagree with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from registry.intake import quarantine
from registry.intake.quarantine import CHUNK, Refused


class Misplaced(Refused):
    """The chunk does not begin where the piece ends. `there` is where it does."""

    def __init__(self, there: int) -> None:
        super().__init__("offset_mismatch", "The chunk does not begin where what is here ends.")
        self.there = there


def path(upload: UUID, piece: UUID) -> Path:
    """The file of a piece."""
    return quarantine.parts(upload) / piece.hex


def begin(upload: UUID, piece: UUID) -> None:
    """Make the empty file of a piece, lastingly: one that has none was finished, or lost."""
    folder = quarantine.parts(upload)
    for place in (folder.parent, folder):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    path(upload, piece).touch(exist_ok=True)
    for place in (folder, folder.parent, folder.parent.parent):
        quarantine.sync(place)


def length(upload: UUID, piece: UUID) -> int | None:
    """How many bytes are there, flushed; None where there is no such file."""
    try:
        with path(upload, piece).open("rb") as file:
            os.fsync(file.fileno())
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None


def touched(upload: UUID, piece: UUID) -> datetime | None:
    """When the last byte was added."""
    try:
        return datetime.fromtimestamp(path(upload, piece).stat().st_mtime, tz=UTC)
    except FileNotFoundError:
        return None


@contextlib.contextmanager
def held(upload: UUID, piece: UUID) -> Iterator[BinaryIO]:
    """The piece's file, for one holder at a time. Raises Refused: `piece_busy`, also when it went away in this moment."""
    try:
        file = path(upload, piece).open("r+b")
    except FileNotFoundError:
        raise _busy() from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.fstat(file.fileno()).st_ino == path(upload, piece).stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            same = False
        if not same:
            raise _busy()
        yield file


def _busy() -> Refused:
    return Refused("piece_busy", "Another request writes this piece in this moment.")


def add(upload: UUID, piece: UUID, offset: int, stream: BinaryIO, size: int, sha256: str) -> int:
    """Add one chunk; return how many bytes are there now. Raises Refused: `cut_short`, `checksum_mismatch`, `piece_busy`, `no_space`, and Misplaced."""
    if quarantine.free() < 2 * size:
        raise _full()
    side = quarantine.draft(upload)
    try:
        if quarantine.write(side, stream, size) != sha256:
            raise Refused("checksum_mismatch", "The chunk that arrived does not have the checksum it was announced with.")
        with held(upload, piece) as file, side.open("rb") as chunk:
            there = os.fstat(file.fileno()).st_size
            if there != offset:
                raise Misplaced(there)
            _append(file, there, chunk)
        return there + size
    finally:
        side.unlink(missing_ok=True)


def _full() -> Refused:
    return Refused("no_space", "The registry's disk is too full to take more.")


def _append(file: BinaryIO, there: int, chunk: BinaryIO) -> None:
    """All of the chunk or, on a full disk, nothing of it."""
    try:
        file.seek(there)
        shutil.copyfileobj(chunk, file, CHUNK)
        file.flush()
        os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file.fileno(), there)
        raise _full() from None


def move(upload: UUID, piece: UUID, where: str, size: int) -> bool:
    """Bring the whole file of a piece to its place, or find it there; return whether it is."""
    source, target = path(upload, piece), quarantine.folder(upload) / where
    if source.exists():
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        source.replace(target)
        quarantine.sync(target.parent)
    return landed(upload, where, size)


def landed(upload: UUID, where: str, size: int) -> bool:
    """Whether a file of this size lies at this place of the upload."""
    target = quarantine.folder(upload) / where
    return target.is_file() and not target.is_symlink() and target.stat().st_size == size


@contextlib.contextmanager
def spread(upload: UUID) -> Iterator[Path]:
    """An empty folder for the files of a bundle; gone afterwards, whatever was left in it."""
    out = quarantine.draft(upload)
    out.mkdir(mode=0o700)
    try:
        yield out
    finally:
        shutil.rmtree(out, ignore_errors=True)


def take(upload: UUID, piece: UUID, out: Path, places: list[tuple[int, str, int]]) -> None:
    """Bring the opened files (number, place, size) of a bundle to their places. Raises Refused: `bundle_unreadable` for what is not there as was said."""
    mode, base = path(upload, piece).stat().st_mode & 0o777, quarantine.folder(upload)
    for number, where, size in places:
        source, target = out / f"{number:09d}", base / where
        if source.is_symlink() or not source.is_file() or source.stat().st_size != size:
            raise Refused("bundle_unreadable", "The bundle could not be opened.")
        source.chmod(mode)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        source.replace(target)


def forget(upload: UUID, piece: UUID) -> None:
    """Destroy what arrived of a piece."""
    path(upload, piece).unlink(missing_ok=True)


def known(upload: UUID) -> list[UUID]:
    """The pieces of an upload that have a file here."""
    folder = quarantine.parts(upload)
    return [UUID(hex=item.name) for item in folder.iterdir() if len(item.name) == 32] if folder.exists() else []
