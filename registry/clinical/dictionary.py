"""One dictionary, as data, says what a clinical value may be.

`dictionary.json` holds every instrument and field: definition, unit, allowed values, missing codes and privacy class. The same file checks
what comes in (`faults`), describes what goes out (`sidecar`, a BIDS phenotype dictionary) and is shown to whoever fills a form. No calendar
date is a field: days count from the participant's baseline visit. Derived values are computed here by named, versioned code and never typed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dictionary.json"
Values = dict[str, Any]


@dataclass(frozen=True)
class Fault:
    """One value that may not stand: which field, and why. The reason never repeats the value."""

    field: str
    reason: str


@lru_cache(maxsize=1)
def load() -> dict[str, Any]:
    """The whole dictionary as it lies in `dictionary.json`."""
    loaded: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return loaded


def version() -> str:
    """Name and number of the dictionary in use."""
    return str(load()["version"])


def names() -> list[str]:
    """The instruments there are."""
    return list(load()["instruments"])


def instrument(name: str) -> dict[str, Any]:
    """One instrument of the dictionary. Raises KeyError for a name that is not in it."""
    found: dict[str, Any] = load()["instruments"][name]
    return found


def faults(name: str, values: object) -> list[Fault]:
    """All that is wrong with `values` for the instrument `name`; empty when it may be recorded."""
    if name not in load()["instruments"]:
        return [Fault("instrument", f"is none of {', '.join(names())}")]
    if not isinstance(values, dict):
        return [Fault("values", "must be an object of field and value")]
    fields = instrument(name)["fields"]
    found = [Fault("values", "has a field that the dictionary does not know") for key in values if key not in fields][:1]
    for key, spec in fields.items():
        if key in values and values[key] is not None:
            reason = _wrong(spec, values[key])
        else:
            reason = "is required" if spec.get("required") else None
        if reason:
            found.append(Fault(f"values.{key}", reason))
    if not found:
        found = [fault for rule in instrument(name)["rules"] if (fault := RULES[rule](values))]
    return found


def _wrong(spec: dict[str, Any], value: object) -> str | None:
    """Why this value may not stand in this field, or None."""
    if isinstance(value, str) and value in load()["missing"] and not spec.get("required"):
        return None
    return CHECKS[spec["type"]](spec, value)


def _number(spec: dict[str, Any], value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return "must be a number"
    if not spec["minimum"] <= value <= spec["maximum"]:  # first: an infinite number would break the arithmetic below
        return f"must be from {spec['minimum']} to {spec['maximum']}"
    if spec["type"] == "integer" and value != int(value):
        return "must be a whole number"
    step = spec.get("step")
    if step and (value / step) != int(value / step):
        return f"must be in steps of {step}"
    return None


def _code(spec: dict[str, Any], value: object) -> str | None:
    return None if isinstance(value, str) and value in spec["levels"] else f"must be one of {', '.join(spec['levels'])}"


def _pattern(spec: dict[str, Any], value: object) -> str | None:
    return None if isinstance(value, str) and re.fullmatch(spec["pattern"], value, re.ASCII) else "does not have the form of its code"


CHECKS: dict[str, Callable[[dict[str, Any], object], str | None]] = {"number": _number, "integer": _number, "code": _code, "pattern": _pattern}


def _edss_without_half(values: Values) -> Fault | None:
    """The scale goes from 0 to 1.0: there is no 0.5."""
    return Fault("values.edss_total", "is never 0.5: the scale goes from 0 to 1.0") if values["edss_total"] == 0.5 else None


def _start_before_stop(values: Values) -> Fault | None:
    start, stop = values.get("start_day"), values.get("stop_day")
    if isinstance(start, int | float) and isinstance(stop, int | float) and stop < start:
        return Fault("values.stop_day", "is before the start")
    return None


RULES: dict[str, Callable[[Values], Fault | None]] = {"edss_without_half": _edss_without_half, "start_before_stop": _start_before_stop}

# Visual and bowel-bladder grades count less towards the total (Neurostatus scoring definitions): grade before -> after conversion.
VISUAL = {0: 0, 1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4}
BOWEL = {0: 0, 1: 1, 2: 2, 3: 3, 4: 3, 5: 4, 6: 5}
SYSTEMS = ("edss_visual", "edss_brainstem", "edss_pyramidal", "edss_cerebellar", "edss_sensory", "edss_bowel_bladder", "edss_cerebral")


def functional_step(grades: list[int]) -> float:
    """The step from 0 to 4 that seven converted grades imply for somebody who walks freely (Kurtzke 1983, table of steps 0 to 4; myelin-edss-1)."""
    count = [sum(grade == level for grade in grades) for level in range(4)]
    if max(grades) >= 4 or count[3] > 2 or (count[3] == 2 and count[2]) or (count[3] == 1 and count[2] > 2) or count[2] > 5:
        return 4.0
    if count[3] == 2 or (count[3] == 1 and count[2]) or count[2] == 5:
        return 3.5
    if count[3] == 1 or count[2] >= 3:
        return 3.0
    if count[2]:
        return 2.0 if count[2] == 1 else 2.5
    return {0: 0.0, 1: 1.0}.get(count[1], 1.5)


def derive(name: str, values: Values) -> Values:
    """What follows from the recorded values by versioned code; empty where they do not suffice."""
    if name != "edss" or any(not isinstance(values.get(key), int | float) for key in SYSTEMS):
        return {}
    raw = {key: int(values[key]) for key in SYSTEMS}
    grades = [VISUAL[raw[key]] if key == "edss_visual" else BOWEL[raw[key]] if key == "edss_bowel_bladder" else raw[key] for key in SYSTEMS]
    step, total = functional_step(grades), float(values["edss_total"])
    agrees = total == step if total < 4 else total >= step
    return {"edss_fs_step": step, "edss_fs_mismatch": 0 if agrees else 1}


def sidecar(name: str, most: int = 1) -> dict[str, Any]:
    """The BIDS phenotype dictionary of an instrument: LongName, Description, Units, Levels for every column of `row`.

    BIDS has one row per participant and session, so the records of an instrument that repeats stand side by side, up to `most`: `substance_1`, `substance_2`.
    """
    spec = instrument(name)
    columns: dict[str, Any] = {}
    for number in range(1, most + 1) if spec["repeats"] else (None,):
        for key, field in spec["fields"].items():
            column: dict[str, Any] = {"LongName": field["label"], "Description": field["description"]}
            if field.get("unit"):
                column["Units"] = field["unit"]
            if field.get("levels"):
                column["Levels"] = field["levels"]
            columns[_column(key, number)] = column
        for key, words in spec["derived"].items():
            columns[_column(key, number)] = {"LongName": key, "Description": f"Computed: {words}"}
    return columns


def _column(key: str, number: int | None) -> str:
    return key if number is None else f"{key}_{number}"


def row(name: str, values: Values, number: int = 1) -> dict[str, Any]:
    """The cells of one record in the instrument's table; what is missing, whatever the reason, is None."""
    spec = instrument(name)
    whole = {**values, **derive(name, values)}
    place = number if spec["repeats"] else None
    return {_column(key, place): _known(whole.get(key)) for key in [*spec["fields"], *spec["derived"]]}


def _known(value: object) -> object:
    return None if isinstance(value, str) and value in load()["missing"] else value
