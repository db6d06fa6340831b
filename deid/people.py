"""Whose is each scan? One identifier can stand for two people, and two identifiers for one; nobody is ever merged on a guess.

The key of a person is (site, IssuerOfPatientID, PatientID), trimmed and folded. On top of it:

1. A *study* is of one person: files of a study that lack the identifier, or its issuer, are of whom its other files name. A study that names two
   waits (`two_patients`). Another issuer makes another person, unless identifier, birth date and full name are all the same
   within one study: then the issuer that most of its files name is theirs.
2. What the contributor *declared* (`deid.declared`) comes first. A person declared under several identifiers has one code, and so one offset.
3. Under one identifier, studies that state other birth dates (to state none is to state another, unless the full name is that of the one birth date
   there is), both sexes, or names that are not alike (`deid.names`) are *separate* people: each gets a code of its own, made from the identifier and
   from what sets it apart, so that it is the same in every run in which the contradiction shows. A study that contradicts itself waits
   (`identity_conflict`).
4. A study that names nobody (an empty, masked or stand-in PatientID) is a person of its own, for nobody knows better.

With `wait` instead of `separate`, the scans of 3 and 4 wait (`identity_conflict`, `no_identity`) until the contributor declares whose they are.
A PatientID that is a code of this key is our own earlier answer, and stands.
"""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from deid import names
from deid.dates import years_between
from deid.declared import Declared
from deid.identity import Identity
from deid.pseudonyms import CodeKey, fold

__all__ = ["SEPARATE", "WAIT", "Person", "Sorted", "sort_out"]

SEPARATE, WAIT = "separate", "wait"
Conflicts = Literal["separate", "wait"]
_Key = tuple[str, ...]  # ("ours", code) | ("declared", person) | ("study", uid) | ("id", issuer, patient id)
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Person:
    """One person over all their files (numbers in `files`). births, over_89, identifiers: what serves every file of theirs; all of it identifies but `code`."""

    code: str
    files: tuple[int, ...]
    births: frozenset[datetime.date]
    over_89: bool
    identifiers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sorted:
    """Everybody found, in order of code, and the files that wait: number -> refusal code."""

    people: tuple[Person, ...]
    waiting: dict[int, str]


@dataclass(slots=True)
class _Study:
    """What the files of one study say together."""

    uid: str
    files: list[int] = field(default_factory=list)
    births: set[datetime.date] = field(default_factory=set)
    sexes: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)
    exact: bool = True  # declared in so many words, so that it is not asked whether it contradicts the rest

    def add(self, n: int, one: Identity, exact: bool) -> None:
        self.files.append(n)
        self.births |= {one.birth_date} - {None}  # type: ignore[arg-type]
        self.sexes |= {one.sex} & {"M", "F"}
        self.names += [name for name in one.names if name not in self.names and names.parse(name)]
        self.exact &= exact

    @property
    def born(self) -> str:
        return min(self.births).isoformat() if self.births else UNKNOWN

    @property
    def sex(self) -> str:
        return min(self.sexes) if self.sexes else UNKNOWN

    def contradicts_itself(self) -> bool:
        return len(self.births) > 1 or len(self.sexes) > 1 or len(_circles(self.names)) > 1


def sort_out(found: Mapping[int, Identity], codes: CodeKey, site: str, declared: Declared, conflicts: str = SEPARATE) -> Sorted:
    """Say whose every file is. found: number -> what the file says. conflicts: `separate` or `wait`."""
    keys, exact = {}, {}
    for n, one in found.items():
        keys[n], exact[n] = _key(n, one, codes, declared)
    _settle_issuers(found, keys)
    waiting = _settle_studies(found, keys, separate=conflicts == SEPARATE)
    persons: dict[str, list[int]] = defaultdict(list)
    studies: dict[_Key, dict[str, _Study]] = defaultdict(dict)
    for n, one in found.items():
        if n not in waiting:
            studies[keys[n]].setdefault(one.study_uid, _Study(one.study_uid)).add(n, one, exact[n])
    for key, theirs in studies.items():
        base = _base(key, codes, site)
        for study, facts in _apart(key, list(theirs.values())):
            if facts is None or (facts and conflicts != SEPARATE):
                waiting |= dict.fromkeys(study.files, "identity_conflict")
            else:
                persons[codes.apart(base, *facts) if facts else base] += study.files
    if conflicts != SEPARATE:
        _wait_together(studies, waiting, persons)
    return Sorted(tuple(_person(code, sorted(files), found) for code, files in sorted(persons.items()) if files), waiting)


def _key(n: int, one: Identity, codes: CodeKey, declared: Declared) -> tuple[_Key, bool]:
    if codes.recognises(one.patient_id):
        return ("ours", fold(one.patient_id)), True
    if row := declared.of(n, one):
        return ("declared", fold(row.person)), row.exact
    if one.placeholder:
        return ("study", one.study_uid), False
    return ("id", fold(one.issuer), fold(one.patient_id)), False


def _base(key: _Key, codes: CodeKey, site: str) -> str:
    kind, *rest = key
    if kind == "ours":
        return rest[0]
    if kind == "declared":
        return codes.declared(site, rest[0])
    return codes.of_study(site, rest[0]) if kind == "study" else codes.code(site, rest[0], rest[1])


def _settle_issuers(found: Mapping[int, Identity], keys: dict[int, _Key]) -> None:
    """One issuer for the files of one study with one identifier, one birth date and one full name. Changes `keys`."""
    same: dict[tuple[str, str, datetime.date], list[int]] = defaultdict(list)
    for n, one in found.items():
        if keys[n][0] == "id" and one.birth_date:
            same[one.study_uid, keys[n][2], one.birth_date].append(n)
    for numbers in same.values():
        for circle in _circles([name for n in numbers for name in found[n].names if any(map(names.vouches, names.parse(name)))]):
            theirs = [n for n in numbers if circle & set(found[n].names)]
            count = Counter(keys[n] for n in theirs)
            keys.update(dict.fromkeys(theirs, min(count, key=lambda key: (-count[key], key[1] == "", key))))


def _settle_studies(found: Mapping[int, Identity], keys: dict[int, _Key], *, separate: bool) -> dict[int, str]:
    """One person a study: rule 1 of the module. Changes `keys`; gives the files that wait."""
    members: dict[str, list[int]] = defaultdict(list)
    for n, one in found.items():
        members[one.study_uid].append(n)
    waiting: dict[int, str] = {}
    for numbers in members.values():
        named = {keys[n] for n in numbers if keys[n][0] != "study"}
        issued = {key[2] for key in named if key[0] == "id" and key[1]}
        named -= {("id", "", patient_id) for patient_id in issued}
        nobody = len(named) == 0 or any(keys[n][0] == "study" for n in numbers)
        if len(named) > 1:
            waiting |= dict.fromkeys(numbers, "two_patients")
        elif nobody and not separate:
            waiting |= dict.fromkeys(numbers, "no_identity")
        elif named:
            keys.update(dict.fromkeys(numbers, named.pop()))
    return waiting


def _apart(key: _Key, studies: Sequence[_Study]) -> Iterable[tuple[_Study, tuple[str, ...] | None]]:
    """Each study of one identifier with the facts that set its person apart from the others': () where there is one person, None where the study
    contradicts itself."""
    checked = [study for study in studies if not study.exact]
    sound = [study for study in checked if not study.contradicts_itself()]
    yield from ((study, ()) for study in studies if study.exact)
    yield from ((study, None) for study in checked if study not in sound)
    _adopt_births(sound)
    births = len({study.born for study in sound}) > 1
    for born in sorted({study.born for study in sound}):
        one_birth = [study for study in sound if study.born == born]
        sexes = {"M", "F"} <= {study.sex for study in one_birth}
        for sex in sorted({study.sex for study in one_birth}) if sexes else [""]:
            one_sex = [study for study in one_birth if not sexes or study.sex == sex]
            circles = [] if key[0] == "declared" else _circles([name for study in one_sex for name in study.names])
            for study in one_sex:
                facts = ([f"born {born}"] if births else []) + ([f"sex {sex}"] if sexes else [])
                if len(circles) > 1:
                    facts.append("name " + next((fold(min(circle)) for circle in circles if set(study.names) & circle), UNKNOWN))
                yield study, tuple(facts)


def _adopt_births(studies: Sequence[_Study]) -> None:
    """A study without a birth date is of the one birth date there is, where its full name says so."""
    stated = [study for study in studies if study.births]
    if len({study.born for study in stated}) == 1:
        for study in studies:
            if not study.births and any(_same_full_name(a, b) for a in study.names for other in stated for b in other.names):
                study.births = set(stated[0].births)


def _same_full_name(one: str, other: str) -> bool:
    full, others = ([name for name in names.parse(text) if names.vouches(name)] for text in (one, other))
    return any(names.script(a) == names.script(b) and names.alike([a], [b]) for a in full for b in others)


def _circles(spellings: Sequence[str]) -> list[frozenset[str]]:
    """Spellings grouped so that whoever is alike is together, over others too."""
    circles: list[set[str]] = []
    for spelling in sorted(set(spellings)):
        near = [circle for circle in circles if any(names.alike(names.parse(spelling), names.parse(other)) for other in circle)]
        circles = [circle for circle in circles if circle not in near] + [{spelling}.union(*near)]
    return [frozenset(circle) for circle in circles]


def _wait_together(studies: Mapping[_Key, Mapping[str, _Study]], waiting: dict[int, str], persons: dict[str, list[int]]) -> None:
    """Where one study under an identifier waits for a contradiction, all of its studies do: any of them may be either person's."""
    for theirs in studies.values():
        numbers = {n for study in theirs.values() for n in study.files if not study.exact}
        if any(waiting.get(n) == "identity_conflict" for n in numbers):
            waiting |= dict.fromkeys(numbers, "identity_conflict")
            for files in persons.values():
                files[:] = [n for n in files if n not in numbers]


def _person(code: str, files: Sequence[int], found: Mapping[int, Identity]) -> Person:
    ones = [found[n] for n in files]
    births = frozenset(one.birth_date for one in ones if one.birth_date)
    identifiers = frozenset(
        word for one in ones for word in (*one.others, *(() if one.placeholder or fold(one.patient_id) == code else (one.patient_id,))) if word
    )
    spelled = frozenset(name if "^" in name else name + "^" for one in ones for name in one.names)
    return Person(code, tuple(files), births, any(_above_89(one, births) for one in ones), identifiers | spelled)


def _above_89(one: Identity, births: frozenset[datetime.date]) -> bool:
    if one.age[:3].isdecimal() and one.age[3:4].upper() == "Y" and int(one.age[:3]) > 89:
        return True
    return any(years_between(birth, one.study_date) > 89 for birth in births) if one.study_date else False
