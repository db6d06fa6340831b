"""The rows of `make show-headers` about what stays together: safe private elements, references between files, one offset a person, intervals.

Each is measured on the shared scans and on files planted for it: every listed private element of every creator beside unlisted ones; people with studies over
ten years and over midnight that refer to each other.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from conversion_rows import Shared, all_series, cases, cleaned, sample
from table import ROOT, Result

from deid import dates, headers, identity, profile, pseudonyms, safe_private

TOKEN = "Zq7vexwulf"
_SAMPLES: dict[str, Any] = {"DS": "1.5", "IS": "3", "FL": 1.5, "FD": 1.5, "US": 3, "SS": 3, "UL": 3, "SL": 3, "CS": "NONE", "SH": "NONE", "LO": "NONE"}


def listed_private(depth: str) -> tuple[str, bool]:
    """Every listed element of every creator with a harmless value, beside unlisted ones with a token, at the top and in an item, explicit and implicit."""
    kept = listed = gone = planted = 0
    for syntax in (pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian):
        for (creator, group), kinds in sorted(safe_private.table().items()):
            data, inner = maker().make_mr(syntax=syntax), pydicom.Dataset()
            inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
            data.ReferencedImageSequence = pydicom.Sequence([inner])
            elements = [(low, vr) for low in kinds if (vr := safe_private.known_vr(creator, group, low)) in _SAMPLES]
            others = [low for low in range(0x01, 0xFF) if low not in kinds][:: 1 if depth == "full" else 16]
            for place in (data, inner):
                block = place.private_block(group, creator, create=True)
                for low, vr in elements:
                    block.add_new(low, vr, _SAMPLES[vr])
                for low in others:
                    block.add_new(low, "LO", TOKEN)
            fresh, raw = cleaned_set([data])[0]
            planted += 2 * len(others)
            gone += 2 * len(others) - raw.count(TOKEN.encode())
            for place in (fresh, fresh.ReferencedImageSequence[0]):
                listed += len(elements)
                kept += sum((group << 16 | 0x1000 | low) in place for low, _ in elements)
    return f"{kept} of {listed} listed elements kept; {gone} of {planted} others gone", kept == listed > 0 and gone == planted


def shared_private(depth: str) -> tuple[str, bool]:
    """The shared scans: private elements that the standard's own table names are kept, and none that no list names."""
    rows = json.loads((safe_private.HERE / "safe-private.json").read_text(encoding="utf-8"))["rows"]
    of_standard = {(creator, group, low) for creator, group, low, *_ in rows}
    kept = listed = unlisted = 0
    for case in sample(depth, cases()):
        series, known = all_series([case])
        for shared in series:
            some = shared.files if depth == "full" or len(shared.files) == 1 else (shared.files[0], shared.files[-1])
            with tempfile.TemporaryDirectory(prefix="myelin-private-") as scratch:
                cleaned(Shared(shared.name, some, shared.case), known, {}, Path(scratch))
                for path in sorted((Path(scratch) / "out").iterdir()):
                    old, new = (Counter(private(Path(scratch) / side / path.name)) for side in ("in", "out"))
                    asked = {one: n for one, n in old.items() if one in of_standard}
                    listed += sum(asked.values())
                    kept += sum(min(n, new[one]) for one, n in asked.items())
                    unlisted += sum(
                        n for (creator, group, low), n in new.items() if int(low, 16) not in safe_private.table().get((creator, int(group, 16)), {})
                    )
    return f"{kept} of {listed} elements of Table E.3.10-1 kept, {unlisted} unlisted ones", kept == listed > 0 and unlisted == 0


def is_listed(creator: str, group: str, low: str) -> bool:
    return int(low, 16) in safe_private.table().get((creator, int(group, 16)), {})


def private(path: Path) -> Iterable[tuple[str, str, str]]:
    """(creator, group, low byte) of each private element of a file that has a value, at any depth."""
    for element in pydicom.dcmread(path, force=True, stop_before_pixels=True).iterall():
        if element.tag.is_private and element.private_creator and not element.tag.is_private_creator and not element.is_empty:  # pydicom: none for SQ
            yield str(element.private_creator), f"{element.tag.group:04X}", f"{element.tag.element & 0xFF:02X}"


def safe_private_kept(depth: str) -> Result:
    """Safe private attributes: in the shared scans, and planted, each listed element of every creator beside unlisted ones."""
    shared, good = shared_private(depth)
    planted, well = listed_private(depth)
    return Result(f"shared: {shared}\nplanted: {planted}", met=good and well, sample=depth != "full")


def cleaned_set(sets: list[pydicom.FileDataset]) -> list[tuple[pydicom.FileDataset, bytes]]:
    """What becomes of a set of files handed in together, in order: each as read, and its bytes."""
    codes, key = pseudonyms.CodeKey(b"c" * 32), pseudonyms.PseudonymKey(b"p" * 32)
    out = []
    with tempfile.TemporaryDirectory(prefix="myelin-planted-") as scratch:
        paths = [Path(scratch) / f"{n:04d}.dcm" for n in range(len(sets))]
        for path, data in zip(paths, sets, strict=True):
            data.save_as(path, enforce_file_format=True)
        known = [headers.identify(path) for path in paths]
        starts = headers.study_starts(known)
        for path, who in zip(paths, known, strict=True):
            product = path.with_suffix(".out")
            headers.clean_file(path, product, headers.Subject(codes.code("site", who.issuer, who.patient_id), key, starts=starts), profile.load())
            out.append((pydicom.dcmread(io.BytesIO(product.read_bytes())), product.read_bytes()))
    return out


def maker() -> Any:
    """The maker of plain MR files that the tests use (tests/deid/conftest.py)."""
    path = ROOT / "tests" / "deid" / "conftest.py"
    spec = importlib.util.spec_from_file_location("deid_conftest", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = sys.modules.get(spec.name) or importlib.util.module_from_spec(spec)
    if spec.name not in sys.modules:
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return module


# --- references, offsets, intervals ------------------------------------------------------------------------------------------------------------------


def planted_people() -> list[pydicom.FileDataset]:
    """Three people, three studies each over ten years (the last over midnight), three files a study, that refer to each other in every usual way."""
    out = []
    for person in range(3):
        for visit, (day, hour) in enumerate((("20090228", 7), ("20120229", 22), ("20191231", 23))):
            study = person * 10 + visit + 1
            files = [maker().make_mr(f"MRN-{person}00{person}", f"Surname{person}^Given", n=n, study=study, date=day) for n in (1, 2, 3)]
            for n, data in enumerate(files):
                late = hour == 23 and n == 2
                data.AcquisitionDate = data.ContentDate = "20200101" if late else day
                data.AcquisitionTime = data.ContentTime = f"{0 if late else hour:02d}{5 * n + 40 if not late else 3:02d}{n:02d}.{n}25000"
                data.AcquisitionDateTime = data.AcquisitionDate + data.AcquisitionTime
                data.ContrastBolusAgent, data.ContrastBolusStartTime = "DOTAREM", f"{hour:02d}3000.500"
                refer(data, files[n - 1], out[0] if out else data)
            out += files
    return out


def refer(data: pydicom.Dataset, sibling: pydicom.Dataset, elder: pydicom.Dataset) -> None:
    """Make one file refer to another of its study, at three depths, and to one of another study."""
    deep, middle, top, study, series = (pydicom.Dataset() for _ in range(5))
    for item, target in ((deep, elder), (middle, sibling), (top, sibling)):
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = target.SOPClassUID, target.SOPInstanceUID
    middle.SourceImageSequence, top.ReferencedImageSequence = pydicom.Sequence([deep]), pydicom.Sequence([middle])
    data.ReferencedImageSequence = pydicom.Sequence([top])
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", data.StudyInstanceUID
    data.ReferencedStudySequence = pydicom.Sequence([study])
    series.SeriesInstanceUID, series.ReferencedSOPSequence = sibling.SeriesInstanceUID, pydicom.Sequence([deep])
    data.ReferencedSeriesSequence = pydicom.Sequence([series])


def names_of(sets: Iterable[pydicom.Dataset]) -> set[str]:
    return {str(one) for data in sets for one in (data.SOPInstanceUID, data.SeriesInstanceUID, data.StudyInstanceUID)}


def pointers(data: pydicom.Dataset) -> list[str]:
    """Every UID below the top that points at an instance, a series or a study."""
    return [str(e.value) for e in data.iterall() if e.keyword in ("ReferencedSOPInstanceUID", "SeriesInstanceUID") and e is not data.get(e.tag)]


def moment(data: pydicom.Dataset) -> int:
    day = dates.parse_date(str(data.AcquisitionDate))
    return (day.toordinal() if day else 0) * dates.DAY_US + (dates.parse_time(str(data.AcquisitionTime)) or 0)


def planted_references() -> tuple[str, bool]:
    """Planted people: references resolve and meta agrees, one offset per person over DA and DT, days between studies, microseconds within, contrast."""
    before = planted_people()
    after = [data for data, _ in cleaned_set(before)]
    told, targets = [uid for data in after for uid in pointers(data)], names_of(after)
    resolved = sum(uid in targets for uid in told)
    meta = sum(data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID for data in after)
    offsets: dict[str, set[int]] = {}
    wrong = 0
    for n, (old, new) in enumerate(zip(before, after, strict=True)):
        moved = offsets.setdefault(str(new.PatientID), set())
        for keyword in ("StudyDate", "SeriesDate"):
            moved.add(days(old[keyword].value) - days(new[keyword].value))
        first = n - n % 3
        moved.add(days(before[first].AcquisitionDateTime[:8]) - days(after[first].AcquisitionDateTime[:8]))
        wrong += moment(old) - moment(before[first]) != moment(new) - moment(after[first])
        wrong += since_contrast(old) != since_contrast(new) or str(new.AcquisitionDateTime) != f"{new.AcquisitionDate}{new.AcquisitionTime}"
        wrong += n % 3 == 0 and not str(new.AcquisitionTime).startswith("120000")
    alone = all(len(moved) == 1 and 1 <= min(moved) <= 3650 for moved in offsets.values()) and len(offsets) == len({*map(min, offsets.values())}) == 3
    figure = f"{resolved} of {len(told)} references resolve; meta agrees in {meta} of {len(after)}; "
    figure += f"offsets per person {sorted(len(moved) for moved in offsets.values())}, unlike between persons; {wrong} intervals changed of {3 * len(after)}"
    kept = [str(b.file_meta.MediaStorageSOPInstanceUID) for b in before]
    good = resolved == len(told) == sum(len(pointers(data)) for data in before) and meta == len(after) and alone and wrong == 0
    return figure, good and not targets & set(kept)


def days(text: str) -> int:
    day = dates.parse_date(str(text))
    return day.toordinal() if day else 0


def since_contrast(data: pydicom.Dataset) -> int:
    return ((dates.parse_time(str(data.AcquisitionTime)) or 0) - (dates.parse_time(str(data.ContrastBolusStartTime)) or 0)) % dates.DAY_US


def shared_references(depth: str) -> tuple[str, bool]:
    """The shared scans: references that met their target still do, dates of a person move by one number of days, times of a study by one amount."""
    key = pseudonyms.PseudonymKey(b"p" * 32)
    told = resolved = moments = wrong = 0
    offsets: dict[tuple[str, str], set[int]] = {}
    for case in sample(depth, cases()):
        series, known = all_series([case])
        starts = dict(identity.study_starts(known.values()))
        here = {uid for who in known.values() for uid in (who.sop_uid, who.series_uid, who.study_uid)}
        clocks: dict[str, set[int]] = {}
        for shared in series:
            with tempfile.TemporaryDirectory(prefix="myelin-shared-") as scratch:
                refused = cleaned(shared, known, starts, Path(scratch))
                for n, path in enumerate(shared.files, 1):
                    if path in refused:
                        continue
                    old, new = (pydicom.dcmread(Path(scratch) / side / f"{n:06d}.dcm", force=True, stop_before_pixels=True) for side in ("in", "out"))
                    met = [uid for uid in pointers(old) if uid in here]
                    told += len(met)
                    resolved += sum(key.uid(uid) in pointers(new) for uid in met)
                    who = known[path]
                    moved = offsets.setdefault((who.issuer, who.patient_id + case.name), set())
                    moved |= {days(old[k].value) - days(new[k].value) for k in ("StudyDate", "SeriesDate", "AcquisitionDate") if days(old.get(k) or "")}
                    if old.get("AcquisitionTime"):
                        clocks.setdefault(who.study_uid, set()).add((of_day(new) - of_day(old)) % dates.DAY_US)
                        moments += 1
        wrong += sum(len(amounts) - 1 for amounts in clocks.values())
    several = sum(len(moved) > 1 for moved in offsets.values())
    figure = f"{resolved} of {told} references still resolve; {len(offsets) - several} of {len(offsets)} people with one offset; "
    return figure + f"{wrong} of {moments} times moved otherwise than their study", resolved == told > 0 and not several and not wrong


def of_day(data: pydicom.Dataset) -> int:
    return dates.parse_time(str(data.get("AcquisitionTime") or "")) or 0


def references(depth: str) -> Result:
    """References, offsets and intervals: of the shared scans, and of planted people with studies over ten years and over midnight."""
    shared, good = shared_references(depth)
    planted, well = planted_references()
    return Result(f"shared: {shared}\nplanted: {planted}", met=good and well, sample=depth == "quick")
