"""The rows of issue 3 that are about words: what the last gate finds and withholds, how fast, and what descriptors lose and keep.

Functions `row(depth) -> Result` for `tests.measure.headers`; `description_words`, `ordinary_name` and `gate` are what the tests hold as well.
"""

from __future__ import annotations

import json
import random
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from deid import descriptors, headers, profile, pseudonyms, verify
from deid.errors import Refused
from deid.spellings import fold
from deid.vocabulary import is_common
from tests.measure import gate_places
from tests.measure.descriptions import PEOPLE, all_protocols, planted
from tests.measure.table import Result

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "mri"
CODES, KEY = pseudonyms.CodeKey(b"c" * 32), pseudonyms.PseudonymKey(b"p" * 32)

# Fifty names that are words of the vocabulary, of makers, short, or both: (family, given).
_ORDINARY = """White May, Philips Jo, Li Na, Flair Dixon, Sense Art, Dixon Long, Brain Max, Short Tim, Long Head, Head Mark, Spin Ed, May June, Young Grace,
Ng Bo, Xu Yi, Wu Li, He Yu, Hu An, Lee Kim, Park Ji, Siemens Eva, Canon Ida, Bruker Ole, Hand Per, Foot Ann, Gray Mia, Bold Leo, Field Sam,
Best Ben, Early Ron, Fast Don, Good Ted, Case Ken, Bone Liv, Cord Kai, Neck Uwe, Wall Eli, Small Ray, Low Amy, High Joy, Free Guy, Frame Bea,
Star Ron, Grade Lea, Space Ivy, Cube Otto, Swan Bella, Bravo Rio, Plane Rex, Power Max"""
ORDINARY: list[tuple[str, str]] = [(pair.split()[0], pair.split()[1]) for pair in _ORDINARY.replace("\n", " ").split(", ")]


# --- descriptors ---------------------------------------------------------------------------------------------------------------------------------------


@dataclass
class Words:
    """What cleaning did to planted descriptions. left: descriptions with identity still in them; kept, of: words of protocols."""

    said: int = 0
    left: list[str] = field(default_factory=list)
    kept: int = 0
    of: int = 0


def tokens(text: str) -> Counter[str]:
    return Counter(re.findall(r"[^\W_]+", fold(text)))


def description_words(seed: int) -> Words:
    """Clean every planted description of one seed with the file's own names, number, birth date and telephone."""
    out = Words()
    cleaners = {p: descriptors.Scrubber(frozenset([p.name]), frozenset([p.number])) for p in PEOPLE}
    for one in planted(seed):
        kept, wanted = tokens(cleaners[one.person].clean(one.said).text), tokens(one.protocol)
        frame = Counter(["for", "id", "for", "id"])
        out.said += 1
        out.of += wanted.total()
        # A patient called Dixon loses the Dixon sequence: a name wins in free text.
        named = tokens(one.person.name)
        out.kept += wanted.total() - (wanted - kept - named).total()
        if (kept - wanted - frame).total():
            out.left.append(one.maker)
    return out


def descriptions(depth: str) -> Result:
    """Descriptions of all makers and nine languages with identity planted in every form: nothing of it is left, and the words of sequences stay."""
    seeds = range({"quick": 1, "usual": 4}.get(depth, 20))
    rows = [description_words(seed) for seed in seeds]
    said, left, kept, of = sum(r.said for r in rows), sum(len(r.left) for r in rows), sum(r.kept for r in rows), sum(r.of for r in rows)
    example = descriptors.Scrubber(frozenset(["SMITH^John"])).clean("T1 mprage for John SMITH 1962-03-04").text
    shared, lost = shared_words()
    figure = (
        f"{said - left} of {said} cleaned of all identity ({len(all_protocols())} descriptions, {len(PEOPLE)} people); {kept / of:.2%} of {of} words kept; "
    )
    figure += f"the example gives {example!r}; of {shared} descriptions of the shared data {len(lost)} lose a word"
    return Result(figure, met=not left and kept / of >= 0.99 and example == "T1 mprage for", sample=depth != "full")


def shared_words() -> tuple[int, list[tuple[str, str]]]:
    """How many different descriptions the shared images have, and those that lose words: (before, after), for a person to judge."""
    import pydicom

    tags = ["SeriesDescription", "ProtocolName", "StudyDescription", "ImageComments", "PatientName", "PatientID"]
    seen: set[str] = set()
    for folder in folders():
        for path in folder[1][:1]:
            try:
                data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=tags)
            except (pydicom.errors.InvalidDicomError, OSError):
                continue
            seen |= {str(data.get(tag, "")) for tag in tags[:4]} - {""}
    clean = descriptors.Scrubber(frozenset())
    return len(seen), sorted((text, clean.clean(text).text) for text in seen if clean.clean(text).gone)


# --- names that are words ------------------------------------------------------------------------------------------------------------------------------


def ordinary_name(family: str, given: str, folder: Path) -> list[str]:
    """One patient with such a name through cleaning and the gate; the rules that did not hold (empty: all did)."""
    whole = f"{family}^{given}"
    source, product = folder / "source.dcm", folder / "product.dcm"

    def named(data: object) -> None:
        for keyword, value in {
            "PatientName": whole, "PatientID": "4711-08", "SeriesDescription": f"T2 {given} {family.upper()} tra 3mm", "Manufacturer": f"{family} Healthcare",
            "ManufacturerModelName": f"{family} 3T" if is_common(family.lower()) else "Skyra",
            "StudyInstanceUID": "1.2.3.4", "SOPInstanceUID": "1.2.3.4.5", "SeriesInstanceUID": "1.2.3.4.6",
        }.items():  # fmt: skip
            setattr(data, keyword, value)

    source.write_bytes(gate_places.dicom(named))
    who = headers.identify(source)
    done = headers.clean_file(source, product, headers.Subject(CODES.code("s", "", who.patient_id), KEY, starts=headers.study_starts([who])), profile.load())
    broken = []
    if done.facts.get("SeriesDescription") != "T2 tra 3mm":
        broken.append("descriptor")
    if is_common(family.lower()) and family not in str(done.facts.get("ManufacturerModelName", "")):
        broken.append("model lost")
    if verify.search([product], done.removed):
        broken.append("good product withheld")
    for place, text, expected in _sentences(family, given):
        (folder / "x.json").write_bytes(gate_places.sidecar(**{place: text}))
        if bool(verify.search([folder / "x.json"], done.removed)) is not expected:
            broken.append(f"{place}: {'missed' if expected else 'withheld'}")
    return broken


def _sentences(family: str, given: str) -> Iterator[tuple[str, str, bool]]:
    yield "SeriesDescription", f"T1 for {family}", True
    yield "SeriesDescription", f"{family.upper()}_{given.upper()} sag", True
    yield "ImageComments", f"{given}{family}".lower(), len(given + family) >= 4
    yield "SeriesDescription", f"T1 x{family.lower()}x sag" if len(family) < 4 else "T1 sag", False
    yield "ManufacturersModelName", f"{family} 3T", not is_common(family.lower())
    yield "SeriesDescription", "localizer", False


def ordinary_names(depth: str) -> Result:
    """Fifty short and ordinary-word names end to end: cleaned from descriptors, kept as facts, found in free text, no good product withheld."""
    with tempfile.TemporaryDirectory() as folder:
        broken = {f"{n}": what for n, (family, given) in enumerate(ORDINARY) if (what := ordinary_name(family, given, Path(folder)))}
    reasons = Counter(reason for what in broken.values() for reason in what)
    figure = f"{len(ORDINARY) - len(broken)} of {len(ORDINARY)} names handled as the rules say"
    return Result(figure + (f" ({dict(reasons)})" if reasons else ""), met=not broken)


# --- the gate ------------------------------------------------------------------------------------------------------------------------------------------


def gate_misses(depth: str) -> Result:
    """A planted value in every place of every kind of product, and in every spelling, beside lawful twins."""
    with tempfile.TemporaryDirectory() as folder:
        cases = list(gate_places.cases(Path(folder)))
        needles = verify.Needles(gate_places.REMOVED)
        started = time.process_time()
        seen = [(case, bool(verify.search([case.path], needles, case.root))) for case in cases]
        spent = time.process_time() - started
    secrets, twins = [s for c, s in seen if c.found], [s for c, s in seen if not c.found]
    figure = (
        f"{sum(secrets)} of {len(secrets)} planted values found; {sum(twins)} of {len(twins)} lawful twins withheld; {spent / len(seen) * 1e3:.1f} ms a product"
    )
    return Result(figure, met=all(secrets) and not any(twins))


def folders() -> list[tuple[str, list[Path]]]:
    """Every folder of the shared data that holds files: its case, and its files in order."""
    found: dict[tuple[str, Path], list[Path]] = defaultdict(list)
    for part in ("dicom", "edge"):
        for path in sorted((CACHE / part).rglob("*")):
            if path.is_file() and path.suffix not in (".md", ".txt"):
                found[path.relative_to(CACHE / part).parts[0], path.parent].append(path)
    return [(case, paths) for (case, _), paths in sorted(found.items())]


@dataclass
class Seen:
    """What the gate said of real products."""

    products: int = 0
    withheld: list[str] = field(default_factory=list)
    sidecars: int = 0
    seconds: float = 0.0


def gate(folder: Path, paths: list[Path], convert: bool) -> Seen:
    """Clean files of one folder, and search them (and, converted, their NIfTI and sidecars) for the union of what was removed from any file of the person."""
    out = Seen()
    removed: dict[str, set[str]] = defaultdict(set)
    products: dict[str, list[Path]] = defaultdict(list)
    for n, path in enumerate(paths):
        try:
            who = headers.identify(path)
            code = CODES.code("s", who.issuer, who.patient_id)
            product = folder / code / f"{n:05d}.dcm"
            product.parent.mkdir(exist_ok=True)
            subject = headers.Subject(code, KEY, starts=headers.study_starts([who]))
            removed[code] |= headers.clean_file(path, product, subject, profile.load()).removed
            products[code].append(product)
        except Refused:
            continue
    for code, made in products.items():
        needles = verify.Needles(removed[code], KEY.offset_days(code))
        started = time.process_time()
        found = verify.search(made, needles)
        out.seconds += time.process_time() - started
        out.products += len(made)
        out.withheld += [one.where.split(": ")[-1] + " " + one.kind for one in found]
        if convert:
            shown = converted(folder / code, folder / f"{code}-nifti")
            out.sidecars += len(shown)
            out.withheld += [one.where + " " + one.kind for path in shown for one in verify.search([path], needles, path.parents[2])]
    return out


def converted(source: Path, target: Path) -> list[Path]:
    """NIfTI and cleaned sidecars of one folder of clean DICOM, under BIDS names, as the pipeline would publish them."""
    from bidstree import convert, sidecar

    target.mkdir()
    made: list[Path] = []
    for n, image in enumerate(convert.series(source, target / "raw").images, 1):
        stem = target / f"sub-k3w9x0ab/anat/sub-k3w9x0ab_run-{n}_T1w"
        stem.parent.mkdir(parents=True, exist_ok=True)
        named = Path(f"{stem}.nii.gz")
        image.nifti.rename(named)
        beside = Path(f"{stem}.json")
        beside.write_text(json.dumps(sidecar.clean(image.sidecar)), encoding="utf-8")
        made += [named, beside]
    return made


def false_withholdings(depth: str) -> Result:
    """The shared images through cleaning and the gate (a seeded sample of each folder unless `full`); a few through the converter too."""
    if not CACHE.is_dir():
        return Result("the shared data are not here", met=None, sample=True)
    share = {"quick": 4, "usual": 12}.get(depth, 10**9)
    chance = random.Random(3)
    total = Seen()
    by_case: Counter[str] = Counter()
    for n, (case, paths) in enumerate(folders()):
        some = sorted(chance.sample(paths, share)) if len(paths) > share else paths
        with tempfile.TemporaryDirectory() as folder:
            seen = gate(Path(folder), some, convert=depth != "quick" and (depth == "full" or n % 6 == 0))
        by_case.update([case] * len(seen.withheld))
        total.products += seen.products
        total.sidecars += seen.sidecars
        total.seconds += seen.seconds
        total.withheld += seen.withheld
    figure = f"{len(total.withheld)} of {total.products} DICOM and {total.sidecars} converted products withheld"
    figure += f"{' ' + str(dict(by_case)) if by_case else ''}; {total.products / max(total.seconds, 1e-9):.0f} files per CPU-second on these"
    return Result(figure, met=not total.withheld, sample=depth != "full")


def gate_speed(depth: str) -> Result:
    """500 plain 256 x 256 MR files of one series, searched in one process."""
    count = 100 if depth == "quick" else 500
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        removed: set[str] = set()
        for n in range(count):
            source = folder / "source"

            def slice_(data: object, n: int = n) -> None:
                import numpy as np

                pixels = np.random.default_rng(n).integers(0, 900, 65536, dtype=np.uint16).tobytes()
                more = {"Rows": 256, "Columns": 256, "PixelData": pixels, "InstanceNumber": n + 1, "ImagePositionPatient": [0, 0, n]}
                more |= {"PatientName": "Quibblewick^Zephyrina", "PatientID": "MRN-4711", "PatientBirthDate": "19620304", "AccessionNumber": "ACC7788991"}
                more |= {"StudyInstanceUID": "1.2.3.4", "SeriesInstanceUID": "1.2.3.4.5", "SOPInstanceUID": f"1.2.3.4.5.{n}", "StationName": "AWP35113"}
                more |= {"InstitutionName": "Aarhus Storstadshospital", "ReferringPhysicianName": "Housemartin^Gregor", "OperatorsName": "Ng"}
                for keyword, value in more.items():
                    setattr(data, keyword, value)

            source.write_bytes(gate_places.dicom(slice_))
            who = headers.identify(source)
            subject = headers.Subject(CODES.code("s", who.issuer, who.patient_id), KEY, starts=headers.study_starts([who]))
            removed |= headers.clean_file(source, folder / f"{n:04d}.dcm", subject, profile.load()).removed
        source.unlink()
        started = time.process_time()
        found = verify.search([folder], removed)
        spent = time.process_time() - started
    return Result(
        f"{count / spent:.0f} files per CPU-second ({count} files, {len(found)} findings)", met=not found and count / spent >= 1500, sample=count < 500
    )
