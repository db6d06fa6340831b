"""`make show-main`: the rows of the issue "The house stands, and the main job runs on real input"."""

from __future__ import annotations

import sys

import fresh
import pipeline_rows
from table import ROOT, Result, Row, not_quick, show


def floors(depth: str) -> Result:
    """The floors of the house, and whether planted violations are caught."""
    code, text, _ = fresh.call(ROOT, sys.executable, "-m", "pytest", "-q", "tests/house/test_floors.py")
    passed, failed, _ = fresh.counted(text)
    return Result(f"{'0 violations' if code == 0 else 'violations'}; {passed - 1} planted violations caught, {failed} missed", met=code == 0 and passed > 1)


ROWS = [
    Row("fresh clone, no .venv, make demo", "exit 0; story under 8 min on 2 cores", fresh.demo),
    Row("fresh clone, make test", "passes; skips named", fresh.suite),
    Row(".ci/run on a new machine", "passes, 0 skipped, under 30 min", fresh.continuous),
    Row("pipeline on all shared DICOM", "files in = files accounted for; validator errors 0", not_quick(pipeline_rows.shared_data)),
    Row("stranger, two patients, no consent", "3 of 3 wait with a reason, 0 converted", fresh.waiting),
    Row("SIGKILL at 20 random moments, then rerun", "0 half-written files, same final tree", not_quick(pipeline_rows.killed)),
    Row("the carrier while it works", "no database address, no vault, no Django", pipeline_rows.carrier),
    Row("floors", "0 violations; the planted one is caught", floors),
]

if __name__ == "__main__":
    sys.exit(show("main", ROWS))
