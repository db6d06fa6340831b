"""I make the vendored lists of private data beside me, from their sources, so that no row of them comes from memory.

    python deid/profiles/make_private.py safe PATH/chapter_E.rst
    python deid/profiles/make_private.py protocol FOLDER_OF_DICOM
    python deid/profiles/make_private.py vrs FOLDER_OF_DICOM

safe-private.json   DICOM PS3.15 Table E.3.10-1 (safe private attributes): creator, group, element, VR, VM. Source: source/part15/chapter_E.rst of
                    chsasank/dicom_standard at 2c591286f447, the standard's DocBook as reStructuredText. The column of meanings is left out. The source does
                    not name its edition; its text knows DICOM Real-Time Video, so it is of 2019 or later. The standard is published by NEMA, free to read.
protocol-keys.json  the names, not the values, that Siemens protocols (ASCCONV) and GE protocol blocks give their numbers, as the shared MRI uses them (see the
                    README of the data for its repositories, all BSD, MIT, PDDL or Apache), and those that dcm2niix 1.0.20260724 asks for by name.
private-vrs.json    what VR scanners declare for private elements that pydicom's private dictionary does not know, for files that declare none; same data.
"""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pydicom
from pydicom.datadict import private_dictionaries
from pydicom.errors import InvalidDicomError

HERE = Path(__file__).resolve().parent
ROW = re.compile(r"\(([0-9A-Fa-f]{4}),xx([0-9A-Fa-f]{2})\)\Z")
# Asked for by name in dcm2niix 1.0.20260724 (its binary's strings), and not in the shared data.
ASKED = ("lInvContrasts", "lContrasts", "ulLabelingDuration", "ucMTC", "uc2DInterpolation", "dAveragesDouble", "sRSatArray", "lDelayTimeInTR")
ASKED_OF_GE = ("MBACCEL", "PHASEDELAYS1", "SLICEORDER", "VIEWORDER")
# Numbers that say who, where, or which very one; and names that are drawers for anything.
NOT_TAKEN = re.compile(
    r"(?i)uid|uniquekey|idpart|comment|patient|birth|serial|loid|date|stamp|study|physician|institution|host|referenceimage|history|address|phone|UIConf|tdefault"
)
GE_NOT_TAKEN = re.compile(r"UID|PDGM|DATE|STAMP|PATIENT|OPERATOR|COMMENT|NOTES|HIST|CLINICALCOIL|STATION|ANATOMY")


def safe(source: Path) -> dict[str, object]:
    """The rows of the grid table; a row whose first cell is empty goes on with the row above."""
    rows: list[list[str]] = []
    for line in _table(source.read_text(encoding="utf-8")):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if ROW.match(cells[0]):
            rows.append(cells[:4])
        elif rows and not cells[0]:
            rows[-1] = [" ".join(filter(None, pair)) for pair in zip(rows[-1], cells[:4], strict=True)]
    found = [(ROW.match(tag), creator, vr, vm) for tag, creator, vr, vm in rows]
    return {
        "edition": "2019 or later (its source does not say)",
        "source": "DICOM PS3.15 Table E.3.10-1; chsasank/dicom_standard 2c591286f447, source/part15/chapter_E.rst; made by make_private.py",
        "rows": [[creator, match[1].upper(), match[2].upper(), vr, vm] for match, creator, vr, vm in found if match],
    }


def _table(text: str) -> Iterator[str]:
    start = text.index(".. table:: Safe Private Attributes")
    for line in text[start:].splitlines()[1:]:
        if line.strip().startswith("|"):
            yield line
        elif line.strip() and not line.strip().startswith("+"):
            return


def protocol(folder: Path) -> dict[str, object]:
    """The names in every ASCCONV block and every GE block under a folder."""
    names: set[str] = set(ASKED)
    long: set[str] = set()
    general: set[str] = set(ASKED_OF_GE)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        raw = path.read_bytes()
        text = raw.decode("latin-1")
        for block in re.findall(r"### ASCCONV BEGIN[^\n]*\n(.*?)### ASCCONV END", text, re.S):
            for key, value in re.findall(r"^([A-Za-z_][\w.\[\]]*)\s*=\s*([^\n]*)$", block, re.M):
                parts = re.sub(r"\[\d*\]", "", key).split(".")
                if '"' not in value and not any(NOT_TAKEN.search(part) for part in parts):
                    names.update(parts)
                    if re.match(r"[+-]?\d{8,}", value):
                        long.add(parts[-1])
        for start in (match.start() for match in re.finditer(rb"\x1f\x8b\x08", raw)):
            general.update(key for key in _ge_keys(raw[start:]) if not GE_NOT_TAKEN.search(key))
    return {
        "source": "names in the shared MRI data (visit.tgz, mri.tgz of November 2026), and those dcm2niix 1.0.20260724 asks for; made by make_private.py",
        "names": " ".join(sorted(names)),
        "long": " ".join(sorted(long)),
        "ge": " ".join(sorted(general)),
    }


def _ge_keys(raw: bytes) -> list[str]:
    try:
        text = zlib.decompressobj(31).decompress(raw, 1 << 20).decode("latin-1")
    except zlib.error:
        return []
    return re.findall(r'^([A-Z0-9_]{2,32}) "', text, re.M)


def vrs(folder: Path) -> dict[str, object]:
    """The VRs that scanners declare for private elements which pydicom's private dictionary does not know."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            data = pydicom.dcmread(path, stop_before_pixels=True)
        except InvalidDicomError:
            continue
        for element in data.iterall() if not data.original_encoding[0] else ():
            if element.tag.is_private and not element.tag.is_private_creator and element.private_creator and element.VR != "UN":
                creator, low = str(element.private_creator), f"{element.tag.element & 0xFF:02X}"
                if f"{element.tag.group:04x}xx{low}" not in {key[:6] + key[6:].upper() for key in private_dictionaries.get(creator, {})}:
                    found.setdefault((creator, f"{element.tag.group:04X}", low), set()).add(str(element.VR))
    return {
        "source": "VRs that the scanners of the shared MRI data declare (visit.tgz, mri.tgz of November 2026); made by make_private.py",
        "rows": [[*key, min(several)] for key, several in sorted(found.items()) if len(several) == 1],
    }


MAKERS = {"vrs": (vrs, "private-vrs.json"), "safe": (safe, "safe-private.json"), "protocol": (protocol, "protocol-keys.json")}

if __name__ == "__main__":
    make, name = MAKERS[sys.argv[1]]
    made = make(Path(sys.argv[2]))
    lines = [
        f'"{key}": ' + ("[\n" + ",\n".join(map(json.dumps, value)) + "\n]" if isinstance(value, list) else json.dumps(value)) for key, value in made.items()
    ]
    (HERE / name).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
