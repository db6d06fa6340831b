"""Every file of an upload has a number: its place in sorted path order, from 1; the members of a zip follow their zip.

Nothing is parsed here. Links are not followed, devices are not opened, and of a file only its first bytes are looked at, to know a zip, which a
child then unpacks (`pipeline.archive`). The same upload gives the same numbers, so that an order can speak of files without naming one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.archive import looks_like_archive
from pipeline.codes import CODES, Refused, Verdict, kept, verdict
from pipeline.isolate import Limits
from pipeline.outcome import digest
from pipeline.workspace import Workspace

__all__ = ["NoInput", "Source", "inventory"]

UNPACK = Limits(memory_mb=1024, cpu_s=3600, wall_s=7200, file_mb=64 * 1024)  # of a zip, one series may be 28 GB
HEAD = 262


class NoInput(LookupError):
    """The input, or a file of the order, is not there."""


@dataclass(frozen=True)
class Source:
    """One file of the input. `name`: where it lay, for its owner's eyes only; `path`: where its bytes can be read now, None when `verdict` refuses it."""

    n: int
    name: str
    path: Path | None
    verdict: Verdict
    sha256: str = ""
    bytes: int = 0
    archive: bool = False

    @property
    def folder(self) -> tuple[str, ...]:
        """The folders above it, outermost first."""
        return tuple(self.name.split("/")[:-1])


def inventory(root: Path, workspace: Workspace, wanted: Collection[int] | None = None) -> list[Source]:
    """All files of a folder or a zip, in the order of their numbers. With `wanted`, only those members of archives are unpacked.

    Raises NoInput when there is no such input.
    """
    sources: list[Source] = []
    unpacked = workspace.fresh("unpacked")
    for name, path in walk(root):
        one = first_look(len(sources) + 1, name, path)
        if one.archive:
            sources += opened(one, unpacked, workspace, wanted)
        else:
            sources.append(one)
        workspace.progress("list", len(sources), 0)
    return sources


def walk(root: Path) -> Iterator[tuple[str, Path]]:
    """(relative name, path) of everything below `root` that is no folder, in sorted order; of `root` itself when it is a file."""
    if not root.is_dir():
        if not root.exists():
            raise NoInput
        yield root.name, root
        return
    found: list[tuple[bytes, Path]] = []
    for place, folders, names in os.walk(root):
        linked = [folder for folder in folders if (Path(place) / folder).is_symlink()]
        for name in [*names, *linked]:
            path = Path(place) / name
            found.append((os.fsencode(path.relative_to(root).as_posix()), path))
    for raw, path in sorted(found):
        yield os.fsdecode(raw), path


def first_look(n: int, name: str, path: Path, *, inner: bool = False) -> Source:
    """The entry of one file, refused where it is no regular file that can be read. `inner`: it came out of an archive."""
    nothing = Source(n, name, None, kept())
    try:
        info = path.lstat()
        code = "link" if stat.S_ISLNK(info.st_mode) else "" if stat.S_ISREG(info.st_mode) else "not_a_file"
        if code:
            return replace(nothing, verdict=verdict(code))
        if info.st_size == 0:
            return replace(nothing, verdict=verdict("empty_file"), sha256=digest(path))
        with path.open("rb") as file:
            archive = looks_like_archive(file.read(HEAD))
        if archive and inner:
            return replace(nothing, verdict=verdict("archive_nested"), sha256=digest(path), bytes=info.st_size)
        return replace(nothing, path=path, bytes=info.st_size, archive=archive)
    except Refused as refusal:
        return replace(nothing, verdict=verdict(refusal.code), sha256=digest(path), bytes=path.stat().st_size)
    except OSError:
        return replace(nothing, verdict=verdict("unreadable"))


def opened(one: Source, unpacked: Path, workspace: Workspace, wanted: Collection[int] | None) -> list[Source]:
    """An archive and its members: the archive is accounted for as such, and each member as a file of its own."""
    assert one.path is not None
    item = {"path": str(one.path.resolve()), "out": str(unpacked), "first": one.n + 1, "wanted": None if wanted is None else sorted(wanted)}
    answer = workspace.pool.one("pipeline.archive:unpack", item, limits=UNPACK)
    itself = replace(one, path=None, sha256=digest(one.path))
    if answer.death:
        return [replace(itself, verdict=verdict(answer.death.code, answer.death.reason, answer.death.advice))]
    note = "An archive: each file in it stands on a line of its own."
    members = [itself_member(one, row, one.n + 1 + m) for m, row in enumerate(answer.value)]
    return [replace(itself, verdict=replace(kept(), reason=note)), *members]


def itself_member(archive: Source, row: dict[str, str], n: int) -> Source:
    """The entry of one member of an archive."""
    name = f"{archive.name}/{row['name']}"
    if row["code"] in CODES:
        return Source(n, name, None, verdict(row["code"]))
    if not row["file"]:
        return Source(n, name, None, kept())
    return replace(first_look(n, name, Path(row["file"]), inner=True), sha256=row["sha256"])
