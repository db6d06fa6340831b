"""Every file below a folder has a number: its place in the sorted order of paths, from 1.

Nothing is parsed here. Links are not followed, devices are not opened, archives are known by their first bytes and not opened, and a folder that may not
be entered has a number too, so that whatever lies in the input is accounted for.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Source", "sources"]

HEAD = 262
ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00", b"BZh", b"\x1f\x8b")


@dataclass(frozen=True, slots=True)
class Source:
    """One file. name: below the input, for its owner's eyes only; code: "" or why it is not read at all; stamp: inode, size and time, to notice a change."""

    n: int
    name: str
    path: Path
    code: str
    bytes: int = 0
    stamp: tuple[int, int, int] = (0, 0, 0)

    @property
    def folder(self) -> str:
        """The folder it lies in, below the input ("." for the input itself)."""
        return self.name.rpartition("/")[0] or "."


def sources(root: Path) -> list[Source]:
    """Everything below `root` that is no folder (or `root` itself where it is a file), in order of number."""
    return [_look(n, name, path, code) for n, (name, path, code) in enumerate(_walk(root), 1)]


def _walk(root: Path) -> Iterator[tuple[str, Path, str]]:
    if not root.is_dir():
        yield root.name, root, ""
        return
    found: list[tuple[bytes, Path, str]] = []

    def closed(error: OSError) -> None:
        path = Path(os.fsdecode(error.filename or root))
        found.append((os.fsencode(path.relative_to(root).as_posix()), path, "unreadable"))

    for place, folders, files in os.walk(root, onerror=closed):
        linked = [name for name in folders if (Path(place) / name).is_symlink()]
        for name in [*files, *linked]:
            path = Path(place) / name
            found.append((os.fsencode(path.relative_to(root).as_posix()), path, ""))
    for raw, path, code in sorted(found, key=lambda one: one[0]):
        yield os.fsdecode(raw), path, code


def _look(n: int, name: str, path: Path, code: str) -> Source:
    """The entry of one file, with a code where it is not to be read."""
    try:
        info = path.lstat()
        if code or not stat.S_ISREG(info.st_mode):
            return Source(n, name, path, code or ("link" if stat.S_ISLNK(info.st_mode) else "not_a_file"))
        with path.open("rb") as file:
            head = file.read(HEAD)
        code = "" if head else "empty_file"
        # The preamble of a DICOM file may look like anything; what says DICM is no archive.
        if head[128:132] != b"DICM" and (head.startswith(ARCHIVES) or head[257:262] == b"ustar"):
            code = "archive_not_opened"
        return Source(n, name, path, code, info.st_size, stamp(info))
    except OSError:
        return Source(n, name, path, "unreadable")


def stamp(info: os.stat_result) -> tuple[int, int, int]:
    """What changes when a file is replaced or written to."""
    return info.st_ino, info.st_size, info.st_mtime_ns


def digest(path: Path) -> str:
    """SHA-256 of a file, "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
