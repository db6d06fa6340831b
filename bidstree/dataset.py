"""A dataset is a set of pieces plus the papers around them, and the same set always gives the same bytes.

A piece is a folder that holds `sub-L/...` and perhaps `derivatives/NAME/sub-L/...`: what one run made of one image or one study. `assemble` lays pieces
over each other with hard links (copies where the file system has none), refuses two pieces that disagree about a file, and writes the files that speak of
the whole: dataset_description.json, README, CHANGES, participants, sessions, scans, phenotype, and a description for every derivative.
Nothing written depends on the clock, the order of the pieces, the machine or the user.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from bidstree import tables
from bidstree.errors import BidsError
from bidstree.names import EDITION

# Only these may come from a piece; the papers around them are written here.
_ROOTS = ("sub-", "derivatives")
_SELF = {"Name": "myelin", "CodeURL": "https://github.com/myelin-mri/myelin"}
# What stands in the description of a derivative, by the name of its folder.
_DERIVATIVES = {
    "annotations": "Annotations drawn by people on the images of this dataset",
    "scanner": "Images that the scanner computed from others",
    "qa": "Measures of image quality",
}
_IGNORED = frozenset({"dataset_description.json", "README.md"})

Rows = Sequence[Mapping[str, Any]]


def assemble(
    pieces: Iterable[Path],
    out: Path,
    description: Mapping[str, Any],
    participants: Rows | None = None,
    phenotype: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    sessions: Rows | None = None,
    scans: Rows | None = None,
    readme: str | None = None,
    changes: str | None = None,
    derived: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Write a whole BIDS dataset to `out`, which must not exist or be empty; it appears by one rename, whole or not at all.

    `description`: fields of dataset_description.json, `Name` at least. `participants`: rows with `participant_id`; rows of participants without a
    folder are left out, folders without a row get `n/a`. `phenotype`: name -> {"rows": [...], "dictionary": {...}}. `sessions`: rows with
    `participant_id`, `session_id` (missing: listed from the folders). `scans`: rows with `filename` relative to the dataset, written where given.
    `derived`: name of a derivative -> path below it -> text, for what is made of the whole.
    Raises BidsError `no_pieces`, `piece_conflict`, `piece_foreign_file`, `out_not_empty`, `description_without_name`, and those of `tables`.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BidsError("out_not_empty", "The folder for the dataset already holds something.", "Choose a new folder.")
    if not description.get("Name"):
        raise BidsError("description_without_name", "The dataset's description has no Name.", "Give the dataset a name.")
    out.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out.name}.tmp-", dir=out.parent))
    try:
        scratch.chmod(0o755)
        _overlay(pieces, scratch)
        _forsaken(scratch)
        for name, texts in (derived or {}).items():
            for path, text in texts.items():
                _write(scratch / "derivatives" / name / path, text)
        _papers(scratch, description, readme, changes)
        _write_participants(scratch, participants)
        _write_sessions(scratch, sessions)
        _write_scans(scratch, scans)
        _write_phenotype(scratch, phenotype or {})
        if out.exists():
            out.rmdir()
        scratch.rename(out)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _overlay(pieces: Iterable[Path], root: Path) -> None:
    count = 0
    for piece in pieces:
        count += 1
        for source in _files(piece):
            relative = source.relative_to(piece)
            if relative.name in _IGNORED:
                continue
            if not relative.parts[0].startswith(_ROOTS) or len(relative.parts) < 2:
                raise BidsError("piece_foreign_file", "A piece holds a file outside sub-* and derivatives.", "Put images and annotations only into pieces.")
            _link(source, root / relative)
    if not count or not any(path.name.startswith("sub-") for path in root.iterdir()):
        raise BidsError("no_pieces", "There is no image to make a dataset of.", "Accept an image first.")


def _forsaken(root: Path) -> None:
    """Drop each annotation of which a source image is not in the dataset (left out, refused, withdrawn), with what lies beside it.

    A mask of two visits goes with either; an image that was brought to its space goes with the visit it came from.
    """
    for sidecar in sorted((root / "derivatives").rglob("sub-*.json")):
        try:
            sources = json.loads(sidecar.read_text(encoding="utf-8")).get("Sources", [])
        except (ValueError, AttributeError):
            continue
        raw = [str(one).removeprefix("bids:raw:") for one in sources if str(one).startswith("bids:raw:")] if isinstance(sources, list) else []
        if all((root / one).is_file() for one in raw):
            continue
        for path in sidecar.parent.glob(f"{sidecar.stem}.*"):
            path.unlink()
    for folder in sorted((root / "derivatives").rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if (root / "derivatives").is_dir() and not any((root / "derivatives").iterdir()):
        (root / "derivatives").rmdir()


def _files(folder: Path) -> Iterator[Path]:
    """All regular files below, in sorted order; a link is not followed."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def _link(source: Path, target: Path) -> None:
    if target.exists():
        if not filecmp.cmp(source, target, shallow=False):
            raise BidsError("piece_conflict", "Two pieces hold different files of one name.", "Number the runs of the images, or leave one piece out.")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def dump(value: Mapping[str, Any]) -> str:
    """JSON as this room writes it everywhere: two blanks, keys in the order given, one line end."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _papers(root: Path, description: Mapping[str, Any], readme: str | None, changes: str | None) -> None:
    generated = description.get("GeneratedBy") or [_SELF]
    full: dict[str, Any] = {"Name": description["Name"], "BIDSVersion": EDITION, "DatasetType": "raw", **description, "GeneratedBy": generated}
    _write(root / "dataset_description.json", dump(full))
    _write(root / "README.md", readme if readme is not None else _readme(full))
    if changes:
        _write(root / "CHANGES", changes.rstrip("\n") + "\n")
    for folder in sorted((root / "derivatives").glob("*")) if (root / "derivatives").is_dir() else []:
        if folder.is_dir():
            _write(folder / "dataset_description.json", dump(_derivative(folder.name, full)))
            _write(folder / "README.md", f"# {_DERIVATIVES.get(folder.name, folder.name)}\n\nPart of the dataset two folders up; its README holds here too.\n")


def _derivative(name: str, parent: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Name": _DERIVATIVES.get(name, name),
        "BIDSVersion": EDITION,
        "DatasetType": "derivative",
        "GeneratedBy": parent["GeneratedBy"],
        # `bids:raw:sub-...` in Sources leads from the derivative to the images two folders up.
        "DatasetLinks": {"raw": "../.."},
        **({"License": parent["License"]} if parent.get("License") else {}),
    }


def _readme(description: Mapping[str, Any]) -> str:
    lines = [f"# {description['Name']}", ""]
    lines += ["Magnetic resonance images of people who consented to sharing, de-identified, defaced where a face was in the image, and checked for quality."]
    lines += ["Labels of participants are random and of no meaning outside this dataset. No date in it is a true calendar date.", ""]
    if description.get("License"):
        lines += [f"Licence: {description['License']}", ""]
    if description.get("HowToAcknowledge"):
        lines += [f"How to acknowledge: {description['HowToAcknowledge']}", ""]
    lines += ["Do not try to find out who a participant is. If you recognise one, tell the data's steward and nobody else.", ""]
    return "\n".join(lines)


def subjects(root: Path) -> list[str]:
    """`sub-*` folders of a dataset, sorted."""
    return sorted(path.name for path in root.glob("sub-*") if path.is_dir())


def _write_participants(root: Path, rows: Rows | None) -> None:
    given = {str(row.get("participant_id", "")): row for row in rows or []}
    if rows is not None and len(given) < len(rows):
        raise BidsError("rows_doubled", "Two rows speak of one participant.", "Keep one row of each.")
    table = tables.participants([{"species": "homo sapiens", **given.get(name, {}), "participant_id": name} for name in subjects(root)])
    _write(root / "participants.tsv", table.tsv)
    _write(root / "participants.json", table.json())


def _write_sessions(root: Path, rows: Rows | None) -> None:
    for name in subjects(root):
        labels = sorted(path.name for path in (root / name).glob("ses-*") if path.is_dir())
        if not labels:
            continue
        given = {str(row.get("session_id")): {k: v for k, v in row.items() if k != "participant_id"} for row in rows or [] if row.get("participant_id") == name}
        table = tables.sessions([{**given.get(label, {}), "session_id": label} for label in labels])
        _write(root / name / f"{name}_sessions.tsv", table.tsv)
        _write(root / name / f"{name}_sessions.json", table.json())


def _write_scans(root: Path, rows: Rows | None) -> None:
    """One scans.tsv per session, for rows whose file is in the dataset."""
    groups: dict[PurePosixPath, list[dict[str, Any]]] = {}
    for row in rows or []:
        path = PurePosixPath(str(row["filename"]))
        if not (root / path).is_file():
            continue
        folder = path.parent.parent
        groups.setdefault(folder, []).append({**row, "filename": str(path.relative_to(folder))})
    for folder, members in sorted(groups.items()):
        table = tables.scans(members)
        stem = "_".join(folder.parts)
        _write(root / folder / f"{stem}_scans.tsv", table.tsv)
        _write(root / folder / f"{stem}_scans.json", table.json())


def _write_phenotype(root: Path, phenotype: Mapping[str, Mapping[str, Any]]) -> None:
    here = set(subjects(root))
    for name, content in sorted(phenotype.items()):
        table = tables.phenotype(name, [row for row in content["rows"] if row.get("participant_id") in here], content["dictionary"])
        _write(root / "phenotype" / f"{name}.tsv", table.tsv)
        _write(root / "phenotype" / f"{name}.json", table.json())
