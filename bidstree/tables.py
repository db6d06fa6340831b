"""A table is a TSV and the dictionary that explains it: neither is written without the other, and a column nobody explained is not written at all.

BIDS: tab-separated, one header line, `n/a` for what is not known, UTF-8, numbers with a point. Ages are in years, at most 89 (`cap_age`), and coarser than
a birthday: whole years for adults, tenths under 18, hundredths (about months / 12) under 2. Rows keep the order of their first column, so that the same
set of rows gives the same bytes.
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bidstree.errors import BidsError

Row = Mapping[str, Any]
Dictionary = Mapping[str, Mapping[str, Any]]

OLDEST = 89
NOT_KNOWN = "n/a"

PARTICIPANTS: Dictionary = {
    "participant_id": {"Description": "Label of the participant in this dataset; random, and of no meaning outside it."},
    "species": {"Description": "Species of the participant."},
    "age": {"Description": f"Age at the first visit in this dataset; {OLDEST} stands for {OLDEST} and older.", "Units": "year"},
    "sex": {"Description": "Sex as registered.", "Levels": {"F": "female", "M": "male", "O": "other"}},
    "handedness": {"Description": "Handedness.", "Levels": {"left": "left", "right": "right", "ambidextrous": "both"}},
    "group": {"Description": "Group within the study."},
    "site": {"Description": "Code of the site that contributed the participant."},
}
SESSIONS: Dictionary = {
    "session_id": {"Description": "Label of the visit; fixed when the visit was first registered, not by its order."},
    "day": {"Description": "Days since the day zero of this participant; earlier visits are negative.", "Units": "day"},
    "acq_time": {"Description": "Shifted date of the visit, before 1926 on purpose: intervals within one participant are true, dates are not."},
    "age": {"Description": f"Age at the visit; {OLDEST} stands for {OLDEST} and older.", "Units": "year"},
    "pathology": {"Description": "Finding at the visit."},
}
SCANS: Dictionary = {
    "filename": {"Description": "Path of the image within this session."},
    "acq_time": {"Description": "Shifted time of acquisition, before 1926 on purpose."},
    "quality": {"Description": "Grade of the automatic quality control.", "Levels": {"pass": "usable", "review": "look at it first", "fail": "not usable"}},
    "deface": {
        "Description": "What was done about the face.",
        "Levels": {"defaced": "removed", "no_face": "no face in it", "exempt": "not needed", "review": "a person looked"},
    },
    "conversion": {
        "Description": "Whether independent conversions agreed.",
        "Levels": {"agreed": "yes", "one_only": "only one was possible", "disagreed": "no; a person looked"},
    },
}


@dataclass(frozen=True)
class Table:
    """`tsv`: the whole text of the file; `dictionary`: the JSON beside it, only for columns that are in the table."""

    tsv: str
    dictionary: dict[str, Any]

    def json(self) -> str:
        """The dictionary as the text of its file."""
        return json.dumps(self.dictionary, indent=2, ensure_ascii=False) + "\n"


def participants(rows: Iterable[Row], extra: Dictionary | None = None) -> Table:
    """participants.tsv: `participant_id` (with `sub-`) first; `age` is capped and coarsened here. Columns beyond `PARTICIPANTS` need `extra`.

    Raises BidsError `column_unexplained`, `row_without_id`, `rows_doubled`.
    """
    prepared = [{**row, **({"age": cap_age(row["age"])} if "age" in row else {})} for row in rows]
    return _table("participant_id", prepared, {**PARTICIPANTS, **(extra or {})})


def sessions(rows: Iterable[Row], extra: Dictionary | None = None) -> Table:
    """sub-L_sessions.tsv of one participant: `session_id` (with `ses-`) first. Raises as `participants`, and `date_not_shifted`."""
    prepared = [{**row, **({"age": cap_age(row["age"])} if "age" in row else {})} for row in rows]
    _check_times(prepared)
    return _table("session_id", prepared, {**SESSIONS, **(extra or {})})


def scans(rows: Iterable[Row], extra: Dictionary | None = None) -> Table:
    """sub-L_ses-S_scans.tsv: `filename` relative to the session's folder first. Raises as `sessions`."""
    prepared = list(rows)
    _check_times(prepared)
    return _table("filename", prepared, {**SCANS, **(extra or {})})


def phenotype(name: str, rows: Iterable[Row], dictionary: Dictionary) -> Table:
    """phenotype/NAME.tsv: `participant_id` first, then `session_id` if given; one row per participant and session.

    `dictionary`: column -> {Description, Units, Levels, ...}; `name` letters, digits, `_`. Raises BidsError `name_not_bids` and as `participants`.
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise BidsError("name_not_bids", "The name of a clinical table may hold letters, digits and underscores only.", "Rename the table.")
    known: Dictionary = {"participant_id": PARTICIPANTS["participant_id"], "session_id": SESSIONS["session_id"], **dictionary}
    return _table("participant_id", list(rows), known, also=("session_id",))


def cap_age(years: object) -> object:
    """Age in years as BIDS may have it: whole years from 18, tenths under 18, hundredths under 2, 89 at most; `n/a` stays."""
    if years is None or years == NOT_KNOWN:
        return NOT_KNOWN
    value = float(str(years))
    if not math.isfinite(value) or value < 0:
        raise BidsError("age_not_a_number", "An age is negative or no number.", "Give ages in years.")
    if value >= 18:
        return min(int(value), OLDEST)
    # Rounded down: an age is not reached before its time. Under two years, whole months.
    return round(math.floor(value * 12) / 12, 2) if value < 2 else math.floor(value * 10) / 10


def years(text: object) -> object:
    """Age in years, coarsened as `cap_age` does, from a DICOM age string (`034Y`, `018M`, `003W`, `012D`); None for anything else."""
    found = re.fullmatch(r"([0-9]{3})([YMWD])", str(text or ""))
    return cap_age(int(found[1]) / {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}[found[2]]) if found else None


def _check_times(rows: Sequence[Row]) -> None:
    for row in rows:
        value = row.get("acq_time")
        if value in (None, NOT_KNOWN):
            continue
        try:
            year = datetime.datetime.fromisoformat(str(value)).year
        except ValueError:
            year = 9999
        if year >= 1926:
            raise BidsError("date_not_shifted", "An acquisition time is not shifted before 1926.", "Shift dates before they reach a table, or leave them out.")


def _table(first: str, rows: Sequence[Row], dictionary: Dictionary, also: tuple[str, ...] = ()) -> Table:
    lead = (first, *(name for name in also if any(name in row for row in rows)))
    columns = [*lead, *_columns(rows, dictionary, lead)]
    keys = [tuple(str(row.get(name, "")) for name in lead) for row in rows]
    if any(not key[0] for key in keys):
        raise BidsError("row_without_id", f"A row of a table has no {first}.", "Give every row its identifier.")
    if len(set(keys)) < len(keys):
        raise BidsError("rows_doubled", f"A table has two rows with the same {' and '.join(lead)}.", "Keep one row of each.")
    ordered = [row for _, row in sorted(zip(keys, rows, strict=True), key=lambda pair: pair[0])]
    lines = ["\t".join(columns), *("\t".join(cell(row.get(name)) for name in columns) for row in ordered)]
    return Table("\n".join(lines) + "\n", {name: dict(dictionary[name]) for name in columns})


def _columns(rows: Sequence[Row], dictionary: Dictionary, lead: tuple[str, ...]) -> list[str]:
    """Columns in the order of the dictionary; raises `column_unexplained` for one that is not in it."""
    present = {name for row in rows for name in row} - set(lead)
    unexplained = len(present - set(dictionary))
    if unexplained:
        raise BidsError("column_unexplained", f"{unexplained} column(s) of a table are not in its data dictionary.", "Describe every column, or leave it out.")
    return [name for name in dictionary if name in present]


def cell(value: object) -> str:
    """One value as BIDS writes it: `n/a` for nothing, true/false in small letters, no tabs or line ends inside."""
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return NOT_KNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    return re.sub(r"[\t\r\n]+", " ", str(value)).strip() or NOT_KNOWN
