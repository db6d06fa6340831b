"""Apply a profile to one data set and write a new file that holds only what the profile names.

Three passes over one parsed file: *gather* (every value that identifies, at any depth, so that free text can be searched for it), *rewrite* (each element
through
the action its rule names; what has no rule is left behind), *sign* (what was done is written into group 0012 and sealed). Nothing of the source is edited in
place: the output is built from nothing, so an element nobody thought of cannot slip through.

Our own output is known again by a seal, an HMAC over the whole data set under the pseudonym key: it comes out byte-identical. A file that carries our
identifiers
but no true seal was changed after us, and is refused, for its dates would be moved a second time.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from deid import dates, descriptors, elements, identity, objects, uids, values, vendor
from deid.account import CLEANED, EMPTIED, KEPT, MOVED, REMOVED, REPLACED, WRITTEN, Account
from deid.elements import PIXEL_DATA, Element, File, Item
from deid.errors import Refused
from deid.identity import Identity, Start, identify, study_starts
from deid.profile import SENTENCES, Profile, Rule
from deid.pseudonyms import PseudonymKey

__all__ = ["Cleaned", "Identity", "Start", "Subject", "clean_file", "identify", "study_starts"]

IMPLEMENTATION_UID, IMPLEMENTATION_NAME = "2.25.260583479406133215213914107837046118641", "MYELIN_2026_1"
SEAL_MARK = b"seal "
SEAL_CHARS = 43
AGE, SIZE, METHOD, METHOD_CODES, REMOVED_FLAG = 0x00101010, 0x00101020, 0x00120063, 0x00120064, 0x00120062
BURNED_IN, VISUAL, LONGITUDINAL, PIXEL_REPRESENTATION = 0x00280301, 0x00280302, 0x00280303, 0x00280103
BODY_PART = 0x00180015
PUBLIC_SCHEMES = frozenset(["DCM", "SCT", "SRT", "SNM3", "UCUM", "LN", "NCIT", "FMA", "UMLS", "NEU", "RADLEX", "ITIS_TSN", "MSH"])
_PAIRS = {
    0x00080020: 0x00080030,
    0x00080021: 0x00080031,
    0x00080022: 0x00080032,
    0x00080023: 0x00080033,
    0x00080012: 0x00080013,
    0x00400244: 0x00400245,
    0x00400250: 0x00400251,
}
_PAIRED = {time: date for date, time in _PAIRS.items()}
_FACT_FREE = frozenset({"SequenceName", "PulseSequenceName"})
_NOT_ELSEWHERE = frozenset(["Head", "Foot", "Neck"])
_BODY_WITHOUT_FACE = frozenset(
    [
        "KNEE",
        "ABDOMEN",
        "CHEST",
        "PELVIS",
        "LIVER",
        "HEART",
        "FOOT",
        "HAND",
        "LSPINE",
        "TSPINE",
        "SPINE",
        "EXTREMITY",
        "LEG",
        "ARM",
        "HIP",
        "ANKLE",
        "WRIST",
        "SHOULDER",
        "BREAST",
        "PROSTATE",
        "KIDNEY",
    ]
)
_AGE = re.compile(r"(\d{3})([DWMY])\Z")
_CODE_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_{}/*%^\[\]]{0,15}\Z")

# What quality control and contrast classification ask for; none of it identifies, and all of it is read from the *cleaned* file.
FACTS = frozenset(
    [
        "Manufacturer",
        "ManufacturerModelName",
        "SoftwareVersions",
        "MagneticFieldStrength",
        "Modality",
        "ImageType",
        "FrameType",
        "BodyPartExamined",
        "SeriesDescription",
        "ProtocolName",
        "StudyDescription",
        "SequenceName",
        "PulseSequenceName",
        "ScanningSequence",
        "SequenceVariant",
        "ScanOptions",
        "MRAcquisitionType",
        "AngioFlag",
        "EchoTime",
        "EffectiveEchoTime",
        "EchoNumbers",
        "EchoTrainLength",
        "EchoPulseSequence",
        "RepetitionTime",
        "InversionTime",
        "InversionTimes",
        "InversionRecovery",
        "FlipAngle",
        "NumberOfAverages",
        "PixelBandwidth",
        "SliceThickness",
        "SpacingBetweenSlices",
        "PixelSpacing",
        "Rows",
        "Columns",
        "NumberOfFrames",
        "AcquisitionMatrix",
        "PercentSampling",
        "PercentPhaseFieldOfView",
        "InPlanePhaseEncodingDirection",
        "ReceiveCoilName",
        "TransmitCoilName",
        "ParallelReductionFactorInPlane",
        "ParallelAcquisitionTechnique",
        "ImageOrientationPatient",
        "PatientPosition",
        "ImagingFrequency",
        "ImagedNucleus",
        "ResonantNucleus",
        "NumberOfTemporalPositions",
        "TemporalPositionIdentifier",
        "DiffusionBValue",
        "DiffusionDirectionality",
        "ContrastBolusAgent",
        "ContrastBolusRoute",
        "ContrastBolusVolume",
        "ContrastBolusTotalDose",
        "ContrastBolusIngredient",
        "ContrastBolusIngredientConcentration",
        "PatientSex",
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "SAR",
        "SeriesNumber",
        "AcquisitionNumber",
        "InstanceNumber",
        "AcquisitionDuration",
        "GradientEchoTrainLength",
        "RFEchoTrainLength",
        "SpectrallySelectedSuppression",
        "FatSaturation",
        "MagnetizationTransfer",
        "BloodSignalNulling",
        "SteadyStatePulseSequence",
        "ComplexImageComponent",
        "AcquisitionContrast",
        "VolumetricProperties",
        "PhotometricInterpretation",
        "BitsAllocated",
        "BitsStored",
        "SamplesPerPixel",
        "RescaleSlope",
        "RescaleIntercept",
    ]
)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a file belongs to, as the caller has decided it.

    code: written as PatientID. key: moves UIDs, dates and times. starts: first acquisition per StudyInstanceUID (`identity.study_starts`), so that one
    clock shift serves
    the whole study. birth_dates: those of all files of the person, for the age. over_89: some visit is known to be above 89, so every age is capped.
    identifiers: further values to look for in free text (names and numbers from the person's other files).
    """

    code: str
    pseudonym_key: PseudonymKey
    birth_dates: frozenset[datetime.date] = frozenset()
    starts: Mapping[str, Start] = field(default_factory=dict)
    over_89: bool = False
    identifiers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What came of one file. account: JSON-able, no old value in it. removed: the strings taken out (identifying!). facts: keyword -> value, not
    identifying."""

    account: dict[str, Any]
    removed: frozenset[str]
    facts: dict[str, Any]


def clean_file(src: Path | str, dst: Path | str, subject: Subject, profile: Profile) -> Cleaned:
    """Read `src`, write a clean new file to `dst` (parent must exist; written beside it and renamed, so never half).

    Raises `errors.Refused` (codes of `elements.read`, `objects.gate`, and own_output_altered).
    """
    file = elements.read(src)
    sop = objects.gate(file)
    work = _Work(file, sop, subject, profile)
    if work.is_ours():
        if not work.sealed(src):
            raise Refused("own_output_altered")
        work.shift = dates.Shift(0, 0, None)
        pieces = _raw_body(Path(src))
    else:
        work.gather()
        pieces = work.rewrite()
    write(Path(dst), [elements.head(work.syntax, sop, work.sop_uid, IMPLEMENTATION_UID, IMPLEMENTATION_NAME), *pieces])
    return Cleaned(work.account.as_dict(profile), frozenset(work.removed), work.facts())


def _raw_body(src: Path) -> list[elements.Buffer]:
    data = src.read_bytes()
    _, _, pos = elements.read_meta(data, 132)
    return [memoryview(data)[pos:]]


def seal(pieces: list[elements.Buffer], key: PseudonymKey) -> None:
    """Replace the blank seal in the pieces of a data set by the true one over all of them."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    blank = SEAL_MARK + b"0" * SEAL_CHARS
    for at, piece in enumerate(pieces):
        if len(piece) < 4096 and blank in bytes(piece):
            pieces[at] = bytes(piece).replace(blank, SEAL_MARK + key.seal(digest.digest()).encode())
            return


def write(dst: Path, pieces: list[elements.Buffer]) -> None:
    """Write beside the target and rename, so that no reader ever sees half a file."""
    part = dst.with_name(dst.name + ".part")
    with part.open("wb") as out:
        out.writelines(pieces)
    part.replace(dst)


@lru_cache(maxsize=128)
def _scrubber(names: frozenset[str], others: frozenset[str]) -> descriptors.Scrubber:
    return descriptors.Scrubber(names, others)


class _Work:
    """One file on its way. Holds the parsed input, the growing account, and what was taken out."""

    def __init__(self, file: File, sop: str, subject: Subject, profile: Profile) -> None:
        self.file, self.sop, self.subject, self.profile = file, sop, subject, profile
        self.key = subject.pseudonym_key
        self.rules = profile.rules
        self.iod = profile.classes.get(sop, "mr-image")
        self.top = file.top()
        self.codecs = values.encodings(values.text(self.top[identity.CHARSET])) if identity.CHARSET in self.top else ("iso8859",)
        self.signed = int(values.number(self.top.get(PIXEL_REPRESENTATION))) == 1
        self.account = Account()
        self.removed: set[str] = set()
        self.names: set[str] = set()
        self.others: set[str] = set(subject.identifiers)
        self.who = identity.of(file)
        self.sop_uid = self.key.uid(self.who.sop_uid)
        self.shift = self._shift()
        self.syntax = file.syntax if file.fragments is not None else elements.EXPLICIT
        self.out: list[Element] = file.elements
        self.scrub = _scrubber(frozenset(), frozenset())
        self._actions: dict[str, Callable[[Element, Rule, str], Element | None]] = {name: getattr(self, "_" + name) for name in SENTENCES}

    # --- before --------------------------------------------------------------------------------------------------------------------------------

    def _shift(self) -> dates.Shift:
        start = self.subject.starts.get(self.who.study_uid)
        micro = start.micro if start else dates.parse_time(self._first(identity.STUDY_TIME))
        day = start.date if start else self.who.study_date
        return dates.Shift(self.key.offset_days(self.subject.code), dates.clock_shift(micro, self.key.shift_ms(self.who.study_uid)), day)

    def _first(self, tag: int) -> str:
        return values.texts(self.top[tag], self.codecs)[0] if tag in self.top and self.top[tag].items is None else ""

    def is_ours(self) -> bool:
        """Whether the identifiers are ones this key made."""
        return self.key.recognises(self.who.sop_uid) and self.key.recognises(self.who.study_uid)

    def sealed(self, src: Path | str) -> bool:
        """Whether the seal of an earlier run still holds over the data set as it stands, and nothing follows it."""
        element = self.top.get(METHOD)
        last = values.texts(element)[-1].encode("ascii", "replace") if element is not None else b""
        if not last.startswith(SEAL_MARK) or len(last) != len(SEAL_MARK) + SEAL_CHARS or self.file.trailing:
            return False
        data = bytes(_raw_body(Path(src))[0])
        at = data.find(last)
        blank = data[:at] + SEAL_MARK + b"0" * SEAL_CHARS + data[at + len(last) :]
        return self.key.seal(hashlib.sha256(blank).digest()).encode() == last[len(SEAL_MARK) :]

    def gather(self) -> None:
        """Collect every identifying value of the file, so that text which is kept can be searched for it."""
        for element in elements.walk(self.file.elements):
            if element.vr not in _WORTH or element.value is None or not element.value:
                continue
            if element.vr == "PN":
                found = values.readings(element, self.codecs)
                self.names |= found
                self.removed |= {name if "^" in name else name + "^" for name in found}  # the caret marks a person for `verify`
                continue
            if element.tag >> 16 & 1:
                continue
            rule = self.rules.get(element.tag)
            if rule is None or rule.action in ("remove", "by_type", "code", "empty"):
                found = values.readings(element, self.codecs)
                self.removed |= found
                if element.vr in ("LO", "SH", "ST", "AE"):
                    self.others |= {v for v in found if len(v) <= 64}
        self.names |= {n for e in self.file.duplicates if e.vr == "PN" for n in values.readings(e, self.codecs)}
        if not self.who.placeholder:
            self.others.add(self.who.patient_id)
        self.others = {o for o in self.others if len(o) >= 3}
        self.scrub = _scrubber(frozenset(self.names), frozenset(self.others))

    # --- the new data set ------------------------------------------------------------------------------------------------------------------------

    def rewrite(self) -> list[elements.Buffer]:
        """The pieces of the new data set, sealed."""
        fresh = self._dataset(self.file.elements, "")
        fresh = [e for e in fresh if e.tag not in _WRITTEN] + self._written()
        fresh.sort(key=lambda e: e.tag)
        self.out = fresh
        pieces = elements.body(fresh, self._fragments())
        seal(pieces, self.key)
        return pieces

    def _fragments(self) -> list[elements.Buffer] | None:
        return self.file.fragments

    def _dataset(self, source: list[Element], parent: str) -> list[Element]:
        out: list[Element] = []
        private: list[Element] = []
        outer, self._level = getattr(self, "_level", []), source
        rules, actions, note = self.rules, self._actions, self.account.note
        for element in source:
            tag = element.tag
            if tag >> 16 & 1:
                private.append(element)
                continue
            rule = rules.get(tag)
            if rule is None:
                note(REMOVED, tag, parent)
                continue
            if element.vr != rule.vr and not self._fits(element, rule):
                note(REMOVED, tag, parent, "the value is not of the attribute's kind")
                continue
            kept = actions[rule.action](element, rule, parent)
            if kept is not None:
                out.append(kept)
        if private:
            out.extend(self._private(private, parent))
            out.sort(key=lambda e: e.tag)
        self._level = outer
        return out

    def _fits(self, element: Element, rule: Rule) -> bool:
        """Whether an element declared with another VR than the dictionary's can be read as what it should be; it is then re-declared."""
        choices = _choices(element.tag)
        if element.vr in choices:
            if element.vr == "US" and "SS" in choices and self.signed and not self.file_explicit:
                element.vr = "SS"
            return True
        if (element.items is None) != ("SQ" not in choices):
            return False
        if element.vr in values.STRINGS and choices[0] in values.STRINGS:
            element.vr = choices[0]
            return True
        return False

    @property
    def file_explicit(self) -> bool:
        """Whether the input declared its VRs (else US and SS have to be told apart by the pixel representation)."""
        return self.file.syntax != elements.IMPLICIT

    def _private(self, source: list[Element], parent: str) -> list[Element]:
        """Safe private elements by creator; the creator's own element only where one of its elements stays."""
        creators: dict[tuple[int, int], Element] = {}
        kept: dict[tuple[int, int], list[Element]] = {}
        for element in source:
            group, low = element.tag >> 16, element.tag & 0xFFFF
            if 0x10 <= low <= 0xFF:
                creators.setdefault((group, low), element)
                continue
            block = (group, low >> 8)
            creator = creators.get(block)
            safe = vendor.keep(values.text(creator), group, low & 0xFF, element, self) if creator is not None else None
            self.account.note(REMOVED if safe is None else CLEANED if safe is not element else KEPT, element.tag, parent)
            if safe is not None:
                kept.setdefault(block, []).append(safe)
        out = []
        for block, found in kept.items():
            out.append(Element(creators[block].tag, "LO", values.text(creators[block]).encode("ascii", "replace")))
            out.extend(found)
        return out

    def clean_items(self, element: Element, place: str) -> list[Item]:
        """The items of a (private) sequence, each cleaned by the profile."""
        return [Item(self._dataset(item.elements, place), item.undefined) for item in element.items or ()]

    # --- actions: each takes one element and returns what is written, or None ------------------------------------------------------------------

    def _keep(self, element: Element, rule: Rule, parent: str) -> Element | None:
        if rule.vr in ("DS", "IS"):
            return self._number(element, rule, parent)
        return self._term(element, rule, parent)

    def _number(self, element: Element, rule: Rule, parent: str) -> Element | None:
        value = element.value
        good = value is not None and (
            values.NUMBER_TEXT.match(value) is not None
            if element.vr in ("DS", "IS")
            else len(value) % elements.WIDTH.get(element.vr, 1) == 0 and element.vr in elements.WIDTH
        )
        if good and element.vr in ("DS", "IS") and len(value or b"") >= 5 and self._is_identifier(bytes(value or b"")):
            good = False
        self.account.note(KEPT if good else REMOVED, element.tag, parent, "" if good else "not a number")
        return element if good else None

    def _is_identifier(self, raw: bytes) -> bool:
        return any(part.strip() in self.others for part in raw.decode("ascii", "replace").strip(" \0").split("\\"))

    def _term(self, element: Element, rule: Rule, parent: str) -> Element | None:
        parts = values.texts(element, self.codecs)
        good = [part if descriptors.is_term(part) and not self._names_someone(part) else "" for part in parts]
        if good == parts:
            self.account.note(KEPT, element.tag, parent)
            return element
        self.removed |= set(parts) - set(good)
        self.account.note(CLEANED, element.tag, parent, "a value is not a term of the vocabulary")
        if rule.keyword in ("ImageType", "FrameType"):
            good = [g or "OTHER" for g in good]
        if not any(good):
            return self._by_type(element, rule, parent)
        return Element(element.tag, "CS", "\\".join(good).encode("ascii", "replace"))

    def _names_someone(self, part: str) -> bool:
        word = part.strip().lower()
        return (
            len(word) >= 3
            and word.upper() not in descriptors.short_terms()
            and not descriptors.is_vocabulary(part.strip())
            and word in {w for name in self.names for w in descriptors.name_parts(name)}
        )

    def _clean(self, element: Element, rule: Rule, parent: str) -> Element | None:
        return self._words(element, rule, parent, descriptors.FREE, True)

    def _fact(self, element: Element, rule: Rule, parent: str) -> Element | None:
        return self._words(element, rule, parent, descriptors.SEQUENCE if rule.keyword in _FACT_FREE else descriptors.FACT, False)

    def _words(self, element: Element, rule: Rule, parent: str, shortest: int, free: bool) -> Element | None:
        parts = values.texts(element, self.codecs)
        cleaned = [self.scrub.clean(part, shortest, free) for part in parts]
        gone = [piece for c in cleaned for piece in c.gone]
        if not gone and (bytes(element.value or b"").isascii()):
            self.account.note(KEPT, element.tag, parent)
            return element
        self.removed.update(gone)
        if unknown := sum(c.unknown for c in cleaned):
            self.account.review[f"{rule.keyword}: words that nobody could place were taken out"] += unknown
        self.account.note(CLEANED, element.tag, parent)
        text = [c.text for c in cleaned]
        if not any(text) and gone:
            return self._by_type(element, rule, parent)
        return Element(element.tag, element.vr, values.encode_text(text))

    def _coded(self, element: Element, rule: Rule, parent: str) -> Element | None:
        if rule.keyword == "CodeMeaning":
            return self._words(element, rule, parent, descriptors.FREE, False)
        text = values.text(element, self.codecs)
        good = not text or (_CODE_VALUE.match(text) is not None and not (len(text) > 2 and self.scrub.carries(text)))
        if good and not text.isdecimal():
            good = all(descriptors.is_vocabulary(run) or len(run) < 5 for run in re.findall(r"[A-Za-z]{4,}", text)) or text in PUBLIC_SCHEMES
        self.account.note(KEPT if good else REMOVED, element.tag, parent)
        return element if good else None

    def _code(self, element: Element, rule: Rule, parent: str) -> Element | None:
        self.account.note(REPLACED, element.tag, parent)
        return Element(element.tag, rule.vr, self.subject.code.encode("ascii")) if not parent else None

    def _uid(self, element: Element, rule: Rule, parent: str) -> Element | None:
        fresh, gone = uids.replace(element.bytes, self.key)
        self.removed.update(uid for uid in gone if len(uid) >= 8)
        self.account.note(REPLACED if gone else KEPT, element.tag, parent)
        return Element(element.tag, "UI", fresh)

    def _moved(self, element: Element, rule: Rule, parent: str, move: Callable[[str], str | None]) -> Element | None:
        old = values.texts(element, self.codecs)
        new = [move(part) if part else "" for part in old]
        if any(part is None for part in new):
            self.removed |= {part for part in old if part}
            self.account.note(REMOVED, element.tag, parent, "the date or time does not parse")
            return self._by_type(element, rule, parent, note=False)
        if rule.vr != "TM":
            self.removed |= {part for part in old if len(part) >= 8}
        self.account.note(MOVED, element.tag, parent)
        return Element(element.tag, rule.vr, "\\".join(part or "" for part in new).encode("ascii"))

    def _date(self, element: Element, rule: Rule, parent: str) -> Element | None:
        carried = self._carry(element.tag) if element.tag in _PAIRS else 0
        return self._moved(element, rule, parent, lambda text: dates.move_date(text, self.shift, carry_days=carried))

    def _carry(self, tag: int) -> int:
        """Days the clock carries the date of a DA/TM pair over (dates.carry); StudyDate is the study's own day and never carried."""
        if tag == identity.STUDY_DATE or self.shift.start is None:
            return 0
        pair = {e.tag: e for e in self._level if e.tag in (tag, _PAIRS[tag]) and e.value is not None}
        if len(pair) < 2:
            return 0
        return dates.carry(values.texts(pair[tag])[0], values.texts(pair[_PAIRS[tag]])[0], self.shift)

    def _time(self, element: Element, rule: Rule, parent: str) -> Element | None:
        return self._moved(element, rule, parent, lambda text: dates.move_time(text, self.shift))

    def _datetime(self, element: Element, rule: Rule, parent: str) -> Element | None:
        return self._moved(element, rule, parent, lambda text: dates.move_datetime(text, self.shift))

    def _items(self, element: Element, rule: Rule, parent: str) -> Element | None:
        if element.items is None:
            return self._remove(element, rule, parent)
        items = [Item(self._dataset(item.elements, rule.keyword), item.undefined) for item in element.items]
        if rule.keyword.endswith("CodeSequence") or "CodeSequence" in rule.keyword:
            items = [item for item in items if _is_coded(item)]
        items = (
            [item for item, old in zip(items, element.items, strict=False) if item.elements or not old.elements] if len(items) == len(element.items) else items
        )
        self.account.note(KEPT, element.tag, parent)
        if not items and element.items and rule.keyword == "MeasurementUnitsCodeSequence":
            items = [Item([Element(0x00080100, "SH", b"1"), Element(0x00080102, "SH", b"UCUM"), Element(0x00080104, "LO", b"no units")])]
        if not items and element.items:
            return self._by_type(element, rule, parent, note=False)
        return Element(element.tag, "SQ", None, items, element.undefined)

    def _bulk(self, element: Element, rule: Rule, parent: str) -> Element | None:
        if element.tag == PIXEL_DATA:
            if parent:
                return None
            self.account.note(KEPT, element.tag, parent)
            if self.file.fragments is not None:
                return element
            need = objects.expected_bytes(self.top)
            value = element.value or b""
            if len(value) > need + (need & 1):  # bytes behind the last frame are not picture
                self.account.note(CLEANED, element.tag, parent, "bytes behind the last frame")
            bits = int(values.number(self.top.get(objects.ALLOCATED)))
            return Element(element.tag, "OB" if bits <= 8 and element.vr == "OB" else "OW", memoryview(value)[:need])
        self.account.note(KEPT, element.tag, parent)
        return element

    def _set(self, element: Element, rule: Rule, parent: str) -> Element | None:
        return None

    def _age(self, element: Element, rule: Rule, parent: str) -> Element | None:
        self.account.note(REPLACED if not parent else REMOVED, element.tag, parent)
        return None  # written anew by _written_age

    def _empty(self, element: Element, rule: Rule, parent: str) -> Element | None:
        self.account.note(EMPTIED, element.tag, parent)
        return Element(element.tag, rule.vr, b"") if not parent else None

    def _remove(self, element: Element, rule: Rule, parent: str) -> Element | None:
        self.account.note(REMOVED, element.tag, parent)
        return None

    def _dummy(self, element: Element, rule: Rule, parent: str) -> Element | None:
        self.account.note(REPLACED, element.tag, parent)
        return _dummy(element.tag, rule.vr)

    def _by_type(self, element: Element, rule: Rule, parent: str, note: bool = True) -> Element | None:
        """X, Z or D: what the object requires here decides (Type 3: gone; 2: empty; 1: a value that says nothing)."""
        kind = self.profile.type_of(self.iod, parent, rule.keyword)
        if kind in ("1", "1C") and (dummy := _dummy(element.tag, rule.vr)) is not None:
            done, out = REPLACED, dummy
        elif kind in ("1", "1C", "2", "2C"):
            done, out = EMPTIED, Element(element.tag, rule.vr, None, []) if rule.vr == "SQ" else Element(element.tag, rule.vr, b"")
        else:
            done, out = REMOVED, None
        if note:
            self.account.note(done, element.tag, parent)
        return out

    # --- what is written anew --------------------------------------------------------------------------------------------------------------------

    def _written(self) -> list[Element]:
        """Character set, age, and the statement of what was done (PS3.15 E.1.1; PS3.3 C.7.1.1 and C.7.6.1)."""
        out = [
            Element(identity.CHARSET, "CS", b"ISO_IR 192"),
            Element(identity.SOP_CLASS, "UI", self.sop.encode()),
            Element(identity.PATIENT_ID, "LO", self.subject.code.encode()),
            Element(identity.PATIENT_NAME, "PN", self.subject.code.encode()),
            Element(identity.BIRTH_DATE, "DA", b""),
            Element(REMOVED_FLAG, "CS", b"YES"),
            Element(METHOD, "LO", values.encode_text([*self._earlier_methods(), *self.profile.method, SEAL_MARK.decode() + "0" * SEAL_CHARS])),
            Element(METHOD_CODES, "SQ", None, [*self._earlier_codes(), *(_code_item(code, meaning) for code, meaning in self.profile.claimed)]),
            Element(LONGITUDINAL, "CS", b"MODIFIED"),
        ]
        if self._has_head():
            out.append(Element(VISUAL, "CS", b"YES"))
        if BURNED_IN in self.top and self.profile.type_of(self.iod, "", "BurnedInAnnotation") in ("1", "1C"):
            said = self._first(BURNED_IN).upper()
            out.append(Element(BURNED_IN, "CS", said.encode() if said in ("YES", "NO") else b"YES"))
        if age := self._written_age():
            out.append(Element(AGE, "AS", age.encode()))
        for element in out:
            self.account.note(WRITTEN, element.tag)
        return out

    def _earlier_methods(self) -> list[str]:
        element = self.top.get(METHOD)
        found = (
            [self.scrub.clean(text, descriptors.FREE, False).text for text in values.texts(element, self.codecs)]
            if element is not None and element.items is None
            else []
        )
        return [text[:64] for text in found if text]

    def _earlier_codes(self) -> list[Item]:
        """Method items of whoever was here before, cleaned; those we claim ourselves are not said twice."""
        element = self.top.get(METHOD_CODES)
        ours = {code for code, _ in self.profile.claimed}
        out = []
        for item in (element.items or []) if element is not None else []:
            kept = [k for e in item.elements if (rule := self.rules.get(e.tag)) and rule.action == "coded" and (k := self._words_of_code(e, rule)) is not None]
            code = next((k.bytes.decode("ascii", "replace").strip(" \0") for k in kept if k.tag == 0x00080100), "")
            if code and code not in ours:
                out.append(Item(kept))
        return out

    def _words_of_code(self, element: Element, rule: Rule) -> Element | None:
        if rule.keyword == "CodeValue":
            return element if _CODE_VALUE.match(values.text(element, self.codecs)) and not self.scrub.carries(values.text(element, self.codecs)) else None
        return self._words(element, rule, "DeidentificationMethodCodeSequence", descriptors.FACT, False)

    def _has_head(self) -> bool:
        part = self._first(BODY_PART).upper().replace(" ", "")
        return part not in _BODY_WITHOUT_FACE

    def _written_age(self) -> str:
        """PatientAge: as it was where it is well formed, else from birth date and study date; 090Y above 89 or where any visit of the person was."""
        said = _AGE.match(self._first(AGE).upper())
        births = {self.who.birth_date, *self.subject.birth_dates} - {None}
        computed = None
        if len(births) == 1 and self.who.study_date:
            computed = dates.years_between(next(b for b in births if b), self.who.study_date)
        years = [y for y in (computed, int(said[1]) if said and said[2] == "Y" else None) if y is not None]
        if self.subject.over_89 or any(y > 89 for y in years):
            return "090Y"
        if said:
            return said[1] + said[2]
        return f"{computed:03d}Y" if computed is not None and 0 <= computed <= 89 else ""

    def facts(self) -> dict[str, Any]:
        """Keyword -> number, text or list, from the cleaned data set, top level first, then the first functional group that has it."""
        out: dict[str, Any] = {}
        for element in _shallow(self.out):
            rule = self.rules.get(element.tag)
            if rule is None or rule.keyword not in FACTS or rule.keyword in out or element.value is None:
                continue
            found: list[Any] | None = (
                values.numbers(element) if element.vr not in values.STRINGS or element.vr in ("DS", "IS") else values.texts(element, ("utf-8",))
            )
            if found:
                out[rule.keyword] = found[0] if len(found) == 1 else found
        return out


_WORTH = frozenset(["PN", "LO", "SH", "ST", "LT", "UT", "UC", "AE", "DA", "DT", "UI"]) - {"UI"}
_WRITTEN = frozenset(
    {
        identity.CHARSET,
        identity.SOP_CLASS,
        identity.PATIENT_ID,
        identity.PATIENT_NAME,
        identity.BIRTH_DATE,
        REMOVED_FLAG,
        METHOD,
        METHOD_CODES,
        LONGITUDINAL,
        VISUAL,
        BURNED_IN,
        AGE,
    }
)


@lru_cache(maxsize=8192)
def _choices(tag: int) -> tuple[str, ...]:
    from pydicom.datadict import DicomDictionary

    return tuple(DicomDictionary[tag][0].split(" or "))


def _shallow(source: list[Element]) -> list[Element]:
    """The elements a reader of facts looks at: the top, then the shared and the first per-frame functional groups."""
    out = list(source)
    for tag in (0x52009229, 0x52009230):
        for element in source:
            if element.tag == tag and element.items:
                out.extend(elements.walk(element.items[0].elements))
    return out


def _dummy(tag: int, vr: str) -> Element | None:
    """A value that says nothing, for an attribute the object requires; None where no value could say nothing (dates)."""
    value = {
        "LO": b"REMOVED",
        "SH": b"REMOVED",
        "ST": b"REMOVED",
        "LT": b"REMOVED",
        "UT": b"REMOVED",
        "UC": b"REMOVED",
        "PN": b"REMOVED",
        "AE": b"REMOVED",
        "CS": b"OTHER",
        "DS": b"0",
        "IS": b"0",
    }.get(vr)
    return None if value is None else Element(tag, vr, value)


def _is_coded(item: Item) -> bool:
    """Whether a code item is still one: it has a value (or meaning) and a public scheme, or it holds something else worth keeping."""
    found = {e.tag: e for e in item.elements}
    if 0x00080102 in found:
        return found[0x00080102].bytes.decode("ascii", "replace").strip(" \0") in PUBLIC_SCHEMES and (0x00080100 in found or 0x00080119 in found)
    return 0x00080100 not in found and 0x00080104 not in found and bool(found)


def _code_item(code: str, meaning: str) -> Item:
    return Item([Element(0x00080100, "SH", code.encode()), Element(0x00080102, "SH", b"DCM"), Element(0x00080104, "LO", meaning.encode())])
