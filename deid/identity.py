"""What does one file say about whose it is? Read before anything is cleaned; `deid.people` draws the conclusion.

The key of a person is (site, IssuerOfPatientID, PatientID); sex, birth date and name are read too, not to identify but to notice when files under one key
contradict each other. Nothing here is ever logged.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deid import dates, elements, moments, values
from deid.moments import UNKNOWN
from deid.moments import Start as Start
from deid.moments import study_starts as study_starts
from deid.pseudonyms import fold, is_placeholder

PATIENT_NAME, PATIENT_ID, ISSUER, BIRTH_DATE, SEX = 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040
STUDY_UID, SERIES_UID, SOP_UID, SOP_CLASS, MODALITY = 0x0020000D, 0x0020000E, 0x00080018, 0x00080016, 0x00080060
STUDY_DATE, SERIES_DATE, ACQUISITION_DATE, CONTENT_DATE = 0x00080020, 0x00080021, 0x00080022, 0x00080023
STUDY_TIME, ACQUISITION_TIME, CONTENT_TIME, ACQUISITION_DATETIME = 0x00080030, 0x00080032, 0x00080033, 0x0008002A
CHARSET = 0x00080005
# What else names the person: OtherPatientNames, PatientBirthName, PatientMotherBirthName;
# OtherPatientIDs, PatientTelephoneNumbers, AdmissionID, AccessionNumber.
_OTHER_NAMES = frozenset({PATIENT_NAME, 0x00101001, 0x00101005, 0x00101060})
_OTHER_NUMBERS = frozenset({0x00101000, 0x00102154, 0x00380010, 0x00080050})
_OTHER_IDS_SEQUENCE = 0x00101002
_SHORTEST = 5  # characters of a further number: shorter ones are in every protocol name


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and what one file says it is. Every field here identifies: it stays in the process that read it.

    placeholder: the PatientID names nobody (empty, masked, a stand-in). name_folded: the words of the name in alphabetical order.
    study_uid, series_uid, sop_uid: as they stand ("" where missing). start: this file's own acquisition date and time. names: PatientName as it is spelled.
    others: further names (with a caret) and numbers of the person, to be looked for in the text of all their files.
    """

    issuer: str
    patient_id: str
    birth_date: datetime.date | None
    sex: str
    name_folded: str
    placeholder: bool
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    sop_class: str = ""
    modality: str = ""
    study_date: datetime.date | None = None
    start: Start = UNKNOWN
    age: str = ""
    names: tuple[str, ...] = ()
    others: frozenset[str] = frozenset()


def identify(path: Path | str) -> Identity:
    """Read who one DICOM file is about. Raises `errors.Refused` as `elements.read` does."""
    return of(elements.read(path))


def of(file: elements.File) -> Identity:
    """The identity in a parsed file."""
    top = file.top()
    codecs = values.encodings(values.text(top[CHARSET])) if CHARSET in top else ("iso8859",)

    def get(tag: int) -> str:
        return values.text(top[tag], codecs) if tag in top and top[tag].items is None else ""

    patient_id = get(PATIENT_ID)
    return Identity(
        issuer=get(ISSUER),
        patient_id=patient_id,
        birth_date=dates.parse_date(get(BIRTH_DATE)),
        sex=get(SEX).upper() if get(SEX).upper() in ("M", "F", "O") else "",
        name_folded=fold_name(get(PATIENT_NAME)),
        placeholder=is_placeholder(patient_id),
        study_uid=get(STUDY_UID),
        series_uid=get(SERIES_UID),
        sop_uid=get(SOP_UID),
        sop_class=get(SOP_CLASS),
        modality=get(MODALITY),
        study_date=next((d for t in (STUDY_DATE, SERIES_DATE, ACQUISITION_DATE, CONTENT_DATE) if (d := dates.parse_date(get(t)))), None),
        start=moments.of(file.elements),
        age=get(0x00101010),
        names=tuple(filter(None, [get(PATIENT_NAME)])),
        others=_others(top, codecs),
    )


def _others(top: Mapping[int, elements.Element], codecs: tuple[str, ...]) -> frozenset[str]:
    """Every name and further number of the person at the top level, in every reading of the character set."""
    out = set()
    for tag in _OTHER_NAMES & top.keys():
        if top[tag].items is None:
            out |= {name if "^" in name else name + "^" for name in values.readings(top[tag], codecs)}
    further = [top[tag] for tag in _OTHER_NUMBERS & top.keys()]
    if _OTHER_IDS_SEQUENCE in top:
        further += [element for item in top[_OTHER_IDS_SEQUENCE].items or () for element in item.elements if element.tag == PATIENT_ID]
    for element in further:
        if element.items is None:
            out |= {value for value in values.readings(element, codecs) if len(value) >= _SHORTEST and not is_placeholder(value)}
    return frozenset(out)


def fold_name(name: str) -> str:
    """The words of a person name, folded and sorted: `SMITH^John` and `john smith` are alike."""
    return " ".join(sorted(part for part in fold(name.replace("^", " ").replace("=", " ").replace(",", " ")).split() if any(c.isalnum() for c in part)))
