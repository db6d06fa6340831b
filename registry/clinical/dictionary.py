"""One dictionary, as data, says what a clinical value may be.

`dictionary.json` holds every instrument and field: definition, unit, allowed values, missing codes, standard and code, privacy class. The same file
checks what comes in (`faults`), describes what goes out (`sidecar`, a BIDS phenotype dictionary), makes forms (`form`) and says what the privacy report
weighs (`registry.clinical.privacy`). No calendar date is a field: days count from the participant's day zero. Derived values are computed by named,
versioned code (`registry.clinical.derived`) and never typed. A standard's code that was not checked against its list is left empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from registry.clinical import derived

FILE = Path(__file__).parent / "dictionary.json"
DERIVED = "derived"  # the table of what follows from several records
Values = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One value that may not stand: which field, why, and by which rule (a key of `ADVICE`). The reason never repeats the value."""

    field: str
    reason: str
    rule: str = ""

    @property
    def advice(self) -> str:
        """What to do about it."""
        return ADVICE[self.rule]


# rule -> what to do; every rule that a fault can carry is here, and a test holds that.
ADVICE = {
    "instrument": "Name an instrument of the dictionary.",
    "shape": "Send an object of field and value.",
    "field": "Take out the field, or use its name in the dictionary; derived values are computed, never sent.",
    "required": "Fill it in, or leave the whole record out.",
    "number": "Write a plain number, or one of the missing codes.",
    "range": "Check the value and its unit.",
    "whole": "Write a number without a fraction.",
    "step": "Check the value against the scale.",
    "level": "Write one of the codes listed, or map the site's own words to them.",
    "pattern": "Look the code up in its list, or leave it empty.",
    "number_once": "Record it once at a visit, with number 1.",
    "edss_without_half": "Check the total against the scale.",
    "start_before_stop": "Check both dates.",
    "onset_before_diagnosis": "Check both dates; a partial date stands for the middle of its month or year.",
    "onset_before_progression": "Check both dates; a partial date stands for the middle of its month or year.",
    "months_fit_years": "Give completed months of a child, and years that agree, or months alone.",
    "atc_with_year": "Name the year of the list, or leave the code empty.",
    "cvs_within_assessed": "Check both counts.",
}


@lru_cache
def load(version: str | None = None) -> dict[str, Any]:
    """The whole dictionary as it lies in `dictionary.json`, or an older `version` of it, which releases made then still describe their tables by.

    Raises KeyError for a version that never was.
    """
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    if version in (None, loaded["version"]):
        return loaded
    for path in FILE.parent.glob("dictionary-*.json"):
        older: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if older["version"] == version:
            return older
    raise KeyError(version)


def version() -> str:
    """Name and number of the dictionary in use."""
    return str(load()["version"])


def names(version: str | None = None) -> list[str]:
    """The instruments there are."""
    return list(load(version)["instruments"])


def tables(version: str | None = None) -> list[str]:
    """The tables that go out: one per instrument, and what follows from several."""
    return [*names(version), *([DERIVED] if DERIVED in load(version) else [])]


def instrument(name: str) -> dict[str, Any]:
    """One instrument of the dictionary. Raises KeyError for a name that is not in it."""
    found: dict[str, Any] = load()["instruments"][name]
    return found


def faults(name: str, values: object) -> list[Fault]:
    """All that is wrong with `values` for the instrument `name`; empty when it may be recorded."""
    if name not in load()["instruments"]:
        return [Fault("instrument", f"is none of {', '.join(names())}", "instrument")]
    if not isinstance(values, dict):
        return [Fault("values", "must be an object of field and value", "shape")]
    fields = instrument(name)["fields"]
    found = [Fault("values", "has a field that the dictionary does not know", "field") for key in values if key not in fields][:1]
    for key, spec in fields.items():
        wrong = _wrong(spec, values.get(key))
        if wrong:
            found.append(Fault(f"values.{key}", wrong[1], wrong[0]))
    return found or [Fault(f"values.{broken[0]}", broken[1], rule) for rule in instrument(name)["rules"] if (broken := RULES[rule](values))]


Wrong = tuple[str, str] | None  # (rule, reason)


def _wrong(spec: dict[str, Any], value: object) -> Wrong:
    """By which rule this value may not stand in this field and why, or None."""
    if value is None:
        return ("required", "is required") if spec.get("required") else None
    if isinstance(value, str) and value in load()["missing"] and not spec.get("required"):
        return None
    return CHECKS[spec["type"]](spec, value)


def _number(spec: dict[str, Any], value: object) -> Wrong:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return "number", "must be a number"
    if not spec["minimum"] <= value <= spec["maximum"]:  # first: an infinite number would break the arithmetic below
        return "range", f"must be from {spec['minimum']} to {spec['maximum']}"
    if spec["type"] == "integer" and value != int(value):
        return "whole", "must be a whole number"
    step = spec.get("step")
    if step and (value / step) != int(value / step):
        return "step", f"must be in steps of {step}"
    return None


def _code(spec: dict[str, Any], value: object) -> Wrong:
    return None if isinstance(value, str) and value in spec["levels"] else ("level", f"must be one of {', '.join(spec['levels'])}")


def _pattern(spec: dict[str, Any], value: object) -> Wrong:
    return None if isinstance(value, str) and re.fullmatch(spec["pattern"], value, re.ASCII) else ("pattern", "does not have the form of its code")


CHECKS: dict[str, Callable[[dict[str, Any], object], Wrong]] = {"number": _number, "integer": _number, "code": _code, "pattern": _pattern}


def _edss_without_half(values: Values) -> Wrong:
    """The scale goes from 0 to 1.0: there is no 0.5."""
    return ("edss_total", "is never 0.5: the scale goes from 0 to 1.0") if values["edss_total"] == 0.5 else None


def _in_order(first: str, last: str, reason: str) -> Callable[[Values], Wrong]:
    """`last` is not before `first`, as far as the precision of both days can tell."""

    def rule(values: Values) -> Wrong:
        a, b = values.get(f"{first}_day"), values.get(f"{last}_day")
        if not isinstance(a, int | float) or not isinstance(b, int | float):
            return None
        slack = sum(derived.SLACK.get(values.get(f"{name}_precision") or "day", 0) for name in (first, last))
        return (f"{last}_day", reason) if b < a - slack else None

    return rule


def _months_fit_years(values: Values) -> Wrong:
    months, years = derived.number(values, "age_months"), derived.number(values, "age_years")
    return ("age_months", "does not agree with the age in years") if months is not None and years is not None and months // 12 != years else None


def _atc_with_year(values: Values) -> Wrong:
    alone = values.get("atc") not in (None, *load()["missing"]) and derived.number(values, "atc_year") is None
    return ("atc_year", "is missing beside an ATC code: codes change with the years") if alone else None


def _cvs_within_assessed(values: Values) -> Wrong:
    some, assessed = derived.number(values, "cvs_count"), derived.number(values, "cvs_assessed")
    return ("cvs_count", "is more than the lesions looked at") if some is not None and assessed is not None and some > assessed else None


# rule of dictionary.json -> what it says of values whose fields are each right: the field at fault and why
RULES: dict[str, Callable[[Values], Wrong]] = {
    "edss_without_half": _edss_without_half,
    "start_before_stop": _in_order("start", "stop", "is before the start"),
    "onset_before_diagnosis": _in_order("onset", "diagnosis", "is before the onset"),
    "onset_before_progression": _in_order("onset", "progression", "is before the onset"),
    "months_fit_years": _months_fit_years,
    "atc_with_year": _atc_with_year,
    "cvs_within_assessed": _cvs_within_assessed,
}


def form(name: str) -> list[dict[str, Any]]:
    """What a form of this instrument needs, field by field in order: `name`, `label`, `help`, `input` (number, select, text), `required`, `choices`
    (code and words, what is missing last), and for numbers `minimum`, `maximum`, `step`, `unit`. A field of days also names the `date` it may be given as.
    """
    fields = instrument(name)["fields"]
    return [_asked(key, spec, fields) for key, spec in fields.items()]


def _asked(key: str, spec: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    kind = {"code": "select", "pattern": "text"}.get(spec["type"], "number")
    asked: dict[str, Any] = {"name": key, "label": spec["label"], "help": spec["description"], "input": kind, "required": spec["required"]}
    asked["choices"] = [[code, words] for code, words in spec.get("levels", {}).items()]
    if not spec["required"]:
        asked["choices"] += [[code, words] for code, words in load()["missing"].items()]
    if kind == "number":
        step = spec.get("step") or (1 if spec["type"] == "integer" else "any")
        asked |= {"minimum": spec["minimum"], "maximum": spec["maximum"], "step": step, "unit": spec.get("unit")}
    if key.endswith("_day") and f"{key.removesuffix('_day')}_precision" in fields:
        asked["date"] = f"{key.removesuffix('_day')}_date"
    return asked


def sidecar(name: str, most: int = 1, version: str | None = None) -> dict[str, Any]:
    """The BIDS phenotype dictionary of an instrument, or of `derived`: LongName, Description, Units, Levels for every column of `row`.

    BIDS has one row per participant and session, so the records of an instrument that repeats stand side by side, up to `most`: `substance_1`, `substance_2`.
    """
    if name == DERIVED:
        return {key: _column_of(field, f"{field['description']} Computed by {field['version']}.") for key, field in load(version)["derived"].items()}
    spec = load(version)["instruments"][name]
    columns: dict[str, Any] = {}
    for number in range(1, most + 1) if spec["repeats"] else (None,):
        for key, field in spec["fields"].items():
            columns[_column(key, number)] = _column_of(field, field["description"])
        for key, words in spec["derived"].items():
            columns[_column(key, number)] = {"LongName": key, "Description": f"Computed: {words}"}
    return columns


def _column_of(field: dict[str, Any], words: str) -> dict[str, Any]:
    column: dict[str, Any] = {"LongName": field["label"], "Description": words}
    if field.get("unit"):
        column["Units"] = field["unit"]
    if field.get("levels"):
        column["Levels"] = field["levels"]
    if field.get("code"):
        column["TermURL"] = field["code"]
    return column


def _column(key: str, number: int | None) -> str:
    return key if number is None else f"{key}_{number}"


def row(name: str, values: Values, number: int = 1) -> dict[str, Any]:
    """The cells of one record in the instrument's table; what is missing, whatever the reason, is None."""
    spec = instrument(name)
    whole = {**values, **derived.of_record(name, values)}
    place = number if spec["repeats"] else None
    return {_column(key, place): _known(whole.get(key)) for key in [*spec["fields"], *spec["derived"]]}


def _known(value: object) -> object:
    return None if isinstance(value, str) and value in load()["missing"] else value
