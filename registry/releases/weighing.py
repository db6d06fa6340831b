"""How far the tables of a release single people out: for each table as it is given out, the classes of rows that agree in all its quasi-identifiers.

The dictionary names the quasi-identifiers of clinical tables; of the others they stand here. Each column is weighed alone and all of a table together, and
once more everything that is told of a person in any table (`linked`): who holds all tables can join them. A class smaller than the dataset's k needs two
people to agree before the release is made. What they agree to is the tables themselves: `sha256` is of the content, so other tables need another agreement.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry.clinical import dictionary
from registry.releases.sealing import canonical
from registry.releases.tree import Entry

QUASI = {"participants": ("age", "sex", "birth_year_band", "handedness", "site"), "sessions": ("age",)}
Row = tuple[str, ...]


def weigh(entries: Iterable[Entry], k: int, version: str) -> dict[str, Any]:
    """`{"k", "tables": [...], "linked": {...}, "smallest", "below_k", "sha256"}` of the tables among `entries`. `version`: of the dictionary they keep to."""
    found = _tables(entries)
    told = [_table(name, *found[name], k, version) for name in sorted(found)]
    weighed = [one for one in told if one["columns"]]
    linked = _linked(found, version, k)
    smallest = min([one["smallest"] for one in weighed] + ([linked["smallest"]] if linked["rows"] else []), default=0)
    content = {name: hashlib.sha256(canonical([header, rows])).hexdigest() for name, (header, rows) in found.items()}
    report = {"k": k, "dictionary": version, "tables": weighed, "linked": linked, "smallest": smallest, "below_k": 0 < smallest < k}
    return report | {"sha256": hashlib.sha256(canonical(content)).hexdigest()}


def _tables(entries: Iterable[Entry]) -> dict[str, tuple[Row, list[Row]]]:
    """Name -> header and rows of every table of people; the sessions tables of all are one, with whose they are in front."""
    found: dict[str, tuple[Row, list[Row]]] = {}
    for entry in entries:
        if entry.text is None or not entry.path.endswith(".tsv"):
            continue
        header, *rows = (tuple(line.split("\t")) for line in entry.text.decode().splitlines())
        if entry.path == "participants.tsv" or entry.path.startswith("phenotype/"):
            found[entry.path.removesuffix(".tsv").removeprefix("phenotype/")] = (header, rows)
        elif entry.path.endswith("_sessions.tsv"):
            who = entry.path.split("/")[0]
            have = found.setdefault("sessions", (("participant_id", "session_id", "age"), []))
            age = header.index("age") if "age" in header else None
            have[1].extend((who, row[0], row[age] if age is not None else "n/a") for row in rows)
    return found


def _quasi(name: str, version: str) -> frozenset[str]:
    """The quasi-identifying columns of a table, the numbers of a repeated record cut off."""
    if name in QUASI:
        return frozenset(QUASI[name])
    instrument = name.rsplit("_", 1)[0]
    told = dictionary.load(version)
    fields = told.get("derived", {}) if instrument == dictionary.DERIVED else told["instruments"].get(instrument, {}).get("fields", {})
    return frozenset(key for key, spec in fields.items() if spec["privacy"] == "quasi")


def _picked(name: str, header: Row, rows: Sequence[Row], version: str) -> list[int]:
    """Places of the quasi-identifying columns in which anything is known."""
    names = _quasi(name, version)
    places = [n for n, column in enumerate(header) if column in names or re.sub(r"_[0-9]+$", "", column) in names]
    return [n for n in places if any(row[n] != "n/a" for row in rows)]


def _table(name: str, header: Row, rows: Sequence[Row], k: int, version: str) -> dict[str, Any]:
    places = _picked(name, header, rows, version)
    alone = [{"columns": [header[n]]} | _classes((row[n] for row in rows), k) for n in places] if len(places) > 1 else []
    together = _classes((tuple(row[n] for n in places) for row in rows), k)
    return {"table": name, "columns": [header[n] for n in places], **together, "alone": alone}


def _linked(found: Mapping[str, tuple[Row, list[Row]]], version: str, k: int) -> dict[str, Any]:
    """Everything that is told of a person in any table, joined."""
    told: dict[str, list[Row]] = defaultdict(list)
    columns: set[str] = set()
    for name, (header, rows) in sorted(found.items()):
        places = _picked(name, header, rows, version)
        columns |= {f"{name}.{header[n]}" for n in places}
        for row in rows:
            told[row[0]] += [(name, *(row[n] for n in places))] if places else []
    return {"columns": sorted(columns)} | _classes((tuple(sorted(rows)) for rows in told.values()), k)


def _classes(rows: Iterable[Any], k: int) -> dict[str, int]:
    """Of rows that stand in classes: how many there are, the smallest class, how many stand alone, how many in a class below k."""
    sizes = Counter(rows).values()
    return {"rows": sum(sizes), "smallest": min(sizes, default=0), "unique": sum(size == 1 for size in sizes), "below": sum(size for size in sizes if size < k)}
