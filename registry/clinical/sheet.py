"""A table as a site exports it: a header and rows of text, each row with the number that a spreadsheet shows beside it (the header is row 1).

Faults name row, column, rule and what to do, and never repeat what stands in a cell. A table that cannot be read as one is a fault of its own row, not an
exception: the person who mends it wants to see all of them at once.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
MOST_ROWS, MOST_COLUMNS, LONGEST_CELL = 50_000, 2_000, 2_000

# rule -> what to do, for what is wrong with a table before any value is looked at
ADVICE = {
    "empty": "Send a table with a header and at least one row.",
    "too_many": "Send it in parts.",
    "header": "Give every column a name of its own.",
    "quoting": "Export the table anew: a quotation mark is not closed, or stands where none may.",
    "cells": "Give every row as many cells as the header has.",
    "too_long": "A cell holds a code, a number or a date; take out free text.",
}


@dataclass(frozen=True)
class Found:
    """One thing that is wrong: where, by which rule, why, and what to do. `column` is empty where the whole row is at fault."""

    row: int
    column: str
    rule: str
    reason: str
    advice: str

    def told(self) -> dict[str, str | int]:
        """As JSON."""
        return {"row": self.row, "column": self.column, "rule": self.rule, "reason": self.reason, "advice": self.advice}


@dataclass
class Sheet:
    """`rows`: (row number, column -> trimmed text). `found`: what could not be read."""

    columns: list[str] = field(default_factory=list)
    rows: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)


def read(text: str, delimiter: str = ",") -> Sheet:
    """The table in `text` (UTF-8 already decoded; a byte order mark is dropped). Rows that are wholly empty are no rows."""
    sheet = Sheet()
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if number == 1:
                _header(sheet, [cell.strip() for cell in cells])
            elif any(cell.strip() for cell in cells):
                _row(sheet, number, cells)
            if number > MOST_ROWS:
                _fault(sheet, number, "", "too_many", f"has more than {MOST_ROWS} rows")
                break
    except csv.Error:
        _fault(sheet, number + 1, "", "quoting", "cannot be told apart into cells from here on")
    if not sheet.rows and not sheet.found:
        _fault(sheet, 1, "", "empty", "holds no rows")
    return sheet


def _header(sheet: Sheet, names: list[str]) -> None:
    sheet.columns = names
    if len(names) > MOST_COLUMNS:
        _fault(sheet, 1, "", "too_many", f"has more than {MOST_COLUMNS} columns")
    for n, name in enumerate(names, 1):
        if not name or names.index(name) != n - 1:
            _fault(sheet, 1, name or f"column {n}", "header", "has no name of its own")


def _row(sheet: Sheet, number: int, cells: list[str]) -> None:
    if len(cells) != len(sheet.columns):
        _fault(sheet, number, "", "cells", f"has {len(cells)} cells, the header has {len(sheet.columns)}")
        return
    row = dict(zip(sheet.columns, (cell.strip() for cell in cells), strict=True))
    sheet.rows.append((number, row))
    for column in (name for name, cell in row.items() if len(cell) > LONGEST_CELL):
        _fault(sheet, number, column, "too_long", f"is longer than {LONGEST_CELL} characters")


def _fault(sheet: Sheet, row: int, column: str, rule: str, reason: str) -> None:
    sheet.found.append(Found(row, column, rule, reason, ADVICE[rule]))


def in_order(found: Iterable[Found], columns: list[str]) -> list[Found]:
    """By row, then by the place of the column."""
    place = {name: n for n, name in enumerate(columns)}
    return sorted(set(found), key=lambda one: (one.row, place.get(one.column, -1), one.rule))
