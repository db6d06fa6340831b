"""What goes along with a file instead of its name: words of the registry's own lists, and numbers of other files of the same upload.

Of a NIfTI file's name only such a word is taken ("lesion", "FLAIR"), and which file it lies beside, as a number. What names do not tell stands in a table
of the sender's: CSV with `path` (below the folder) and any of visit, contrast, body, space, annotation, rater, labels (`lesion:1,new:2`), beside (a path).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from client.errors import Usage

COLUMNS = ("visit", "contrast", "body", "processed", "space", "annotation", "rater", "labels", "beside", "resample")
SMALL = (".json", ".bval", ".bvec", ".txt")
Lists = Mapping[str, list[str]]


@dataclass(frozen=True)
class Table:
    """The sender's own table: path below the folder -> column -> word. `unused` are paths in it that no file has."""

    rows: Mapping[str, Mapping[str, str]]

    def unused(self, names: Iterable[str]) -> list[str]:
        return sorted(set(self.rows) - set(names))


def read(path: Path) -> Table:
    """The table in a CSV file. Raises Usage for a column that there is not, or a row without a path."""
    with path.open(newline="", encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    unknown = {str(name) for row in rows for name in row} - {"path", *COLUMNS}
    if unknown or any(not row.get("path") for row in rows):
        raise Usage(
            "bad_table", f"The table has a row without a path, or columns that there are not: {', '.join(sorted(unknown))}.", f"path, {', '.join(COLUMNS)}."
        )
    return Table({str(row["path"]): {name: row[name] for name in COLUMNS if row.get(name)} for row in rows})


def of(folder: Path, paths: Mapping[int, Path], lists: Lists, table: Table | None = None) -> dict[int, dict[str, str]]:
    """Number -> what is said of that file. `paths`: number -> file below `folder`; `lists`: GET /annotations. Raises Usage for a path that is not there."""
    names = {n: (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix() for n, path in paths.items()}
    numbers = {name: n for n, name in names.items()}
    rows = table.rows if table else {}
    if table and (lost := table.unused(numbers)):
        raise Usage("bad_table", f"{len(lost)} path(s) of the table are no file of the folder.", "Write them as they stand below the folder.")
    said: dict[int, dict[str, str]] = {}
    for n, path in paths.items():
        told = {"annotation": shown(path, lists.get("words", ()))}
        told["contrast"] = "" if told["annotation"] else named(path, lists.get("contrasts", ()))
        told["space"] = "" if told["annotation"] else spoken(path, lists.get("spaces", ()))
        told["beside"] = str(neighbour(n, paths) or "") if lists.get("contrasts") else ""
        told |= rows.get(names[n], {})
        if told["beside"] and not told["beside"].isdecimal():
            if told["beside"] not in numbers:
                raise Usage("bad_table", "A file of the table lies beside one that is not there.", "Write paths as they stand below the folder.")
            told["beside"] = str(numbers[told["beside"]])
        said[n] = {name: text for name, text in told.items() if text}
    return said


def is_nifti(path: Path) -> bool:
    return path.name.lower().endswith((".nii", ".nii.gz"))


def shown(path: Path, words: Iterable[str]) -> str:
    """The word of `words` that the name of a NIfTI file holds, whole or before "seg" or "mask"; empty where there is none."""
    parts = re.split(r"[^a-z]+", path.name.lower()) if is_nifti(path) else []
    bare = [*parts, *(part.removesuffix("seg").removesuffix("mask") for part in parts)]
    return next((part for part in bare if part in set(words)), "")


def named(path: Path, contrasts: Iterable[str]) -> str:
    """The contrast that a part of a NIfTI file's name is, in any case (`T1W`); empty where none or several are."""
    known = {word.lower(): word for word in contrasts}
    parts = re.split(r"[^a-z0-9]+", path.name.lower()) if is_nifti(path) else []
    found = {known[part] for part in parts if part in known}
    return found.pop() if len(found) == 1 else ""


def spoken(path: Path, spaces: Iterable[str]) -> str:
    """The template space that a NIfTI file's name gives as BIDS does (`_space-MNI152Lin_`); empty where it gives none of the list."""
    found = re.search(r"(?:^|_)space-([A-Za-z0-9]+)(?=[_.])", path.name) if is_nifti(path) else None
    return found[1] if found and found[1] in set(spaces) else ""


def stem(path: Path) -> str:
    """A file's own name without its endings."""
    return re.sub(r"(\.nii)?(\.gz|\.json|\.bval|\.bvec|\.txt|\.nii)?$", "", path.name, flags=re.IGNORECASE)


def neighbour(n: int, paths: Mapping[int, Path]) -> int | None:
    """The NIfTI file in the same folder whose own name begins this one's: an image of a mask, or what a small file belongs to."""
    path = paths[n]
    if not is_nifti(path) and path.suffix.lower() not in SMALL:
        return None
    near = {m: stem(other) for m, other in paths.items() if m != n and other.parent == path.parent and is_nifti(other)}
    found = [m for m, own in near.items() if own and stem(path).startswith(own) and (not is_nifti(path) or stem(path) != own)]
    return max(found, key=lambda m: (len(near[m]), -m), default=None)
