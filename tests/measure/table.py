"""A table "Must be shown": each row is measured afresh, printed with its target, and written to build/show/AREA.json.

Three depths. `quick` (minutes) and the default (at most 25 minutes on 2 cores) may measure a seeded sample and say so; beside a sample stands the last
full figure from docs/measured/AREA.json with its date and commit. `full` measures everything and writes that file row by row, so that a broken run
resumes; what it has of an unfinished row can be kept for another machine (`begun.py`).
"""

from __future__ import annotations

import argparse
import datetime
import json
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Result:
    """What was seen: the figure in words, whether it meets the target (None: not run now, ask the last full figure), and whether it was only a sample."""

    figure: str
    met: bool | None
    sample: bool = False


Measure = Callable[[str], Result]


@dataclass(frozen=True)
class Row:
    """One line of the table: its name, the target, and how it is measured at a depth (`quick`, `usual` or `full`)."""

    name: str
    target: str
    measure: Measure


def not_quick(measure: Measure) -> Measure:
    """A row that takes minutes, or measures time on a machine that tests share: QUICK=1 leaves it to the last full run."""
    return lambda depth: Result("not run now (QUICK=1)", met=None, sample=True) if depth == "quick" else measure(depth)


def commit() -> str:
    """The commit measured, with a + where the tree differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "-uno", "--", ".", ":!docs/measured")
    return (git("rev-parse", "--short", "HEAD") or "none") + ("+" if changed else "")


class Measured:
    """The full figures kept in docs/measured/AREA.json: {row: {figure, met, date, commit}}."""

    def __init__(self, area: str) -> None:
        self.path = ROOT / "docs" / "measured" / f"{area}.json"
        self.rows: dict[str, dict[str, Any]] = json.loads(self.path.read_text("utf-8")) if self.path.exists() else {}

    def keep(self, name: str, result: Result) -> None:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        self.rows[name] = {"figure": result.figure, "met": result.met, "date": today, "commit": commit()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.rows, indent=1, ensure_ascii=False) + "\n", "utf-8")

    def said(self, name: str) -> str:
        row = self.rows.get(name)
        return f" [last full: {row['figure']}, {row['date']}, {row['commit']}]" if row else " [no full figure yet]"

    def met(self, name: str) -> bool:
        return bool(self.rows.get(name, {}).get("met"))

    def done(self, name: str) -> Result | None:
        """The row's result where this very commit has it already: a broken full run goes on from there."""
        row = self.rows.get(name)
        return Result(row["figure"], row["met"]) if row and row["commit"] == commit() and not commit().endswith("+") else None


def measured(row: Row, depth: str) -> Result:
    try:
        return row.measure(depth)
    except Exception as error:  # a row that breaks is a row not met, and the others are still measured
        traceback.print_exc()
        return Result(f"broke: {type(error).__name__}", met=False)


def show(area: str, rows: Sequence[Row], argv: Sequence[str] | None = None) -> int:
    """Measure the rows, print and write the table; 0 only if all are met."""
    parser = argparse.ArgumentParser(prog=f"make show-{area}")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", help="measure the rows whose name contains this")
    asked = parser.parse_args(argv)
    depth = "full" if asked.full else "quick" if asked.quick else "usual"
    if asked.full:
        import begun  # beside this file; a test that imports this module as one of a package has no need of it

        begun.go_on()
    kept, out = Measured(area), []
    for row in rows:
        if asked.only and asked.only not in row.name:
            continue
        print(f"measuring: {row.name} ...", file=sys.stderr, flush=True)
        result = (kept.done(row.name) if depth == "full" else None) or measured(row, depth)
        if depth == "full" and not result.sample:
            kept.keep(row.name, result)
        figure = result.figure + (kept.said(row.name) if result.sample else "")
        out.append({"row": row.name, "target": row.target, "figure": figure, "met": kept.met(row.name) if result.met is None else result.met})
    write(area, out)
    return 0 if all(line["met"] for line in out) else 1


def write(area: str, lines: list[dict[str, Any]]) -> None:
    folder = ROOT / "build" / "show"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{area}.json").write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", "utf-8")
    table = Table(title=f"show-{area}", show_lines=True)
    for column in ("what", "target", "figure", "met"):
        table.add_column(column, overflow="fold")
    for line in lines:
        table.add_row(line["row"], line["target"], line["figure"], "met" if line["met"] else "NOT MET")
    Console(width=None if sys.stdout.isatty() else 160).print(table)
