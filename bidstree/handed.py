"""A visit handed in as NIfTI becomes BIDS too: each file is an image or an annotation by its values, gets its name, and loses every word.

A site's NIfTI says little about itself: the words of its file name (matched against the vocabulary, never copied), a sidecar if there is one, b-values if
there are. So the contrast is decided as for DICOM, with less to go on, and what stays below the threshold is not laid out but listed with its candidates.
Geometry is believed as it stands (nobody can check it without DICOM); `conversion` says so: `one_only`.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bidstree import classify, common_space, dataset, intake, masks, names, said, sidecar, words
from bidstree.errors import BidsError
from spatial.errors import SpatialError
from spatial.volumes import load, save

# Words in a file name that speak of an annotation; values decide where they can.
_DRAWN = re.compile(r"(seg|mask|label|lesion|roi|gt|annot|manual|consensus)", re.IGNORECASE)
_FEW = 16


@dataclass(frozen=True)
class Given:
    """One NIfTI of a site. `name`: its file name (words only, goes nowhere); `session`: label of its visit; `sidecar`: its JSON; gradients as files.

    `label`: what an annotation shows (a word of `masks.LABELS`), `rater`: the rater's code, `labels`: name -> value of an annotation with several;
    `contrast`: a word of `said.CONTRASTS`, `body`: `BRAIN`, `CSPINE`, ... where the site says so.
    """

    path: Path
    session: str
    name: str = ""
    sidecar: Mapping[str, Any] = field(default_factory=dict)
    bval: Path | None = None
    bvec: Path | None = None
    label: str = ""
    rater: str = ""
    contrast: str = ""
    body: str = ""
    labels: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Laid:
    """What became of one file: `product` (path in the dataset, empty when not laid out), `kind` (image, mask, dseg, probseg), `code`, `reason`, `advice`."""

    given: Given
    kind: str
    product: str = ""
    code: str = "ok"
    reason: str = ""
    advice: str = ""
    contrast: classify.Contrast | None = None


def is_drawn(data: NDArray[Any], name: str) -> bool:
    """Whether values are an annotation's: few whole labels; or, where the name says so as well, up to 512 of them, or parts of 1."""
    if not np.isfinite(data).all() or data.min() < 0:
        return False
    if data.ndim == 4 and np.unique(data[..., 0]).size > masks.MAX_LABELS:
        return False
    values = np.unique(data)
    whole = bool((values == np.rint(values)).all())
    # A series of volumes is an image, unless it marks and does nothing else.
    if whole and values.size <= (_FEW if data.ndim == 3 else 2):
        return True
    return bool(_DRAWN.search(name)) and ((whole and values.size <= masks.MAX_LABELS) or (not whole and values.max() <= 1))


def lay(root: Path, participant: str, given: Sequence[Given]) -> list[Laid]:
    """Lay all files of one participant out below `root` (a piece for `dataset.assemble`); the answers in the order of `given`.

    Images first, then annotations on them, within their visit. Runs are numbered by content, so a second upload gives the same names. Never raises for files.
    """
    answers: dict[int, Laid] = {}
    images: dict[int, tuple[Given, classify.Contrast]] = {}
    drawn: list[int] = []
    for n, one in enumerate(given):
        try:
            data = load(one.path).data
        except SpatialError as error:
            answers[n] = Laid(one, "image", code="nifti_refused", reason=f"The NIfTI cannot be taken: {error.reason}", advice="Export it again.")
            continue
        if is_drawn(data, one.name):
            drawn.append(n)
            continue
        contrast = contrast_of(one, data.shape[3] if data.ndim == 4 else 1)
        if contrast.review:
            answers[n] = _unsure(one, contrast)
        else:
            images[n] = (one, contrast)
    answers |= _write_images(root, participant, images)
    used: Counter[tuple[str, str]] = Counter()
    for n in drawn:
        here = [one for one in answers.values() if one.kind == "image" and one.product and one.given.session == given[n].session]
        answers[n] = _write_drawn(root, given[n], here, used)
    return [answers[n] for n in range(len(given))]


def contrast_of(one: Given, volumes: int) -> classify.Contrast:
    """What an image shows: the sender's word where there is one, unless the sidecar is sure of something else; else sidecar and the words of its name."""
    weights = _weights(one.bval)
    kept = sidecar.clean(one.sidecar)
    facts = {"BodyPartExamined": one.body}
    if one.contrast:
        return said.contrast(one.contrast, classify.contrast(kept, facts, volumes=volumes, weights=weights), kept, one.body)
    facts["SeriesDescription"] = re.sub(r"\.nii(\.gz)?$", "", one.name)
    return classify.contrast(kept, facts, volumes=volumes, weights=weights)


def _weights(bval: Path | None) -> list[float]:
    """b-values of a file; empty where there is none or it holds something else."""
    try:
        return [float(word) for word in bval.read_text(encoding="ascii").split()] if bval else []
    except ValueError:
        return []


def body_of(path: str) -> str:
    """The part of the body that words of a path name (`cervical`), or nothing: folders say it more often than files."""
    spoken = re.sub(r"[^a-z0-9]+", " ", path.lower())
    return next((name for pattern, name in words.BODIES if re.search(pattern, f" {spoken} ")), "")


def tables(paths: Sequence[Path]) -> tuple[Path | None, Path | None]:
    """(bval, bvec) among tables of numbers, known by their shape: one row or column of weights, three of directions. None where there is not exactly one."""
    found: dict[str, list[Path]] = {"bval": [], "bvec": []}
    for path in paths:
        try:
            table = np.atleast_2d(np.loadtxt(path))
        except ValueError:
            continue
        if 1 in table.shape:
            found["bval"].append(path)
        elif 3 in table.shape:
            found["bvec"].append(path)
    bval, bvec = ((many[0] if len(many) == 1 else None) for many in found.values())
    return bval, bvec


def _unsure(one: Given, contrast: classify.Contrast) -> Laid:
    code = contrast.code if contrast.code != "ok" else "contrast_unsure"
    advice = "Say which contrast it is, or hand in the sidecar that the converter wrote."
    return Laid(one, "image", code=code, reason=contrast.words, advice=advice, contrast=contrast)


def _write_images(root: Path, participant: str, images: Mapping[int, tuple[Given, classify.Contrast]]) -> dict[int, Laid]:
    """Clean copies under their names, numbered by the hash of their bytes where names would be the same."""
    named = []
    for one, contrast in images.values():
        digest = hashlib.sha256(one.path.read_bytes()).hexdigest()
        named.append(names.Named(participant, one.session, contrast.datatype, contrast.suffix, contrast.entities, (digest,)))
    found = {}
    for (n, (one, contrast)), final in zip(images.items(), names.number_runs(named), strict=True):
        target = root / final.path()
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            taken = intake.nifti(one.path, target, {**one.sidecar, **contrast.fields})
            gradients = gradients_of(one, taken.shape) if contrast.datatype == "dwi" else {}
        except BidsError as error:
            target.unlink(missing_ok=True)
            found[n] = Laid(one, "image", code=error.code, reason=error.reason, advice=error.advice, contrast=contrast)
            continue
        stem = target.name.removesuffix(".nii.gz")
        target.with_name(f"{stem}.json").write_text(dataset.dump(taken.sidecar), encoding="utf-8")
        for ending, text in gradients.items():
            target.with_name(stem + ending).write_text(text, encoding="ascii")
        found[n] = Laid(one, "image", final.path().as_posix(), contrast=contrast)
    return found


def gradients_of(one: Given, shape: tuple[int, ...]) -> dict[str, str]:
    """bval and bvec as BIDS lays them out (a row of weights, three rows of directions), from either layout. Raises BidsError `gradients_missing`."""
    refused = BidsError("gradients_missing", "b-values and directions do not match the volumes.", "Hand in bval and bvec of this very image.")
    volumes = shape[3] if len(shape) > 3 else 1
    if one.bval is None or one.bvec is None:
        raise refused
    try:
        weights, vectors = np.atleast_1d(np.loadtxt(one.bval)).ravel(), np.atleast_2d(np.loadtxt(one.bvec))
    except ValueError as error:
        raise refused from error
    vectors = vectors.T if vectors.shape == (volumes, 3) and volumes != 3 else vectors
    if weights.size != volumes or vectors.shape != (3, volumes) or not np.isfinite(vectors).all():
        raise refused
    return {".bval": _line(weights) + "\n", ".bvec": "".join(_line(row) + "\n" for row in vectors)}


def _line(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.10g}" for value in values)


def _write_drawn(root: Path, one: Given, images: Sequence[Laid], used: Counter[tuple[str, str]]) -> Laid:
    """One annotation on its image of the same visit: of several on one grid, first the one whose own name begins the annotation's (`mt0`, `mt0_seg`)."""
    stems = {image.product: re.sub(r"\.nii(\.gz)?$", "", image.given.name) for image in images}
    prefer = sorted((key for key, stem in stems.items() if stem and one.name.startswith(stem)), key=lambda key: -len(stems[key]))
    try:
        done = masks.attach(one.path, {image.product: root / image.product for image in images}, hint=one.name, prefer=prefer)
        explain(done, one.labels)
        label, kind = next((masks.LABELS[key] for key in masks.LABELS if one.label in {key, masks.LABELS[key][0]}), None) or masks.label_of(one.name)
        used[(done.image, label)] += 1
        rater = one.rater or f"rater{used[(done.image, label)]}"
        product = masks.path(done.image, "" if done.kind == "dseg" else label, rater, done.kind)
    except BidsError as error:
        return Laid(one, "mask", code=error.code, reason=error.reason, advice=error.advice)
    write_drawn(root, product, done.volume, masks.sidecar(done.image, kind, done.how, kind=done.kind, labels=one.labels))
    return Laid(one, done.kind, product.as_posix())


def explain(done: masks.Attached | common_space.Shared, labels: Mapping[str, int]) -> None:
    """Whether a dictionary says what the values or volumes of an annotation mean: it must where there are several, and then and else nothing more.

    Raises BidsError `labels_unknown`.
    """
    if done.how.get("fourth") == "labels":
        masks.named_volumes(done.volume.shape[3], labels)
    elif done.kind == "dseg" or labels:
        masks.check_labels(done.volume.data, labels)


def write_drawn(root: Path, product: PurePosixPath, volume: Any, beside: Mapping[str, Any]) -> None:
    """Write an annotation and its JSON."""
    target = root / product
    target.parent.mkdir(parents=True, exist_ok=True)
    save(volume, target)
    target.with_name(target.name.replace(".nii.gz", ".json")).write_text(dataset.dump(dict(beside)), encoding="utf-8")
