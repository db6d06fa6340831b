"""The store: `store/DATASET/PARTICIPANT-KEY/SHA256`. Content-addressed within one participant, never shared between two.

So two people's byte-identical masks are two files, and when one leaves the other's stays. A file appears whole or not at all: temporary name, fsync,
rename, fsync of the folder; only then may a row name it. What no row names is garbage after a day; a row is deleted before its file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from registry.subjects.models import Participant

CHUNK = 1 << 20
SHA256 = re.compile(r"[0-9a-f]{64}")
TEMPORARY = ".tmp-"


class Corrupt(Exception):
    """Bytes are not what their hash says. The message names no path."""


def folder(participant: Participant) -> Path:
    """Where everything of one participant lies: named by the dataset's slug and the participant's random key."""
    return Path(settings.MYELIN_ZONES["store"]) / participant.dataset.slug / participant.key


def path(participant: Participant, sha256: str) -> Path:
    """The file of one hash. Raises Corrupt for what is no hash, so that no row can lead outside."""
    if not SHA256.fullmatch(sha256):
        raise Corrupt("this is no SHA-256")
    return folder(participant) / sha256


def sync(directory: Path) -> None:
    """Make what was renamed in a directory last through a power cut."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put(participant: Participant, source: Path | bytes, sha256: str) -> Path:
    """Bring bytes into the store under their hash; the same bytes again change nothing. Raises Corrupt when they do not have that hash."""
    target = path(participant, sha256)
    if target.is_file() and digest(target) == sha256:
        return target
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.parent / f"{TEMPORARY}{os.getpid()}-{time.monotonic_ns()}"
    try:
        seen = hashlib.sha256()
        with temporary.open("xb") as out:
            for chunk in _chunks(source):
                seen.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
        if seen.hexdigest() != sha256:
            raise Corrupt("the bytes do not have the hash they were announced with")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    for directory in (target.parent, target.parent.parent, target.parent.parent.parent):
        sync(directory)
    return target


def _chunks(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    seen = hashlib.sha256()
    for chunk in _chunks(file):
        seen.update(chunk)
    return seen.hexdigest()


def delete_all(participant: Participant) -> int:
    """Delete every byte of one participant; return how many files. Done when it returns: the folder is gone and that is on disk."""
    place = folder(participant)
    count = sum(1 for file in place.rglob("*") if file.is_file()) if place.exists() else 0
    if place.exists():
        shutil.rmtree(place)
        sync(place.parent)
    return count


def delete(participant: Participant, sha256: str) -> None:
    """Delete one file; an absent one is deleted already."""
    target = path(participant, sha256)
    target.unlink(missing_ok=True)
    if target.parent.exists():
        sync(target.parent)


def held(participant: Participant) -> set[str]:
    """The hashes that lie in a participant's folder."""
    place = folder(participant)
    return {file.name for file in place.iterdir() if SHA256.fullmatch(file.name)} if place.exists() else set()


def temporaries(older_than_s: float) -> Iterator[Path]:
    """Left-overs of interrupted writes."""
    now = time.time()
    for file in Path(settings.MYELIN_ZONES["store"]).glob(f"*/*/{TEMPORARY}*"):
        if now - file.stat().st_mtime > older_than_s:
            yield file
