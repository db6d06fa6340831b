"""Makes `duo.json` from the Data Use Ontology's own table: `python -m registry.consent.duo_table duo.csv > registry/consent/duo.json`.

Source: https://github.com/EBISPOT/DUO, file duo.csv, commit 726b06e657dadde900a518aa6bd3ed66cb622411. DUO is CC BY 4.0, by its authors.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

EDITION = {
    "name": "Data Use Ontology (DUO)",
    "source": "https://github.com/EBISPOT/DUO/blob/726b06e657dadde900a518aa6bd3ed66cb622411/duo.csv",
    "licence": "CC BY 4.0",
    "made_by": "registry/consent/duo_table.py",
}


def table(path: Path) -> dict[str, Any]:
    """The terms that have a shorthand: id, label and definition by shorthand."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["shorthand"]]
    terms = {row["shorthand"]: {"id": row["id"], "label": row["label"], "definition": row["description"]} for row in rows}
    return {"edition": EDITION, "terms": dict(sorted(terms.items()))}


if __name__ == "__main__":
    json.dump(table(Path(sys.argv[1])), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")
