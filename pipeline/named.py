"""The steps that name and publish: names, pictures, verify. Their order is in `pipeline.steps`."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from bidstree import fieldmaps, masks, perfusion, sidecar
from bidstree import names as bids_names
from bidstree.errors import BidsError
from pipeline import handed
from pipeline.codes import verdict
from pipeline.study import CONVERT, READ, Image, Work, part
from pipeline.workspace import private, write_json

__all__ = ["beside", "names", "pictures", "verify"]


def names(work: Work) -> None:
    """Give each image its BIDS name and write NIfTI, sidecar and gradients under it.

    An image that was withheld is named too, so that people can speak of it and the numbers of its siblings do not change when it is set right.
    """
    named: list[tuple[Image, bids_names.Named]] = []
    labelled = {image.session for image in work.images if image.contrast["suffix"] == "asl"}
    for image in work.images:
        if image.contrast["suffix"] == "m0scan" and image.session not in labelled:
            work.withhold(image, verdict("perfusion_incomplete", "A calibration scan without the labelled images that it calibrates.", "Name those as well."))
    for image in work.all_images:
        kind = image.contrast
        if kind["code"] != "ok":
            continue
        one = bids_names.Named(
            work.order.label, image.session, kind["datatype"], kind["suffix"], kind["entities"], (image.series.number, image.series.uid, image.key)
        )
        try:
            one.path()
        except BidsError as error:
            work.withhold(image, image.withheld or verdict(error.code, error.reason, error.advice))
            continue
        named.append((image, one))
    for desc, space in sorted({(desc_of(image), image.space) for image, _ in named}):
        mine = [(image, one) for image, one in named if (desc_of(image), image.space) == (desc, space)]
        for (image, _), final in zip(mine, bids_names.number_runs([one for _, one in mine]), strict=True):
            folder = masks.FOLDER if image.moved else "scanner"
            image.bids = (bids_names.derived(final.path(), desc, folder, space) if desc or space else final.path()).as_posix()
    write(work)


def desc_of(image: Image) -> str:
    """The `desc-` of an image that was computed from others; empty for any other."""
    return str(image.contrast.get("derived") or "")


def write(work: Work) -> None:
    """Write the files of each image; an image that cannot be written is withheld."""
    images = work.images
    for image in images:
        private((work.bids / image.bids).parent)
    items = [{"nifti": str(image.nifti), "out": str(work.bids / image.bids)} for image in images]
    for image, answer in zip(images, work.each("names", "save", items, CONVERT), strict=True):
        if answer.death:
            work.withhold(image, part(answer.death)[0])
            continue
        image.products.append(image.bids)
        add(work, image, ".json")
        for extension, source in ((".bval", image.bval), (".bvec", image.bvec)):
            if source and image.contrast["datatype"] == "dwi":
                add(work, image, extension).write_bytes(Path(source).read_bytes())
        if image.contrast.get("context"):
            add(work, image, "context.tsv").write_text(perfusion.table(image.contrast["context"]), encoding="utf-8")
    beside(work)


def beside(work: Work) -> None:
    """Write the sidecar of each image that goes out. A field map names the images that it serves, and these name it; one that was withheld is not named."""
    images = [image for image in work.images if image.products]
    links: dict[str, dict[str, Any]] = {}
    for session in {image.session for image in images}:
        links |= fieldmaps.link([fieldmaps.scan(image.bids, image.series.number, image.sidecar) for image in images if image.session == session])
    for image in images:
        fields = sidecar.clean(image.sidecar | image.contrast["fields"] | links.get(image.bids, {}) | {"Defaced": image.zone is not None})
        fields |= {"SkullStripped": image.contrast.get("processed") == "skullstripped"} if desc_of(image) or image.space else {}
        fields |= normalised(work, image) if image.space else {}
        write_json(work.bids / (image.bids.removesuffix(".nii.gz") + ".json"), fields)


def normalised(work: Work, image: Image) -> dict[str, Any]:
    """What the sidecar of an image in a template's space says: the space, and from which image it was made, where its sender said so and that one goes out."""
    source = handed.native(work, image)
    return {"SpatialReference": image.space} | ({"Sources": [masks.address(source.bids)]} if source and source.products else {})


def add(work: Work, image: Image, extension: str) -> Path:
    """The path of another file of an image, counted among its products."""
    name = image.bids.removesuffix(".nii.gz") + extension
    image.products.append(name)
    return work.bids / name


def pictures(work: Work) -> None:
    """Move the renderings to review/ under the image's name, and draw the strip of its quality."""
    named = [image for image in work.all_images if image.bids]
    items = []
    for image in named:
        stem = PurePosixPath(image.bids).name.removesuffix(".nii.gz")
        for kind, path in sorted(image.pictures.items()):
            image.review.append(f"{stem}_{kind}.png")
            Path(path).rename(work.review / image.review[-1])
        stages = [stage for stage, report in (("pre-deface", image.before), ("post-deface", image.after)) if report]
        drawn = {"pictures": [work.arrays(image, stage) for stage in stages]}
        items.append(drawn | {"reports": [report for report in (image.before, image.after) if report], "out": str(work.review / f"{stem}_quality.png")})
    for image, item, answer in zip(named, items, work.each("pictures", "strip", items, READ), strict=True):
        if not answer.death:
            image.review.append(Path(str(item["out"])).name)


def verify(work: Work) -> None:
    """Search all products for what was removed; an image with a finding is withheld and nothing of it stays."""
    images = work.images
    same = {"root": str(work.bids), "removed": work.removed, "keys": dict(work.order.keys), "code": work.order.participant}
    items = [same | {"paths": image.products} for image in images]
    for image, answer in zip(images, work.each("verify", "verify", items, CONVERT), strict=True):
        if not answer.death and not answer.value:
            continue
        for name in image.products:
            (work.bids / name).unlink(missing_ok=True)
        for n in [n for n in work.masks if work.rows[n].product in image.products]:
            work.rows[n].product = None
            work.refuse([n], verdict("identity_left"))
        image.products = []
        image.deface.setdefault("findings", sorted({finding["kind"] for finding in answer.value or []}))
        work.withhold(image, part(answer.death)[0] if answer.death else verdict("identity_left"))
    if len(work.images) < len(images):  # nothing that goes out may name what does not
        beside(work)
