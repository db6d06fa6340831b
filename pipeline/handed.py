"""The step that takes what a site handed in as NIfTI: images go the way of converted ones from here on, masks wait for them.

Only a study without any DICOM is such a visit: among DICOM a NIfTI is a mask or nothing, for a second copy of a series would be a second image; but for
one that its sender calls registered or skull-stripped, which is kept as a derivative if a mask was drawn on it, and one that its sender brought to the
space of a template, which is kept for its own sake.
Geometry is believed as it stands (nobody can check it without DICOM), and the provenance says so: `one_only`, `geometry` "as handed in".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline import given, made
from pipeline.codes import Verdict
from pipeline.study import CONVERT, Image, Series, Work, part

__all__ = ["dictionary", "images", "kin", "lost", "names_of", "native", "neighbours", "session_of", "visit_of"]


def images(work: Work) -> None:
    """Make an image of each NIfTI file of a visit without DICOM that is no annotation."""
    alone = not set(work.rows) - {*work.masks, *work.companions}
    beside = neighbours(work)
    numbers = [n for n in work.masks if alone or {"processed", "space"} & work.order.said.get(n, {}).keys()]
    items = [item(work, n, beside.get(n, [])) for n in numbers]
    for n, one, answer in zip(numbers, items, work.each("handed", "handed", items, CONVERT), strict=True):
        if Path(one["removed"]).exists():
            work.removed.append(one["removed"])
        if answer.death:
            work.masks.remove(n)
            work.refuse([n], *part(answer.death))
        elif not answer.value["drawn"]:
            work.masks.remove(n)
            work.all_images.append(image(work, n, beside.get(n, []), one, answer.value))
    # Runs are numbered by content, so that a second upload of the same files gives the same names.
    if alone:
        work.all_images.sort(key=lambda one: (one.session, one.series.uid))
    made.doubt(work)


def neighbours(work: Work) -> dict[int, list[int]]:
    """Number of each NIfTI file -> the small files that lie beside it."""
    return given.beside({n: names_of(work, n) for n in work.volumes}, {n: names_of(work, n) for n in work.companions}, belonging(work))


def item(work: Work, n: int, beside: list[int]) -> dict[str, Any]:
    """What a child is told of one NIfTI file: paths, hashes, what the sender said, and the files beside it."""
    others = [{"kind": work.companions[m], "path": str(work.sources[m].path), "sha256": work.rows[m].sha256} for m in beside]
    said = {name: value for name, value in work.order.said.get(n, {}).items() if name != "session"}
    out = work.place("handed")
    return {"path": str(work.sources[n].path), "sha256": work.rows[n].sha256, "name": names_of(work, n), "said": said, "beside": others} | {
        "out": str(out / f"{n:06d}.nii"),
        "removed": str(out / f"{n}.json"),
    }


def image(work: Work, n: int, beside: list[int], one: dict[str, Any], value: dict[str, Any]) -> Image:
    """An image of a NIfTI file. Its files are the NIfTI itself and what was read beside it."""
    series = Series(str(one["sha256"]), 0, Path(str(one["out"])).parent, facts=value["facts"])
    numbers = sorted([n, *(m for m in beside if work.companions[m] != "transform")])
    conversion = {"verdict": "one_only", "geometry": "as handed in", "values": "as handed in", "second": "not_asked", **value["measures"]}
    row = Image(f"handed/{n:06d}", series, numbers, Path(value["nifti"]), value["sidecar"], value["bval"], value["bvec"], conversion, value["contrast"])
    row.session = session_of(work, n)
    return row


def session_of(work: Work, n: int) -> str:
    """The visit of one file: what the order says of it, else the order's."""
    return str(work.order.said.get(n, {}).get("session") or work.order.session)


def names_of(work: Work, n: int) -> str:
    """Where a file lay, for matching against vocabularies and with other names of the same upload; it goes nowhere."""
    return work.sources[n].name


def belonging(work: Work) -> dict[int, int]:
    """Number -> number of the file that it belongs to, where the sender said so."""
    return {n: int(row["beside"]) for n, row in work.order.said.items() if "beside" in row}


def native(work: Work, image: Image) -> Image | None:
    """The image that another was made from, by its sender's word (`beside`), where that one goes out."""
    told = {belonging(work).get(n) for n in image.files if n in work.volumes}
    return next((one for one in work.images if one is not image and told & set(one.files)), None)


def dictionary(work: Work, n: int, beside: list[int]) -> dict[str, Any]:
    """What a child is told of the meaning of a mask's values: `labels` as the sender said, and the sidecars `beside` it, which the child alone reads."""
    sidecars = [m for m in beside if work.companions[m] == "sidecar"]
    files = [{"path": str(work.sources[m].path), "sha256": work.rows[m].sha256} for m in sidecars]
    return {"labels": dict(work.order.said.get(n, {}).get("labels") or {}), "beside": files}


def visit_of(work: Work, n: int) -> str:
    """The visit of a mask, where its sender told it, or told which image it belongs to; else nothing, and its grid says it."""
    told = belonging(work).get(n)
    own = next((image.session for image in work.all_images if told in image.files), "")
    return str(work.order.said.get(n, {}).get("session") or own)


def stems(work: Work, n: int) -> list[Image]:
    """Images of the mask's visit whose own names begin the mask's: the longest name first, and images that go out before those that do not."""
    own, visit = given.stem(names_of(work, n)), visit_of(work, n)
    mine = {image.key: given.stem(names_of(work, image.files[0])) for image in work.all_images if image.key.startswith("handed/")}
    found = [image for image in work.all_images if (word := mine.get(image.key)) and own.startswith(word) and visit in ("", image.session)]
    return sorted(found, key=lambda image: (-len(mine[image.key]), image.withheld is not None))


def kin(work: Work, n: int) -> list[str]:
    """BIDS paths of images that a mask belongs to by its sender's word or by its name: of several on one grid they go first."""
    told = belonging(work).get(n)
    return [image.bids for image in work.images if told in image.files] + [image.bids for image in stems(work, n) if image.withheld is None]


def lost(work: Work, n: int) -> Verdict | None:
    """Why a mask has lost its image: the verdict of the image (or of its file) that its sender or its name says it was drawn on; None where it is there."""
    told = belonging(work).get(n)
    if told in work.rows:
        words = [image.withheld for image in work.all_images if told in image.files]
        held = work.rows[told].verdict
        return None if None in words else words[0] if words else held if held.verdict != "kept" else None
    return next((image.withheld for image in stems(work, n)), None)
