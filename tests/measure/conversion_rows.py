"""The rows of `make show-headers` about conversion: it costs nothing, and objects stay valid.

Conversion is compared as the converter sees it: dcm2niix with the pipeline's own options (but `-ba n`, so that the sidecar hides nothing) reads one series
as it was and as `deid.headers.clean_file` wrote it. The images must be as many, under the same names, with the same voxels, affine, b-values and directions,
and the sidecars equal in every key but those of two short published lists: what identifies (IDENTIFYING, and any key that repeats the PatientID or the
PatientName) and when (CLOCK).

SliceTiming must be equal to the millisecond. Where the scanner gives none, dcm2niix takes it from AcquisitionTime, which it reads as HHMMSS in 32-bit floats:
from 13:11 on in steps of 1/64 s, at noon in steps of 1/128 s, and it takes slices at equal steps for ones excited together
(MultibandAccelerationFactor). These two keys then follow from the hour of the day. For such a series a third conversion decides: the original with nothing
changed but its clock, set to that of the product. The product's two keys must equal those exactly, and the clock's steps from file to file must be those of
the original to the microsecond.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from table import ROOT, Result

from bidstree import convert as converter
from deid import dates, headers, identity, profile, pseudonyms
from deid.errors import DeidError
from deid.identity import Identity

CACHE = ROOT / ".cache" / "mri"
SEED = 2026

# What identifies: may be gone, emptied, or other words. Of the descriptors only words that are no vocabulary are gone (the row on SeriesDescription counts).
_IDENTIFYING = """
    InstitutionName InstitutionAddress InstitutionalDepartmentName StationName DeviceSerialNumber PatientName PatientID PatientBirthDate AccessionNumber
    StudyID ReferringPhysicianName SeriesInstanceUID StudyInstanceUID SeriesDescription ProtocolName StudyDescription ProcedureStepDescription ImageComments
    PatientAge WipMemBlock
"""
IDENTIFYING = frozenset(_IDENTIFYING.split())  # WipMemBlock: free text of people's own sequences, with the day of a build and its author's initials
# When: another hour of the day (and, with -ba n, the date). Differences between times are compared elsewhere: SliceTiming, FrameTimesStart and the like.
CLOCK = frozenset(["AcquisitionTime", "AcquisitionDateTime", "ContentTime", "SeriesTime", "StudyTime", "AcquisitionDate", "StudyDate", "SeriesDate"])
# What de-identification adds.
ADDED = frozenset(["DeidentificationMethod", "DeidentificationMethodCodeSequence", "PatientIdentityRemoved", "DeidentificationMethodCode"])
MILLISECOND = 1e-3
FROM_THE_CLOCK = frozenset({"SliceTiming", "MultibandAccelerationFactor"})  # by dcm2niix, where the scanner gives no slice times


@dataclass(frozen=True)
class Shared:
    """One series of the shared data: the folder it lies in and the number it has there, and its files in order of name."""

    name: str
    files: tuple[Path, ...]
    case: str


def who_is_who(case: Path) -> dict[Path, Identity]:
    """Every file below a case that can be read, with what it says of itself."""
    found = {}
    for path in sorted(p for p in case.rglob("*") if p.is_file()):
        try:
            found[path] = headers.identify(path)
        except DeidError:
            continue
    return found


def all_series(cases: Iterable[Path]) -> tuple[list[Shared], dict[Path, Identity]]:
    """The series of the cases (one per folder and SeriesInstanceUID: encodings of one series lie in folders of their own), and whose each file is."""
    known: dict[Path, Identity] = {}
    out = []
    for case in cases:
        here = who_is_who(case)
        known |= here
        groups: dict[tuple[Path, str], list[Path]] = {}
        for path, who in here.items():
            groups.setdefault((path.parent, who.series_uid), []).append(path)
        count: Counter[Path] = Counter()
        for (folder, _), files in groups.items():
            count[folder] += 1
            name = str(folder.relative_to(case.parent))
            out.append(Shared(f"{name} #{count[folder]}", tuple(files), case.name))
    return out, known


def cases() -> list[Path]:
    return sorted(path for path in (CACHE / "dicom").iterdir() if path.is_dir())


def cleaned(shared: Shared, known: dict[Path, Identity], starts: dict[str, Any], folder: Path) -> dict[Path, str]:
    """Copy the series to folder/in and clean it to folder/out as the standalone command does; the refused files, each with its code."""
    codes, key = pseudonyms.CodeKey(b"c" * 32), pseudonyms.PseudonymKey(b"p" * 32)
    refused = {}
    for side in ("in", "out"):
        (folder / side).mkdir(parents=True)
    for n, path in enumerate(shared.files, 1):
        who = known[path]
        subject = headers.Subject(codes.code("site", who.issuer, who.patient_id), key, starts=starts, identifiers=frozenset({who.patient_id}))
        shutil.copyfile(path, folder / "in" / f"{n:06d}.dcm")
        try:
            headers.clean_file(path, folder / "out" / f"{n:06d}.dcm", subject, profile.load())
        except DeidError as refusal:
            refused[path] = refusal.code
            (folder / "in" / f"{n:06d}.dcm").unlink()
    return refused


@dataclass(frozen=True)
class Made:
    """What dcm2niix made of one series under one name. bval, bvec: the files' text, "" where there is none."""

    data: bytes
    shape: tuple[int, ...]
    affine: list[list[float]]
    bval: str
    bvec: str
    sidecar: dict[str, Any]


def converted(folder: Path, out: Path) -> dict[str, Made]:
    """What dcm2niix makes of a folder: with the pipeline's options, but with the sidecar's dates and names."""
    out.mkdir()
    options = list(converter.OPTIONS)
    options[options.index("-ba") + 1] = "n"
    subprocess.run([converter._binary(), *options, "-o", str(out), str(folder)], capture_output=True, timeout=600, check=False)
    found = {}
    for sidecar in sorted(out.glob("*.json")):
        path = sidecar.with_suffix(".nii")
        image: Any = nibabel.load(path) if path.exists() else None
        data = np.asanyarray(image.dataobj) if image is not None else np.zeros(0)
        texts = [path.with_suffix(end).read_text() if path.with_suffix(end).exists() else "" for end in (".bval", ".bvec")]
        affine = image.affine.tolist() if image is not None else []
        found[sidecar.stem] = Made(data.tobytes(), data.shape, affine, texts[0], texts[1], json.loads(sidecar.read_text()))
    return found


def equal(one: Any, other: Any, tolerance: float = 0.0) -> bool:
    """Whether two sidecar values say the same; numbers within the tolerance."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(equal(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if isinstance(one, float | int) and isinstance(other, float | int):
        return abs(one - other) <= tolerance
    return bool(one == other)


def set_clock(target: pydicom.Dataset, source: pydicom.Dataset) -> None:
    """Set every time of day of a data set, at any depth, to that of another of the same shape; nothing else."""
    for element in target:
        if element.tag not in source:
            continue
        if element.VR == "SQ":
            for one, other in zip(element.value, source[element.tag].value, strict=False):
                set_clock(one, other)
        elif element.VR in ("TM", "DT"):
            element.value = source[element.tag].value


def with_clock_of(product: Path, original: Path, out: Path) -> None:
    """Write the files of `original` to `out` with the clock of those of the same name in `product`."""
    out.mkdir()
    for path in sorted(original.iterdir()):
        data = pydicom.dcmread(path, force=True)
        set_clock(data, pydicom.dcmread(product / path.name, force=True))
        data.save_as(out / path.name, enforce_file_format=False)


def steps(folder: Path) -> list[int | None]:
    """Microseconds from the first file's AcquisitionTime to each one's (over midnight, too); None where a file has none."""
    times = []
    for path in sorted(folder.iterdir()):
        data = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=["AcquisitionTime"])
        times.append(dates.parse_time(str(data.get("AcquisitionTime") or "")))
    first = next((time for time in times if time is not None), 0)
    return [None if time is None else (time - first) % dates.DAY_US for time in times]


def differences(before: dict[str, Made], after: dict[str, Made], clock: dict[str, Made] | None = None) -> list[str]:
    """What conversion lost or changed, in words: image, what. clock: the original with the product's clock; it decides on what follows from the hour."""
    if set(before) != set(after):
        return [f"images {sorted(before)} became {sorted(after)}"]
    if clock is not None:
        before = {name: replace(made, sidecar=made.sidecar | _hourly(clock[name], made)) for name, made in before.items() if name in clock}
    found = []
    for name, old in before.items():
        new = after[name]
        found += [f"{name}: {part}" for part in ("shape", "data", "affine", "bval", "bvec") if getattr(old, part) != getattr(new, part)]
        for key in sorted(set(old.sidecar) | set(new.sidecar)):
            if may_differ(key, old.sidecar, new.sidecar):
                continue
            if key not in new.sidecar:
                found.append(f"{name}: {key} lost")
            elif key not in old.sidecar:
                found.append(f"{name}: {key} came")
            elif not equal(old.sidecar[key], new.sidecar[key], MILLISECOND if key == "SliceTiming" else 0.0):
                found.append(f"{name}: {key} changed")
    return found


def may_differ(key: str, old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether two sidecars may differ in a key: it identifies, says when, was added by us, or stands in neither."""
    return key in IDENTIFYING | CLOCK or is_the_person(old, key) or (key in ADDED and key in new) or old.get(key) is new.get(key) is None


def is_the_person(sidecar: dict[str, Any], key: str) -> bool:
    """Whether the value of a key is nothing but the PatientID or PatientName (some shared files have it as SequenceName)."""
    return str(sidecar.get(key, "")).casefold() in {str(sidecar.get(name) or key).casefold() for name in ("PatientID", "PatientName")}


def _hourly(clock: Made, made: Made) -> dict[str, Any]:
    """What dcm2niix took from the clock, as it takes it at the product's hour; a key that it then does not write is None."""
    return {key: clock.sidecar.get(key) for key in FROM_THE_CLOCK if key in made.sidecar or key in clock.sidecar}


def sample(depth: str, of: list[Path]) -> list[Path]:
    """The cases of a depth: all, or (quick) three drawn by seed."""
    return random.Random(SEED).sample(of, min(3, len(of))) if depth == "quick" else of


def judged(folder: Path, refused: Iterable[str]) -> tuple[list[str], bool]:
    """What the conversion of folder/out lost against that of folder/in, and whether the clock had to be asked."""
    before, after = converted(folder / "in", folder / "a"), converted(folder / "out", folder / "b")
    found = differences(before, after)
    asked = bool(found) and set(before) == set(after) and all(line.split()[1] in FROM_THE_CLOCK for line in found)
    if asked:
        with_clock_of(folder / "out", folder / "in", folder / "clock")
        found = differences(before, after, converted(folder / "clock", folder / "c"))
    if steps(folder / "in") != steps(folder / "out"):
        found.append("the clock's steps changed")
    return found + [f"refused {code}" for code in sorted(set(refused))], asked


def conversion_costs_nothing(depth: str) -> Result:
    """dcm2niix on every shared series before and after: N of N without a difference outside the published lists."""
    series, known = all_series(sample(depth, cases()))
    good = hourly = 0
    troubles = []
    for n, shared in enumerate(series):
        starts = dict(identity.study_starts(who for path, who in known.items() if shared.case in path.parts))
        with tempfile.TemporaryDirectory(prefix="myelin-conversion-") as scratch:
            refused = cleaned(shared, known, starts, Path(scratch))
            found, asked = judged(Path(scratch), refused.values())
        good += not found
        hourly += asked and not found
        if found:
            troubles.append(f"{shared.name}: {'; '.join(found[:8])}")
        if os.environ.get("MYELIN_TALK"):
            print(n, shared.name, len(shared.files), found, flush=True)
    figure = f"{good} of {len(series)} series ({hourly} of them with slice times that dcm2niix reads off the clock in 32 bits: equal to the original's at noon)"
    return Result(figure + "".join(f"\n{trouble}" for trouble in troubles), met=good == len(series) and bool(series), sample=depth == "quick")


# --- validity --------------------------------------------------------------------------------------------------------------------------------------


def complaints(path: Path) -> Counter[str]:
    """dciodvfy's errors about a file, without the values it quotes (which differ, and identify)."""
    said = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, timeout=120, check=False)
    lines = [line for line in (said.stderr + said.stdout).decode("latin-1").splitlines() if line.startswith("Error")]
    return Counter(re.sub(r"<[^>]*>|\[[^\]]*\]|\d+", "", line) for line in lines)


def dciodvfy(depth: str) -> Result:
    """dciodvfy on every shared MR image before and after (usual: the first, middle and last file of each series; quick: the first of a few)."""
    series, known = all_series(sample(depth, cases()))
    starts = dict(identity.study_starts(known.values()))
    files = bad = 0
    kinds: Counter[str] = Counter()
    for shared in series:
        wanted = shared.files if depth == "full" else sorted({shared.files[n] for n in (0, len(shared.files) // 2, -1)})[: 1 if depth == "quick" else 3]
        with tempfile.TemporaryDirectory(prefix="myelin-dciodvfy-") as scratch:
            refused = cleaned(Shared(shared.name, tuple(wanted), shared.case), known, starts, Path(scratch))
            for path in sorted((Path(scratch) / "out").iterdir()):
                fresh = complaints(path) - complaints(Path(scratch) / "in" / path.name)
                files += 1
                bad += bool(fresh)
                kinds.update(fresh.keys())
            bad += len(refused)
    figure = f"{sum(kinds.values())} new errors in {bad} of {files} files" + "".join(f"\n{kind}: {n}" for kind, n in kinds.most_common(8))
    return Result(figure, met=bad == 0 and files > 0, sample=depth != "full")
