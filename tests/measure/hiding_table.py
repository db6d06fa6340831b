"""Every row of Table E.1-1 of PS3.15, with a value that fits its VR: at the top, inside sequences that are kept (1, 2, 3 and 6 deep), and as UN.

The rows come from the vendored copy of the table (deid/profiles/confidentiality.json); what a row should become is not looked at: whatever the profile, the
planted value must be gone. Sex, size, weight and ages up to 89 may be kept by an option and carry plausible values that are no tokens.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from hiding_images import MR, Planted, listed, uid
from hiding_people import Words
from pydicom.datadict import DicomDictionary
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

ROOT = Path(__file__).resolve().parents[2]
TEXT = {"LO": 64, "SH": 16, "ST": 64, "LT": 64, "UT": 64, "UC": 64, "PN": 64, "AE": 16}
# What makes up the image itself: it has its own values, and its own tokens.
SET_ALREADY = frozenset(
    listed(
        """
        SOPInstanceUID StudyInstanceUID SeriesInstanceUID SpecificCharacterSet PatientID PatientName PatientBirthDate PatientSex PatientAge PatientSize
        PatientWeight StudyDate StudyTime PatientIdentityRemoved
        """
    )
)
KEPT_SEQUENCES = (
    "ReferencedImageSequence",
    "SourceImageSequence",
    "ReferencedStudySequence",
    "ReferencedPerformedProcedureStepSequence",
    "RequestAttributesSequence",
    "DerivationCodeSequence",
)


@lru_cache(maxsize=1)
def rows() -> tuple[tuple[int, str, str], ...]:
    """(tag, keyword, VR) of every row that names one attribute. File meta, commands, curves, overlays and private groups have places of their own."""
    table = json.loads((ROOT / "deid/profiles/confidentiality.json").read_text("utf-8"))["rows"]
    out = []
    for text in table:
        if "x" in text or "g" in text:
            continue
        tag = int(text, 16)
        if tag >> 16 in (0, 2, 4):
            continue
        vr, _, _, _, keyword = DicomDictionary[tag]
        out.append((tag, keyword, vr.split(" or ")[0]))
    return tuple(out)


def value(vr: str, words: Words, n: int) -> tuple[object, str] | None:
    """A value that fits the VR, and the token in it; None where a VR can carry none (its value is set without one)."""
    if vr in TEXT:
        text = words.word(TEXT[vr])
        return (f"{text}^{words.word(20)}" if vr == "PN" else text), text
    if vr == "CS":
        text = words.word(14).upper().replace("-", "_")
        return text, text
    if vr == "DA":
        text = f"1921{1 + n // 28 % 12:02d}{1 + n % 28:02d}"
        return text, text
    if vr in ("DT", "TM"):
        clock = f"{n % 24:02d}{n % 60:02d}{n * 7 % 60:02d}.{100000 + words.chance.randrange(899999)}"
        text = clock if vr == "TM" else f"1922{1 + n // 28 % 12:02d}{1 + n % 28:02d}{clock}"
        return text, text
    if vr == "UI":
        text = words.uid()
        return text, text
    if vr in ("DS", "IS"):
        text = words.number()
        return text, text
    if vr == "UR":
        text = words.word(30)
        return f"https://pacs.{text}.example/wado", text
    if vr in ("OB", "UN"):
        text = words.word(30)
        return (text + " " * (len(text) % 2)).encode(), text
    return {"AS": ("094Y", ""), "US": (7, "")}.get(vr)


def put(data: Dataset, tag: int, vr: str, what: object) -> None:
    data[tag] = DataElement(tag, vr, what)


def _fill(planted: Planted, into: Dataset, words: Words, place: str, skip: Callable[[int, str], bool]) -> None:
    for n, (tag, keyword, vr) in enumerate(rows()):
        if vr == "SQ" or keyword in SET_ALREADY or skip(tag, keyword):
            continue
        made = value(vr, words, n)
        if made is None:
            continue
        what, token = made
        put(into, tag, vr, what)
        if token:
            planted.plant(token, place, keyword)


def at_the_top(planted: Planted, words: Words) -> None:
    """Every row with a value, at the top level."""
    _fill(planted, planted.data, words, "E.1-1 at the top", lambda tag, keyword: tag in planted.data and keyword.endswith("UID"))


def nested(planted: Planted, words: Words, depth: int, chain: tuple[str, ...] = KEPT_SEQUENCES) -> None:
    """Every row with a value, in an item `depth` sequences deep."""
    inner = Dataset()
    _fill(planted, inner, words, f"E.1-1 nested {depth} deep", lambda tag, keyword: False)
    inner.PatientName, inner.PatientID, inner.PatientBirthDate = planted.person.name, planted.person.mrn, planted.person.birth
    inner.ReferencedSOPClassUID = MR
    for level in range(depth, 0, -1):
        outer = planted.data if level == 1 else Dataset()
        setattr(outer, chain[(level - 1) % len(chain)], Sequence([inner]))
        if level > 1:
            outer.ReferencedSOPClassUID, outer.ReferencedSOPInstanceUID = MR, uid(planted.number, "instance")
            inner = outer


def in_table_sequences(planted: Planted, words: Words) -> None:
    """An item in every sequence of the table: a text, a name, a code, a date and a UID each."""
    for n, (tag, keyword, vr) in enumerate(rows()):
        if vr != "SQ":
            continue
        item, inner = Dataset(), Dataset()
        for attribute, kind in (
            ("SeriesDescription", "LO"),
            ("CodeMeaning", "LO"),
            ("PersonName", "PN"),
            ("TextValue", "UT"),
            ("CodeValue", "SH"),
            ("Date", "DA"),
        ):
            what, token = value(kind, words, n) or ("", "")
            setattr(item, attribute, what)
            planted.plant(token, "item of a table sequence", f"{keyword}.{attribute}")
        item.CodingSchemeDesignator = "DCM"
        inner.InstitutionName = planted.plant(words.word(), "item of a table sequence", f"{keyword}.PersonIdentificationCodeSequence.InstitutionName")
        inner.CodeMeaning = planted.plant(words.word(), "item of a table sequence", f"{keyword}.PersonIdentificationCodeSequence.CodeMeaning")
        item.PersonIdentificationCodeSequence = Sequence([inner])
        put(planted.data, tag, "SQ", Sequence([item]))


def as_unknown(planted: Planted, words: Words) -> None:
    """Every text row as VR UN: a known tag whose VR was lost on the way (PS3.5 6.2.2)."""
    for n, (tag, keyword, vr) in enumerate(rows()):
        if (vr not in TEXT and vr not in ("UI", "DA", "DT", "CS")) or keyword in SET_ALREADY or tag in planted.data:
            continue
        what, token = value(vr, words, n) or ("", "")
        raw = str(what).encode("latin-1", "replace")
        put(planted.data, tag, "UN", raw + b" " * (len(raw) % 2))
        planted.plant(token, "UN with a known tag", keyword)
    item = b"\x10\x00\x10\x00" + (len(name := _even(planted.plant(words.word(), "UN with a known tag", "sequence"))).to_bytes(4, "little")) + name
    put(planted.data, 0x00081140, "UN", b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item)


def _even(text: str) -> bytes:
    raw = text.encode()
    return raw + b" " * (len(raw) % 2)
