"""Loose files become studies, and each study is somebody's or it waits: by code only.

Files with one StudyInstanceUID are one study. A study belongs to the person whose code its files carry. It waits when they carry none or a placeholder
(`no_identity`), when they carry two (`two_patients`), or when the same code comes with two birth dates, two sexes or unlike names anywhere in the
upload (`identity_conflict`), for then one number stands for two people and every study under it may be either's. A study that states no birth date
and bears no full name is not known to be of who states one in another. Names are unlike by the rule of `deid.names`, as far as codes can tell: another
order of the parts, an initial or a maiden name is no conflict, and another given name is one.

A NIfTI file belongs to the study that alone owns DICOM files in the nearest folder, of its own and those above it, that holds (at any depth) any; but
not where it lies below that folder in one that may be somebody else's, or in a part of the upload without any DICOM. Then it is of a visit handed in as
NIfTI (`pipeline.given`): the files of one person are one study, which waits until somebody says whose it is, for NIfTI does not. Small files beside NIfTI
(sidecars, gradients, transforms) go with it.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import given
from pipeline.codes import Verdict, kept, verdict
from pipeline.inside import open_keys
from pipeline.inventory import Source, inventory
from pipeline.isolate import Answer, Limits
from pipeline.order import Order
from pipeline.outcome import FileRow, Outcome, digest
from pipeline.workspace import Workspace

__all__ = ["Sorted", "Study", "run_sort", "sort"]

NOBODY = "A visit handed in as NIfTI does not say whose it is."
LARGE = 1 << 30
LOOK = Limits(memory_mb=1536, cpu_s=60, wall_s=120, file_mb=64)


@dataclass
class Study:
    """One study. `files`, `masks`: numbers; `session`: the shifted date of the study (YYYYMMDD), or what `label_sessions` makes of it."""

    code: str
    participant: str | None
    day: str | None
    session: str
    files: list[int] = field(default_factory=list)
    masks: list[int] = field(default_factory=list)
    verdict: Verdict = field(default_factory=kept)
    whose: str = ""  # of a visit handed in as NIfTI: archive and folders down to them, for the owner's own desk alone; empty where unclear

    def as_json(self) -> dict[str, Any]:
        row = {"study": self.code, "participant": self.participant, "day": self.day, "files": sorted(self.files + self.masks)}
        return row | self.verdict.as_json()


@dataclass
class Sorted:
    """A sorted upload: what each file is (`rows`, by number) and the studies."""

    sources: list[Source]
    rows: dict[int, FileRow]
    studies: list[Study]


def run_sort(order: Order, workspace: Workspace) -> Outcome:
    """Carry out an order of kind "sort"."""
    found = sort(order, workspace)
    return Outcome(order.run, order.attempt, "sort", files=list(found.rows.values()), studies=[study.as_json() for study in found.studies])


def sort(order: Order, workspace: Workspace) -> Sorted:
    """Look at every file in children, and group. Raises NoInput when the input is not there, KeyFileError for a bad key."""
    open_keys(order.keys)
    sources = inventory(order.input, workspace)
    rows = {one.n: FileRow(one.n, one.sha256, one.bytes, one.verdict) for one in sources}
    open_ones = [one for one in sources if one.path is not None]
    known = [hashed(one) for one in open_ones]
    items = [{"path": str(one.path), "site": order.site, "keys": dict(order.keys), "sha256": sha256} for one, sha256 in zip(open_ones, known, strict=True)]
    answers = workspace.each("sort", "pipeline.inside:look", items, LOOK)
    looks = {one.n: seen(one, answer, rows[one.n], sha256) for one, answer, sha256 in zip(open_ones, answers, known, strict=True)}
    dicom = {n: look for n, look in looks.items() if look.get("kind") == "dicom"}
    refuse_doubles(dicom, {one.n: one for one in sources}, rows, workspace)
    studies = group({n: look for n, look in dicom.items() if rows[n].verdict.verdict == "kept"})
    conflicts(studies, dicom.values())
    label_sessions(studies)
    folders = {one.n: one.folder for one in sources}
    loose = give_masks([n for n, look in looks.items() if look.get("kind") == "nifti"], folders, studies, rows)
    handed = handed_in(loose, sources, rows, order)
    give_companions([n for n, look in looks.items() if look.get("kind") == "companion"], sources, [*studies, *handed], rows)
    for study in studies:
        for n in study.files:
            rows[n].verdict = study.verdict
    return Sorted(sources, rows, studies + handed)


def hashed(one: Source) -> str:
    """The SHA-256 of a file so large that a child's seconds might not suffice to hash it: to hash is not to parse, so no limit need hold. Else empty."""
    return digest(one.path) if one.path is not None and one.bytes > LARGE else ""


def seen(one: Source, answer: Answer, row: FileRow, sha256: str = "") -> dict[str, Any]:
    """What a child saw in one file; its row gets hash and verdict. A file that ended its child is hashed here."""
    if answer.death:
        assert one.path is not None
        row.sha256, row.where = sha256 or digest(one.path), " ".join(filter(None, (answer.death.error, answer.death.where)))
        row.verdict = verdict(answer.death.code, answer.death.reason, answer.death.advice)
        return {}
    look: dict[str, Any] = answer.value
    row.sha256 = look["sha256"]
    if look["code"]:
        row.verdict = verdict(look["code"], look["reason"], look["advice"])
        return {}
    return look


def refuse_doubles(looks: Mapping[int, Mapping[str, Any]], sources: Mapping[int, Source], rows: Mapping[int, FileRow], workspace: Workspace) -> None:
    """Of files that are one image the first is kept; files of one instance UID with unlike images are all refused, for nobody can say which is right."""
    same: dict[str, list[int]] = defaultdict(list)
    for n in sorted(looks):
        same[looks[n]["instance"]].append(n)
    doubled = [numbers for numbers in same.values() if len(numbers) > 1]
    unlike = [n for numbers in doubled if len({rows[n].sha256 for n in numbers}) > 1 for n in numbers]
    answers = workspace.each("compare", "pipeline.inside:image", [{"path": str(sources[n].path)} for n in unlike], LOOK)
    images = {n: "" if answer.death else str(answer.value) for n, answer in zip(unlike, answers, strict=True)}
    for n in [n for n in unlike if not images[n]]:
        rows[n].verdict = verdict("pixels_unreadable")
    for numbers in doubled:
        readable = [n for n in numbers if rows[n].verdict.verdict == "kept"]
        one = len({images.get(n, "") for n in readable}) == 1
        if one and len({looks[n]["participant"] for n in readable}) > 1 and len({looks[n]["study"] for n in readable}) == 1:
            continue  # one image under two names: the study will wait as that of two patients
        one = one and len({(looks[n]["participant"], looks[n]["study"]) for n in readable}) == 1
        for n in readable[1:] if one else readable:
            rows[n].verdict = verdict("duplicate" if one else "uid_clash")


def group(looks: Mapping[int, Mapping[str, Any]]) -> list[Study]:
    """Studies by code, each with its person or the reason why it has none."""
    members: dict[str, list[int]] = defaultdict(list)
    for n in sorted(looks):
        members[looks[n]["study"]].append(n)
    return [one_study(code, numbers, [looks[n] for n in numbers]) for code, numbers in sorted(members.items())]


def one_study(code: str, numbers: list[int], looks: Sequence[Mapping[str, Any]]) -> Study:
    """A study from what was seen in its files; its day is the earliest they name."""
    people = {look["participant"] for look in looks if not look["placeholder"]}
    nobody = any(look["placeholder"] for look in looks)
    word = kept() if len(people) == 1 and not nobody else verdict("two_patients" if len(people) > 1 else "no_identity")
    first = min(looks, key=lambda look: look["session"] or "9")
    person = people.pop() if word.code == "ok" else None
    return Study(code, person, first["day"] if person else None, first["session"] if person else "", numbers, verdict=word)


def conflicts(studies: Iterable[Study], looks: Iterable[Mapping[str, Any]]) -> None:
    """Let every study of a person wait whose files, doubles included, contradict each other about who that is."""
    said: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for look in looks:
        said[look["participant"]].append(look)
    for study in studies:
        if study.participant and contradict(said[study.participant]):
            study.verdict = verdict("identity_conflict")


def contradict(looks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether files under one code name two birth dates, two sexes, or names that are not alike.

    Some studies no birth date and others one are two, unless every file bears a full name: then the names, being alike, vouch for who it is.
    """
    born: dict[str, set[str]] = defaultdict(set)
    for look in looks:
        born[look["study"]] |= {look["birth"]} - {""}
    births, sexes = {frozenset(births) for births in born.values()}, {look["sex"] for look in looks if look["sex"]}
    if all(any(name["vouches"] for name in look["names"]) for look in looks):
        births.discard(frozenset())
    spelled = list({json.dumps(look["names"]): look["names"] for look in looks if look["names"]}.values())
    return len(births) > 1 or any(len(one) > 1 for one in births) or len(sexes) > 1 or any(unlike(a, b) for a, b in itertools.combinations(spelled, 2))


def unlike(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no two spellings of one script, one from each side, may be of one person (`inside.spelled`); where none can be compared, they may."""
    pairs = [(a, b) for a in one for b in other if a["script"] == b["script"]]
    return bool(pairs) and not any(alike(a, b) for a, b in pairs)


def alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """One within the other, a given name in common, or a family name in common with an initial that fits."""
    words, families = [set(side["words"]) for side in (a, b)], [set(side["family"]) for side in (a, b)]
    if words[0] <= words[1] or words[1] <= words[0] or words[0] & words[1] & ({*a["given"], *b["given"]} - (families[0] & families[1])):
        return True
    return bool(families[0] & families[1] and set(a["initials"]) & set(b["initials"]) and (a["only_initials"] or b["only_initials"]))


def label_sessions(studies: Iterable[Study]) -> None:
    """Give each study of a person a session label of its own: the shifted date, and a letter for the second and later ones of a day."""
    used: dict[tuple[str | None, str], int] = defaultdict(int)
    for study in sorted(studies, key=lambda study: study.code):
        date = study.session or "undated"
        n = used[(study.participant, date)]
        used[(study.participant, date)] += 1
        study.session = date if n == 0 else f"{date}x{n + 1}"


def give_masks(numbers: Sequence[int], folders: Mapping[int, tuple[str, ...]], studies: Sequence[Study], rows: Mapping[int, FileRow]) -> list[int]:
    """Tie each NIfTI file to its study, or refuse it; see the module. Those that no scan lies near are given back."""
    owners: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for s, study in enumerate(studies):
        for n in study.files:
            for depth in range(len(folders[n]) + 1):
                owners[folders[n][:depth]].add(s)
    loose = []
    for n in numbers:
        depth = next((depth for depth in range(len(folders[n]), -1, -1) if folders[n][:depth] in owners), 0)
        near, top = owners.get(folders[n][:depth], set()), bool(folders[n]) and folders[n][:1] not in owners
        if not near or top or not given.belongs_here(folders[n][depth:], depth > 0):
            loose.append(n)
        elif len(near) > 1:
            rows[n].verdict = verdict("mask_ambiguous")
        else:
            study = studies[next(iter(near))]
            study.masks.append(n)
            rows[n].verdict = kept() if study.verdict.verdict == "kept" else verdict("mask_waits")
    return loose


def handed_in(numbers: Sequence[int], sources: Sequence[Source], rows: Mapping[int, FileRow], order: Order) -> list[Study]:
    """Studies of visits handed in as NIfTI: one for each person that archives and folders tell apart, waiting for somebody to say who that is."""
    _, pseudonyms = open_keys(order.keys)
    people: dict[tuple[str, str], list[int]] = defaultdict(list)
    inner = in_archives(sources)
    for n in numbers:
        archive, name = inner[n]
        people[(archive, given.place(name).person)].append(n)
    studies: dict[str, Study] = {}
    for (archive, place), members in sorted(people.items()):
        code = pseudonyms.study_code(given.mark(rows[n].sha256 for n in members))
        if code in studies:  # the very same files under another name
            for n in members:
                rows[n].verdict = verdict("duplicate")
            continue
        above = any(other.startswith(f"{place}/") for box, other in people if box == archive)
        named = [inner[n][1] for n in members]
        whose = "" if above or given.several(named) or not all(map(given.person, named)) else "/".join(filter(None, (archive, place)))
        studies[code] = Study(code, None, None, "", masks=members, verdict=verdict("no_identity", NOBODY), whose=whose)
        for n in members:
            rows[n].verdict = studies[code].verdict
    return list(studies.values())


def in_archives(sources: Sequence[Source]) -> dict[int, tuple[str, str]]:
    """Number of each file -> the archive that it lay in ("" for none), and its name inside."""
    found, archive = {}, ""
    for one in sources:  # the members of an archive follow it
        archive = one.name if one.archive else archive if one.name.startswith(f"{archive}/") else ""
        found[one.n] = (archive, one.name.removeprefix(f"{archive}/") if archive else one.name)
    return found


def give_companions(numbers: Sequence[int], sources: Sequence[Source], studies: Sequence[Study], rows: Mapping[int, FileRow]) -> None:
    """A small file goes with the NIfTI files of its own folder, where those are of one study; others, and those that name another, belong to nothing."""
    folders, inner = {one.n: one.folder for one in sources}, in_archives(sources)
    near: dict[tuple[str, ...], list[Study]] = defaultdict(list)
    for study in studies:
        for place in {folders[n] for n in study.masks}:
            near[place].append(study)
    for n in numbers:
        whose = "/".join(filter(None, (inner[n][0], given.person(inner[n][1]))))
        beside = [study for study in near[folders[n]] if not study.whose or study.whose == whose]
        if len(beside) != 1:
            rows[n].verdict = verdict("companion_alone")
            continue
        (study,) = beside
        study.masks.append(n)
        rows[n].verdict = study.verdict if study.verdict.verdict == "kept" or not study.files else verdict("mask_waits")
