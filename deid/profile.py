"""The policy as versioned data, compiled into one table, and its reading in English.

A profile is a TOML file beside three tables: Table E.1-1 of PS3.15, the Types of attributes in the objects we take, and the vocabulary of imaging. Loading
resolves them, once, into tag -> `Rule(action, why)`; the engine asks nothing else. What no rule, row or module names is removed: the table is an allow-list.

Actions: keep, clean (descriptor), fact (text of a machine), coded, code (the participant's), age, uid, date, time, datetime, number, term (vocabulary of
coded strings), items (a sequence,
item by item), bulk (pixel data and lookup tables), set (written by the engine), empty, dummy, remove, by_type (X, Z or D after the Type in the object).
"""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from deid.dictionary import DicomDictionary, tag_for_keyword
from deid.errors import ProfileError

HERE = Path(__file__).resolve().parent / "profiles"
DEFAULT = "myelin-2026"

SENTENCES = {
    "keep": "is kept as it is, after a check of its form",
    "clean": "is kept, but loses every name, number, date and unknown word",
    "fact": "is kept, but loses every word that is neither imaging vocabulary nor a maker's name",
    "coded": "is kept where it belongs to a public coding scheme",
    "code": "is replaced by the participant's code",
    "age": "is kept, capped at 090Y above 89 years, and computed from the dates where it is missing",
    "uid": "is replaced by a keyed UID, the same one everywhere; UIDs of the standard itself stay",
    "date": "is moved back by the participant's secret number of days",
    "time": "is moved by the study's one clock shift",
    "datetime": "is moved back by the participant's secret number of days and by the study's clock shift",
    "number": "is kept if it is a number",
    "term": "is kept if each of its values is a term of the imaging vocabulary",
    "items": "is kept as a sequence, and each item is cleaned by the same rules",
    "bulk": "is kept; it holds picture values, tables of them, or the numbers of a colour profile",
    "set": "is written anew, to say what was done",
    "empty": "is emptied",
    "dummy": "is replaced by a value that says nothing",
    "remove": "is removed",
    "by_type": "is removed, or emptied or replaced where the object requires its presence",
}
_NUMBERS = frozenset(["US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "DS", "IS", "AT"])
_BY_VR = {"UI": "uid", "DA": "date", "TM": "time", "DT": "datetime", "CS": "term", "SQ": "items", "AS": "age"}
_DESCRIPTORS = {"LO": "clean", "SH": "clean", "ST": "clean", "LT": "clean", "UT": "clean", "SQ": "items"}
_BULK = frozenset(["PixelData", "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData", "LUTData"])


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to one attribute, why, and by which authority (`rule`, `table` with the row's columns, `module`)."""

    keyword: str
    vr: str
    action: str
    why: str
    source: str
    row: dict[str, str] = field(default_factory=dict)

    def resolve(self, kind: str) -> str:
        """Which of X (remove), Z (empty), D (dummy) applies to an attribute of this Type; see the function `resolve`."""
        return resolve(self.row.get("basic", "X/Z/D"), kind)


def resolve(basic: str, kind: str) -> str:
    """X, Z or D for a row of Table E.1-1 and the attribute's Type in the object (PS3.15 E.1.1 and Table E.1-1a).

    basic: what the row allows (`X/Z/D`, `Z`, ...). kind: 1, 1C, 2, 2C or 3. What the Type requires, where the row allows it; where it does not, the next
    stronger statement that keeps the object valid: a required attribute is never removed.
    """
    allowed = set(basic.replace("U*", "X").split("/")) & {"X", "Z", "D"} or {"X"}
    wanted = {"1": "D", "1C": "D", "2": "Z", "2C": "Z"}.get(kind, "X")
    if wanted in allowed or wanted == "D":
        return wanted
    if wanted == "Z":
        return "D" if allowed == {"D"} else "Z"
    return "Z" if "Z" in allowed else "D"


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """A compiled policy; one is equal to itself alone. `rules`: tag -> Rule for everything named; `types`: object -> parent keyword -> keyword -> Type."""

    name: str
    version: str
    claimed: tuple[tuple[str, str], ...]
    method: tuple[str, ...]
    rules: dict[int, Rule]
    types: dict[str, dict[str, dict[str, str]]]
    classes: dict[str, str]
    editions: dict[str, str]

    def type_of(self, iod: str, parent: str, keyword: str) -> str:
        """The Type (1, 1C, 2, 2C, 3) of an attribute in an object; "3" where the object does not name it there."""
        return self.types.get(iod, {}).get(parent, {}).get(keyword, "3")

    def explain(self, tag: int | str) -> str:
        """One paragraph: what happens to the attribute and why. `tag`: number, keyword, or text such as "(0010,0010)". Raises ProfileError(unknown_tag)."""
        number = parse_tag(tag)
        label = f"({number >> 16:04X},{number & 0xFFFF:04X})"
        if number >> 16 & 1:
            return (
                f"{label} is a private attribute: it is removed, "
                f"unless its creator and element are on the list of safe private attributes, which vendor.py names with a source for each."
            )
        rule = self.rules.get(number)
        known = DicomDictionary.get(number)
        if rule is None:
            name = f" {known[4]}" if known else ""
            return f"{label}{name} is removed: no rule, no row of Table E.1-1 with an option claimed here, and no module of the objects taken names it."
        basis = {"rule": "A rule of this profile", "table": "Table E.1-1 of PS3.15", "module": "The modules of the objects taken"}[rule.source]
        row = f" In Table E.1-1: {', '.join(f'{k} {v}' for k, v in rule.row.items() if k != 'name')}." if rule.row else " It has no row in Table E.1-1."
        return f"{label} {rule.keyword} {SENTENCES[rule.action]}. {basis}: {rule.why}{row}"


def parse_tag(tag: int | str) -> int:
    """A tag as a number, from a number, a keyword, "(gggg,eeee)" or "ggggeeee"."""
    if isinstance(tag, int):
        return tag
    found = tag_for_keyword(tag.strip())
    if found is not None:
        return int(found)
    digits = re.fullmatch(r"\(?([0-9a-fA-F]{4})[, ]?([0-9a-fA-F]{4})\)?", tag.strip())
    if not digits:
        raise ProfileError("unknown_tag")
    return int(digits[1] + digits[2], 16)


@lru_cache(maxsize=4)
def load(name: str = DEFAULT) -> Profile:
    """Load and compile a profile by name. Raises ProfileError(unknown_profile)."""
    path = HERE / f"{name}.toml"
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,40}", name) or not path.is_file():
        raise ProfileError("unknown_profile")
    policy = tomllib.loads(path.read_text(encoding="utf-8"))
    table = json.loads((HERE / "confidentiality.json").read_text())
    modules = json.loads((HERE / "modules.json").read_text())
    types = _unpack(modules["objects"])
    rules = _compile(policy, table["rows"], {keyword for places in types.values() for place in places.values() for keyword in place})
    head = policy["profile"]
    return Profile(
        name=head["name"],
        version=head["version"],
        claimed=tuple((code, meaning) for code, meaning in policy["options"]["claimed"]),
        method=tuple(line.format(**head) for line in policy["options"]["method"]),
        rules=rules,
        types=types,
        classes=modules["classes"],
        editions={"confidentiality": table["edition"], "modules": modules["edition"]},
    )


def _unpack(objects: dict[str, dict[str, dict[str, str]]]) -> dict[str, dict[str, dict[str, str]]]:
    return {
        name: {parent: {k: t for t, words in packed.items() for k in words.split()} for parent, packed in places.items()} for name, places in objects.items()
    }


def _compile(policy: dict[str, Any], rows: dict[str, dict[str, str]], named: set[str]) -> dict[int, Rule]:
    """Tag -> Rule. Later sources never override earlier ones: rules of the profile, then Table E.1-1, then the modules."""
    out: dict[int, Rule] = {}
    by_tag = {int(tag, 16): row for tag, row in rows.items() if re.fullmatch(r"[0-9a-f]{8}", tag)}
    for rule in policy["rule"]:
        for keyword in rule["attributes"].split():
            tag = tag_for_keyword(keyword)
            if tag is None:
                raise ProfileError("unknown_tag")
            out[int(tag)] = Rule(keyword, DicomDictionary[int(tag)][0][:2], rule["action"], rule["reason"], "rule", by_tag.get(int(tag), {}))
    for tag, row in by_tag.items():
        entry = DicomDictionary.get(tag)
        if tag in out or entry is None or tag >> 16 in (0, 2, 4):
            continue
        action, why = _by_row(entry[0], row, entry[4] in named, policy["defaults"])
        out[tag] = Rule(entry[4], entry[0][:2], action, why, "table", row)
    for keyword in named:
        tag = tag_for_keyword(keyword)
        if tag is None or int(tag) in out or int(tag) >> 16 in (0, 2, 4):
            continue  # overlays and curves (repeating groups) are not named: whole groups go
        vr = DicomDictionary[int(tag)][0]
        kept = "bulk" if keyword in _BULK else "number" if vr[:2] in _NUMBERS and keyword not in _BULK else _BY_VR.get(vr)
        if kept:
            out[int(tag)] = Rule(keyword, vr[:2], kept, "its kind of value can be checked.", "module")
    return out


def _by_row(vr: str, row: dict[str, str], named: bool, defaults: dict[str, str]) -> tuple[str, str]:
    """The action that the options claimed give a row of Table E.1-1. named: some object taken has the attribute. defaults: reasons of general departures."""
    basic = row["basic"]
    if row.get("modified_dates") == "C" and vr in ("DA", "TM", "DT"):
        return _BY_VR[vr], "dates and times are modified (113107)."
    if row.get("descriptors") == "C" and named and vr in _DESCRIPTORS:
        return _DESCRIPTORS[vr], "descriptors are cleaned (113105)."
    if basic == "U" and vr == "UI":
        return "uid", "UIDs are replaced consistently."
    if not named:
        return "remove", "the basic profile removes it." if basic == "X" and "C" not in row.values() else defaults["not_named"]
    why = f"the basic profile says {basic}; the attribute's Type in the object decides."
    return "by_type", f"{why} Of Clean Descriptors: {defaults['not_text']}" if row.get("descriptors") == "C" else why
