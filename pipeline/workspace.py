"""The folders of one run: what is half done lies apart, and what is done appears whole, by one rename.

A file is written under a temporary name, flushed to the disk and renamed; a folder is filled inside the run's private work folder, every file and
folder of it is flushed, and then it is renamed into place and its parent flushed (a rename alone survives a kill, but not a power cut: the files could come
back empty). So at any moment a reader sees the old state or the new, never a part. A lock held by the kernel tells a run that lives from one
that was killed, and a killed one leaves nothing to clean but its work folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.isolate import Answer, Limits, Pool

__all__ = ["Lock", "Taken", "Workspace", "clear", "private", "publish", "set_modes", "write_json", "write_whole"]

Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """The progress of a run that nobody watches."""


class Taken(RuntimeError):
    """Another living process works in this folder."""


@dataclass
class Workspace:
    """Where one run works. `folder` is private (mode 0700); `progress(step, done, total)` is told how far each step is."""

    folder: Path
    pool: Pool
    progress: Progress = field(default=silent)

    def __post_init__(self) -> None:
        private(self.folder)

    def each(self, step: str, function: str, items: Sequence[Any], limits: Limits) -> list[Answer]:
        """`Pool.each` with progress; answers in the order of the items."""
        answers: list[Answer | None] = [None] * len(items)
        for done, answer in enumerate(self.pool.each(function, items, limits=limits), 1):
            answers[answer.index] = answer
            self.progress(step, done, len(items))
        return [answer for answer in answers if answer is not None]

    def fresh(self, name: str) -> Path:
        """An empty private folder of this name inside the run's folder; what was there is gone."""
        folder = self.folder / name
        clear(folder)
        return private(folder)

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """A private folder that is gone afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="scratch-", dir=self.folder))
        try:
            yield folder
        finally:
            clear(folder)


class Lock:
    """A lock on a folder that the kernel lets go when its holder dies. `with Lock(path):` raises Taken when a living process holds it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.handle = -1

    def __enter__(self) -> Lock:
        try:
            self.handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except FileNotFoundError:
            raise Taken("gone") from None
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The folder may have been published and removed between opening and locking: then this lock guards nothing.
            if not self.path.exists() or os.fstat(self.handle).st_ino != self.path.stat().st_ino:
                raise Taken("gone")
        except OSError:
            os.close(self.handle)
            raise Taken("locked") from None
        except Taken:
            os.close(self.handle)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)


def private(folder: Path) -> Path:
    """Make a folder that only its owner may enter."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def clear(path: Path, patience_s: float = 5.0) -> None:
    """Remove a tree. A converter whose parent was killed may still be writing into it for a moment: try again until it is gone."""
    end = time.monotonic() + patience_s
    while path.is_symlink() or path.exists():
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def flush(path: Path) -> None:
    """fsync one file or folder."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """fsync every file and folder of a tree."""
    for place, _, names in os.walk(folder):
        for name in names:
            flush(Path(place) / name)
        flush(Path(place))


def publish(folder: Path, target: Path) -> None:
    """Put a finished folder where it belongs, at once and lastingly. `target` must not exist, and must lie on the same file system."""
    flush_tree(folder)
    folder.rename(target)
    flush(target.parent)


def set_modes(folder: Path, *, folders: int, files: int) -> None:
    """Give a tree the modes it is published with: children write for themselves alone, and no mode may depend on who ran them."""
    for place, _, names in os.walk(folder):
        Path(place).chmod(folders)
        for name in names:
            (Path(place) / name).chmod(files)


def write_whole(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file that is never seen in part."""
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(handle, mode)
            os.fsync(handle)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    flush(path.parent)


def write_json(path: Path, value: Any, *, mode: int = 0o644) -> None:
    """Write JSON whole: sorted keys and a final newline, so that equal values are equal bytes. Raises ValueError on NaN."""
    write_whole(path, (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n").encode(), mode=mode)
