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
unseen. The column that says who is read for nothing else, and a mapping names nobody: it is kept, and everybody who works in the dataset reads it.
`registry.clinical.reading` turns a sheet into pieces by it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

from registry.clinical import dictionary, identifying, partial, sheet
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


def check(spec: object) -> None:
    """Raises Invalid `mapping`, naming the place of everything that is wrong, unless `spec` is a mapping of the dictionary in use."""
    if len(json.dumps(spec)) > LARGEST_SPEC:
        raise Invalid("mapping", "A mapping has at most 64 KiB.", "Map fewer columns at once.")
    validator = jsonschema.Draft202012Validator(SCHEMA)
    errors = [{"field": ".".join(map(str, one.absolute_path)) or "mapping", "reason": _plain(one)} for one in validator.iter_errors(spec)]
    if not errors and isinstance(spec, Mapping):
        named = [(place, "looks like something that names a person: a mapping is kept, and holds nobody's data") for place in _named(spec)]
        errors = [{"field": place, "reason": reason} for place, reason in named or _wrong(spec)]
    if errors:
        raise Invalid("mapping", "This is no mapping.", "Mend the places named; docs/how-to/import-clinical-tables.md has examples.", errors=errors)


def _named(told: object, place: str = "") -> Iterator[str]:
    """The places of texts that look like contact data or a national number; a key that does is at the place of what holds it."""
    if isinstance(told, str) and identifying.named(told):
        yield place
    for name, value in told.items() if isinstance(told, Mapping) else enumerate(told) if isinstance(told, list) else ():
        if identifying.named(str(name)):
            yield place
        else:
            yield from _named(value, f"{place}.{name}".lstrip("."))


def _plain(error: jsonschema.ValidationError) -> str:
    """What is wrong, without repeating what was sent."""
    rule = error.validator
    return f"has not what it must have ({rule})" if rule == "required" else f"is not as it must be ({rule})"


def _wrong(spec: Spec) -> Iterator[tuple[str, str]]:
    yield from _key_read_twice(spec)
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
            if name not in known["fields"] and day_of(name) not in known["fields"]:
                yield f"records.{n}.fields.{name}"[:200], "is no field of this instrument"
            if day_of(name) in known["fields"] and {day_of(name), name.replace("_date", "_precision")} & set(record["fields"]):
                yield f"records.{n}.fields.{name}", "is said twice: by date and by day"
        if ("number" in record or "form" in record) and not known["repeats"]:
            yield f"records.{n}", "counts an instrument that is recorded once at a visit"
    for name in sorted({name for name in read_columns(spec) if name != spec["participant"]["column"] and identifying.judged(name)}):
        yield f"column {name}", "names people, or may hold free text: it is not taken"


def _key_read_twice(spec: Spec) -> Iterator[tuple[str, str]]:
    """Wherever the column that says who would fill anything else: a label that is published, a dose, a condition that lists people."""
    key, why = spec["participant"]["column"], "is the column that says who: it is read for nothing else"
    if spec.get("format") == "redcap" and key in REDCAP:
        yield "participant.column", "is a column of REDCap's own: it says no person"
    yield from ((place, why) for place, source in _placed(spec) if column_of(source) == key)
    yield from ((f"records.{n}.when", why) for n, record in enumerate(spec["records"]) if key in record.get("when", {}))


def day_of(name: str) -> str:
    """The field of days that a field of a date becomes: `onset_date` -> `onset_day`; empty for other names."""
    return f"{name.removesuffix('_date')}_day" if name.endswith("_date") else ""


def column_of(source: Any) -> str:
    """The column that a source reads; empty for a fixed value."""
    return source if isinstance(source, str) else source.get("column", "")


def sources(spec: Spec) -> Iterator[Any]:
    """Every source of a mapping."""
    return (source for _, source in _placed(spec))


def _placed(spec: Spec) -> Iterator[tuple[str, Any]]:
    """Every source with its place in the mapping."""
    for place, names in (("participant", ("sex", "birth_year_band")), ("visit", ("date", "label"))):
        yield from ((f"{place}.{name}", spec[place][name]) for name in names if name in spec[place])
    for n, record in enumerate(spec["records"]):
        yield from ((f"records.{n}.fields.{name}"[:200], source) for name, source in record["fields"].items())
        yield from ([(f"records.{n}.number", record["number"])] if "number" in record else [])


def read_columns(spec: Spec) -> set[str]:
    """The columns that a mapping reads."""
    conditions = {name for record in spec["records"] for name in record.get("when", {})}
    return {spec["participant"]["column"], *conditions, *(column_of(one) for one in sources(spec))} - {""}
