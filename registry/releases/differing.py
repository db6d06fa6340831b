"""What differs between two releases, in numbers, and which part of the version that moves.

`major`: something released before has other bytes or another value, or a column means something else. `minor`: people, files, values or columns are new.
`patch`: something is gone, or only words about the whole changed. What follows by computation from new data (the derived table) is new, not changed; so is
a sidecar that no longer names a file which is gone. A steward may ask for more than that, never for less.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.clinical import dictionary

PARTS = ("patch", "minor", "major")
KEYS = {"sessions": ("session_id",), "scans": ("filename",), "quality": ("source",)}  # tables of facts -> what names a row of theirs
WORDS = {
    ("people", "added"): "people are new",
    ("files", "added"): "files are new",
    ("values", "added"): "values are new",
    ("columns", "added"): "columns are new",
    ("files", "changed"): "files were made anew",
    ("values", "changed"): "values were corrected",
    ("columns", "changed"): "columns mean something else",
    ("people", "removed"): "people are gone",
    ("files", "removed"): "files are gone",
    ("values", "removed"): "values are gone",
    ("columns", "removed"): "columns are gone",
}


@dataclass(frozen=True)
class Side:
    """One of two releases. `facts`: person -> their facts; `files`: person -> path -> hash of what the store holds; both without who has left since.

    `shortened`: hashes of sidecars of the later one whose only change is what they name no more. `gone`: people of whom only tombstones are left.
    """

    facts: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    files: Mapping[Any, Mapping[str, str]] = field(default_factory=dict)
    header: Mapping[str, Any] = field(default_factory=dict)
    gone: int = 0
    shortened: frozenset[str] = frozenset()


def between(old: Side, new: Side) -> dict[str, Any]:
    """`{"people": {"added", "removed"}, "files", "values", "columns": {"added", "removed", "changed"}, "part"}`."""
    both = old.facts.keys() & new.facts.keys()
    told: dict[str, Any] = {"people": {"added": len(new.facts.keys() - both), "removed": len(old.facts.keys() - both) + old.gone}}
    told["files"] = _sum(_compared(old.files.get(who, {}), new.files.get(who, {}), new.shortened) for who in old.files.keys() | new.files.keys())
    changed = [who for who in both if old.facts[who] != new.facts[who]]
    told["values"] = _sum(_compared(dict(_values(old.facts[who])), dict(_values(new.facts[who]))) for who in changed)
    used = {name for side in (old, new) for facts in side.facts.values() for name in facts.get("phenotype", ())}
    told["columns"] = _compared(_columns(old.header, used), _columns(new.header, used)) if old.header else _sum([])
    return told | {"part": _part(told)}


def _part(told: Mapping[str, Any]) -> str:
    if any(told[name]["changed"] for name in ("files", "values", "columns")):
        return "major"
    return "minor" if any(counts["added"] for counts in told.values()) else "patch"


def _compared(old: Mapping[Any, Any], new: Mapping[Any, Any], expected: Iterable[Any] = ()) -> dict[str, int]:
    both = old.keys() & new.keys()
    changed = sum(old[key] != new[key] and new[key] not in expected for key in both)
    return {"added": len(new) - len(both), "removed": len(old) - len(both), "changed": changed}


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total = {"added": 0, "removed": 0, "changed": 0}
    for one in counts:
        for name in total:
            total[name] += one[name]
    return total


def _values(facts: Mapping[str, Any]) -> Iterable[tuple[tuple[str, ...], Any]]:
    """Every known value of a person: (table, row, column) -> value. A derived table changes whenever something is added: its values name themselves."""
    for name, value in facts.items():
        if name == "phenotype":
            for table, rows in value.items():
                yield from _rows(table, rows, ("session_id",), computed=table == dictionary.DERIVED)
        elif name in KEYS:
            yield from _rows(name, value, KEYS[name])
        elif value is not None and name not in ("label", "most"):
            yield ("person", "", name), value


def _rows(table: str, rows: Iterable[Mapping[str, Any]], keys: tuple[str, ...], computed: bool = False) -> Iterable[tuple[tuple[str, ...], Any]]:
    for row in rows:
        where = "/".join(str(row.get(key)) for key in keys)
        for column, value in row.items():
            if value is not None and column not in keys:
                yield (table, where, column, *([str(value)] if computed else [])), value


def _columns(header: Mapping[str, Any], used: Iterable[str]) -> dict[tuple[str, str], Any]:
    """What is said of every column of the tables in use."""
    version = header.get("dictionary", "myelin-clinical-1")
    known = dictionary.tables(version)
    found = {(name, column): said for name in used if name in known for column, said in dictionary.sidecar(name, 1, version).items()}
    words = json.loads(header["quality"]) if header.get("quality") else {}
    return found | {("quality", column): said for column, said in words.items()}


def moved(version: str, part: str) -> str:
    """The version after this one. The first release is 1.0.0."""
    if not version:
        return "1.0.0"
    numbers = [int(one) for one in version.split(".")]
    place = 2 - PARTS.index(part)
    return ".".join(str(one) for one in [*numbers[:place], numbers[place] + 1, *[0] * (2 - place)])


def at_least(part: str, asked: str) -> str:
    """The larger of two parts; an empty one asks for nothing."""
    return max((one for one in (part, asked) if one), key=PARTS.index)


def sentence(told: Mapping[str, Any]) -> str:
    """What differs, in words without numbers: how many people came or went is told by nobody but the counts (docs/decisions/0013)."""
    said = [words for (what, how), words in WORDS.items() if told.get(what, {}).get(how)]
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else "No data changed."
