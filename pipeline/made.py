"""The steps that make images of files: headers, protocol, pixels, convert, quality, faces, quality after. Their order is in `pipeline.steps`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bidstree import classify
from pipeline.codes import verdict
from pipeline.isolate import Limits
from pipeline.study import COMPUTE, CONVERT, READ, Image, Series, Work, part
from pipeline.workspace import private
from qa.protocol import body_of

KEPT_OUT = "If it should be shared, say which contrast it is; otherwise nothing need be done."

__all__ = ["convert", "faces", "headers", "pixels", "protocol"]


def headers(work: Work) -> None:
    """Write a clean copy of each DICOM file, sorted into series; NIfTI files and what lies beside them are kept for `handed` and `masks`."""
    clean, removed = work.place("clean"), work.place("removed")
    numbers = [n for n in list(work.open_files()) if not is_nifti(work, n)]
    order = work.order
    same = {"keys": dict(order.keys), "code": order.participant, "study": order.study, "profile": order.profile, "first": first(work, numbers)}
    items = [
        same | {"path": str(work.sources[n].path), "sha256": work.rows[n].sha256, "out": str(clean / f"{n:06d}.dcm"), "removed": str(removed / f"{n}.json")}
        for n in numbers
    ]
    series: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
    for n, item, answer in zip(numbers, items, work.each("headers", "clean", items, READ), strict=True):
        if Path(str(item["removed"])).exists():
            work.removed.append(str(item["removed"]))
        if answer.death:
            work.refuse([n], *part(answer.death))
            continue
        series.setdefault(answer.value["series"], []).append((answer.value["instance"], n, answer.value))
    # Numbered by the scanner's own count, so that names and runs do not depend on the order of the files.
    for uid, members in sorted(series.items(), key=lambda pair: (pair[1][0][2]["number"], pair[0])):
        work.series.append(one_series(work, uid, sorted(members, key=lambda member: member[:2]), clean))


def first(work: Work, numbers: list[int]) -> str | None:
    """The path of the file that was acquired first: the study's clock is set by it."""
    items = [{"path": str(work.sources[n].path), "keys": dict(work.order.keys)} for n in numbers]
    answers = work.workspace.each("times", "pipeline.inside:moment", items, READ)
    moments = [(answer.value, str(item["path"])) for answer, item in zip(answers, items, strict=True) if answer.value]
    return min(moments)[1] if moments else None


def one_series(work: Work, uid: str, members: list[tuple[int, int, dict[str, Any]]], clean: Path) -> Series:
    """A folder of its own for each series: converters read whatever lies beside."""
    series = Series(uid, members[0][2]["number"], work.place(f"series/{len(work.series) + 1:04d}"), facts=members[0][2]["facts"])
    for place, (_, n, value) in enumerate(members, 1):
        # dcm2niix reads files in order of name.
        name = f"{place:06d}.dcm"
        (clean / f"{n:06d}.dcm").rename(series.folder / name)
        series.files[name] = n
        series.accounts.append(value["account"])
    return series


def is_nifti(work: Work, n: int) -> bool:
    """Whether a file of the order is a NIfTI file, or one that may lie beside it (its first bytes say so; it is opened in a child only)."""
    from pipeline.inside import companion, nifti_head

    path = work.sources[n].path
    if path is None:
        return False
    if nifti_head(path):
        work.masks.append(n)
        work.volumes.append(n)
    elif kind := companion(path):
        work.companions[n] = kind
    return n in work.companions or n in work.masks


def protocol(work: Work) -> None:
    """Compare each image with the protocol for its contrast, and each visit with its purpose. What cannot be compared goes on without a verdict."""
    agreed = work.order.protocol
    profile, purposes = agreed.get("profile"), agreed.get("purposes", {})
    items = [
        {"facts": facts_of(image), "suffix": image.contrast["suffix"], "profile": profile, "purpose": purposes.get(image.session)} for image in work.images
    ]
    answers = work.each("protocol", "protocol", items, READ)
    for image, answer in zip(work.images, answers, strict=True):
        image.protocol = {"verdict": "unknown", "code": answer.death.code} if answer.death else answer.value
    visits = sorted({image.session for image in work.images} & purposes.keys())
    asked = [{"images": [shown(one) for one in work.images if one.session == name], "purpose": purposes[name], "profile": profile} for name in visits]
    for name, answer in zip(visits, work.each("protocol", "visit", asked, READ), strict=True):
        for image in work.images:
            if image.session == name and not answer.death:
                image.protocol["visit"] = answer.value


def shown(image: Image) -> dict[str, Any]:
    """What `qa.protocol.visit` asks of an image. No word about an agent does not say that there was none."""
    agent = True if "ce" in image.contrast["entities"] else None
    return {"suffix": image.contrast["suffix"], "body": body_of(facts_of(image)), "contrast_agent": agent}


def facts_of(image: Image) -> dict[str, Any]:
    """The facts of its header, with the part of the body that its words name: many scanners write one BodyPartExamined for a whole examination."""
    facts, said = image.series.facts, image.contrast["fields"].get("BodyPart")
    if said is None or (said == "BRAIN" and REGIONS.get(str(facts.get("BodyPartExamined"))) != "spine"):
        return facts
    return facts | {"BodyPartExamined": said}


def pixels(work: Work) -> None:
    """Refuse images with writing in them that could not be hidden."""
    keys = dict(work.order.keys)
    items = [{"keys": keys, "paths": [str(series.folder / name) for name in series.files]} for series in work.series]
    for series, answer in zip(work.series, work.each("pixels", "pixels", items, CONVERT), strict=True):
        if answer.death:
            drop(work, series, list(series.files), *part(answer.death))
            continue
        for row in answer.value:
            series.masked += bool(row["masked"])
            if row["code"]:
                drop(work, series, [Path(row["path"]).name], verdict(row["code"], row["reason"]))


def drop(work: Work, series: Series, names: list[str], *word: Any) -> None:
    """Files leave their series."""
    for name in names:
        work.refuse([series.files.pop(name)], *word)
        (series.folder / name).unlink(missing_ok=True)


def convert(work: Work) -> None:
    """NIfTI and sidecar of each series, and what each image shows."""
    open_ones = [series for series in work.series if series.files]
    same = {"site": work.order.site, "keys": dict(work.order.keys), "corrections": dict(work.order.corrections)}
    items = [same | {"folder": str(series.folder), "out": str(work.place(f"nifti/{n:04d}")), "facts": series.facts} for n, series in enumerate(open_ones, 1)]
    for n, (series, answer) in enumerate(zip(open_ones, work.each("convert", "convert", items, CONVERT), strict=True), 1):
        if answer.death:
            work.refuse(series.files.values(), *part(answer.death))
        elif answer.value["verdict"] == "refused":
            work.refuse(series.files.values(), verdict(answer.value["code"], answer.value["reason"], answer.value["advice"]))
        else:
            for m, row in enumerate(answer.value["images"], 1):
                work.all_images.append(one_image(f"{n:04d}/{m:02d}", series, row, work.order.session))
    doubt_agents(work.all_images)
    doubt(work)


def doubt(work: Work) -> None:
    """Withhold what has no name, and where nobody looks also what is not sure."""
    for image in work.images:
        if image.contrast["code"] != "ok":
            work.withhold(image, verdict(image.contrast["code"], image.contrast["words"], KEPT_OUT))
        elif image.conversion["verdict"] == "disagreed" and not work.steward:
            work.withhold(image, verdict("converters_disagree"))
        elif image.contrast["review"] and not work.steward:
            work.withhold(image, verdict("contrast_unsure"))


def doubt_agents(images: list[Image]) -> None:
    """An image without contrast agent that was taken after one with it is for a person to decide."""
    known = [image for image in images if image.contrast["code"] == "ok" and not image.contrast.get("corrected")]
    rows = [(image.series.number, image.contrast["suffix"], "ce" in image.contrast["entities"]) for image in known]
    for n in classify.agent_forgotten(rows):
        why = f"{known[n].contrast['words']}; taken after an image with a contrast agent, but says none"
        known[n].contrast |= {"review": True, "confidence": min(known[n].contrast["confidence"], 0.6), "words": why}


def one_image(key: str, series: Series, row: dict[str, Any], session: str) -> Image:
    """An image from what the converter said about it."""
    numbers = sorted(series.files[name] for name in row["files"] if name in series.files) or sorted(series.files.values())
    conversion = {"verdict": row["measures"].get("verdict", "one_only"), **row["measures"]}
    return Image(key, series, numbers, Path(row["nifti"]), row["sidecar"], row["bval"], row["bvec"], conversion, row["contrast"], session)


def compute(work: Work) -> Limits:
    """Limits for arithmetic on whole volumes."""
    return COMPUTE if work.order.device == "cuda" else replace(COMPUTE, address_space=True)


def faces(work: Work) -> None:
    """Take the face from all images of the visit together; where that fails as a whole, from each image alone.

    Images in a template's space are a visit of their own: nothing rigid leads from them to the others.
    """
    out = work.place("faces")
    for session, space in sorted({(image.session, image.space) for image in work.images}):
        images = {image.key: image for image in work.images if (image.session, image.space) == (session, space)}
        faces_of_visit(work, images, private(out / f"{session or 'visit'}{space and '-'}{space}"))
    spare_labels(work, out)


def faces_of_visit(work: Work, images: dict[str, Image], out: Path) -> None:
    """Take the face from the images of one visit."""
    answer = work.each("faces", "deface", [deface_item(work, images, out / "visit")], compute(work))[0]
    if answer.death is None:
        for key, row in answer.value.items():
            defaced(work, images[key], row)
    else:
        items = [deface_item(work, {key: image}, out / str(n)) for n, (key, image) in enumerate(images.items())]
        for (key, image), one in zip(images.items(), work.each("faces", "deface", items, compute(work)), strict=True):
            if one.death:
                image.deface = {"verdict": "withheld", "code": one.death.code, "reason": one.death.reason}
                work.withhold(image, part(one.death)[0])
            else:
                defaced(work, image, one.value[key])


def spare_labels(work: Work, out: Path) -> None:
    """Withhold an image where a label drawn on it lies in what was removed: the label would point at nothing. Such a mask is refused with it.

    A mask on a grid of its own is no label of any image yet; the zones are held against it where it is written (`pipeline.drawn`).
    """
    images = {image.key: image for image in work.images}
    zones = {key: image.zone for key, image in images.items()}
    if not work.masks or not any(zones.values()):
        return
    same = {"images": {key: str(image.nifti) for key, image in images.items()}, "zones": zones}
    items = [
        same | {"path": str(work.sources[n].path), "sha256": work.rows[n].sha256, "hint": Path(work.sources[n].name).name, "out": str(out / f"label{n}.nii.gz")}
        for n in work.masks
    ]
    for n, answer in zip(list(work.masks), work.each("faces", "labels", items, CONVERT), strict=True):
        if answer.death:  # a mask that cannot be read here cannot be tied later; one of another grid may lie in a space over several visits
            if answer.death.code != "mask_other_grid":
                work.refuse([n], *part(answer.death))
                work.masks.remove(n)
            continue
        for key, values in answer.value.items():
            reason = f"Labels of a mask lie inside the zone to remove: {', '.join(map(str, values))}."
            images[key].deface |= {"verdict": "withheld", "code": "label_in_zone", "reason": reason, "labels_in_zone": values}
            work.withhold(images[key], verdict("label_in_zone", reason))
        if answer.value:  # nor may it go out with another image of that grid: what lies in the zone may be the face
            work.refuse([n], verdict("mask_in_zone"))
            work.masks.remove(n)


# What BodyPartExamined says (DICOM PS3.16, annex L) -> the region that the defacer asks about.
REGIONS = {"ORBIT": "orbit", "EYE": "orbit"} | dict.fromkeys(("SPINE", "CSPINE", "CTSPINE", "TSPINE", "TLSPINE", "LSPINE", "LSSPINE", "SSPINE"), "spine")


def deface_item(work: Work, images: dict[str, Image], out: Path) -> dict[str, Any]:
    out.mkdir(mode=0o700)
    rows = {
        key: {"nifti": str(one.nifti), "suffix": one.contrast["suffix"], "datatype": one.contrast["datatype"]}
        | {"claimed": one.key.startswith("handed/") or bool(one.contrast.get("corrected"))}
        | {"region": REGIONS.get(str(one.series.facts.get("BodyPartExamined")), ""), "frame": str(one.series.facts.get("FrameOfReferenceUID", ""))}
        for key, one in images.items()
    }
    return {
        "images": rows,
        "profile": work.order.deface,
        "device": work.order.device,
        "out": str(out),
        "steward": work.steward,
        "faces": dict(work.order.faces),
    }


def defaced(work: Work, image: Image, row: dict[str, Any]) -> None:
    """Go on with what defacing made, or withhold the image.

    A doubt (`review`) goes on where a steward will look at the pictures, with its reasons in `deface.review`; where nobody will, it is withheld. So do orbits,
    where the dataset's policy lets people decide on them.
    """
    passes = ("defaced", "no_face", "exempt", *(["review", "orbit_restricted"] if work.steward else []))
    word = row["verdict"] if row["verdict"] in passes else "withheld"
    image.deface = row["measures"] | {"verdict": word, "code": row["code"] or "ok", "reason": row["reason"]}
    image.pictures = {name: row[name] for name in ("before", "after") if row[name]}
    if row["nifti"] is None or word == "withheld":
        image.deface["verdict"] = "withheld"
        work.withhold(image, verdict(row["code"] or "image_withheld", row["reason"], row["advice"]))
        return
    image.whole = str(image.nifti) if row["zone"] else None
    image.nifti, image.zone = Path(row["nifti"]), row["zone"]
