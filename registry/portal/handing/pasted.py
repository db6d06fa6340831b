"""A table copied out of a spreadsheet, read into the rows of an act: each column is known, each cell is of its shape, and what is not is told by row.

Nothing is written here. What only the registry can tell (who is registered, which visit is there) is told by the same look-ups that the act makes.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from registry.accounts.models import User
from registry.consent import actions as consent
from registry.consent.models import ConsentTemplate, Event, GivenBy
from registry.intake.overview import Place, person
from registry.rules import BOXES, Invalid, Refusal
from registry.subjects import actions as subjects
from registry.subjects.models import Participant

MOST, WIDEST = 1000, 60
# kind -> (column -> whether every row needs it)
COLUMNS: dict[str, dict[str, bool]] = {
    "people": {"patient_id": True, "issuer": False, "sex": False, "birth_year_band": False},
    "visits": {"participant": True, "issuer": False, "visit": True, "date": True, "purpose": False},
    "consents": {
        "participant": True, "issuer": False, "kind": True, "form": False, "permission": False, "modifiers": False, "diseases": False, "countries": False,
        "legal_basis": False, "transfer": False, "also": False, "valid_until": False, "given_by": False, "assent": False, "reconsent_due": False,
        "evidence_sha256": False,
    },
}  # fmt: skip
LISTS = ("modifiers", "diseases", "countries")
DATES = ("valid_until", "reconsent_due")


@dataclass(frozen=True)
class Fault:
    """What may not stand: the row as a spreadsheet counts (the header is 1), and why."""

    row: int
    column: str
    reason: str


@dataclass
class Reading:
    """A table as it was understood. `shown`: cells by row, for a person to look at; `rows`: what the act takes, where nothing is wrong."""

    columns: list[str] = field(default_factory=list)
    shown: list[list[str]] = field(default_factory=list)
    rows: list[Any] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read(asker: User, place: Place, kind: str, text: str) -> Reading:
    """The table, row by row. Raises Denied to who does not hand in for the place."""
    try:
        cells = [row for row in csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=_mark(text)) if any(one.strip() for one in row)]
    except csv.Error:
        return Reading(faults=[Fault(0, "", _("this cannot be read as a table: look for a quotation mark too many, and copy it anew"))])
    if cells and len(cells[0]) > WIDEST:
        return Reading(faults=[Fault(1, "", _("there are more columns than any table here has"))])
    told = Reading([name.strip().lower() for name in cells[0]] if cells else [], [[one.strip() for one in row[:WIDEST]] for row in cells[1 : MOST + 1]])
    told.faults += _heads(kind, told.columns, len(cells) - 1)
    if told.faults:
        return told
    make: Callable[[User, Place, Mapping[str, str]], Any] = {"people": _person, "visits": _visit, "consents": _consent}[kind]
    for n, row in enumerate(told.shown, 2):
        values = dict(zip(told.columns, [*row, *[""] * len(told.columns)], strict=False))
        missing = [name for name, needed in COLUMNS[kind].items() if needed and not values.get(name)]
        told.faults += [Fault(n, name, _("is empty")) for name in missing]
        if missing:
            continue
        try:
            told.rows.append(make(asker, place, values))
        except Invalid as error:
            told.faults.append(Fault(n, "", f"{error.reason} {error.advice}"))
        except ValueError as error:
            told.faults.append(Fault(n, str(error), _("is not as it must be")))
    told.faults += _twice(kind, told.rows)
    return told


def _mark(text: str) -> str:
    line = text.split("\n", 1)[0]
    return next((mark for mark in "\t;," if mark in line), ",")


def _heads(kind: str, columns: list[str], rows: int) -> list[Fault]:
    known = COLUMNS[kind]
    found = [Fault(1, name, _("is no column of this table")) for name in columns if name not in known]
    found += [Fault(1, name, _("is missing")) for name, needed in known.items() if needed and name not in columns]
    if len(set(columns)) < len(columns):
        found.append(Fault(1, "", _("a column stands there twice")))
    if not rows:
        found.append(Fault(1, "", _("there is no row below the header")))
    if rows > MOST:
        found.append(Fault(MOST + 2, "", _("a table has at most a thousand rows: send it in parts")))
    return found


def _person(asker: User, place: Place, values: Mapping[str, str]) -> dict[str, str]:
    row = {name: values.get(name, "") for name in COLUMNS["people"]}
    row["sex"] = row["sex"].upper()
    subjects.plausible(row["patient_id"], row["issuer"], row["sex"], row["birth_year_band"])
    try:
        person(asker, place.dataset, place.site, row["patient_id"], row["issuer"])
    except Invalid:
        return row
    raise Invalid("already_registered", _("This identifier is registered in this dataset already."), _("Take the row out."))


def _visit(asker: User, place: Place, values: Mapping[str, str]) -> tuple[Participant, str, date, str]:
    one = person(asker, place.dataset, place.site, values["participant"], values.get("issuer", ""))
    if not subjects.VISIT_LABEL.fullmatch(values["visit"]):
        raise ValueError("visit")
    return one, values["visit"], _date("date", values["date"]), values.get("purpose", "")


def _consent(asker: User, place: Place, values: Mapping[str, str]) -> tuple[Participant, dict[str, Any]]:
    one = person(asker, place.dataset, place.site, values["participant"], values.get("issuer", ""))
    if values["kind"] not in Event.values or values["kind"] == Event.WITHDRAWN:
        raise ValueError("kind")
    said: dict[str, Any] = {name: values[name] for name in ("permission", "legal_basis", "transfer") if values.get(name)}
    said |= {name: values[name].replace(",", " ").split() for name in LISTS if values.get(name)}
    also = values.get("also", "").replace(",", " ").split()
    if set(also) - set(BOXES):
        raise ValueError("also")
    signing = {name: values.get(name, "") for name in ("assent", "evidence_sha256")} | {"given_by": values.get("given_by") or GivenBy.SELF.value}
    signing |= {name: _date(name, values[name]) if values.get(name) else None for name in DATES}
    row = {"kind": values["kind"], "template": _form(place, values.get("form", "")), **said, **dict.fromkeys(also, True), **signing}
    consent.meant(one, **row)
    return one, row


def _form(place: Place, text: str) -> ConsentTemplate | None:
    """`broad 2 da`: name, version and language of a form of the dataset."""
    if not text:
        return None
    told = re.fullmatch(r"(\S+) (\d{1,4}) (\S+)", text)
    found = told and ConsentTemplate.objects.filter(dataset=place.dataset, name=told[1], version=int(told[2]), language=told[3]).first()
    if not found:
        raise Invalid("consent_template", _("There is no such consent form in this dataset."), _("Write name, version and language: broad 2 da."))
    return found


def _date(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(name) from None


def _twice(kind: str, rows: list[Any]) -> list[Fault]:
    if kind != "people":
        return []
    seen = [(row["issuer"], row["patient_id"].casefold()) for row in rows]
    return [Fault(n + 2, "patient_id", _("stands there twice")) for n, one in enumerate(seen) if one in seen[:n]]


def refusal(error: Refusal) -> list[Fault]:
    """What an act refused, by row: `people.3` is the fifth line of the table."""
    found = []
    for one in getattr(error, "errors", []):
        told = re.match(r"\w+\.(\d+)", one.get("field", ""))
        found.append(Fault(int(told[1]) + 2 if told else 0, "", one["reason"]))
    return found
