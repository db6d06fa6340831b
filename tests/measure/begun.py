"""Answers that a long measure has so far, kept in the repository so that a FULL run on another machine goes on with them.

    python tests/measure/begun.py build/quality/measured-*.jsonl      keeps these
Each file names the code that gave its answers (a hash), or the pinned peer; an answer of other code is never found again, and its file may be deleted.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs" / "measured" / "begun"


def keep(paths: Iterable[Path]) -> None:
    """Pack files of build/ under the names that they have there; the same answers give the same bytes."""
    for path in paths:
        there = KEPT / (path.resolve().relative_to(ROOT / "build").as_posix().replace("/", "--") + ".gz")
        there.parent.mkdir(parents=True, exist_ok=True)
        there.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def go_on() -> None:
    """Unpack what was kept where build/ has nothing of it yet."""
    for packed in KEPT.glob("*.gz"):
        there = ROOT / "build" / packed.name.removesuffix(".gz").replace("--", "/")
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(gzip.decompress(packed.read_bytes()))


if __name__ == "__main__":
    keep(map(Path, sys.argv[1:]))
