"""What a release may not hold: a file that speaks of another which is not in it.

Images are decided one by one, so a mask of two visits may lose one of its images, and a field map one that it serves. An annotation goes when any of
its `Sources` is not there; `IntendedFor` and `B0FieldSource` of the others are shortened to what is. The shortened sidecar is a file of its own in the
participant's folder of the store, so that the release's list names exactly the bytes that are given out. Nothing is written here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from bidstree import dataset
from registry.access import filekinds
from registry.imaging import store
from registry.imaging.models import StoredFile
from registry.subjects.models import Participant

LOCAL = "bids::"  # in a sidecar of the raw tree: the tree itself


def stem(path: str) -> str:
    """A path without the endings of its name: what an image, its sidecar and its gradients share."""
    head = PurePosixPath(path)
    return (head.parent / head.name.split(".")[0]).as_posix()


def kept(person: Participant, files: Iterable[StoredFile]) -> tuple[list[StoredFile], dict[str, bytes]]:
    """The files of one participant that may be in a release (rows of shortened sidecars name new bytes and are not saved), and those new bytes by hash."""
    known = {file.path: file for file in files}
    texts = {path: _read(person, file) for path, file in known.items() if path.endswith(".json")}
    while gone := {stem(path) for path, text in texts.items() if path.startswith("derivatives/") and not _sources(text) <= known.keys()}:
        known = {path: file for path, file in known.items() if stem(path) not in gone}
        texts = {path: text for path, text in texts.items() if path in known}
    known = {path: file for path, file in known.items() if stem(path) not in {stem(one) for one, text in texts.items() if _idle(one, text, known.keys())}}
    texts = {path: text for path, text in texts.items() if path in known}
    maps = {text["B0FieldIdentifier"] for text in texts.values() if isinstance(text.get("B0FieldIdentifier"), str)}
    written: dict[str, bytes] = {}
    for path, text in texts.items():
        fresh = _shortened(text, known.keys(), maps)
        if fresh != text:
            known[path], data = _rewritten(known[path], fresh)
            written[known[path].sha256] = data
    return list(known.values()), written


def _read(person: Participant, file: StoredFile) -> dict[str, Any]:
    """A sidecar from the store; empty for one that is gone or rotten, which `freezing.examine` finds by its hash and stops the release for."""
    try:
        value = json.loads(store.path(person, file.sha256).read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _sources(text: dict[str, Any]) -> set[str]:
    """Paths of the files that an annotation was made of, and of the image on whose grid it lies."""
    return filekinds.addressed([*(text.get("Sources") or []), text.get("SpatialReference") or ""])


def _idle(path: str, text: dict[str, Any], here: Iterable[str]) -> bool:
    """Whether a calibration scan calibrates nothing that is there: BIDS has no such file."""
    return stem(path).endswith("_m0scan") and not any(str(one).removeprefix(LOCAL) in here for one in text.get("IntendedFor") or [])


def _shortened(text: dict[str, Any], here: Iterable[str], maps: set[str]) -> dict[str, Any]:
    """A sidecar without names of images that are not there, and of field maps that nobody is part of any more."""
    fresh = dict(text)
    if isinstance(text.get("IntendedFor"), list):
        fresh["IntendedFor"] = [one for one in text["IntendedFor"] if str(one).removeprefix(LOCAL) in here]
    if "B0FieldSource" in text:
        named = text["B0FieldSource"] if isinstance(text["B0FieldSource"], list) else [text["B0FieldSource"]]
        left = [one for one in named if one in maps]
        fresh["B0FieldSource"] = left[0] if len(left) == 1 else left
    return {name: value for name, value in fresh.items() if value or name not in ("IntendedFor", "B0FieldSource")}


def _rewritten(file: StoredFile, text: dict[str, Any]) -> tuple[StoredFile, bytes]:
    """The row of a file with other bytes, and those."""
    data = dataset.dump(text).encode()
    return StoredFile(image_id=file.image_id, path=file.path, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), kind=file.kind), data
