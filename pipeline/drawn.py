"""The step that ties what people drew to the images it was drawn on, and says what several of them say together.

A mask belongs to one image of its visit by its grid. One that fits no image, but comes with the site's transforms of images of several visits, lies in
a space of its own: the images are brought there (`bidstree.common_space`), and the mask names all of them. Where several people marked one thing on one
image, their consensus is written beside (`bidstree.consensus`). All of it hangs on an image, and is withheld, refused and withdrawn with it.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from bidstree import common_space
from bidstree import masks as drawn
from pipeline import handed
from pipeline.codes import verdict
from pipeline.study import CONVERT, Image, Work, part
from pipeline.workspace import private, write_json

__all__ = ["masks"]

Marked = dict[tuple[str, str, str], list[str]]


def masks(work: Work) -> None:
    """Tie each mask to the image it was drawn on; then write what raters say together."""
    images = {image.bids: image for image in work.images if not image.contrast.get("derived") or image.contrast.get("processed")}
    beside = handed.neighbours(work)
    out = work.place("masks")
    items = [item(work, n, images, beside.get(n, []), out) for n in work.masks]
    used: dict[tuple[str, str], int] = defaultdict(int)
    marked: Marked = defaultdict(list)
    for n, one, answer in zip(list(work.masks), items, work.each("masks", "attach", items, CONVERT), strict=True):
        if answer.death:
            if answer.death.code != "mask_other_grid" or not over_visits(work, n, images, out):
                work.refuse([n], *part(answer.death))
            continue
        row: dict[str, Any] = answer.value
        key = (row["image"], row["label"])
        used[key] += 1
        rater = work.order.said.get(n, {}).get("rater") or f"rater{used[key]}"
        label = "" if row["kind"] == "dseg" else row["label"]
        name = drawn.path(PurePosixPath(row["image"]), label, rater, row["kind"]).as_posix()
        if (work.bids / name).exists():  # two masks of one rater and label: the second is another drawing
            name = drawn.path(PurePosixPath(row["image"]), label, f"{rater}x{used[key]}", row["kind"]).as_posix()
        place(work, out / f"{n}.nii.gz", name, drawn.sidecar(row["image"], row["type"], row["how"], kind=row["kind"], labels=one["labels"]))
        take(work, images[row["image"]], [name], [n, *beside.get(n, [])])
        if row["kind"] == "mask" and "fourth" not in row["how"]:
            marked[(row["image"], row["label"], row["type"])].append(name)
    together(work, images, marked)
    unasked(work, images)


def unasked(work: Work, images: dict[str, Image]) -> None:
    """An image that the site registered or stripped is kept for the mask that was drawn on it, and for nothing else."""
    for image in images.values():
        if image.contrast.get("processed") and not any(name.endswith(("_mask.nii.gz", "_dseg.nii.gz", "_probseg.nii.gz")) for name in image.products):
            for name in image.products:
                (work.bids / name).unlink(missing_ok=True)
            image.products = []
            work.withhold(image, verdict("no_mask_on_it"))


def item(work: Work, n: int, images: dict[str, Image], beside: list[int], out: Path) -> dict[str, Any]:
    """What a child is told of one mask: the images of its visit (of all, where its visit is not told), and what the sender said."""
    said = work.order.said.get(n, {})
    mine = {name for name, image in images.items() if image.session == said.get("session")} or set(images)
    shown = {name: str(work.bids / name) for name in sorted(mine)}
    words = {"hint": said.get("annotation") or Path(handed.names_of(work, n)).name, "prefer": handed.kin(work, n)}
    same = {"path": str(work.sources[n].path), "sha256": work.rows[n].sha256, "out": str(out / f"{n}.nii.gz")}
    asked = {"resample": bool(said.get("resample"))}
    return same | words | asked | {"images": shown, "labels": handed.dictionary(work, n, beside)}


def place(work: Work, source: Path, name: str, fields: dict[str, Any]) -> None:
    """Put an annotation and its JSON where they belong."""
    private((work.bids / name).parent)
    source.rename(work.bids / name)
    write_json(work.bids / (name.removesuffix(".nii.gz") + ".json"), fields)


def take(work: Work, image: Image, names: list[str], files: list[int]) -> None:
    """Count annotations, and what lies beside them, among the products of the image they hang on; `files`: the input files they came from."""
    image.products += [path for name in names for path in (name, name.removesuffix(".nii.gz") + ".json")]
    for n in files:
        work.rows[n].product = work.rows[n].product or names[0]


def over_visits(work: Work, n: int, images: dict[str, Image], out: Path) -> bool:
    """Whether a mask lies in a space of its own to which transforms lead from images of several visits; then it is placed there."""
    ways = transforms(work, images)
    if len({images[name].session for name in ways}) < 2:
        return False
    names = sorted(ways, key=lambda name: (images[name].session, name))
    later, said = names[-1], work.order.said.get(n, {})
    brought = {name: common_space.brought_path(name).as_posix() for name in names}
    paths = {name: [str(work.bids / name), str(work.sources[ways[name]].path), str(out / f"{n}-{k}.nii.gz")] for k, name in enumerate(names)}
    one = {"path": str(work.sources[n].path), "sha256": work.rows[n].sha256, "images": paths, "out": str(out / f"{n}.nii.gz")}
    hint = said.get("annotation") or Path(handed.names_of(work, n)).name
    (answer,) = work.each("masks", "common", [one | {"hint": hint}], CONVERT)
    if answer.death:
        work.refuse([n], *part(answer.death))
        return True
    for name in names:
        place(work, Path(paths[name][2]), brought[name], common_space.brought_sidecar(name))
        take(work, images[name], [brought[name]], [ways[name]])
    row = answer.value
    mask = common_space.mask_path(later, row["label"], str(said.get("rater", "rater1")), row["kind"]).as_posix()
    place(work, out / f"{n}.nii.gz", mask, common_space.mask_sidecar(names, brought[later], row["type"]))
    take(work, images[later], [mask], [n])
    return True


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
