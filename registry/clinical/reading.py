"""Rows of a site's table, read by its mapping: who, when, and which records, with every fault of a cell. Pure: no database is asked."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from registry.clinical import dictionary, identifying, partial, sheet
from registry.clinical.mapping import EVENT, FORM, INSTANCE, REDCAP, Spec, column_of, day_of, read_columns
from registry.clinical.sheet import Found, Sheet

ADVICE = {
    "column_missing": "Export the column, or take it out of the mapping.",
    "column_unread": "Map the column, name it under `ignore`, or take it out of the file.",
    "date": "Write it as 2019-05-12, 2019-05 or 2019, or say in the mapping in which order the site writes dates.",
    "date_future": "Check the date.",
    "repeat_number": "Write a whole number from 1 to 200.",
    "no_identifier": "Fill in the identifier by which the site knows the person.",
}


@dataclass
class Record:
    """One record of a row: values by field of the dictionary, dates still as `X_date`; which column each came from; the fields that the mapping speaks of."""

    instrument: str
    values: dict[str, Any]
    columns: dict[str, str]
    spoken: frozenset[str]
    number: int | None = None


@dataclass
class Piece:
    """One row, read: who (the site's identifier), when, and what was found."""

    row: int
    who: str
    person: dict[str, str]
    columns: dict[str, str]
    day: partial.Partial | None = None
    label: str = ""
    broken: bool = False  # the visit's date is no date
    records: list[Record] = field(default_factory=list)


def read(spec: Spec, text: str, today: date) -> tuple[Sheet, list[Piece]]:
    """The table, with all that is wrong with it in `found`, and its rows as pieces. Where a column may not be sent, or one is missing, no row is looked at.

    `today`: no date may lie after it.
    """
    table = sheet.read(text, spec.get("delimiter", ","))
    if not table.found or table.rows:
        table.found += _headers(spec, table)
    if any(one.row == 1 for one in table.found):
        return table, []
    pieces, key, label = [], spec["participant"]["column"], _label(spec, table.columns)
    if column_of(label):
        table.found += identifying.labels(table.rows, key, column_of(label), _words(spec, label))
    for number, row in table.rows:
        table.found += identifying.cells(number, row, key)
        piece = _piece(_Row(spec, number, row, table.found, today))
        if piece is not None:
            pieces.append(piece)
    return table, pieces


def _headers(spec: Spec, table: Sheet) -> list[Found]:
    key = spec["participant"]["column"]
    found = identifying.columns(table.columns, key, spec.get("identifiers", ()))
    refused = {one.column for one in found}
    needed = read_columns(spec)
    redcap = spec.get("format") == "redcap"
    known = needed | set(spec.get("ignore", ())) | (REDCAP if redcap else set())
    for name in sorted(needed - set(table.columns)):
        found.append(_found(1, name, "column_missing", "is read by the mapping and is not in the file"))
    for name in table.columns:
        if name not in known | refused and not (redcap and name.endswith("_complete")):
            found.append(_found(1, name, "column_unread", "is neither read nor ignored by the mapping"))
    return found


def _found(row: int, column: str, rule: str, reason: str) -> Found:
    return Found(row, column, rule, reason, ADVICE[rule])


class _Row:
    """One row while it is read: the spec, the cells, and where faults go."""

    def __init__(self, spec: Spec, number: int, cells: Mapping[str, str], found: list[Found], today: date) -> None:
        self.spec, self.number, self.cells, self.found, self.today = spec, number, cells, found, today
        self.missing = {"": None, **spec.get("missing", {})}

    def text(self, source: Any) -> Any:
        """What the source says here: text, a value that the mapping gave for it, or None for a cell that says nothing."""
        if isinstance(source, Mapping) and "value" in source:
            return source["value"]
        cell = self.cells[column_of(source)]
        codes = source.get("codes", {}) if isinstance(source, Mapping) else {}
        return codes[cell] if cell in codes else self.missing.get(cell, cell)

    def date(self, source: Any) -> str | None:
        """The date as ISO, or a missing code; a cell that is no date becomes a fault and None."""
        told = self.text(source)
        if told is None or told in dictionary.load()["missing"]:
            return None if told is None else str(told)
        order = source.get("order", "YMD") if isinstance(source, Mapping) else "YMD"
        iso = partial.iso(str(told), order)
        read_as = partial.read(iso)
        if read_as is None:
            self.fault(column_of(source), "date", "is no date as the mapping says they are written")
        elif read_as.first > self.today:
            self.fault(column_of(source), "date_future", "lies in the future")
        else:
            return iso
        return None

    def fault(self, column: str, rule: str, reason: str) -> None:
        self.found.append(_found(self.number, column, rule, reason))


def _piece(row: _Row) -> Piece | None:
    asked = row.spec["participant"]
    who = row.cells[asked["column"]]
    if not who:
        row.fault(asked["column"], "no_identifier", "is empty")
        return None
    said = {name: asked[name] for name in ("sex", "birth_year_band") if name in asked}
    person = {name: str(told) for name, source in said.items() if (told := row.text(source)) not in (None, *dictionary.load()["missing"])}
    piece = Piece(row.number, who, person, {name: column_of(source) for name, source in said.items()})
    _when(row, piece)
    for one in row.spec["records"]:
        if _applies(row.spec, one, row.cells) and (record := _record(row, one)) is not None:
            piece.records.append(record)
    return piece


def _when(row: _Row, piece: Piece) -> None:
    visit = row.spec["visit"]
    if "date" in visit:
        piece.columns["date"] = column_of(visit["date"])
        before = len(row.found)
        told = row.date(visit["date"])
        piece.day = partial.read(told)
        if piece.day is not None and piece.day.precision != "day":
            row.fault(piece.columns["date"], "date", "is a visit's date and must be known to the day")
            piece.day = None
        piece.broken = len(row.found) > before
    source = _label(row.spec, row.cells)
    if source:
        piece.columns["label"] = column_of(source)
        piece.label = str(row.text(source) or "")


def _label(spec: Spec, columns: Container[str]) -> Any:
    """The source of the visit's label; empty where there is none."""
    return spec["visit"].get("label", EVENT if spec.get("format") == "redcap" and EVENT in columns else "")


def _words(spec: Spec, source: Any) -> set[str]:
    """The texts of cells to which the mapping itself says what they mean."""
    return {*spec.get("missing", {}), *(source.get("codes", {}) if isinstance(source, Mapping) else {})}


def _applies(spec: Spec, one: Spec, cells: Mapping[str, str]) -> bool:
    if spec.get("format") == "redcap" and cells.get(FORM, "") != one.get("form", ""):
        return False
    return all(cells[column] in texts for column, texts in one.get("when", {}).items())


def _record(row: _Row, one: Spec) -> Record | None:
    """The record in this row, or None where every column it is read from says nothing."""
    fields = dictionary.instrument(one["instrument"])["fields"]
    values: dict[str, Any] = {}
    columns: dict[str, str] = {}
    told = broken = False
    for name, source in one["fields"].items():
        day = day_of(name) if name not in fields else ""
        before = len(row.found)
        value = row.date(source) if day else _value(row.text(source), fields[name], row.spec.get("decimal", "."))
        broken |= len(row.found) > before
        spoken = {day, day.replace("_day", "_precision")} if day else {name}
        columns |= dict.fromkeys(spoken | {name}, column_of(source))
        told |= value is not None and bool(column_of(source))
        if value is not None:
            values[name] = value
    if not told or broken:
        return None
    spoken_of = frozenset(columns) - {name for name in columns if day_of(name) in columns}
    return Record(one["instrument"], values, columns, spoken_of, _number(row, one))


def _value(told: Any, spec: Mapping[str, Any], decimal: str) -> Any:
    """Text as a number where the field is one and the text reads as one; everything else as it stands, for the dictionary to judge."""
    if not isinstance(told, str) or spec["type"] not in ("number", "integer"):
        return told
    plain = told.replace(",", ".") if decimal == "," else told
    if re.fullmatch(r"[+-]?[0-9]{1,15}", plain, re.ASCII):
        return int(plain)
    return float(plain) if re.fullmatch(r"[+-]?[0-9]{0,15}\.[0-9]{1,15}", plain, re.ASCII) else told


def _number(row: _Row, one: Spec) -> int | None:
    """By which number a repeating record is counted; None where it is known by its key."""
    source = one.get("number", INSTANCE if "form" in one and INSTANCE in row.cells else None)
    if source is None:
        return None
    told = str(row.text(source) or "")
    if re.fullmatch(r"[0-9]{1,3}", told, re.ASCII) and 1 <= int(told) <= 200:
        return int(told)
    row.fault(column_of(source), "repeat_number", "is no count")
    return None
