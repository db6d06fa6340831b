"""The rows of `make show-bids` about one series: right image, no wrong one passed, gradients, contrast, edges, and good series sent away.

Truth is not ours: `expected_dcm2niix.json` of the shared data (voxels by their hash), `ref/` (images that other people published), and the names that
sources and protocols give (`tests/bidstree/known.py`). Every series is converted once, both converters asked, and all rows look at the same results.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
from table import ROOT, Result

from bidstree import classify, convert, second, witness
from bidstree import frames as reading
from bidstree.convert import Conversion, Converted
from tests.bidstree.known import EDGES, NAMES, equals, expected, folders, references, same_image

CACHE = ROOT / ".cache" / "mri"
PLAIN = {"T1w", "T2w", "FLAIR", "bold", "dwi"}


@dataclass(frozen=True)
class Seen:
    """One folder of dicom/: what we made of it, and what dicom2nifti alone did (`image`, `refused`, `crashed`, `timeout`)."""

    folder: Path
    ours: Conversion
    peer: str
    theirs: Path


@functools.cache
def scratch() -> Path:
    """A folder that is gone when the measure ends."""
    path = Path(tempfile.mkdtemp(prefix="myelin-bids-"))
    atexit.register(shutil.rmtree, path, True)
    return path


@functools.cache
def series(case: str = "") -> dict[str, Path]:
    """Name -> folder of each series of dicom/; a folder of several series is split into folders of links first (`visit #5`)."""
    found = {}
    for folder in folders(CACHE / "dicom"):
        name = folder.relative_to(CACHE / "dicom").as_posix()
        if not any(path.suffix not in {".gz", ".json", ".md", ".txt", ".bval", ".bvec"} for path in folder.iterdir()):
            continue
        parts = split(folder, scratch() / "split" / name) if folder.name == "siemens_visit_face" else {"": folder}
        found |= {f"{name}{f' #{number}' if number else ''}": part for number, part in parts.items()}
    return {name: folder for name, folder in found.items() if case in name}


def split(folder: Path, out: Path) -> dict[str, Path]:
    """A folder a series, named by its number; files that are no DICOM image are left out."""
    parts: dict[str, Path] = {}
    uids: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(Exception):
            data = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "SeriesNumber", "Rows"])
            if not data.get("Rows"):
                continue
            uid = str(data.get("SeriesInstanceUID", ""))
            number = uids.setdefault(uid, f"{data.get('SeriesNumber') or len(uids)}{'abcdefghij'[len(uids)] if str(data.get('SeriesNumber')) in parts else ''}")
            parts.setdefault(number, out / number).mkdir(parents=True, exist_ok=True)
            (out / number / path.name).symlink_to(path.resolve())
    return parts


@functools.cache
def seen(depth: str) -> dict[str, Seen]:
    """Every series converted by us and by dicom2nifti (quick: by us alone)."""
    found = {}
    for n, (name, folder) in enumerate(series().items()):
        theirs = scratch() / f"peer-{n}.nii"
        ours = convert.series(folder, scratch() / f"ours-{n}", ask_second=depth != "quick")
        if ours.code == "no_image":
            continue
        found[name] = Seen(folder, ours, second.ask(folder, theirs) if depth != "quick" else "not_asked", theirs)
    return found


def right(name: str, image: Converted) -> bool:
    """Whether an image is one that the references have for its folder."""
    if any(equals(image.nifti, one) for one in expected(CACHE).get(name.split("/")[0].split(" ")[0], [])):
        return True
    return any(same_image(image.nifti, reference) for reference in references(CACHE, name))


def set_apart(name: str, image: Converted) -> bool:
    """The volume that we cut out of dcm2niix's second image of the Philips diffusion series: right when it is the last volume of the expected one."""
    return name.startswith("philips_dwi") and image.measures["volumes"] == 1


def has_reference(name: str) -> bool:
    """The visit that came later has none; of what has, one image of every folder's series is known."""
    return not name.startswith("siemens_visit_face")


def reference_images(depth: str) -> Result:
    """Series all of whose images equal the reference, bit for bit; refused ones with their reason; dicom2nifti beside it."""
    good, wrong, refused, images = 0, [], [], 0
    peer: Counter[str] = Counter()
    for name, one in seen(depth).items():
        if not has_reference(name):
            continue
        peer[peer_verdict(one)] += 1
        if one.ours.verdict == "refused":
            refused.append(f"{name}: {one.ours.code}")
            continue
        bad = [image for image in one.ours.images if not (right(name, image) or set_apart(name, image))]
        images += len(one.ours.images) - len(bad)
        good += not bad
        wrong += [name] if bad else []
    total = good + len(wrong) + len(refused)
    figure = f"{good} of {total} series ({images} images) equal the reference voxel for voxel; {len(refused)} refused ({'; '.join(refused)}); wrong {wrong}"
    if depth != "quick":
        figure += f"\ndicom2nifti, same run: {peer['right']} right, {peer['wrong']} wrong, {peer['refused']} refused, {peer['crashed']} crashed"
    # One slice is no volume: the only reason for which a series of this data may be refused.
    return Result(figure, met=not wrong and all(line.endswith("too_few_slices") for line in refused) and total >= 38)


def peer_verdict(one: Seen) -> str:
    """dicom2nifti's image against the reference (ours, where it equals that): one image of the same shape, corners within 0.5 mm, correlation 0.99."""
    if one.peer != "image":
        return one.peer
    opinions = [second.compare(image.nifti, one.theirs).said for image in one.ours.images]
    # A series of several images of which it gives one is not right either: the others are lost.
    return "right" if len(opinions) == 1 and opinions[0] in {"agrees", "scale_only"} else "wrong"


SPOILED: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {
    "columns mirrored": lambda data, affine: (data[::-1], affine),
    "rows mirrored": lambda data, affine: (data[:, ::-1], affine),
    "slices mirrored": lambda data, affine: (data[:, :, ::-1], affine),
    "left is right": lambda data, affine: (data, np.diag([-1.0, 1, 1, 1]) @ affine),
    "moved by a twentieth of a voxel": lambda data, affine: (data, affine @ move(0.05)),
    "2 % larger": lambda data, affine: (data, affine @ np.diag([1.02, 1, 1, 1])),
}


def move(step: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    matrix = np.eye(4)
    matrix[0, 3] = step
    return matrix


def wrong_passed(depth: str) -> Result:
    """Images passed that are not the reference; and right images spoiled on purpose in six ways, each of which the witness must not confirm."""
    wrong = sum(1 for name, one in seen(depth).items() if has_reference(name) for image in passed(one) if not (right(name, image) or set_apart(name, image)))
    count = sum(len(passed(one)) for one in seen(depth).values())
    spoiled = confirmed = 0
    fooled = []
    for name, one in seen(depth).items() if depth != "quick" else []:
        for image in passed(one)[:1]:
            for kind, change in SPOILED.items():
                spoiled += 1
                if confirms(one.folder, image, change):
                    confirmed += 1
                    fooled.append(f"{name}: {kind}")
    settled = sum(image.measures["second"] == "geometry_differs" for one in seen(depth).values() for image in one.ours.images)
    figure = f"{wrong} wrong of {count} images passed; {confirmed} of {spoiled} spoiled images confirmed {fooled}"
    figure += f"; {settled} dissents of dicom2nifti settled by geometry"
    return Result(figure, met=wrong == 0 and confirmed == 0 and count >= 40, sample=depth == "quick")


def passed(one: Seen) -> list[Converted]:
    return [image for image in one.ours.images if image.measures["verdict"] != "disagreed"]


def confirms(folder: Path, image: Converted, change: Callable[[Any, Any], tuple[Any, Any]]) -> bool:
    """Whether the witness confirms the image after the change. A change that changes nothing (a symmetric phantom) is no test, and counts as seen."""
    loaded: Any = nib.load(image.nifti)
    whole = np.asanyarray(loaded.dataobj)
    data, affine = change(whole, loaded.affine.copy())
    if data is not whole and not whole.dtype.fields and np.array_equal(data, whole):
        return False
    path = scratch() / "spoiled.nii"
    nib.save(nib.Nifti1Image(data, affine), path)
    shutil.copyfile(image.nifti.with_suffix(".json"), path.with_suffix(".json")) if image.nifti.with_suffix(".json").exists() else None
    frames = [frame for frame in reading.read(folder).frames if frame.file in set(image.files)]
    evidence = witness.weigh(path, frames)
    return evidence.geometry == "agrees" and evidence.values == "equal"


def gradients(depth: str) -> Result:
    """bval and bvec against the published files and those of the expected run: b-values exact to 0.5 s/mm2, directions to 1e-4."""
    equal, troubles = [], []
    for name, one in seen(depth).items():
        case = name.split("/")[0]
        known = [(path.read_text(), path.with_suffix(".bvec").read_text()) for path in sorted((CACHE / "ref" / case).glob("*.bval"))]
        known += [(entry["bval"], entry["bvec"]) for entry in expected(CACHE).get(case, []) if "bval" in entry]
        for image in one.ours.images if known else []:
            if image.bval is None or image.bvec is None:
                continue
            same = all(gradients_equal((image.bval.read_text(), image.bvec.read_text()), pair) for pair in known)
            (equal if same else troubles).append(case)
    return Result(f"{len(equal)} equal ({', '.join(equal)}), {len(troubles)} not {troubles}", met=len(equal) >= 3 and not troubles)


def gradients_equal(ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> bool:
    tables = [[np.atleast_1d(np.array(rows(text), dtype=float)) for text in pair] for pair in (ours, theirs)]
    return all(a.shape == b.shape and bool(np.allclose(a, b, atol=tolerance)) for (a, b), tolerance in zip(zip(*tables, strict=True), (0.5, 1e-4), strict=True))


def rows(text: Any) -> list[Any]:
    """Numbers of a gradient file, or the list that JSON already has; one row is a flat list."""
    found = text if isinstance(text, list) else [[float(word) for word in line.split()] for line in str(text).strip().splitlines()]
    return found[0] if len(found) == 1 and isinstance(found[0], list) else found


def facts(folder: Path) -> dict[str, Any]:
    """What the first readable file says, by the keywords that the pipeline passes on."""
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(Exception):
            data = pydicom.dcmread(path, stop_before_pixels=True)
            found = {key: data.get(key) for key in classify.KEYWORDS if data.get(key) not in (None, "")}
            return {key: list(value) if isinstance(value, pydicom.multival.MultiValue) else value for key, value in found.items()}
    return {}


def named(image: Converted, more: dict[str, Any]) -> classify.Contrast:
    weights = [float(value) for value in image.bval.read_text().split()] if image.bval else []
    return classify.contrast(image.sidecar, more, volumes=image.measures["volumes"], weights=weights)


def contrasts(depth: str) -> Result:
    """Names of series with a reference name, by the sidecar alone and with the header's facts as the pipeline passes them; of the rest, none guessed."""
    good, wrong, review, guessed = 0, [], [], []
    for name, one in seen(depth).items():
        start = next((start for start in NAMES if name.startswith(start)), None)
        for more in ({}, facts(one.folder)):
            answers = [named(image, more) for image in one.ours.images]
            if start is None:
                review += [name] if more and any(answer.review for answer in answers) else []
                guessed += [f"{name}: {answer.suffix}" for answer in answers if not answer.review]
                continue
            if any(answer.review or answer.suffix not in NAMES[start] for answer in answers):
                wrong.append(f"{name}: {[answer.suffix or answer.code for answer in answers]}")
            else:
                good += bool(answers)
    figure = f"{good} answers right (each series by sidecar alone and with its header), {len(wrong)} not {wrong}; without reference name: "
    figure += f"in review {review}, guessed {guessed}"
    return Result(figure, met=not wrong and not guessed and good >= 70)


def sent_away(depth: str) -> Result:
    """Series refused, disagreed or below the threshold, each with its reason."""
    listed, plain = [], 0
    for name, one in seen(depth).items():
        if not has_reference(name):
            continue
        if one.ours.verdict in {"refused", "disagreed"}:
            listed.append(f"{name}: {one.ours.code}")
            continue
        for image in one.ours.images:
            answer = named(image, facts(one.folder))
            if answer.review:
                listed.append(f"{name}: {answer.code if answer.code != 'ok' else f'sure {answer.confidence} of {answer.suffix}'}")
                start = next((start for start in NAMES if name.startswith(start)), "")
                plain += bool(NAMES.get(start, set()) & PLAIN)
    return Result(f"{len(listed)} of {sum(map(has_reference, seen(depth)))}, plain ones {plain}: {'; '.join(listed)}", met=len(listed) <= 4 and plain == 0)


def edges(depth: str) -> Result:
    """The odd folders, whole and split by series: every one answered, none converted, none crashed, each with the verdict it deserves."""
    answers: Counter[str] = Counter()
    crashed, unexpected, parts = 0, [], 0
    for folder in folders(CACHE / "edge"):
        name = folder.relative_to(CACHE / "edge").as_posix()
        pieces = split(folder, scratch() / "edge" / name)
        for number, part in {"": folder, **pieces}.items():
            parts += bool(number)
            try:
                done = convert.series(part, scratch() / f"edge-out-{name.replace('/', '_')}-{number}", ask_second=depth != "quick")
            except Exception:  # the row counts exactly this
                crashed += 1
                continue
            answers[done.code] += 1
            if not number and done.code != EDGES[name]:
                unexpected.append(f"{name}: {done.code}")
            if number and (done.images or not done.reason or not done.advice):
                unexpected.append(f"{name} #{number}: {done.code}")
    figure = f"{sum(answers.values())} asked ({len(EDGES)} folders, {parts} series in them): {crashed} crashed, {len(unexpected)} unexpected {unexpected}; "
    figure += ", ".join(f"{code} {n}" for code, n in answers.most_common())
    return Result(figure, met=crashed == 0 and not unexpected and parts > 10)
