"""Columns and cells that name a person have no place in a clinical table, apart from the one column by which the site knows who it is.

A header is judged word by word (`identifying.json`): `drug_name` is no name of a person, `PatientName` and `Vorname` are. A column that may hold free text
is refused as well: nobody can know what stands in it. Cells are searched for what looks like an address, a telephone or a national number, and for the
row's own identifier. The label of a visit is published, so there an identifier is looked for however short it is.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
    "identifier_label": "Call the visit by what it is, such as m12; if that is what it says, list it in the mapping under `codes` of the label.",
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


def named(text: str) -> bool:
    """Whether a text looks like contact data, a national number or an address of the net."""
    return any(look.search(text) for look in CELLS)


def cells(number: int, row: Mapping[str, str], key: str) -> list[Found]:
    """Cells of one row, other than its key, that look like contact data or a national number, or repeat the key."""
    own = fold(row.get(key, ""))
    found = []
    for column, text in row.items():
        if column != key and text and (named(text) or (len(own) >= SHORTEST and own in fold(text))):
            found.append(Found(number, column, "identifier_value", "looks like something that names a person", ADVICE["identifier_value"]))
    return found


def labels(rows: Sequence[tuple[int, Mapping[str, str]]], key: str, column: str, words: Iterable[str]) -> list[Found]:
    """Labels of visits in `column` that hold their row's identifier, of any length, as `p0123m00` does that of 0123.

    By chance `m12` holds that of 12: a label that two people share names neither, and `words` that the mapping lists are labels, not people.
    """
    whose: dict[str, set[str]] = defaultdict(set)
    for _, row in rows:
        whose[_letters(row[column])].add(_letters(row[key]))
    found = []
    for number, row in rows:
        own, label = _letters(row[key]), _letters(row[column])
        if own and own in label and len(whose[label]) == 1 and row[column] not in words:
            found.append(Found(number, column, "identifier_label", "holds the identifier of the person", ADVICE["identifier_label"]))
    return found


def _letters(text: str) -> str:
    """What of a text can stand in a label."""
    return "".join(c for c in fold(text) if c.isalnum())
