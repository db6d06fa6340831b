"""A pytest plugin: every dataset that a test assembles is validated at once, and its errors are written down as a line of JSON (MYELIN_BIDS_WATCH)."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

from bidstree import check, dataset

_assemble = dataset.assemble


@functools.wraps(_assemble)
def assemble(pieces: Any, out: Path, *rest: Any, **more: Any) -> None:
    _assemble(pieces, out, *rest, **more)
    report = check.validate(out)
    line = {"errors": [finding.code for finding in report.findings if finding.severity == "error"]}
    with Path(os.environ["MYELIN_BIDS_WATCH"]).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


dataset.assemble = assemble
