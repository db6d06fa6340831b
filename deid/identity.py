"""Whose file is this? Read before anything is cleaned, answered in codes only by those who call.

The key of a person is (site, IssuerOfPatientID, PatientID); sex, birth date and name are read too, not to identify but to notice when files under one key
contradict each other. Nothing here is ever logged.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deid import dates, elements, values
from deid.errors import Refused
from deid.pseudonyms import fold, is_placeholder

PATIENT_NAME, PATIENT_ID, ISSUER, BIRTH_DATE, SEX = 0x00100010, 0x00100020, 0x00100021, 0x00100030, 0x00100040
STUDY_UID, SERIES_UID, SOP_UID, SOP_CLASS, MODALITY = 0x0020000D, 0x0020000E, 0x00080018, 0x00080016, 0x00080060
STUDY_DATE, SERIES_DATE, ACQUISITION_DATE, CONTENT_DATE = 0x00080020, 0x00080021, 0x00080022, 0x00080023
STUDY_TIME, ACQUISITION_TIME, CONTENT_TIME, ACQUISITION_DATETIME = 0x00080030, 0x00080032, 0x00080033, 0x0008002A
CHARSET = 0x00080005
_MOMENTS = frozenset({ACQUISITION_TIME, ACQUISITION_DATETIME, 0x00189074})  # the last: FrameAcquisitionDateTime


@dataclass(frozen=True, slots=True)
class Start:
    """When a study's first acquisition began: its calendar day and microseconds since midnight (either may be unknown)."""

    date: datetime.date | None
    micro: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who and what one file says it is. Every field here identifies: it stays in the process that read it.

    placeholder: the PatientID names nobody (empty, masked, a stand-in). name_folded: the words of the name in alphabetical order.
    study_uid, series_uid, sop_uid: as they stand ("" where missing). start: this file's own acquisition date and time.
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
    start: Start = Start(None, None)
    age: str = ""


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
        start=_start(file, get),
        age=get(0x00101010),
    )


def _start(file: elements.File, get: Callable[[int], str]) -> Start:
    """The file's earliest acquisition, at any depth (enhanced frames and mosaics carry their own times)."""
    moments = (element for element in elements.walk(file.elements) if element.tag in _MOMENTS and element.value is not None)
    found = [start for element in moments if (start := _moment(element)).micro is not None]
    day = next((d for t in (ACQUISITION_DATE, SERIES_DATE, STUDY_DATE, CONTENT_DATE) if (d := dates.parse_date(get(t)))), None)
    if not found:
        micro = next((m for t in (CONTENT_TIME, STUDY_TIME) if (m := dates.parse_time(get(t))) is not None), None)
        return Start(day, micro)
    return min((Start(start.date or day, start.micro) for start in found), key=_key)


def _moment(element: elements.Element) -> Start:
    text = values.texts(element)[0]
    if element.tag == ACQUISITION_TIME:
        return Start(None, dates.parse_time(text))
    return Start(dates.parse_date(text[:8]), dates.parse_time(re.split(r"[+\-]", text[8:])[0]) if len(text) >= 10 else None)


def fold_name(name: str) -> str:
    """The words of a person name, folded and sorted: `SMITH^John` and `john smith` are alike."""
    return " ".join(sorted(part for part in fold(name.replace("^", " ").replace("=", " ").replace(",", " ")).split() if any(c.isalnum() for c in part)))


def study_starts(found: Iterable[Identity]) -> dict[str, Start]:
    """Each study's first acquisition over all its files (by StudyInstanceUID): what `Subject.starts` wants. Unknown days sort last."""
    best: dict[str, Start] = {}
    for one in found:
        new, old = one.start, best.get(one.study_uid)
        if new.micro is not None and (old is None or _key(new) < _key(old)):
            best[one.study_uid] = new
    return best


def _key(start: Start) -> tuple[datetime.date, int]:
    return start.date or datetime.date.max, start.micro if start.micro is not None else dates.DAY_US


def conflicts(found: Iterable[Identity]) -> Mapping[tuple[str, str], str]:
    """Which persons, by (folded issuer, folded PatientID), contradict themselves over their files -> code `identity_conflict`.

    Two birth dates, two sexes, or names without a word in common. An unknown value contradicts nothing.
    """
    people: dict[tuple[str, str], list[Identity]] = defaultdict(list)
    for one in found:
        if not one.placeholder:
            people[fold(one.issuer), fold(one.patient_id)].append(one)
    return {who: "identity_conflict" for who, ones in people.items() if _contradict(ones)}


def _contradict(ones: list[Identity]) -> bool:
    births = {one.birth_date for one in ones if one.birth_date}
    sexes = {one.sex for one in ones if one.sex in ("M", "F")}
    names = {frozenset(one.name_folded.split()) for one in ones if one.name_folded}
    common = frozenset.intersection(*names) if names else frozenset()
    return len(births) > 1 or len(sexes) > 1 or (len(names) > 1 and not common)


def require_person(one: Identity) -> None:
    """Raise Refused(no_identity) where the file names nobody."""
    if one.placeholder:
        raise Refused("no_identity")
