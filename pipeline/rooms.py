"""What a child does for one study: call one room below, with paths and JSON in and JSON out.

Each function takes and returns JSON and is called through `pipeline.isolate` alone, so that whatever a converter, a decoder or a fit does with odd
voxels costs one file, one series or one image. Arrays stay in files of the run's private folder; strings that were removed from headers too.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.codes import Refused
from pipeline.inside import open_keys
from pipeline.outcome import digest

__all__ = ["attach", "clean", "convert", "deface", "labels", "measure", "pixels", "protocol", "save", "strip", "verify"]

STAGES = {"pre-deface": "whole head", "post-deface": "defaced", "": "not measured"}


def clean(item: dict[str, Any]) -> dict[str, Any]:
    """De-identify one DICOM file. item: path, sha256, out, removed (file for the removed strings), keys, code, study,
    first (file of the study, by time), profile.

    Gives series (code and number), the account and the facts. Raises Refused `changed` when the bytes are not those that were sorted, and
    `other_study` when the file is of another study than the order's.
    """
    from deid import headers, profile

    source, target = Path(item["path"]), Path(item["out"])
    if digest(source) != item["sha256"]:
        raise Refused("changed")
    _, pseudonyms = open_keys(item["keys"])
    if pseudonyms.study_code(headers.identify(source).study_uid) != item["study"]:
        raise Refused("other_study")
    subject = headers.Subject(item["code"], pseudonyms, starts=starts(item["first"]), searched=True)
    done = headers.clean_file(source, target, subject, profile.load(item["profile"]))
    Path(item["removed"]).write_text(json.dumps(sorted(done.removed)), encoding="utf-8")
    return {"account": done.account, "facts": done.facts, **series_of(target)}


@lru_cache(maxsize=4)
def starts(first: str | None) -> dict[str, Any]:
    """When the study began, from the file that `inside.moment` found to be its first."""
    from deid import headers

    return dict(headers.study_starts([headers.identify(first)])) if first else {}


def series_of(path: Path) -> dict[str, Any]:
    """The series of a clean file: its (already replaced) UID and its number."""
    import pydicom

    data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "SeriesNumber", "InstanceNumber"])
    numbers = [int(value) if str(value or "").strip().lstrip("-").isdecimal() else 0 for value in (data.get("SeriesNumber"), data.get("InstanceNumber"))]
    return {"series": str(data.SeriesInstanceUID), "number": numbers[0], "instance": numbers[1]}


def protocol(item: dict[str, Any]) -> dict[str, Any]:
    """Does the image keep to the protocol? item: facts, suffix."""
    from qa import protocol as room

    return dict(room.check(item["facts"], suffix=item["suffix"]))


def pixels(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Look for writing in the images of one series. item: paths, keys. One row per path: code ("" for clean), reason, masked."""
    from deid import pixels as room

    _, pseudonyms = open_keys(item["keys"])
    found = room.check([Path(path) for path in item["paths"]], key=pseudonyms)
    return [{"path": str(one.path), "code": one.code or "", "reason": one.reason, "masked": one.masked} for one in found]


def convert(item: dict[str, Any]) -> dict[str, Any]:
    """Convert one series and say what each image is. item: folder, out, facts."""
    from bidstree import classify
    from bidstree import convert as room

    done = room.series(Path(item["folder"]), Path(item["out"]))
    images, kinds = [], []
    for one in done.images:
        weights = [float(value) for value in one.bval.read_text().split()] if one.bval else []
        kinds.append(classify.contrast(one.sidecar, item["facts"], volumes=int(one.measures.get("volumes", 1)), weights=weights))
    for one, kind in zip(done.images, classify.together(kinds, [image.sidecar for image in done.images]), strict=True):
        names = ("datatype", "suffix", "entities", "confidence", "words", "code", "fields", "candidates", "review")
        contrast = {name: getattr(kind, name) for name in names}
        paths = {"nifti": str(one.nifti), "bval": str(one.bval) if one.bval else None, "bvec": str(one.bvec) if one.bvec else None}
        images.append({**paths, "sidecar": one.sidecar, "measures": one.measures, "files": [path.name for path in one.files], "contrast": contrast})
    return {"verdict": done.verdict, "code": done.code, "reason": done.reason, "advice": done.advice, "images": images}


def measure(item: dict[str, Any]) -> dict[str, Any]:
    """Quality of one image. item: nifti, suffix, stage, device, zone, bval, bvec, facts; paths or null.

    pictures: where the arrays of its pictures go (.npz); placement: where an earlier measurement of the same head found it, or null; it saves the registration.
    """
    import numpy as np

    import qa
    from spatial.volumes import load

    volume = load(Path(item["nifti"]))
    zone, bval, bvec = (Path(item[name]) if item[name] else None for name in ("zone", "bval", "bvec"))
    same = {"stage": item["stage"], "device": item["device"], "facts": item["facts"], "placement": item["placement"]}
    report = qa.measure(volume, item["suffix"], deface_zone=zone, bval=bval, bvec=bvec, **same)
    arrays: dict[str, Any] = dict(report.pictures)
    np.savez_compressed(item["pictures"], **arrays)
    return dict(report)


def deface(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Take the face from all images of one visit. item: images (key -> nifti, suffix, datatype, region), profile, device, out.

    Gives key -> verdict, code, reason, measures, nifti (the file to go on with, or null), zone, before and after (pictures).
    """
    from deid import faces
    from spatial.errors import SpatialError
    from spatial.volumes import load

    volumes: dict[str, Any] = {}
    found: dict[str, dict[str, Any]] = {}
    for key, image in item["images"].items():
        try:
            volumes[key] = faces.HeadImage(load(Path(image["nifti"])), image["suffix"], image["datatype"], image["region"])
        except SpatialError as error:
            found[key] = nothing(error.code, error.reason, error.advice)
    done = faces.deface_visit(volumes, profile=item["profile"], device=item["device"], second_opinion=True) if volumes else {}
    for n, (key, one) in enumerate(sorted(done.items())):
        found[key] = keep(one, volumes[key].volume, Path(item["images"][key]["nifti"]), Path(item["out"]) / str(n))
    return found


def nothing(code: str, reason: str, advice: str) -> dict[str, Any]:
    """The answer for an image of which no face can be taken: it is withheld."""
    empty = dict.fromkeys(("nifti", "zone", "before", "after"))
    return {"verdict": "withheld", "code": code, "reason": reason, "advice": advice, "measures": {}, **empty}


def keep(done: Any, whole: Any, source: Path, stem: Path) -> dict[str, Any]:
    """Write what defacing made of one image: the volume, the zone, and pictures before and after."""
    import numpy as np

    from deid import faces
    from spatial.volumes import Volume, save

    row = nothing(done.code, done.reason, done.advice) | {"verdict": done.verdict, "measures": done.measures}
    if done.volume is None:
        return row
    row["nifti"] = str(source)
    cut = done.zone is not None
    if cut:
        row["nifti"], row["zone"] = f"{stem}.nii.gz", f"{stem}-zone.nii.gz"
        save(done.volume, Path(row["nifti"]), like=source)
        save(Volume(np.asarray(done.zone, dtype=np.uint8), whole.affine), Path(row["zone"]))
    pictures = {"before": whole, "after": done.volume if cut else None}
    for name, volume in pictures.items():
        if volume is not None:
            row[name] = f"{stem}-{name}.png"
            Path(row[name]).write_bytes(faces.render(volume))
    return row


def labels(item: dict[str, Any]) -> dict[str, list[int]]:
    """Which labels of one mask lie where a face was taken. item: path, sha256, hint, images (key -> file), zones (key -> file or null), out.

    Gives image -> label values, for every image on whose grid the mask lies and in whose zone it has any.
    """
    from deid import faces
    from spatial.volumes import load, same_grid

    tied = attach({name: item[name] for name in ("path", "sha256", "hint", "images", "out")})
    mask = load(Path(item["out"]))
    zones = {key: load(Path(item["zones"][key])) for key in tied["how"]["same_grid"] if item["zones"].get(key)}
    hit = {key: faces.labels_in_zone(zone.data > 0, mask.data) for key, zone in zones.items() if same_grid(mask, zone) and mask.shape == zone.shape}
    return {key: values for key, values in hit.items() if values}


def strip(item: dict[str, Any]) -> bool:
    """Draw the quality strip of one image. item: reports (before, after), pictures (their .npz, in the same order), out."""
    import numpy as np

    import qa
    from qa import report

    shown = [dict(np.load(path)) if Path(path).is_file() else {} for path in item["pictures"]]
    rows = {STAGES[one.get("stage", "")]: qa.Report(one, arrays) for one, arrays in zip(item["reports"], shown, strict=True)}
    Path(item["out"]).write_bytes(report.strip(rows))
    return True


def save(item: dict[str, Any]) -> bool:
    """Write one image for good: the same voxels always give the same bytes, without a word in the header. item: nifti, out."""
    from spatial import volumes

    source = Path(item["nifti"])
    volumes.save(volumes.load(source), Path(item["out"]), like=source)
    return True


def attach(item: dict[str, Any]) -> dict[str, Any]:
    """Tie one mask to its image. item: path, sha256, hint, images (BIDS path -> file), out. The mask on the image's axes is written to `out`."""
    from bidstree import masks
    from spatial.volumes import save as write

    source = Path(item["path"])
    if digest(source) != item["sha256"]:
        raise Refused("changed")
    # Quarantine's names say nothing; readers tell a packed NIfTI by its name, so it is given one by its first bytes (gzip: RFC 1952, 1f 8b).
    out = Path(item["out"])
    with source.open("rb") as opened:
        named = out.with_name(f"given-{out.name.split('.')[0]}" + (".nii.gz" if opened.read(2) == b"\x1f\x8b" else ".nii"))
    named.unlink(missing_ok=True)
    named.symlink_to(source.resolve())
    try:
        done = masks.attach(named, {key: Path(path) for key, path in item["images"].items()}, hint=item["hint"])
    finally:
        named.unlink()
    label, kind = masks.label_of(item["hint"])
    write(done.volume, out)
    return {"image": done.image, "kind": done.kind, "how": done.how, "label": label, "type": kind}


def verify(item: dict[str, Any]) -> list[dict[str, str]]:
    """Search products for what was removed. item: root, paths (relative to it), removed (files), keys, code. Gives the places, never the value."""
    from deid import verify as room

    _, pseudonyms = open_keys(item["keys"])

    removed: set[str] = set()
    for path in item["removed"]:
        removed.update(json.loads(Path(path).read_text(encoding="utf-8")))
    root = Path(item["root"])
    found = room.search([root / path for path in item["paths"]], removed, root, pseudonyms.offset_days(item["code"]))
    return [{"where": one.where, "kind": one.kind} for one in found]
