"""DUO's terms, as shipped in `duo.json`: shorthand, id, label, definition."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Term:
    """One term: `shorthand` is what events and requests hold, `id` what other systems read."""

    shorthand: str
    id: str
    label: str
    definition: str


@cache
def terms() -> dict[str, Term]:
    """Every term by shorthand."""
    data = json.loads(Path(__file__).with_name("duo.json").read_text(encoding="utf-8"))
    return {shorthand: Term(shorthand, row["id"], row["label"], row["definition"]) for shorthand, row in data["terms"].items()}
