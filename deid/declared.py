"""What the contributor knows and the files do not say: which identifiers are one person, and whose an unnamed scan is (`--people FILE`).

A CSV file (comma or semicolon, UTF-8) with a heading. `person` is any word of the contributor's that names one person for good; the other columns say which
files are meant: `PatientID`, `IssuerOfPatientID`, `PatientBirthDate` (YYYYMMDD or YYYY-MM-DD), `StudyInstanceUID`, `folder` (below IN). An empty cell asks
nothing; all others of a row must fit, letter case and outer blanks apart.

    person,PatientID,IssuerOfPatientID,PatientBirthDate,StudyInstanceUID,folder
    anna,111,HOSPITAL A,,,
    anna,222,HOSPITAL B,,,
    ben,***,,,,visit2/ben

A row that names a birth date, a study or a folder is believed even where the files contradict each other; a row with an identifier alone joins identifiers,
and the files under them must still agree about birth date and sex.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from deid.dates import parse_date
from deid.errors import Refused
from deid.identity import Identity
from deid.pseudonyms import fold

__all__ = ["COLUMNS", "Declared", "Row"]

COLUMNS = ("PatientID", "IssuerOfPatientID", "PatientBirthDate", "StudyInstanceUID", "folder")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: whose, and which files are meant (column -> folded value, empty ones left out)."""

    person: str
    asked: Mapping[str, str]

    @property
    def exact(self) -> bool:
        return bool({"PatientBirthDate", "StudyInstanceUID", "folder"} & set(self.asked))

    def fits(self, said: Mapping[str, str], folders: Iterable[str]) -> bool:
        return all(value in folders if column == "folder" else said[column] == value for column, value in self.asked.items())


class Declared:
    """The lines of a people file. folders: file number -> the folder it lies in, below IN, with `/` between names."""

    def __init__(self, rows: Iterable[Row] = (), folders: Mapping[int, str] | None = None) -> None:
        self.rows, self.folders = list(rows), folders or {}

    @classmethod
    def read(cls, path: Path, folders: Mapping[int, str]) -> Declared:
        """Raises Refused(bad_people_file) where a line says nothing, or what it says cannot be understood."""
        try:
            text = path.read_text(encoding="utf-8-sig")
            heading = text.partition("\n")[0]
            lines = list(csv.DictReader(text.splitlines(), delimiter=";" if heading.count(";") > heading.count(",") else ",", strict=True))
        except (OSError, UnicodeDecodeError, csv.Error):
            raise Refused("bad_people_file") from None
        if not lines:
            raise Refused("bad_people_file")
        return cls([_row(line) for line in lines], folders)

    def of(self, n: int, one: Identity) -> Row | None:
        """The line that says whose file n is: the one that asks most. Raises Refused(bad_people_file) where two such lines name different people."""
        if not self.rows:
            return None
        said = {"PatientID": fold(one.patient_id), "IssuerOfPatientID": fold(one.issuer), "StudyInstanceUID": one.study_uid}
        said["PatientBirthDate"] = one.birth_date.isoformat() if one.birth_date else ""
        place = PurePosixPath(self.folders.get(n, ""))
        fitting = [row for row in self.rows if row.fits(said, {str(folder) for folder in (place, *place.parents)})]
        best = [row for row in fitting if len(row.asked) == max(len(other.asked) for other in fitting)]
        if len({fold(row.person) for row in best}) > 1:
            raise Refused("bad_people_file")
        return best[0] if best else None


def _row(line: Mapping[str | None, str | None]) -> Row:
    cells = {column: (value or "").strip() for column, value in line.items() if isinstance(column, str) and not isinstance(value, list)}
    person = cells.pop("person", "")
    asked = {column: _plain(column, value) for column, value in cells.items() if value}
    if None in line or not person or not asked or not set(cells) <= set(COLUMNS) or not all(asked.values()):
        raise Refused("bad_people_file")
    return Row(person, asked)


def _plain(column: str, value: str) -> str:
    """A cell as it is compared; "" where it cannot be understood."""
    if column == "PatientBirthDate":
        date = parse_date(value.replace("-", ""))
        return date.isoformat() if date else ""
    if column == "folder":
        return str(PurePosixPath(value.replace("\\", "/").strip("/")))
    return value if column == "StudyInstanceUID" else fold(value)
