"""Nothing is skipped in CI: every need a test names is a Debian package that `.ci/run` installs."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CI = (ROOT / ".ci/run").read_text("utf-8")
INSTALLED = set(re.search(r"apt-get install -y -q ((?:[\w.+-]+ ?)+)", CI).group(1).split())  # type: ignore[union-attr]


def test_every_need_is_installed_by_ci() -> None:
    needs = set()
    for path in (ROOT / "tests").rglob("*.py"):
        needs |= set(re.findall(r"mark\.needs\(\"([\w-]+)\"", path.read_text("utf-8")))
    assert needs
    assert needs - {"shared-data"} <= INSTALLED


def test_a_skip_says_what_it_needs() -> None:
    loose = []
    for path in (ROOT / "tests").rglob("*.py"):
        for found in re.findall(r"pytest\.skip\((.{0,60})", path.read_text("utf-8")):
            if not found.startswith(('"needs ', 'f"needs ')):
                loose.append(f"{path.name}: {found}")
    assert loose == []


def test_chosen_skips_use_the_marker() -> None:
    others = [p for p in (ROOT / "tests").rglob("*.py") if p.name not in ("test_ci.py", "conftest.py")]
    assert [p.name for p in others if re.search(r"mark\.skip(if)?\(", p.read_text("utf-8"))] == []
