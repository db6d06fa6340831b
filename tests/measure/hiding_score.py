"""Ours and every peer's work judged by one rule: of what was planted in the files written, what is still there, and what that research needs was lost.

A token is a leak when it stands, case folded, in the raw bytes of the file made from its own, or in what those bytes inflate to (a deflated data set, gzip
blobs inside), or in the file's path. Files that a tool did not write count as not written, never as clean. Which file an output was made from is read from its
pixels; where they tell nothing, the output is searched for the tokens of all files that were not found.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from hiding import Set, words_of
from hiding_images import NEEDED, Planted, number_of, picture
from hiding_people import Token
from pydicom.dataset import Dataset

PATHS = "identity in an output path"


@dataclass
class Score:
    """What one tool did. Counters by place; `lost`: which needed attributes were lost."""

    written: int = 0
    cleanable: int = 0
    refused_right: int = 0
    planted: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    where: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    descriptors: tuple[int, int, int] = (0, 0, 0)  # cleaned and kept, removed, with identity in it
    plain: int = 0
    references: tuple[int, int, int] = (0, 0, 0)  # resolve, dangle, gone
    offsets: list[int] = field(default_factory=list)  # how many day offsets each person has
    apart: int = 0  # how many persons have an offset that no other has
    intervals: tuple[int, int] = (0, 0)
    codes: tuple[int, int] = (0, 0)  # distinct PatientIDs that are one per person, persons
    safe: tuple[int, int] = (0, 0)
    needed: tuple[int, int] = (0, 0)
    lost: Counter[str] = field(default_factory=Counter)
    people: tuple[int, int] = (0, 0)
    old: tuple[int, int] = (0, 0)
    pixels: tuple[int, int] = (0, 0)

    @property
    def rate(self) -> float:
        return self.left.total() / max(1, self.planted.total())


def content(path: Path) -> bytes:
    """A file's bytes, lower case, with everything in them that inflates beside it."""
    raw = path.read_bytes()
    parts = [raw]
    for found in re.finditer(rb"\x1f\x8b\x08", raw):
        with contextlib.suppress(zlib.error):
            parts.append(zlib.decompressobj(31).decompress(raw[found.start() :], 1 << 24))
    if b"1.2.840.10008.1.2.1.99" in raw[:1024]:
        start = 144 + int.from_bytes(raw[140:144], "little")
        with contextlib.suppress(zlib.error):
            parts.append(zlib.decompressobj(-15).decompress(raw[start:], 1 << 26))
    return b"\n".join(parts).lower()


def unplanted(made: Set) -> list[Token]:
    """Tokens that cannot be found in their own file: a fault of the generator (or of this search), for then they could never be a leak either."""
    return [token for one in made.files for folded in [content(made.folder / one.path)] for token in one.tokens if not token.found(folded) and _own(token)]


def _own(token: Token) -> bool:
    """Whether the token is planted in the file itself (the values of a person are looked for in all their files, and stand in some)."""
    return not token.place.startswith("values of the person")


def outputs(made: Set, out: Path) -> tuple[dict[int, Path], list[Path]]:
    """The files a tool wrote, by the number of the file they were made from; and those that nothing tells about."""
    known, strange = {}, []
    numbers = made.by_number
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        number = number_of(path)
        if number in numbers and number not in known:
            known[number] = path
        elif number is None or number not in numbers:
            strange.append(path)
    return known, strange


def score(made: Set, out: Path, *, leave: Iterable[str] = ()) -> Score:
    """Judge the folder `out` that a tool made of the set. leave: suffixes of files that are the tool's own notes, not products."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known, strange = outputs(made, out)
        strange = [path for path in strange if not path.name.endswith(tuple(leave))] if leave else strange
        result = Score(cleanable=sum(one.image for one in made.files), plain=sum(bool(one.words) for one in made.files))
        _adopt(made, known, strange)
        _leaks(made, known, strange, out, result)
        read = {number: data for number, path in known.items() if (data := _read(path)) is not None}
        _usefulness(made, read, result)
        _time(made, read, result)
        _references(made, read, result)
    return result


def _adopt(made: Set, known: dict[int, Path], strange: list[Path]) -> None:
    """Give outputs without a mark (lossy pixels) to the images of the same class and shape that are missing, in order."""

    def shape(data: Dataset) -> tuple[str, ...]:
        return tuple(str(data.get(keyword, "")) for keyword in ("SOPClassUID", "Rows", "Columns", "SamplesPerPixel", "InstanceNumber"))

    missing = [one for one in made.files if one.image and one.number not in known]
    for path in list(strange):
        data = _read(path)
        if data is None or "PixelData" not in data:
            continue
        fits = [one for one in missing if shape(one.data) == shape(data)]
        if fits:
            known[fits[0].number] = path
            missing.remove(fits[0])
            strange.remove(path)


def _leaks(made: Set, known: dict[int, Path], strange: list[Path], out: Path, result: Score) -> None:
    for one in made.files:
        path = known.get(one.number)
        if path is None:
            result.refused_right += not one.image
            if one.image:
                result.missing.append(one.kind)
            continue
        result.written += one.image
        folded = content(path)
        _count(one, folded, path, str(path.relative_to(out)), result)
    lost = [one for one in made.files if one.number not in known]
    for path in strange:
        folded = content(path)
        hits, one = max((([token for token in one.tokens if token.found(folded)], one) for one in lost), key=lambda found: len(found[0]), default=([], None))
        if one is not None and any(_own(token) for token in hits):
            lost.remove(one)
            result.planted.update(token.place for token in one.tokens)
            result.left.update(token.place for token in hits)
            result.where += [f"{token.place} | {token.detail} | {one.kind}" for token in hits]
        named = str(path.relative_to(out)).lower().encode()
        result.left[PATHS] += any(token.found(named) for one in made.files if one.number not in known for token in one.person.tokens())
        result.planted[PATHS] += 1


def _moved(one: Planted, path: Path) -> set[str]:
    """Days of this file that are another of its days, moved as its StudyDate was: such a day is no leak, though it equals what was planted elsewhere."""
    data = _read(path)
    new, old = None if data is None else _day(data), _date(one.person.studies[one.study])
    if new is None or old is None or not 0 < abs((old - new).days) < 36_525:  # no move that a person's dates are made with
        return set()
    days = {day for token in one.tokens if (day := _date(token.text))}
    return {f"{day - (old - new):%Y%m%d}" for day in days}


def _count(one: Planted, folded: bytes, file: Path, path: str, result: Score) -> None:
    hits = {token for token in one.tokens if token.found(folded)}
    if any(_date(token.text) for token in hits):
        moved = _moved(one, file)
        hits = {token for token in hits if token.text not in moved}
    for token in one.tokens:
        result.planted[token.place] += 1
        if token in hits:
            result.left[token.place] += 1
            result.where.append(f"{token.place} | {token.detail} | {one.kind}")
    result.planted[PATHS] += 1
    if any(token.found(path.lower().encode()) for token in [*one.person.tokens(), *one.tokens]):
        result.left[PATHS] += 1
        result.where.append(f"{PATHS} | {one.kind}")


def _read(path: Path) -> Dataset | None:
    try:
        return pydicom.dcmread(path, force=True)
    except Exception:  # whatever a tool wrote
        return None


def _usefulness(made: Set, read: dict[int, Dataset], result: Score) -> None:
    """What of the plain images is still there: descriptors, needed attributes, safe private numbers, who they are, pixels."""
    words: Counter[str] = Counter()
    tally: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    ids: dict[int, set[str]] = defaultdict(set)
    for one in made.files:
        data = read.get(one.number)
        if data is None or not one.words:
            continue
        words[_descriptor(one, str(data.get("SeriesDescription", "") or ""))] += 1
        for keyword in NEEDED:
            same = _same(one.data.get(keyword), data.get(keyword))
            _add(tally["needed"], same)
            result.lost[keyword] += not same
        for creator, group, low, value in one.safe:
            _add(tally["safe"], _same(value, _private(data, creator, group, low)))
        for keyword in ("PatientSex", "PatientWeight", "PatientSize"):
            _add(tally["people"], _same(one.data.get(keyword), data.get(keyword)))
        over = any(one.person.age(k) > 89 for k in range(len(one.person.studies)))
        _add(tally["old" if over else "people"], str(data.get("PatientAge", "")) == ("090Y" if over else one.data.PatientAge))
        _add(tally["pixels"], data.get("PixelData") == picture(one.number).tobytes())
        ids[one.person.number].add(str(data.get("PatientID", "")))
    result.descriptors = words["kept"], words["removed"], words["leaked"]
    for name in ("needed", "safe", "people", "old", "pixels"):
        setattr(result, name, tuple(tally[name]))
    everyone = [code for codes in ids.values() for code in codes]
    result.codes = sum(1 for codes in ids.values() if len(codes) == 1 and next(iter(codes)) and everyone.count(next(iter(codes))) == 1), len(ids)


def _add(tally: list[int], good: bool) -> None:
    tally[0] += good
    tally[1] += 1


def _descriptor(one: Planted, text: str) -> str:
    """`kept`: every word of the sequence's name and nothing of the person; `leaked`: something of the person; else `removed`."""
    said = set().union(*(words_of(token.text) for token in one.person.tokens())) - words_of(one.words) - {"08", "04", "02", "03", "07", "19"}
    if any(token.found(text.lower().encode()) for token in one.person.tokens()) or {word for word in words_of(text) & said if len(word) > 2}:
        return "leaked"
    return "kept" if words_of(one.words) <= words_of(text) else "removed"


def _same(old: Any, new: Any) -> bool:
    """Whether two values are one, numbers as numbers."""
    try:
        return new is not None and np.allclose(np.asarray(old, float), np.asarray(new, float))
    except (TypeError, ValueError):
        return str(old) == str(new)


def _private(data: Dataset, creator: str, group: int, low: int) -> Any:
    try:
        return data.private_block(group, creator)[low].value
    except (KeyError, AttributeError, ValueError):
        return None


def _date(text: str) -> datetime.date | None:
    try:
        return datetime.datetime.strptime(text, "%Y%m%d").date() if len(text) == 8 else None
    except ValueError:
        return None


def _day(data: Dataset) -> datetime.date | None:
    return _date(str(data.get("StudyDate", "") or ""))


def _time(made: Set, read: dict[int, Dataset], result: Score) -> None:
    """One offset per person? The same days between their studies?"""
    kept = total = 0
    all_offsets: dict[int, set[int]] = {}
    for person in {one.person.number: one.person for one in made.files if one.words}.values():
        found: dict[int, set[datetime.date | None]] = defaultdict(set)
        for one in made.files:
            if one.person is person and one.words and one.number in read:
                found[one.study].add(_day(read[one.number]))
        true = [day for text in person.studies if (day := _date(text))]
        offsets = {(true[study] - day).days if day else None for study, days in found.items() for day in days}
        result.offsets.append(len(offsets) if None not in offsets else 0)
        all_offsets[person.number] = {offset for offset in offsets if offset}
        days = [next(iter(found[study])) if len(found[study]) == 1 else None for study in range(len(true))]
        for k in range(len(true) - 1):
            total += 1
            a, b = days[k : k + 2]
            kept += bool(a and b and (b - a) == true[k + 1] - true[k])
    result.intervals = kept, total
    flat = [offset for offsets in all_offsets.values() for offset in offsets]
    result.apart = sum(1 for offsets in all_offsets.values() if len(offsets) == 1 and flat.count(next(iter(offsets))) == 1)


def _references(made: Set, read: dict[int, Dataset], result: Score) -> None:
    """References among the plain images, by what they pointed to."""
    new = {str(one.data.SOPInstanceUID): str(read[one.number].get("SOPInstanceUID", "")) for one in made.files if one.number in read and one.words}
    resolve = dangle = gone = 0
    for one in made.files:
        if not one.words or one.number not in read:
            continue
        for keyword in ("ReferencedImageSequence", "SourceImageSequence"):
            old, now = one.data[keyword].value, read[one.number].get(keyword) or []
            for n, item in enumerate(old):
                target = str(now[n].get("ReferencedSOPInstanceUID", "")) if n < len(now) else ""
                if not target:
                    gone += 1
                elif target == new.get(str(item.ReferencedSOPInstanceUID)):
                    resolve += 1
                else:
                    dangle += 1
    result.references = resolve, dangle, gone
