"""Secrets lie in files outside database and repository: one file, one purpose, readable by their owner alone.

A key is written whole or not at all (temporary name, fsync, link), so two processes that make the same key agree on it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from registry.rules import Conflict


class KeyMissing(Conflict):
    """A key that is needed is not there, or others may read it."""

    def __init__(self, what: str) -> None:
        super().__init__("key_unusable", f"The key file of the {what} is missing or may be read by others.", "Ask those who run this registry.")


def sync_folder(folder: Path) -> None:
    """Makes renames and removals in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def private_folder(path: Path) -> Path:
    """The folder, made with all that is missing above it, for its owner alone. (`Path.mkdir(parents=True)` makes the parents open to others.)"""
    if not path.is_dir():
        private_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
    return path


def make(path: Path) -> None:
    """A fresh 256-bit secret as 64 hexadecimal characters; an existing file stays as it is."""
    make_all([path])


def make_all(paths: Iterable[Path]) -> None:
    """A fresh secret for each path, as `make`; their folders are synced once, when all are there."""
    wanted = list(paths)
    for path in wanted:
        _make(path)
    for folder in {path.parent for path in wanted}:
        sync_folder(folder)


def _make(path: Path) -> None:
    private_folder(path.parent)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as out:
        out.write(secrets.token_hex(32) + "\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def read(path: Path, what: str) -> bytes:
    """The 32 bytes of a key file. Raises KeyMissing when it is absent, not 64 hexadecimal characters, or open to others."""
    try:
        info = path.stat()
        text = path.read_text(encoding="ascii").strip()
        if not stat.S_ISREG(info.st_mode) or info.st_mode & 0o007 or len(text) != 64:
            raise KeyMissing(what)
        return bytes.fromhex(text)
    except (OSError, ValueError):
        raise KeyMissing(what) from None


def registry_key(name: str) -> bytes:
    """A key of the whole registry (`audit`, `vault`, `accounts`). Development makes it on first use; production does not start without it."""
    path = settings.MYELIN_KEYS / name
    if not path.exists() and not settings.PRODUCTION:
        make(path)
    return read(path, name)
