"""One person's scans at the desk: clean every file, look at the pixels of every series, then search everything for what was taken out of anything.

The order is fixed by what each step needs: the search wants what was removed from *all* files of the person, so it comes last, and what it or the pixels
refuse is never seen outside the private folder. A finished person is a *piece*: a folder with the tree and the rows, which appears by one rename and is found
again by a later run of the same input, key, options and program.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from deid import account, identity, tasks
from deid.identity import Identity
from deid.inputs import Source
from deid.isolated import Batch, Limits, Pool
from deid.people import Person
from deid.pseudonyms import PseudonymKey, fingerprint

__all__ = ["Desk", "Piece", "Plan", "Rows", "in_turn", "plan"]

Rows = dict[int, dict[str, Any]]
TOGETHER = 256  # files of one series in one batch
AT_ONCE = 1000  # files of several persons on their way at a time, so that every core has work


@dataclass(frozen=True, slots=True)
class Desk:
    """What all persons of a run share. pieces: where finished persons are kept (private)."""

    key: Path
    profile: str
    look: bool
    pseudonyms: PseudonymKey
    pieces: Path
    pool: Pool


@dataclass(slots=True)
class Plan:
    """What is to be done for one person. names: file number -> STUDY/SERIES/INSTANCE.dcm; codes, removed, accounts, masked: what has come of it so far."""

    person: Person
    sources: dict[int, Source]
    names: dict[int, str]
    starts: dict[str, list[Any]]
    mark: str
    folder: Path
    codes: dict[int, str] = field(default_factory=dict)
    where: dict[int, Any] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)
    accounts: dict[int, dict[str, Any]] = field(default_factory=dict)
    masked: set[int] = field(default_factory=set)

    def product(self, n: int) -> Path:
        """Where the clean file lies until it has its name: under a word that could be nobody's."""
        return self.folder / f"x{n}.dcm"

    def series(self) -> dict[str, list[int]]:
        """Numbers of the files by STUDY/SERIES."""
        out: dict[str, list[int]] = defaultdict(list)
        for n, name in self.names.items():
            out[name.rpartition("/")[0]].append(n)
        return out

    def refuse(self, n: int, code: str, where: Any = None) -> None:
        """The file gets its code, and what was written of it goes."""
        self.codes[n] = code
        self.product(n).unlink(missing_ok=True)
        if where:
            self.where[n] = where


@dataclass(frozen=True, slots=True)
class Piece:
    """A finished person. tree: the folder that becomes OUT/CODE."""

    person: Person
    names: dict[int, str]
    tree: Path
    found: dict[str, Any]

    def tell(self, rows: Rows) -> dict[str, Any]:
        """Fill the rows of the person's files; the accounts by CODE/STUDY/SERIES."""
        code = self.person.code
        for n, name in self.names.items():
            rows[n] |= self.found["files"][name]
            rows[n]["product"] = f"{code}/{name}" if rows[n]["code"] == "ok" else None
        return {f"{code}/{series}": told for series, told in self.found["accounts"].items()}


def plan(person: Person, found: Mapping[int, Identity], sources: Mapping[int, Source], rows: Rows, desk: Desk) -> Plan:
    """Names, study starts and the mark of one person's work."""
    ones = {n: found[n] for n in person.files}
    names = _names(ones, desk.pseudonyms)
    starts = {uid: tasks.pack_start(start) for uid, start in identity.study_starts(ones.values()).items()}
    files = sorted((names[n], rows[n]["sha256"]) for n in ones)
    facts = [person.code, sorted(map(str, person.births)), person.over_89, sorted(person.identifiers), sorted(starts.items()), files]
    setting = [fingerprint(desk.key), desk.profile, desk.look, program()]
    mark = hashlib.sha256(json.dumps([facts, setting]).encode()).hexdigest()[:32]
    return Plan(person, {n: sources[n] for n in ones}, names, starts, mark, desk.pieces.parent / "work" / mark)


def _names(ones: Mapping[int, Identity], key: PseudonymKey) -> dict[int, str]:
    """STUDY/SERIES/INSTANCE.dcm of each file, made from the UIDs that will stand in it (so that our own output keeps its names); a second file of one instance
    gets a number."""
    out: dict[int, str] = {}
    taken: Counter[str] = Counter()
    for n, one in ones.items():
        study, series, instance = (key.study_code(key.uid(uid)) for uid in (one.study_uid, one.series_uid, one.sop_uid))
        stem = f"{study}/{series}/{instance}"
        taken[stem] += 1
        out[n] = f"{stem}.dcm" if taken[stem] == 1 else f"{stem}-{taken[stem]}.dcm"
    return out


@lru_cache(maxsize=1)
def program() -> str:
    """A digest of this room's own source and profiles: another program may write another file."""
    here = Path(__file__).parent
    told = hashlib.sha256()
    for path in sorted([*here.glob("*.py"), *here.glob("profiles/*.*")]):
        told.update(path.read_bytes())
    return told.hexdigest()


def in_turn(plans: Sequence[Plan], desk: Desk) -> Iterator[Piece]:
    """The pieces of all persons: those an earlier run finished, and those made now, many small ones together."""
    group: list[Plan] = []
    for one in plans:
        if (done := _kept(one, desk)) is not None:
            yield done
            continue
        group.append(one)
        if sum(len(other.names) for other in group) >= AT_ONCE:
            yield from _finish(group, desk)
            group = []
    yield from _finish(group, desk)


def _kept(one: Plan, desk: Desk) -> Piece | None:
    """The piece an earlier run finished, if it is whole."""
    folder = desk.pieces / one.mark
    try:
        found = json.loads((folder / "rows.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    if not (folder / "tree").is_dir():
        shutil.rmtree(folder)
        return None
    return Piece(one.person, one.names, folder / "tree", found)


def _finish(group: Sequence[Plan], desk: Desk) -> Iterator[Piece]:
    for one in group:
        shutil.rmtree(one.folder, ignore_errors=True)
        one.folder.mkdir(parents=True)
    _clean(group, desk)
    if desk.look:
        _look(group, desk)
    _search(group, desk)
    for one in group:
        yield _piece(one, desk)


def _clean(group: Sequence[Plan], desk: Desk) -> None:
    """Write every file of these persons anew; the account of each, and what was taken out of any."""
    asked = [(one, part) for one in group for numbers in one.series().values() for part in _parts(numbers)]
    last: dict[int, dict[str, Any]] = {}
    for answer in desk.pool.each(Batch("deid.tasks:cleaner", _common(one, desk), _items(one, part), limits(one, part)) for one, part in asked):
        one, n = asked[answer.batch][0], asked[answer.batch][1][answer.index]
        if answer.code:
            one.refuse(n, answer.code, answer.where)
            continue
        last[answer.batch] = answer.value["account"] or last[answer.batch]
        one.codes[n], one.accounts[n] = "ok", last[answer.batch]
        one.removed.update(answer.value["removed"])


def _common(one: Plan, desk: Desk) -> dict[str, Any]:
    who = one.person
    said = {"births": sorted(map(str, who.births)), "over_89": who.over_89, "identifiers": sorted(who.identifiers), "starts": one.starts}
    return {"key": str(desk.key), "profile": desk.profile, "code": who.code, "searched": desk.look, **said}


def _items(one: Plan, numbers: Sequence[int]) -> tuple[dict[str, Any], ...]:
    return tuple({"path": str(one.sources[n].path), "stamp": list(one.sources[n].stamp), "out": str(one.product(n))} for n in numbers)


def _parts(numbers: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), TOGETHER):
        yield list(numbers[start : start + TOGETHER])


def limits(one: Plan, numbers: Iterable[int], *, pixels: bool = False) -> Limits:
    """What one item may use, by the largest of these files; a series is one item where its pixels are looked at, and is decoded."""
    sizes = [one.sources[n].bytes for n in numbers]
    plain = Limits.of(max(sizes))
    if not pixels:
        return plain
    seconds = 300 + 8 * len(sizes) + 40 * (sum(sizes) >> 20)
    return Limits(plain.memory_mb + 64 + 20 * (max(sizes) >> 20), seconds, 3.0 * seconds)


def _look(group: Sequence[Plan], desk: Desk) -> None:
    """Look at each series. One that ends its reader is halved until the file that does it stands alone."""
    asked = [(one, kept) for one in group for numbers in one.series().values() if (kept := [n for n in numbers if one.codes[n] == "ok"])]
    while asked:
        halves: list[tuple[Plan, list[int]]] = []
        common = {"key": str(desk.key)}
        for answer in desk.pool.each(
            Batch("deid.tasks:looker", common, ({"paths": [str(one.product(n)) for n in numbers]},), limits(one, numbers, pixels=True))
            for one, numbers in asked
        ):
            one, numbers = asked[answer.batch]
            if not answer.code:
                for n, (code, masked) in zip(numbers, answer.value, strict=True):
                    if code:
                        one.refuse(n, code)
                    elif masked:
                        one.masked.add(n)
            elif len(numbers) == 1:
                one.refuse(numbers[0], answer.code, answer.where)
            else:
                halves += [(one, numbers[: len(numbers) // 2]), (one, numbers[len(numbers) // 2 :])]
        asked = halves


def _search(group: Sequence[Plan], desk: Desk) -> None:
    """The last gate: every product is searched for what was taken out of any file of the person."""
    asked = [(one, part) for one in group for part in _parts([n for n, code in one.codes.items() if code == "ok"])]
    batches = (
        Batch(
            "deid.tasks:searcher",
            {"removed": sorted(one.removed), "key": str(desk.key), "code": one.person.code},
            tuple({"path": str(one.product(n))} for n in part),
            limits(one, part),
        )
        for one, part in asked
    )
    for answer in desk.pool.each(batches):
        one, n = asked[answer.batch][0], asked[answer.batch][1][answer.index]
        if answer.code:
            one.refuse(n, answer.code, answer.where)
        elif answer.value:
            one.refuse(n, "still_identifying", [{"where": where, "kind": kind} for where, kind in answer.value])


def _piece(one: Plan, desk: Desk) -> Piece:
    """The finished person, put among the pieces by one rename."""
    tree = one.folder / "tree"
    tree.mkdir()
    files: dict[str, dict[str, Any]] = {}
    for n, name in one.names.items():
        files[name] = {"code": one.codes.get(n, "failed")} | ({"where": one.where[n]} if n in one.where else {}) | ({"masked": True} if n in one.masked else {})
        if files[name]["code"] == "ok":
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            one.product(n).rename(tree / name)
    accounts = {series: told for series, numbers in one.series().items() if (told := _account(one, [n for n in numbers if one.codes.get(n) == "ok"]))}
    found = {"files": files, "accounts": accounts}
    (one.folder / "rows.json").write_text(json.dumps(found), encoding="utf-8")
    for path in one.folder.glob("x*"):
        path.unlink()
    one.folder.rename(desk.pieces / one.mark)
    return Piece(one.person, one.names, desk.pieces / one.mark / "tree", found)


def _account(one: Plan, numbers: Sequence[int]) -> dict[str, Any] | None:
    """The account of a series from those of its files. Most files of a series have the very same one, which is added up once and multiplied."""
    if not numbers:
        return None
    alike = Counter(id(one.accounts[n]) for n in numbers)
    each = {id(one.accounts[n]): one.accounts[n] for n in numbers}
    told = account.add_up(_times(each[which], times) for which, times in alike.items())
    return told | {"files": len(numbers), "masked_files": len(one.masked & set(numbers))}


def _times(told: Mapping[str, Any], times: int) -> dict[str, Any]:
    counts = {name: {what: n * times for what, n in told[name].items()} for name in ("totals", "review")}
    return {**told, **counts, "elements": [{**row, "n": row["n"] * times} for row in told["elements"]]}
