"""I make the vendored tables beside me, from their sources, so that no row of them comes from memory.

    python deid/profiles/make_tables.py confidentiality PATH/confidentiality_profile_attributes.json
    python deid/profiles/make_tables.py modules PATH/highdicom/_standard highdicom-0.28.2

confidentiality.json  DICOM PS3.15 Table E.1-1, from innolitics/dicom-standard (7f4749d, edition of January 2025).
modules.json          which attribute has which Type in which place of the objects we take, from the module and attribute tables inside highdicom (MIT).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OBJECTS = (
    "mr-image",
    "enhanced-mr-image",
    "enhanced-mr-color-image",
    "legacy-converted-enhanced-mr-image",
    "secondary-capture-image",
    "multi-frame-single-bit-secondary-capture-image",
    "multi-frame-grayscale-byte-secondary-capture-image",
    "multi-frame-grayscale-word-secondary-capture-image",
    "multi-frame-true-color-secondary-capture-image",
)
# Column of Table E.1-1 in the source -> our short name.
COLUMNS = {
    "basicProfile": "basic",
    "cleanDescOpt": "descriptors",
    "cleanGraphOpt": "graphics",
    "cleanStructContOpt": "structured",
    "rtnLongFullDatesOpt": "full_dates",
    "rtnLongModifDatesOpt": "modified_dates",
    "rtnPatCharsOpt": "patient",
    "rtnDevIdOpt": "device",
    "rtnInstIdOpt": "institution",
    "rtnUIDsOpt": "uids",
    "rtnSafePrivOpt": "safe_private",
}
STRICTNESS = {"1": 0, "1C": 1, "2": 2, "2C": 3, "3": 4}


def confidentiality(source: Path) -> None:
    """Table E.1-1: tag (8 hexadecimal characters; x where any digit may stand) -> name and the columns that are filled."""
    rows: dict[str, dict[str, str]] = {}
    for row in json.loads(source.read_text()):
        known = {"name", "tag", "stdCompIOD", "id", *COLUMNS}
        if unknown := set(row) - known:
            raise SystemExit(f"columns not known: {sorted(unknown)}")
        tag = row["tag"].strip("()").replace(",", "").lower()
        rows[tag] = {"name": row["name"], **{short: row[long] for long, short in COLUMNS.items() if row.get(long)}}
    _write(
        "confidentiality.json",
        {"edition": "PS3.15 Table E.1-1, January 2025, innolitics/dicom-standard 7f4749d", "made_by": "make_tables.py confidentiality", "rows": rows},
    )


def modules(source: Path, version: str) -> None:
    """Object -> parent keyword ("" at the top) -> keyword -> the strictest Type that any module of the object gives it there."""
    iods = json.loads((source / "iod_module_map.json").read_text())
    attributes = json.loads((source / "module_attribute_map.json").read_text())
    sops = json.loads((source / "sop_class_iod_map.json").read_text())
    out: dict[str, dict[str, dict[str, str]]] = {}
    for name in OBJECTS:
        places: dict[str, dict[str, str]] = {}
        for module in iods[name]:
            _merge(places, attributes[module["key"]])
        out[name] = {parent: dict(sorted(found.items())) for parent, found in sorted(places.items())}
    classes = {uid: name for uid, name in sorted(sops.items()) if name in OBJECTS}
    _write(
        "modules.json",
        {"edition": f"{version} (MIT), module and attribute tables of PS3.3", "made_by": "make_tables.py modules", "classes": classes, "objects": _pack(out)},
    )


def _merge(places: dict[str, dict[str, str]], attributes: Iterable[dict[str, Any]]) -> None:
    for attribute in attributes:
        place = places.setdefault(attribute["path"][-1] if attribute["path"] else "", {})
        new, old = attribute["type"], place.get(attribute["keyword"])
        if old is None or STRICTNESS[new] < STRICTNESS[old]:
            place[attribute["keyword"]] = new


def _pack(objects: dict[str, dict[str, dict[str, str]]]) -> dict[str, dict[str, dict[str, str]]]:
    """Type -> blank-separated keywords, per place: a fifth of the size."""
    packed: dict[str, dict[str, dict[str, str]]] = {}
    for name, places in objects.items():
        packed[name] = {}
        for parent, found in places.items():
            packed[name][parent] = {t: " ".join(k for k, v in found.items() if v == t) for t in STRICTNESS if t in found.values()}
    return packed


def _write(name: str, content: dict[str, Any]) -> None:
    (HERE / name).write_text(json.dumps(content, indent=0, sort_keys=False) + "\n")


if __name__ == "__main__":
    kind, where, *rest = sys.argv[1:]
    if kind == "confidentiality":
        confidentiality(Path(where))
    else:
        modules(Path(where), rest[0])
