"""Which disease lies under which: the hierarchy that a disease-specific consent is asked with, as data.

`MYELIN_HOME/diseases.json` is made from an edition of MONDO (CC BY 4.0) that the hospital chooses; without the file a disease lies under itself alone,
so that a consent covers no disease it does not name.

    python -m registry.consent.diseases mondo.obo > var/diseases.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

MONDO = re.compile(r"MONDO:\d{7}")


def read_obo(lines: Iterable[str]) -> dict[str, Any]:
    """The `is_a` links between MONDO's living terms, of an OBO file: {"edition": data-version, "parents": {id: [ids]}}."""
    parents: dict[str, list[str]] = {}
    edition, term, dead = "", "", False
    for line in lines:
        tag, _, rest = line.strip().partition(": ")
        found = MONDO.match(rest)
        if tag == "data-version":
            edition = rest
        elif line.startswith("["):
            term, dead = "", not line.startswith("[Term]")
        elif tag == "id" and found and not dead:
            term = found.group()
        elif tag == "is_a" and found and term:
            parents.setdefault(term, []).append(found.group())
        elif tag == "is_obsolete" and term:
            parents.pop(term, None)
    return {"edition": edition, "licence": "CC BY 4.0, by the authors of MONDO", "parents": {key: sorted(set(ids)) for key, ids in sorted(parents.items())}}


def above(parents: Mapping[str, Iterable[str]]) -> dict[str, frozenset[str]]:
    """Every id over each id. A circle, which an ontology does not have, ends where it began."""

    def climb(one: str) -> frozenset[str]:
        seen: set[str] = set()
        todo = list(parents.get(one, ()))
        while todo:
            if (now := todo.pop()) not in seen:
                seen.add(now)
                todo += parents.get(now, ())
        return frozenset(seen - {one})

    return {one: climb(one) for one in parents}


@lru_cache(maxsize=2)
def _read(path: str, changed: int) -> dict[str, frozenset[str]]:
    return above(json.loads(Path(path).read_text(encoding="utf-8"))["parents"])


def ancestors() -> Mapping[str, frozenset[str]]:
    """Every id over each disease, of the hospital's edition; read again once the file changes."""
    from django.conf import settings  # late: making the file needs no registry

    path = Path(settings.MYELIN_HOME) / "diseases.json"
    return _read(str(path), path.stat().st_mtime_ns) if path.is_file() else {}


if __name__ == "__main__":
    with Path(sys.argv[1]).open(encoding="utf-8") as obo:
        json.dump(read_obo(obo), sys.stdout, indent=1)
    sys.stdout.write("\n")
