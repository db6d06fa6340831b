"""How one site's table reads: which column says who and when, and which columns fill which fields of which instrument. Data, saved per site.

    {"format": "csv", "delimiter": ",", "decimal": ".", "missing": {"": null, "-9": "unknown"},
     "participant": {"column": "code", "issuer": "", "register": true, "sex": {"column": "sex", "codes": {"1": "M", "2": "F"}}, "birth_year_band": "band"},
     "visit": {"date": {"column": "visit_date", "order": "DMY"}, "label": "visit", "add": true},
     "records": [{"instrument": "edss", "fields": {"edss_total": "edss"}},
                 {"instrument": "relapse", "form": "relapses", "fields": {"onset_date": {"column": "rel_date", "order": "DMY"}}}],
     "ignore": ["exported_on"]}

A *source* is a column's name, or `{"column", "codes", "order"}`, or `{"value"}` that holds for every row. `when` (column -> texts) limits a record to
some rows; `number` names the column that counts a repeating instrument. `format: redcap` knows REDCap's own columns: `form` is a repeating instrument,
counted by `redcap_repeat_instance`; a record without `form` takes the rows of none. A column that is neither read nor ignored is a fault: nothing is lost
unseen.
This module is pure: it turns a sheet into pieces, and asks no database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import jsonschema

from registry.clinical import dictionary, identifying, partial, sheet
from registry.clinical.sheet import Found, Sheet
from registry.rules import Invalid

Spec = Mapping[str, Any]
LARGEST, LARGEST_SPEC = 200, 64 << 10
TEXT = {"type": "string", "maxLength": LARGEST}
WORDS: dict[str, Any] = {
    "type": "object",
    "maxProperties": 500,
    "propertyNames": TEXT,
    "additionalProperties": {"type": ["string", "number", "null"], "maxLength": 60},
}
SOURCE: dict[str, Any] = {
    "oneOf": [
        TEXT,
        {
            "type": "object",
            "properties": {"column": TEXT, "codes": WORDS, "order": {"enum": list(partial.ORDERS)}},
            "required": ["column"],
            "additionalProperties": False,
        },
        {"type": "object", "properties": {"value": {"type": ["string", "number"], "maxLength": 60}}, "required": ["value"], "additionalProperties": False},
    ]
}
COLUMNS = {"type": "array", "items": TEXT, "maxItems": sheet.MOST_COLUMNS}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "format": {"enum": ["csv", "redcap"]},
        "delimiter": {"enum": list(sheet.DELIMITERS)},
        "decimal": {"enum": [".", ","]},
        "missing": WORDS,
        "participant": {
            "type": "object",
            "properties": {"column": TEXT, "issuer": TEXT, "register": {"type": "boolean"}, "sex": SOURCE, "birth_year_band": SOURCE},
            "required": ["column"],
            "additionalProperties": False,
        },
        "visit": {
            "type": "object",
            "properties": {"date": SOURCE, "label": SOURCE, "first": {"const": True}, "add": {"type": "boolean"}},
            "additionalProperties": False,
        },
        "records": {
            "type": "array",
            "maxItems": 100,
            "items": {
                "type": "object",
                "properties": {
                    "instrument": TEXT,
                    "form": TEXT,
                    "when": {"type": "object", "additionalProperties": {"type": "array", "items": TEXT}},
                    "number": SOURCE,
                    "fields": {"type": "object", "minProperties": 1, "additionalProperties": SOURCE},
                },
                "required": ["instrument", "fields"],
                "additionalProperties": False,
            },
        },
        "ignore": COLUMNS,
        "identifiers": COLUMNS,
    },
    "required": ["participant", "visit", "records"],
    "additionalProperties": False,
}
EVENT, FORM, INSTANCE = "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance"
REDCAP = frozenset({EVENT, FORM, INSTANCE, "redcap_data_access_group"})
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
    counted: str = ""


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


def check(spec: object) -> None:
    """Raises Invalid `mapping`, naming the place of everything that is wrong, unless `spec` is a mapping of the dictionary in use."""
    if len(json.dumps(spec)) > LARGEST_SPEC:
        raise Invalid("mapping", "A mapping has at most 64 KiB.", "Map fewer columns at once.")
    validator = jsonschema.Draft202012Validator(SCHEMA)
    errors = [{"field": ".".join(map(str, one.absolute_path)) or "mapping", "reason": _plain(one)} for one in validator.iter_errors(spec)]
    if not errors and isinstance(spec, Mapping):
        errors = [{"field": place, "reason": reason} for place, reason in _wrong(spec)]
    if errors:
        raise Invalid("mapping", "This is no mapping.", "Mend the places named; docs/how-to/import-clinical-tables.md has examples.", errors=errors)


def _plain(error: jsonschema.ValidationError) -> str:
    """What is wrong, without repeating what was sent."""
    rule = error.validator
    return f"has not what it must have ({rule})" if rule == "required" else f"is not as it must be ({rule})"


def _wrong(spec: Spec) -> Iterator[tuple[str, str]]:
    visit = spec["visit"]
    if bool(visit.get("first")) == bool(visit.keys() & {"date", "label"}) and not (spec.get("format") == "redcap" and not visit.get("first")):
        yield "visit", "needs a date, a label, or first"
    if visit.get("add") and "date" not in visit:
        yield "visit.add", "needs the date of the visit"
    for n, record in enumerate(spec["records"]):
        if record["instrument"] not in dictionary.names():
            yield f"records.{n}.instrument", "is no instrument of the dictionary"
            continue
        known = dictionary.instrument(record["instrument"])
        for name in record["fields"]:
            if name not in known["fields"] and _day_of(name) not in known["fields"]:
                yield f"records.{n}.fields.{name}"[:200], "is no field of this instrument"
            if _day_of(name) in known["fields"] and {_day_of(name), name.replace("_date", "_precision")} & set(record["fields"]):
                yield f"records.{n}.fields.{name}", "is said twice: by date and by day"
        if ("number" in record or "form" in record) and not known["repeats"]:
            yield f"records.{n}", "counts an instrument that is recorded once at a visit"
    for name in sorted({name for name in read_columns(spec) if name != spec["participant"]["column"] and identifying.judged(name)}):
        yield f"column {name}", "names people, or may hold free text: it is not taken"


def _day_of(name: str) -> str:
    """The field of days that a field of a date becomes: `onset_date` -> `onset_day`; empty for other names."""
    return f"{name.removesuffix('_date')}_day" if name.endswith("_date") else ""


def column_of(source: Any) -> str:
    """The column that a source reads; empty for a fixed value."""
    return source if isinstance(source, str) else source.get("column", "")


def sources(spec: Spec) -> Iterator[Any]:
    """Every source of a mapping."""
    for place, names in (("participant", ("sex", "birth_year_band")), ("visit", ("date", "label"))):
        yield from (spec[place][name] for name in names if name in spec[place])
    for record in spec["records"]:
        yield from record["fields"].values()
        yield from ([record["number"]] if "number" in record else [])


def read_columns(spec: Spec) -> set[str]:
    """The columns that a mapping reads."""
    conditions = {name for record in spec["records"] for name in record.get("when", {})}
    return {spec["participant"]["column"], *conditions, *(column_of(one) for one in sources(spec))} - {""}


def read(spec: Spec, text: str, today: date) -> tuple[Sheet, list[Piece]]:
    """The table, with all that is wrong with it in `found`, and its rows as pieces. Where a column may not be sent, or one is missing, no row is looked at.

    `today`: no date may lie after it.
    """
    table = sheet.read(text, spec.get("delimiter", ","))
    if not table.found or table.rows:
        table.found += _headers(spec, table)
    if any(one.row == 1 for one in table.found):
        return table, []
    pieces = []
    for number, row in table.rows:
        table.found += identifying.cells(number, row, spec["participant"]["column"])
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
    source = visit.get("label", EVENT if row.spec.get("format") == "redcap" and EVENT in row.cells else None)
    if source is not None:
        piece.columns["label"] = column_of(source)
        piece.label = str(row.text(source) or "")


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
        day = _day_of(name) if name not in fields else ""
        before = len(row.found)
        value = row.date(source) if day else _value(row.text(source), fields[name], row.spec.get("decimal", "."))
        broken |= len(row.found) > before
        spoken = {day, day.replace("_day", "_precision")} if day else {name}
        columns |= dict.fromkeys(spoken | {name}, column_of(source))
        told |= value is not None and bool(column_of(source))
        if value is not None:
            values[name] = value
    number, counted = _number(row, one)
    if not told or broken:
        return None
    return Record(one["instrument"], values, columns, frozenset(columns) - {name for name in columns if _day_of(name) in columns}, number, counted)


def _value(told: Any, spec: Mapping[str, Any], decimal: str) -> Any:
    """Text as a number where the field is one and the text reads as one; everything else as it stands, for the dictionary to judge."""
    if not isinstance(told, str) or spec["type"] not in ("number", "integer"):
        return told
    plain = told.replace(",", ".") if decimal == "," else told
    if re.fullmatch(r"[+-]?[0-9]{1,15}", plain, re.ASCII):
        return int(plain)
    return float(plain) if re.fullmatch(r"[+-]?[0-9]{0,15}\.[0-9]{1,15}", plain, re.ASCII) else told


def _number(row: _Row, one: Spec) -> tuple[int | None, str]:
    """By which number a repeating record is counted, and the column that says so; None where it is known by its key."""
    source = one.get("number", INSTANCE if "form" in one and INSTANCE in row.cells else None)
    if source is None:
        return None, ""
    told = str(row.text(source) or "")
    if re.fullmatch(r"[0-9]{1,3}", told, re.ASCII) and 1 <= int(told) <= 200:
        return int(told), column_of(source)
    row.fault(column_of(source), "repeat_number", "is no count")
    return None, ""
