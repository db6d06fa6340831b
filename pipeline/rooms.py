"""What a child does for one study: call one room below, with paths and JSON in and JSON out.

Each function takes and returns JSON and is called through `pipeline.isolate` alone, so that whatever a converter, a decoder or a fit does with odd
voxels costs one file, one series or one image. Arrays stay in files of the run's private folder; strings that were removed from headers too.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pipeline.codes import Refused
from pipeline.inside import open_keys
from pipeline.outcome import digest

__all__ = [
    "attach",
    "clean",
    "common",
    "consensus",
    "convert",
    "deface",
    "handed",
    "labels",
    "measure",
    "pixels",
    "protocol",
    "save",
    "strip",
    "verify",
    "visit",
]

FACE_MM = 100.0  # less than an adult's face is high, from chin to brow with the soft parts
LONGEST_MIN = 240
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
    return {"account": done.account, "facts": done.facts | since_injection(source, done.facts), **series_of(target)}


def since_injection(source: Path, facts: dict[str, Any]) -> dict[str, int]:
    """Whole minutes from the injection of a contrast agent to the acquisition (negative: before it), from the times as they stood; the times themselves go.

    Empty where no agent or no times are told, or where they are further apart than one examination lasts.
    """
    if not any(facts.get(name) for name in ("ContrastBolusAgent", "ContrastBolusIngredient")):
        return {}
    import pydicom

    from deid.dates import parse_time

    data = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=["ContrastBolusStartTime", "AcquisitionTime", "ContentTime"])
    begun, taken = (
        parse_time(str(value)) if value else None for value in (data.get("ContrastBolusStartTime"), data.get("AcquisitionTime") or data.get("ContentTime"))
    )
    if begun is None or taken is None:
        return {}
    minutes = round((taken - begun) / 60e6)
    minutes += 1440 if minutes < -720 else -1440 if minutes > 720 else 0  # an examination over midnight
    return {"MinutesSinceInjection": minutes} if abs(minutes) <= LONGEST_MIN else {}


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
    """Does the image keep to the protocol? item: facts, suffix, profile (data, or null for the usual one), purpose (of its visit, or null)."""
    from qa import protocol as room

    return dict(room.check(item["facts"], item["profile"] or room.USUAL, suffix=item["suffix"], purpose=item["purpose"]))


def visit(item: dict[str, Any]) -> dict[str, Any]:
    """Which contrasts does a visit of that purpose lack? item: images (suffix, body, contrast_agent), purpose, profile."""
    from qa import protocol as room

    return dict(room.visit(item["images"], item["purpose"], item["profile"] or room.USUAL))


def pixels(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Look for writing in the images of one series. item: paths, keys. One row per path: code ("" for clean), reason, masked."""
    from deid import pixels as room

    _, pseudonyms = open_keys(item["keys"])
    found = room.check([Path(path) for path in item["paths"]], key=pseudonyms)
    return [{"path": str(one.path), "code": one.code or "", "reason": one.reason, "masked": one.masked} for one in found]


def convert(item: dict[str, Any]) -> dict[str, Any]:
    """Convert one series and say what each image is. item: folder, out, facts, site, keys, corrections (fingerprint -> what a person decided)."""
    from bidstree import classify, colour
    from bidstree import convert as room

    done = room.series(Path(item["folder"]), Path(item["out"]))
    images, kinds = [], []
    for one in done.images:
        weights = [float(value) for value in one.bval.read_text().split()] if one.bval else []
        kinds.append(classify.contrast(one.sidecar, item["facts"], volumes=int(one.measures.get("volumes", 1)), weights=weights))
    kinds = classify.together(kinds, [image.sidecar for image in done.images])
    kinds = classify.directed(kinds, [str(image.measures.get("phase_encoding", "")) for image in done.images])
    for one, kind in zip(done.images, kinds, strict=True):
        colour.unpack(one.nifti)
        contrast = corrected(kind, one.sidecar, int(one.measures.get("volumes", 1)), item)
        paths = {"nifti": str(one.nifti), "bval": str(one.bval) if one.bval else None, "bvec": str(one.bvec) if one.bvec else None}
        images.append({**paths, "sidecar": one.sidecar, "measures": one.measures, "files": [path.name for path in one.files], "contrast": contrast})
    return {"verdict": done.verdict, "code": done.code, "reason": done.reason, "advice": done.advice, "images": images}


def corrected(kind: Any, sidecar: dict[str, Any], volumes: int, item: dict[str, Any]) -> dict[str, Any]:
    """A contrast as JSON, after what a person decided about its protocol; `protocol` is the fingerprint by which a decision is remembered."""
    from bidstree import corrections

    _, pseudonyms = open_keys(item["keys"])
    protocol = corrections.fingerprint(item["site"], sidecar, item["facts"], volumes=volumes, key=pseudonyms.protocol_key())
    row = item["corrections"].get(protocol)
    done = corrections.apply(kind, corrections.parse(row) if row else None, sidecar, volumes=volumes)
    return told(done) | {"protocol": protocol, "corrected": row is not None}


def told(kind: Any) -> dict[str, Any]:
    """A `bidstree.classify.Contrast` as JSON."""
    names = ("datatype", "suffix", "entities", "confidence", "words", "code", "fields", "candidates", "review", "context", "derived")
    return {name: getattr(kind, name) for name in names}


def handed(item: dict[str, Any]) -> dict[str, Any]:
    """One NIfTI file of a site: an annotation (`drawn`), or an image, cleaned. item: path, sha256, name, said, beside (kind, path, sha256), out, removed.

    What its sidecar, its own name and its folders say of the person goes to the file `removed`, and is searched for in what is published.
    """
    from bidstree import handed as room
    from bidstree import intake
    from bidstree import said as words_of_said
    from bidstree.errors import BidsError
    from pipeline import telling
    from spatial.errors import SpatialError
    from spatial.volumes import load

    source, out = Path(item["path"]), Path(item["out"])
    if any(digest(Path(one["path"])) != one["sha256"] for one in (item, *item["beside"])):
        raise Refused("changed")
    sidecar = first_sidecar(item["beside"])
    Path(item["removed"]).write_text(json.dumps(sorted(intake.told(sidecar) | telling.words(item["name"]))), encoding="utf-8")
    said, path = item["said"], under_name(source, out)
    try:
        volume = load(path)
        # Where the sender calls it an image, only its values can say otherwise; else words of its name count too.
        name = "" if "contrast" in said else Path(item["name"]).name
        if "annotation" in said or room.is_drawn(volume.data, name):
            return {"drawn": True}
        bval, bvec = room.tables([Path(one["path"]) for one in item["beside"] if one["kind"] == "table"])
        body = said.get("body") or room.body_of(item["name"])
        words = {"contrast": said.get("contrast", ""), "body": body}
        one = room.Given(path, "", Path(item["name"]).name, sidecar, bval, bvec, **words)
        kind = room.contrast_of(one, volume.shape[3] if volume.data.ndim == 4 else 1)
        taken = intake.nifti(path, out, sidecar)
        gradients = room.gradients_of(one, taken.shape) if kind.datatype == "dwi" and kind.suffix == "dwi" else {}
    except SpatialError as error:
        raise BidsError("nifti_refused", f"The NIfTI cannot be taken: {error.reason}", "Export it again from the program that made it.") from None
    finally:
        path.unlink()
    for ending, text in gradients.items():
        out.with_suffix(ending).write_text(text, encoding="ascii")
    files = {name: str(out.with_suffix(f".{name}")) if gradients else None for name in ("bval", "bvec")}
    measures = {"shape": list(taken.shape), "volumes": taken.shape[3] if len(taken.shape) > 3 else 1, "dropped": sorted(taken.dropped)}
    measures["dropped_others"] = taken.others  # counted: a key that is on no list of ours may be a name
    facts = {"BodyPartExamined": kind.fields.get("BodyPart", body), "Modality": "MR"}
    contrast = told(kind) | ({"derived": said["processed"], "processed": said["processed"]} if "processed" in said else {})
    if space := said.get("space") or words_of_said.space(Path(item["name"]).name):
        contrast["space"] = space
    return {"drawn": False, "nifti": str(out), "sidecar": taken.sidecar, "contrast": contrast, "measures": measures, "facts": facts, **files}


def first_sidecar(beside: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON object beside a NIfTI file; empty where there is none, or none that can be read."""
    for one in beside:
        if one["kind"] == "sidecar":
            try:
                value = json.loads(Path(one["path"]).read_bytes())
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                return value
    return {}


def under_name(source: Path, out: Path) -> Path:
    """A link beside `out` under a name that says whether the file is packed: quarantine's names say nothing (gzip: RFC 1952, 1f 8b)."""
    with source.open("rb") as opened:
        named = out.with_name(f"given-{out.name.split('.')[0]}" + (".nii.gz" if opened.read(2) == b"\x1f\x8b" else ".nii"))
    named.unlink(missing_ok=True)
    named.symlink_to(source.resolve())
    return named


def measure(item: dict[str, Any]) -> dict[str, Any]:
    """Quality of one image. item: nifti, suffix, stage, device, zone, whole (before defacing), bval, bvec, facts; paths or null.

    pictures: where the arrays of its pictures go (.npz); placement: where an earlier measurement of the same head found it, or null; it saves the registration;
    conformity, inclusion: what the protocol step said, and the rules that fail a scan which breaks them.
    """
    import numpy as np

    import qa
    from qa.subject import body_of
    from spatial.volumes import load

    volume = load(Path(item["nifti"]))
    zone, bval, bvec = (Path(item[name]) if item[name] else None for name in ("zone", "bval", "bvec"))
    same = {name: item[name] for name in ("stage", "device", "facts", "placement", "conformity", "inclusion")} | {
        "whole": Path(item["whole"]) if item["whole"] else None
    }
    report = qa.measure(volume, item["suffix"], deface_zone=zone, bval=bval, bvec=bvec, body=body_of(item["facts"]), **same)
    arrays: dict[str, Any] = dict(report.pictures)
    np.savez_compressed(item["pictures"], **arrays)
    return dict(report)


def deface(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Take the face from all images of one visit. item: images (key -> nifti, suffix, datatype, region), profile, device, out, steward.

    Gives key -> verdict, code, reason, measures, nifti (the file to go on with, or null), zone, before and after (pictures).
    """
    from deid import facepolicy, faces
    from spatial.errors import SpatialError
    from spatial.volumes import load

    volumes: dict[str, Any] = {}
    found: dict[str, dict[str, Any]] = {}
    for key, image in item["images"].items():
        try:
            volumes[key] = faces.HeadImage(load(Path(image["nifti"])), image["suffix"], image["datatype"], image["region"], image["frame"], image["claimed"])
        except SpatialError as error:
            found[key] = nothing(error.code, error.reason, error.advice)
    done = (
        faces.deface_visit(volumes, profile=item["profile"], device=item["device"], second_opinion=True, policy=facepolicy.parse(item["faces"]))
        if volumes
        else {}
    )
    for n, (key, one) in enumerate(sorted(done.items())):
        if item["steward"] and one.code == "no_head_found" and small_crop(volumes[key]):
            one = replace(one, verdict="review", volume=volumes[key].volume, measures={**one.measures, "review": [one.code]})
        found[key] = keep(one, volumes[key].volume, Path(item["images"][key]["nifti"]), Path(item["out"]) / str(n))
    return found


def small_crop(image: Any) -> bool:
    """Whether an image that its header or sender calls one of the spine is too small a box to hold a face: a person may decide on it by its pictures."""
    return bool(image.region == "spine" and max(image.volume.extent) < FACE_MM)


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
    from pipeline import zones
    from spatial.volumes import load

    tied = attach({name: item[name] for name in ("path", "sha256", "hint", "images", "out")})
    mask = load(Path(item["out"]))
    taken = {key: load(Path(item["zones"][key])) for key in tied["how"]["same_grid"] if item["zones"].get(key)}
    hit = {key: zones.labels(mask, zone) for key, zone in taken.items()}
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
    """Tie one mask to its image. item: path, sha256, hint, images (BIDS path -> file), out. The mask on the image's axes is written to `out`.

    labels (name -> value) and beside (sidecars) say what its values mean. gone: image -> zones of its visit, in none of which the mask may have a voxel;
    bare: images without a zone of their own. Raises Refused `changed`, `mask_in_zone`, `mask_off_image`.
    """
    from bidstree import masks
    from pipeline import zones
    from spatial.volumes import load
    from spatial.volumes import save as write

    source, out = Path(item["path"]), Path(item["out"])
    unchanged(item)
    named = under_name(source, out)
    choice = {"prefer": item.get("prefer", ()), "resampled": item.get("resample", False)}
    try:
        done = masks.attach(named, {key: Path(path) for key, path in item["images"].items()}, hint=item["hint"], **choice)
    finally:
        named.unlink()
    words = explained(done, item) if "labels" in item else {}
    if done.image in item.get("bare", ()):
        zones.on_image(done.volume, load(Path(item["images"][done.image])))
    zones.clear(done.volume, [(path, None) for path in item.get("gone", {}).get(done.image, ())])
    label, kind = masks.label_of(item["hint"])
    write(done.volume, out)
    return {"image": done.image, "kind": done.kind, "how": done.how, "label": label, "type": kind, "labels": words}


def common(item: dict[str, Any]) -> dict[str, Any]:
    """Tie a mask over several visits to all of them. item: path, sha256, hint, images (BIDS path -> [image, transform, where to write it]), out.

    labels, beside: as for `attach`. gone: image -> zones of its visit, in the image's world; here: zones in the mask's own. Raises Refused as `attach`.
    """
    from bidstree import common_space, masks
    from pipeline import zones
    from spatial.volumes import save as write

    source, out = Path(item["path"]), Path(item["out"])
    unchanged(item)
    named = under_name(source, out)
    try:
        done = common_space.attach(named, {name: (Path(paths[0]), Path(paths[1])) for name, paths in item["images"].items()})
    finally:
        named.unlink()
    words = explained(done, item)
    ways = {name: common_space.read_transform(Path(paths[1])) for name, paths in item["images"].items()}
    zones.clear(done.volume, [(path, ways[name]) for name, paths in item["gone"].items() for path in paths] + [(path, None) for path in item["here"]])
    for name, volume in done.images.items():
        write(volume, Path(item["images"][name][2]))
    write(done.volume, out)
    label, kind = masks.label_of(item["hint"])
    grid = json.dumps([done.volume.shape[:3], done.volume.affine.round(4).tolist()])
    return {"kind": done.kind, "how": done.how, "label": label, "type": kind, "labels": words, "grid": grid}


def consensus(item: dict[str, Any]) -> list[str]:
    """Write what several raters say together. item: root, image, products (their masks), label, type. Gives the paths of what was written."""
    from bidstree import consensus as room

    return room.write(Path(item["root"]), item["image"], item["products"], item["label"], item["type"])


def unchanged(item: dict[str, Any]) -> None:
    """Whether a file and those beside it are the ones that were sorted. Raises Refused `changed`."""
    if any(digest(Path(one["path"])) != one["sha256"] for one in (item, *item.get("beside", ()))):
        raise Refused("changed")


def explained(done: Any, item: dict[str, Any]) -> dict[str, int]:
    """What the values of an annotation mean, in words of a closed vocabulary: as its sender said, else as a sidecar beside it says (`Labels`, name -> value).

    Raises BidsError `labels_unknown` where names or values are not those of the vocabulary and of the annotation.
    """
    from bidstree import handed as room
    from bidstree import said
    from bidstree.errors import BidsError

    found: Any = item["labels"] or first_sidecar([one | {"kind": "sidecar"} for one in item.get("beside", ())]).get("Labels")
    sound = isinstance(found, dict) and all(isinstance(name, str) and type(value) is int for name, value in found.items())
    words: dict[str, int] = dict(found) if sound else {}
    if not said.means(words):
        raise BidsError("labels_unknown", "A name in the mask's dictionary is not on the list.", "Use the words of bidstree.said.MEANINGS.")
    room.explain(done, words)
    return words


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
