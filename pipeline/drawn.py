"""The step that ties what people drew to the images it was drawn on, and says what several of them say together.

A mask belongs to one image of its visit by its grid. One that fits no image, but comes with the site's transforms of images of several visits, lies in
a space of its own: the images are brought there (`bidstree.common_space`), and the mask names all of them. Where several people marked one thing on one
image, their consensus is written beside (`bidstree.consensus`). All of it hangs on an image, and is withheld, refused and withdrawn with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import chain, count
from pathlib import Path, PurePosixPath
from typing import Any

from bidstree import common_space
from bidstree import masks as drawn
from bidstree.errors import BidsError
from pipeline import handed
from pipeline.codes import verdict
from pipeline.study import CONVERT, Image, Work, part
from pipeline.workspace import private, write_json

__all__ = ["masks"]

Marked = dict[tuple[str, str, str], list[str]]


def masks(work: Work) -> None:
    """Tie each mask to the image it was drawn on; then write what raters say together."""
    images = {image.bids: image for image in work.images if not image.contrast.get("derived") or image.moved}
    beside = handed.neighbours(work)
    out = work.place("masks")
    for n in work.masks:  # never another image instead of one that stays here
        if word := handed.lost(work, n):
            work.refuse([n], word)
    numbers = [n for n in work.masks if work.rows[n].verdict.verdict == "kept"]
    items = [item(work, n, images, beside.get(n, []), out) for n in numbers]
    used: dict[tuple[str, str], int] = defaultdict(int)
    marked: Marked = defaultdict(list)
    spaces: dict[str, str] = {}
    for n, answer in zip(numbers, work.each("masks", "attach", items, CONVERT), strict=True):
        if answer.death is None:
            one_image(work, n, answer.value, images, out, used, marked, beside.get(n, []))
        elif answer.death.code not in ("mask_other_grid", "mask_without_image") or not over_visits(work, n, images, beside.get(n, []), out, used, spaces):
            work.refuse([n], *part(answer.death))
    together(work, images, marked)
    unasked(work, images)


def one_image(
    work: Work, n: int, row: dict[str, Any], images: dict[str, Image], out: Path, used: dict[tuple[str, str], int], marked: Marked, beside: list[int]
) -> None:
    """Write a mask that lies on one image under its name."""
    label = "" if row["kind"] == "dseg" else row["label"]
    name = named(work, n, (row["image"], row["label"]), used, lambda rater: drawn.path(PurePosixPath(row["image"]), label, rater, row["kind"]))
    if not name:
        return
    place(work, out / f"{n}.nii.gz", name, drawn.sidecar(row["image"], row["type"], row["how"], kind=row["kind"], labels=row["labels"]))
    take(work, images[row["image"]], [name], [n, *beside])
    if row["kind"] == "mask" and "fourth" not in row["how"]:
        marked[(row["image"], row["label"], row["type"])].append(name)


def named(work: Work, n: int, key: tuple[str, str], used: dict[tuple[str, str], int], path: Callable[[str], PurePosixPath]) -> str:
    """The path of a mask that nothing has yet: two of one rater and label are two drawings. Empty where BIDS has no name for it, and it is refused."""
    used[key] += 1
    rater = work.order.said.get(n, {}).get("rater") or f"rater{used[key]}"
    try:
        names = (path(word).as_posix() for word in chain([rater], (f"{rater}x{k}" for k in count(used[key]))))
        return next(name for name in names if not (work.bids / name).exists())
    except BidsError as error:
        work.refuse([n], verdict(error.code, error.reason, error.advice))
        return ""


def unasked(work: Work, images: dict[str, Image]) -> None:
    """An image that the site registered or stripped is kept for the mask that was drawn on it, and for nothing else; one in a template's space for itself."""
    for image in images.values():
        if image.moved and not image.space and not any(name.endswith(("_mask.nii.gz", "_dseg.nii.gz", "_probseg.nii.gz")) for name in image.products):
            for name in image.products:
                (work.bids / name).unlink(missing_ok=True)
            image.products = []
            work.withhold(image, verdict("no_mask_on_it"))


def item(work: Work, n: int, images: dict[str, Image], beside: list[int], out: Path) -> dict[str, Any]:
    """What a child is told of one mask: the images of its visit (of all, where its visit is not told), their zones, and what the sender said."""
    visit = handed.visit_of(work, n)
    mine = sorted(name for name, image in images.items() if visit in ("", image.session))
    asked = {"prefer": handed.kin(work, n), "resample": bool(work.order.said.get(n, {}).get("resample"))}
    asked |= {"gone": {name: gone(work, images[name].session, images[name].space) for name in mine}, "bare": [name for name in mine if not images[name].zone]}
    return told(work, n, beside, out) | asked | {"images": {name: str(work.bids / name) for name in mine}}


def told(work: Work, n: int, beside: list[int], out: Path) -> dict[str, Any]:
    """What a child is told of a mask wherever it lies: the file, the words for it, and what its values mean."""
    hint = work.order.said.get(n, {}).get("annotation") or Path(handed.names_of(work, n)).name
    same = {"path": str(work.sources[n].path), "sha256": work.rows[n].sha256, "out": str(out / f"{n}.nii.gz"), "hint": hint}
    return same | handed.dictionary(work, n, beside)


def gone(work: Work, session: str, space: str = "", *, registered: bool = True) -> list[str]:
    """The zones of one visit in one space, a template's or the person's own: of withheld images too, for a face is one wherever its image went.

    `registered`: also those of images that the site moved.
    """
    here = [image for image in work.all_images if (image.session, image.space) == (session, space) and image.zone]
    return [str(image.zone) for image in here if registered or not image.moved]


def place(work: Work, source: Path, name: str, fields: dict[str, Any]) -> None:
    """Put an annotation and its JSON where they belong, unless they lie there already."""
    if (work.bids / name).exists():
        return
    private((work.bids / name).parent)
    source.rename(work.bids / name)
    write_json(work.bids / (name.removesuffix(".nii.gz") + ".json"), fields)


def take(work: Work, image: Image, names: list[str], files: list[int]) -> None:
    """Count annotations, and what lies beside them, among the products of the image they hang on; `files`: the input files they came from."""
    new = [path for name in names for path in (name, name.removesuffix(".nii.gz") + ".json")]
    image.products += [path for path in new if path not in image.products]
    for n in files:
        work.rows[n].product = work.rows[n].product or names[0]


def over_visits(work: Work, n: int, images: dict[str, Image], beside: list[int], out: Path, used: dict[tuple[str, str], int], spaces: dict[str, str]) -> bool:
    """Whether a mask lies in a space of its own to which transforms lead from images of several visits; then it is placed there.

    `spaces`: grid -> name of the space, for each that a mask of this study has: on one grid the images are brought once, on another they are others.
    """
    ways = transforms(work, {name: image for name, image in images.items() if not image.moved})
    if len({images[name].session for name in ways}) < 2:
        return False
    names = sorted(ways, key=lambda name: (images[name].session, name))
    paths = {name: [str(work.bids / name), str(work.sources[ways[name]].path), str(out / f"{n}-{k}.nii.gz")] for k, name in enumerate(names)}
    moved = {str(image.zone) for image in work.all_images if image.zone and image.moved and not image.space}
    zones = {"gone": {name: gone(work, images[name].session, registered=False) for name in names}, "here": sorted(moved)}
    (answer,) = work.each("masks", "common", [told(work, n, beside, out) | zones | {"images": paths}], CONVERT)
    if answer.death:
        work.refuse([n], *part(answer.death))
        return True
    space = spaces.setdefault(answer.value["grid"], f"common{len(spaces) + 1 if spaces else ''}")
    in_common(work, n, answer.value, images, {name: Path(paths[name][2]) for name in names}, ways, space, beside, out, used)
    return True


def in_common(
    work: Work, n: int, row: dict[str, Any], images: dict[str, Image], made: dict[str, Path], ways: dict[str, int], space: str, beside: list[int],
    out: Path, used: dict[tuple[str, str], int],
) -> None:  # fmt: skip
    """Write a mask over several visits, and the images that were brought to it (`made`: image -> file, in the order of visits)."""
    later = list(made)[-1]
    label = "" if row["kind"] == "dseg" else row["label"]
    mask = named(work, n, (later, space + row["label"]), used, lambda rater: common_space.mask_path(later, label, rater, row["kind"], space=space))
    if not mask:
        return
    brought = {name: common_space.brought_path(name, space=space).as_posix() for name in made}
    for name, source in made.items():
        place(work, source, brought[name], common_space.brought_sidecar(name))
        take(work, images[name], [brought[name]], [ways[name]])
    fields = common_space.mask_sidecar(list(made), brought[later], row["type"], kind=row["kind"], how=row["how"], labels=row["labels"])
    place(work, out / f"{n}.nii.gz", mask, fields)
    take(work, images[later], [mask], [n, *beside])


def transforms(work: Work, images: dict[str, Image]) -> dict[str, int]:
    """Image -> number of the transform that leads from it to a space over several visits: the only one beside it, or the one whose name says so."""
    own = {n: image for image in images.values() for n in image.files if n in work.volumes}
    ways = {n: handed.names_of(work, n) for n, kind in work.companions.items() if kind == "transform"}
    found = {}
    for n, beside in handed.neighbours(work).items():
        mine = [m for m in beside if m in ways]
        named = [m for m in mine if "common" in PurePosixPath(ways[m]).name.lower()]
        chosen = named or mine
        if n in own and len(chosen) == 1:
            found[own[n].bids] = chosen[0]
    # A name that says it goes before one that says nothing: a transform within one visit leads elsewhere.
    said = {name for name, m in found.items() if "common" in PurePosixPath(ways[m]).name.lower()}
    return {name: m for name, m in found.items() if name in said or not said}


def together(work: Work, images: dict[str, Image], marked: Marked) -> None:
    """Majority, STAPLE and agreement of the masks that several raters made of one thing on one image."""
    several = {key: names for key, names in marked.items() if len(names) > 1}
    items = [{"root": str(work.bids), "image": image, "products": names, "label": label, "type": kind} for (image, label, kind), names in several.items()]
    for one, answer in zip(items, work.each("masks", "consensus", items, CONVERT), strict=True):
        if not answer.death:
            take(work, images[str(one["image"])], list(answer.value), [])
