"""Session labels and day zero of a desk, fixed when first given: a file beside the key, for a desk has no registry that could remember.

    KEY.sessions.json     participant code -> day zero (a shifted date) and, by study code, label and shifted date of each visit; no true date, no name

The label of a visit is its own shifted date, with a letter for the second of a day, and never changes: an earlier visit found later gets a label of its
own and a negative day. Whoever has lost the file gets the same labels again, but for the order of visits of one day, and a new day zero.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.sort import Study
from pipeline.workspace import Lock, Taken, write_json

__all__ = ["Labels", "Unreadable"]

PATIENCE_S = 60.0


class Unreadable(ValueError):
    """The file of labels cannot be read: giving new labels would tear visits apart."""


class Labels:
    """The labels beside one key file. `assign` fixes those of studies that are new; `rows` gives what a sessions table says."""

    def __init__(self, key: Path) -> None:
        self.path = key.with_name(key.name + ".sessions.json")
        self.people: dict[str, dict[str, Any]] = {}

    def assign(self, studies: Iterable[Study]) -> None:
        """Give each study of a person its label (`study.session`), the known one or a new one that stays. Raises Unreadable."""
        mine = [study for study in studies if study.participant and not study.whose]
        if not mine and not self.path.exists():
            return
        with self._held():
            self._read()
            before = json.dumps(self.people, sort_keys=True)
            for study in sorted(mine, key=lambda one: (one.session, one.code)):
                self._label(study)
            if json.dumps(self.people, sort_keys=True) != before:
                write_json(self.path, {"schema": 1, "participants": self.people}, mode=0o600)

    def _label(self, study: Study) -> None:
        known = self.people.setdefault(str(study.participant), {"zero": "", "sessions": {}})
        day = study.session.partition("x")[0]
        dated = bool(re.fullmatch(r"[0-9]{8}", day))
        if study.code not in known["sessions"]:
            used = {row["label"] for row in known["sessions"].values()}
            label = next(name for n in range(1, 1000) if (name := day if n == 1 else f"{day}x{n}") not in used)
            known["sessions"][study.code] = {"label": label, "date": day if dated else ""}
        if dated and not known["zero"]:
            known["zero"] = day
        study.session = known["sessions"][study.code]["label"]

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """The lock of the file, which another run may hold for a moment; the lock's own file goes with it."""
        path, end = self.path.with_suffix(".lock"), time.monotonic() + PATIENCE_S
        with contextlib.ExitStack() as held:
            while True:
                try:
                    held.enter_context(Lock(path))
                    break
                except Taken:
                    if time.monotonic() > end:
                        raise
                    time.sleep(0.05)
            yield
            path.unlink()

    def _read(self) -> None:
        if not self.path.exists():
            return
        try:
            people = json.loads(self.path.read_bytes())["participants"]
            for known in people.values():
                assert isinstance(known["zero"], str) and all({"label", "date"} <= set(row) for row in known["sessions"].values())
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
            raise Unreadable from None
        self.people = people

    def rows(self) -> list[dict[str, Any]]:
        """One row for each known visit: participant_id, session_id, and day from day zero where the visit has a date."""
        found = []
        for code, known in sorted(self.people.items()):
            for row in sorted(known["sessions"].values(), key=lambda row: str(row["label"])):
                day = (_date(row["date"]) - _date(known["zero"])).days if row["date"] and known["zero"] else None
                found.append({"participant_id": f"sub-{code}", "session_id": f"ses-{row['label']}", "day": day})
        return found


def _date(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:]))
