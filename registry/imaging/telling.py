"""An image in words: what it is, what de-identification did to it, and how good it is; from the account kept with it, never from a header.

Pages and screens without WebGL read these; nothing here asks the policy: the image was found through `queries.images`.
"""

from __future__ import annotations

import gzip
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.utils.translation import gettext_lazy as _

from deid import profile as profiles
from deid.errors import ProfileError
from registry.access import filekinds
from registry.accounts.models import User
from registry.imaging import queries, store
from registry.imaging.models import Image, StoredFile

HEADER = 348
# What a verdict about the face means, for who does not know the words.
FACES: Mapping[str, Any] = {
    "defaced": _("The face was removed, and every question put to the result was answered well."),
    "no_face": _("There is no face in view, shown by geometry, so nothing had to be cut."),
    "exempt": _("The dataset's policy names this kind of volume as one that shows no face; nothing was cut."),
    "review": _("The face was removed, but one of the checks is in doubt: a person looks before it is believed."),
    "orbit_restricted": _("It was made of the orbits, which cutting would destroy: nothing was cut, and it is given out in restricted views only."),
    "withheld": _("Nothing of it goes on: that the face is gone could not be shown."),
}
DONE: Mapping[str, Any] = {
    "removed": _("removed"),
    "replaced": _("replaced by a keyed code or a value that says nothing"),
    "moved": _("moved in time by the participant's secret shift"),
    "emptied": _("emptied"),
    "cleaned": _("cleaned: names, numbers, dates and unknown words were taken out"),
    "written": _("written anew, to say what was done"),
    "kept": _("kept after a check"),
}


# --- the volume ------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Extent:
    """Voxels along each axis and their size in mm; `frames`: how many volumes there are."""

    voxels: tuple[int, ...]
    mm: tuple[float, ...]
    frames: int = 1


@dataclass(frozen=True)
class Mask:
    """A mask that can be laid over an image. `drawn_here`: it was drawn on this very image; otherwise the scanner's coordinates lay it there."""

    file: StoredFile
    name: str
    drawn_here: bool


@dataclass(frozen=True)
class Layers:
    """What a viewer shows of an image: a volume (None: there is none), its extent (None: it cannot be read), and masks."""

    base: StoredFile | None = None
    extent: Extent | None = None
    masks: tuple[Mask, ...] = field(default=())


def extent(path: Path) -> Extent | None:
    """Read from the first 348 bytes of a NIfTI-1 file, packed or not; None for what is none."""
    try:
        with path.open("rb") as raw:
            head = raw.read(HEADER)
            if head[:2] == b"\x1f\x8b":
                raw.seek(0)
                with gzip.open(raw) as packed:
                    head = packed.read(HEADER)
        order = next(mark for mark in "<>" if struct.unpack_from(f"{mark}i", head)[0] == HEADER)
        dims, sizes = struct.unpack_from(f"{order}8h", head, 40), struct.unpack_from(f"{order}8f", head, 76)
    except (OSError, EOFError, struct.error, StopIteration):
        return None
    return Extent(tuple(dims[1:4]), tuple(round(abs(size), 2) for size in sizes[1:4]), max(1, dims[4] if dims[0] > 3 else 1))


def layers(asker: User, image: Image) -> Layers:
    """The volume of an image and the masks of its visit, in its space, that the asker may see. Of a mask the volume is what it was drawn on.

    An image that was registered or normalised lies under derivatives as its masks do: what is drawn is told by the name.
    """
    visible = list(queries.images(asker).filter(visit=image.visit_id).exclude(state=Image.State.REFUSED).defer("provenance"))
    visible += [image] if image.pk not in {one.pk for one in visible} else []
    files = [(one, file) for one in visible for file in one.files.all()]
    drawn = [(one, file, _sources(one, file)) for one, file in files if filekinds.ANNOTATION.search(file.path) and file.kind == "annotation"]
    base = next((file for one, file in files if one.pk == image.pk and file.path == image.bids_path and not filekinds.ANNOTATION.search(file.path)), None)
    if base is None:  # the image is a mask
        of = next((sources for one, _file, sources in drawn if one.pk == image.pk), frozenset())
        base = next((file for _one, file in files if file.path in of and not filekinds.ANNOTATION.search(file.path)), None)
    drawn = [(one, file, sources) for one, file, sources in drawn if base is None or filekinds.space(file.path) == filekinds.space(base.path)]
    masks = sorted((Mask(file, mask_name(file.path), base is not None and base.path in sources) for _one, file, sources in drawn), key=lambda one: one.name)
    if base is None and masks:  # its image is not here: it is shown alone
        base = next((mask.file for mask in masks if mask.file.image_id == image.pk), None)
        masks = [mask for mask in masks if mask.file != base]
    known = extent(store.path(image.visit.participant, base.sha256)) if base else None
    return Layers(base, known, tuple(masks))


def _sources(image: Image, file: StoredFile) -> frozenset[str]:
    """The paths that a mask's sidecar says it was drawn on."""
    beside = re.sub(r"\.nii(\.gz)?$", ".json", file.path)
    sidecar = next((other for other in image.files.all() if other.path == beside), None)
    if sidecar is None:
        return frozenset()
    try:
        told = json.loads(store.path(image.visit.participant, sidecar.sha256).read_bytes())
    except (OSError, ValueError):
        return frozenset()
    sources = told.get("Sources") if isinstance(told, dict) else None
    return frozenset(filekinds.addressed(sources or ()))


def mask_name(path: str) -> str:
    """What a mask is called on a page: its label, its rater, and the space it is in."""
    told = dict(part.split("-", 1) for part in path.rsplit("/", 1)[-1].split("_") if "-" in part)
    words = [told.get("label", ""), told.get("desc", ""), told.get("space", "")]
    return " · ".join(word for word in words if word) or "mask"


# --- de-identification -----------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Deidentified:
    """What was done, as sentences and one table. `rows`: (keyword, tag, what was done, how often, why, what the profile says of it)."""

    profile: str
    version: str
    face: Any
    face_reason: str
    covered: int
    totals: tuple[tuple[Any, int], ...]
    review: tuple[tuple[str, int], ...]
    rows: tuple[dict[str, Any], ...]


def deidentified(image: Image) -> Deidentified:
    """From the account that came with the image."""
    deid, face = image.provenance.get("deid") or {}, image.provenance.get("deface") or {}
    account = deid.get("account") or {}
    totals = account.get("totals") or {}
    name = str(account.get("profile") or deid.get("profile") or "")
    return Deidentified(
        profile=name,
        version=str(account.get("version") or ""),
        face=FACES.get(image.deface_verdict, image.deface_verdict),
        face_reason=str(face.get("reason") or ""),
        covered=int(deid.get("masked_files") or 0),
        totals=tuple((DONE[word], totals[word]) for word in DONE if totals.get(word)),
        review=tuple((account.get("review") or {}).items()),
        rows=tuple(_row(row, name) for row in account.get("elements") or ()),
    )


def _row(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    try:
        policy = profiles.load(name).explain(str(row["tag"]))
    except ProfileError:  # a profile of before, which is here no more
        policy = ""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", str(row.get("keyword") or ""))
    return {**row, "name": words or row["tag"], "what": DONE.get(row["done"], row["done"]), "policy": policy}


# --- quality ---------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Quality:
    """A quality report for people: `measures` are (name, value, unit, percentile), the ones that drove the grade first."""

    grade: str
    reasons: tuple[str, ...]
    flags: tuple[str, ...]
    norm: str
    measures: tuple[dict[str, Any], ...]
    unavailable: tuple[tuple[str, str], ...]
    protocol: Mapping[str, Any]
    has_page: bool


def quality(image: Image) -> Quality:
    """The report that came with the image."""
    told = image.provenance.get("quality") or {}
    metrics, first = told.get("metrics") or {}, list(told.get("drivers") or ())
    order = [*(name for name in first if name in metrics), *(name for name in metrics if name not in first)]
    return Quality(
        grade=image.grade,
        reasons=tuple(told.get("reasons") or ()),
        flags=tuple(told.get("flags") or ()),
        norm=str(told.get("norm") or ""),
        measures=tuple(_measure(name, metrics[name], name in first) for name in order),
        unavailable=tuple((told.get("unavailable") or {}).items()),
        protocol=image.provenance.get("protocol") or {},
        has_page=queries.has_quality(image),
    )


def _measure(name: str, entry: Any, drives: bool) -> dict[str, Any]:
    told = entry if isinstance(entry, Mapping) else {"value": entry}
    value = told.get("value")
    shown = f"{value:.4g}" if isinstance(value, float) else value
    return {"name": name, "value": shown, "unit": told.get("unit", ""), "percentile": told.get("percentile"), "drives": drives}
