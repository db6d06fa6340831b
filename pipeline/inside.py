"""What a child does with the bytes of one upload: look whose a file is, and say it in codes only.

Each function takes and returns JSON and is called through `pipeline.isolate` alone. No name, number, date or path of the input is in what comes back:
persons, studies, series, birth dates, sexes and words of names cross as keyed codes, good for asking whether two are equal and for nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from deid import dates, elements, identity, names, objects
from deid.errors import DeidError
from deid.pseudonyms import CodeKey, PseudonymKey, keys_from_file, load_code_key, load_pseudonym_key
from pipeline.codes import Refused
from pipeline.outcome import digest

__all__ = ["companion", "image", "look", "moment", "nifti_head", "open_keys"]

NIFTI_SIZES = {(348).to_bytes(4, "little"), (348).to_bytes(4, "big"), (540).to_bytes(4, "little"), (540).to_bytes(4, "big")}
COMPANION_CAP = 4 * 1024 * 1024
NIFTI_MAGIC = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")


@lru_cache(maxsize=4)
def _keys(code: str, pseudonym: str, file: str) -> tuple[CodeKey, PseudonymKey]:
    return keys_from_file(file) if file else (load_code_key(code), load_pseudonym_key(pseudonym))


def open_keys(paths: Mapping[str, str]) -> tuple[CodeKey, PseudonymKey]:
    """The two keys of a dataset from the paths in an order. Raises KeyFileError."""
    return _keys(paths.get("code", ""), paths.get("pseudonym", ""), paths.get("file", ""))


def look(item: dict[str, Any]) -> dict[str, Any]:
    """One file: its SHA-256 and either a refusal ("code") or what it is ("kind" dicom, nifti or companion) and, by code, whose.

    item: {"path", "site", "keys", and "sha256" where it is known already}. Of a DICOM file: study, instance, participant, day, session (the shifted study
    date, YYYYMMDD), birth, sex, placeholder,
    names (of each spelling: script, words, family, given, the initials of the given names, and whether it is a full name that vouches for a person).
    """
    path = Path(item["path"])
    row: dict[str, Any] = {"sha256": item.get("sha256") or digest(path), "code": "", "reason": "", "advice": ""}
    try:
        return row | (nifti(path) or beside(path) or dicom(path, str(item["site"]), *open_keys(item["keys"])))
    except (DeidError, Refused) as refusal:
        return row | {"code": refusal.code, "reason": refusal.reason, "advice": refusal.advice}


def beside(path: Path) -> dict[str, Any] | None:
    """{"kind": "companion"} for a small text that may lie beside a NIfTI file."""
    return {"kind": "companion"} if companion(path) else None


def nifti(path: Path) -> dict[str, Any] | None:
    """{"kind": "nifti"} for a NIfTI file (also a gzipped one), by its header's size and magic."""
    import gzip
    import zlib

    with path.open("rb") as file:
        head = file.read(544)
    if head.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as inner:
                head = inner.read(544)
        except (OSError, EOFError, zlib.error):
            raise Refused("unknown_format") from None
        if not is_nifti(head):
            raise Refused("unknown_format")
    return {"kind": "nifti"} if is_nifti(head) else None


def companion(path: Path) -> str:
    """What may lie beside a NIfTI file, by the first bytes alone: `sidecar` (JSON), `table` (numbers), `transform` (ITK text); empty for all else."""
    if path.stat().st_size > COMPANION_CAP:
        return ""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith(b"#Insight Transform File"):
        return "transform"
    if head.lstrip().startswith(b"{") and b"\0" not in head:
        return "sidecar"
    return "table" if head.strip() and not head.translate(None, b"0123456789+-.eE \t\r\n,") and any(byte in b"0123456789" for byte in head) else ""


def nifti_head(path: Path) -> bool:
    """Whether a file may be NIfTI, by its first bytes alone: a NIfTI header, or gzip (in which nothing but NIfTI is taken here)."""
    with path.open("rb") as file:
        head = file.read(544)
    return head.startswith(b"\x1f\x8b") or is_nifti(head)


def is_nifti(head: bytes) -> bool:
    """Whether the first 544 bytes are the header of NIfTI 1 or 2."""
    return head[:4] in NIFTI_SIZES and (head[344:348] in NIFTI_MAGIC or head[4:8] in NIFTI_MAGIC)


def dicom(path: Path, site: str, codes: CodeKey, pseudonyms: PseudonymKey) -> dict[str, Any]:
    """Whose a DICOM file is, in keyed codes. Raises DeidError for what is no whole image of MR."""
    file = elements.read(path)
    objects.gate(file)
    who = identity.of(file)
    person = codes.code(site, who.issuer, who.patient_id)
    shift = dates.Shift(pseudonyms.offset_days(person))

    def mark(kind: str, value: str) -> str:
        """A code that says only whether two values of this kind and person are equal."""
        return codes.code(kind, person, value) if value else ""

    return {
        "kind": "dicom",
        "study": pseudonyms.study_code(who.study_uid),
        "instance": pseudonyms.study_code(who.sop_uid),
        "participant": person,
        "placeholder": who.placeholder,
        "day": codes.day_code(person, who.study_date) if who.study_date else None,
        "session": (dates.move_date(who.study_date.strftime("%Y%m%d"), shift) or "") if who.study_date else "",
        "birth": mark("birth", who.birth_date.isoformat() if who.birth_date else ""),
        "sex": mark("sex", who.sex if who.sex in ("M", "F") else ""),
        "names": [spelled(name, mark) for text in who.names for name in names.parse(text)],
    }


def spelled(name: names.Name, mark: Callable[[str, str], str]) -> dict[str, Any]:
    """One spelling of a name as codes that say only which parts of two spellings are equal."""
    parts = {"words": name.words, "family": name.family, "given": name.given}
    row: dict[str, Any] = {kind: sorted(mark("word", word) for word in words) for kind, words in parts.items()}
    initials = sorted({mark("initial", word[0]) for word in name.given})
    row |= {"initials": initials, "only_initials": all(len(word) == 1 for word in name.given), "vouches": names.vouches(name)}
    return row | {"script": mark("script", names.script(name))}


def moment(item: dict[str, Any]) -> list[int] | None:
    """Where in its study a file was acquired: three numbers, moved by secret amounts, that sort as `deid.moments.Start.order` does, good for nothing else.

    item: path, keys. The file's earliest moment at any depth counts. None where the file says no time.
    """
    who = identity.identify(item["path"])
    if who.start.micro is None:
        return None
    _, pseudonyms = open_keys(item["keys"])
    moved = pseudonyms.shift_ms(who.study_uid)
    content, day, micro = who.start.order
    return [int(content), day.toordinal() + moved % 3650, micro + moved * 1000]


def image(item: dict[str, Any]) -> str:
    """A digest of what a DICOM file shows and where, whatever its transfer syntax: equal for two encodings of one image. item: {"path"}."""
    import numpy as np
    import pydicom

    data = pydicom.dcmread(item["path"], force=True)
    told = hashlib.sha256()
    for keyword in ("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"):
        value = data.get(keyword)
        many = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [] if value in (None, "") else [value]
        told.update(f"{keyword}={[round(float(one), 4) for one in many]};".encode())
    # Wide little-endian integers: a byte order or a signedness of the file is none of the image.
    pixels = np.asarray(data.pixel_array)
    told.update(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels, dtype="<f8").tobytes())
    return told.hexdigest()
