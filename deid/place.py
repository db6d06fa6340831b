"""The place where a result appears: OUT, and a private folder beside it in which all the work is done.

OUT may be new, empty, or hold what an earlier run of this command under the same key wrote and this run will write again; anything else is refused, so that
nothing is ever lost or mixed. Persons get into OUT by one rename each, after all of them are done. Two runs cannot work on one OUT.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType

from deid.pseudonyms import CodeKey

__all__ = ["Place", "Usage"]


class Usage(ValueError):
    """The command was given what it cannot work with; the message says what to do, and names no file."""


class Place:
    """OUT and its work folder. Use `with`: it is locked, and on success cleared."""

    def __init__(self, target: Path, source: Path, codes: CodeKey, report: Path | None = None) -> None:
        """Raises Usage where OUT cannot be used."""
        self.out, self.codes = target.resolve(), codes
        self.report = report.resolve() if report else None
        within = source.resolve()
        if self.out.is_relative_to(within) or within.is_relative_to(self.out):
            raise Usage("OUT and IN lie inside each other. Choose an OUT elsewhere.")
        if self.out.exists() and not self.out.is_dir():
            raise Usage("OUT is not a folder.")
        if any(not self._ours(path) for path in self._held()):
            raise Usage("OUT holds something that this command did not write under this key. Choose a new folder.")
        self.trees: dict[str, Path] = {}
        self.published = False

    def _held(self) -> list[Path]:
        return [path for path in self.out.iterdir() if path != self.report and path.name != ".myelin-work"] if self.out.is_dir() else []

    def _ours(self, path: Path) -> bool:
        return path.is_dir() and not path.is_symlink() and self.codes.recognises(path.name)

    def __enter__(self) -> Place:
        self.work = self._work()
        self.pieces = self.work / "pieces"
        self.lock = (self.work / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.lock.close()
            raise Usage("Another run works on the same OUT. Wait for it, or choose another OUT.") from None
        for path in self.work.iterdir():
            if path.name not in ("lock", "pieces"):
                shutil.rmtree(path)
        self.pieces.mkdir(exist_ok=True)
        return self

    def _work(self) -> Path:
        """The private folder: beside OUT, or inside it where nothing may be written beside it or OUT is another file system."""
        beside = self.out.parent / f".{self.out.name}.myelin-work"
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            if self.out.is_dir() and self.out.stat().st_dev != self.out.parent.stat().st_dev:
                raise OSError
            beside.mkdir(mode=0o700, exist_ok=True)
        except OSError:
            beside = self.out / ".myelin-work"
            try:
                beside.mkdir(mode=0o700, exist_ok=True)
            except OSError:
                raise Usage("OUT cannot be written to.") from None
        if beside.is_symlink() or beside.stat().st_uid != os.getuid():
            raise Usage("The work folder beside OUT belongs to somebody else.")
        beside.chmod(0o700)
        return beside

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.published:
            shutil.rmtree(self.work)
        self.lock.close()

    def claim(self, planned: set[str]) -> None:
        """Say which files (below OUT) this run may write. Raises Usage where OUT holds others."""
        held = {path.relative_to(self.out).as_posix() for folder in self._held() for path in folder.rglob("*") if not path.is_dir()}
        if held - planned:
            raise Usage("OUT holds results of other scans, or of other options. Choose a new folder.")

    def add(self, code: str, tree: Path) -> None:
        """A finished person's tree, to become OUT/code."""
        if any(tree.iterdir()):
            self.trees[code] = tree

    def publish(self) -> None:
        """Put every tree in its place."""
        mask = os.umask(0o077)
        os.umask(mask)
        old = self.work / "old"
        old.mkdir()
        self.out.mkdir(parents=True, exist_ok=True)
        for path in self._held():
            path.rename(old / path.name)
        for code, tree in sorted(self.trees.items()):
            for path in (tree, *tree.rglob("*")):
                path.chmod((0o777 if path.is_dir() else 0o666) & ~mask)
            tree.rename(self.out / code)
        self.published = True
