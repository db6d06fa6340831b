"""Columns and cells that name a person have no place in a clinical table, apart from the one column by which the site knows who it is.

A header is judged word by word (`identifying.json`): `drug_name` is no name of a person, `PatientName` and `Vorname` are. A column that may hold free text
is refused as well: nobody can know what stands in it. Cells are searched for what looks like an address, a telephone or a national number, and for the
row's own identifier.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from deid.pseudonyms import fold
from registry.clinical.sheet import Found

LISTS = json.loads((Path(__file__).parent / "identifying.json").read_text(encoding="utf-8"))
ALONE, NAME, NO_PERSON, FREE = (frozenset(LISTS[name]) for name in ("alone", "name", "no_person", "free"))  # words, each enough by itself
TOGETHER = [frozenset(some) for some in LISTS["together"]]  # all of these words in one header
SHORTEST = 6  # a shorter identifier is often a number that stands elsewhere by chance
CELLS = (
    re.compile(r"[^\s@]+@[^\s@]+\.[A-Za-z]{2,}"),
    re.compile(r"\+[0-9][0-9 ()/-]{7,}"),
    re.compile(r"(?<![0-9])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![0-9])"),
    re.compile(r"(?<![0-9])[0-9]{6}-[0-9]{4}(?![0-9])"),
    re.compile(r"https?://", re.IGNORECASE),
)
ADVICE = {
    "identifier_column": "Take the column out of the file before it is sent; give an age for a birth date, or its band of five years.",
    "free_text_column": "Take the column out of the file before it is sent, or code it.",
    "identifier_value": "Take it out before the file is sent.",
}


def words(header: str) -> frozenset[str]:
    """The words of a header: `PatientBirthDate`, `patient_birth-date` and `patient birth date` have the same."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", header)
    return frozenset(re.sub(r"[^a-z]+", " ", fold(apart).replace("ß", "ss").replace("é", "e").replace("ø", "o")).split())


def judged(header: str) -> str | None:
    """The rule by which a column of this name is refused, or None."""
    found = words(header)
    if found & ALONE or any(some <= found for some in TOGETHER) or (found & NAME and not found & NO_PERSON):
        return "identifier_column"
    return "free_text_column" if found & FREE else None


def columns(headers: Iterable[str], key: str, more: Iterable[str] = ()) -> list[Found]:
    """The columns that may not be sent. `key`: the one by which people are known; `more`: those that the site itself calls identifiers."""
    flagged = set(more)
    found = []
    for header in headers:
        rule = None if header == key else "identifier_column" if header in flagged else judged(header)
        if rule:
            reason = "names people" if rule == "identifier_column" else "may hold free text, and free text may hold names"
            found.append(Found(1, header, rule, reason, ADVICE[rule]))
    return found


def cells(number: int, row: Mapping[str, str], key: str) -> list[Found]:
    """Cells of one row, other than its key, that look like contact data or a national number, or repeat the key."""
    own = fold(row.get(key, ""))
    found = []
    for column, text in row.items():
        if column != key and text and (any(look.search(text) for look in CELLS) or (len(own) >= SHORTEST and own in fold(text))):
            found.append(Found(number, column, "identifier_value", "looks like something that names a person", ADVICE["identifier_value"]))
    return found
