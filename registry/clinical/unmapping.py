"""The way back through a mapping: what was read, in the site's own columns and words, byte for byte where the registry kept it.

A number is written as it was read if it was written plainly (`2`, `2.0`, not `2.00` or `+2`). What the registry does not keep stays away: the identifier's
column holds the participant's label, and dates are empty. Only tables with one row per visit can be written so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from registry.clinical import dictionary
from registry.clinical.mapping import Spec, column_of
from registry.rules import Invalid

Row = tuple[str, Mapping[str, str], str, Mapping[str, Mapping[str, Any]]]  # label, facts of the person, label of the visit, values by instrument


def write(spec: Spec, rows: Iterable[Row]) -> str:
    """A table of the columns that `spec` reads. Raises Invalid `not_wide` for a mapping with several rows per visit."""
    if spec.get("format") == "redcap" or any(dictionary.instrument(one["instrument"])["repeats"] or "when" in one for one in spec["records"]):
        raise Invalid("not_wide", "This mapping has several rows for one visit.", "Export the tables (participants, sessions, phenotype) instead.")
    out = io.StringIO()
    cells = [_cells(spec, row) for row in rows]
    names = list(dict.fromkeys(name for row in cells or [_cells(spec, ("", {}, "", {}))] for name in row))
    writer = csv.DictWriter(out, names, delimiter=spec.get("delimiter", ","), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(cells)
    return out.getvalue()


def _cells(spec: Spec, row: Row) -> dict[str, str]:
    label, facts, visit, values = row
    asked = spec["participant"]
    told = {asked["column"]: label}
    told |= {column_of(asked[name]): _cell(spec, asked[name], facts.get(name) or None) for name in ("sex", "birth_year_band") if name in asked}
    when = spec["visit"]
    told |= {column_of(when[name]): visit if name == "label" else "" for name in ("label", "date") if name in when}
    for record in spec["records"]:
        for name, source in record["fields"].items():
            told[column_of(source)] = _cell(spec, source, values.get(record["instrument"], {}).get(name))
    return {name: cell for name, cell in told.items() if name}


def _cell(spec: Spec, source: Any, value: Any) -> str:
    """The text that the mapping reads as this value."""
    codes = source.get("codes", {}) if isinstance(source, Mapping) else {}
    for text, meant in {**codes, **({} if value is None else spec.get("missing", {}))}.items():
        if meant == value and not isinstance(value, bool) and meant is not None:
            return str(text)
    if value is None:
        return ""
    return str(value).replace(".", spec.get("decimal", ".")) if isinstance(value, float) else str(value)
