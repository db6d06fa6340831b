"""One image in, one report out: every measure its kind has is there with a value, or null with the reason; then it is graded.

The order inside: integrity of the file -> head -> hard facts -> measures by group -> norm -> grade -> pictures.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qa import diffusion, norms, pictures
from qa.errors import CODES, QaError, refusal
from qa.facts import doubts_of, facts_of
from qa.grades import Fact, grade, three
from qa.groups import values as values_of
from qa.metrics import METRICS, expected, kind
from qa.scene import canonical
from qa.subject import Subject
from spatial.volumes import Volume

SCHEMA = 1
VERSION = "3"
"""Version of the whole of qa: masks included. Numbers of different versions are never compared."""


HOPELESS = ("wrong_shape", "constant", "no_anatomy")
"""Facts that leave nothing to measure."""


class Report(dict[str, Any]):
    """A mapping that is JSON as it stands. `pictures` (name -> uint8 array) are beside it, not in it: before defacing they can show a face."""

    pictures: dict[str, NDArray[np.uint8]]

    def __init__(self, content: Mapping[str, Any], shown: Mapping[str, NDArray[np.uint8]] | None = None) -> None:
        super().__init__(content)
        self.pictures = dict(shown or {})


def measure(
    volume: Volume,
    suffix: str,
    *,
    stage: str = "pre-deface",
    device: str = "cpu",
    deface_zone: Any = None,
    cord: Any = None,
    bval: Any = None,
    bvec: Any = None,
    body: str = "brain",
    facts: Mapping[str, Any] | None = None,
    known: norms.Norms | None = None,
    placement: Any = None,
    whole: Any = None,
    conformity: Mapping[str, Any] | None = None,
    inclusion: Collection[str] = (),
    bias: str = "fit",
) -> Report:
    """Measure one image.

    `volume`: 3D, or 4D with time last; `suffix`: BIDS suffix; `stage`: pre-deface | post-deface; `deface_zone`: bool array on the image's grid
    (or a path to one) of what was taken away; `bval` (t,) s/mm^2 and `bvec` (3, t): arrays or paths; `body`: brain | spine, or cspine | tspine | lspine where
    the series is meant to show that segment of the cord; `cord`: a rater's mask of it (bool array or path) on the image's grid; `facts`: DICOM
    keywords of the scanner (Manufacturer, ManufacturerModelName, MagneticFieldStrength) that choose the norm among `known`; `placement`: the
    report's `placement` of an earlier measurement of the same head (image world -> template world), which saves the registration; `whole`: the
    volume (or a path to it) before defacing, with which the brain is compared voxel by voxel; `conformity`: what `qa.protocol.check` said, which makes
    `fail` only by the rules (`inclusion`: their ids) that a dataset declared to be criteria of inclusion; `bias`: how the shading is found,
    fit | n4 (SimpleITK): norms are of `fit`, so numbers by N4 are compared with none.
    Never raises for what an image is: an image that cannot be judged has the grade `fail` and the reason.
    Raises QaError `mask_mismatch`, `no_n4`, SpatialError `no_device`.
    """
    given = {"deface_zone": deface_zone, "cord": cord, "bval": bval, "bvec": bvec, "placement": placement}
    seen = subject_of(volume, suffix, stage=stage, device=device, body=body, bias=bias, **given)
    return judged(seen, facts=facts, known=known, whole=whole, conformity=conformity, inclusion=inclusion)


def subject_of(
    volume: Volume,
    suffix: str,
    *,
    stage: str = "pre-deface",
    device: str = "cpu",
    deface_zone: Any = None,
    cord: Any = None,
    bval: Any = None,
    bvec: Any = None,
    body: str = "brain",
    placement: Any = None,
    bias: str = "fit",
    **_: Any,
) -> Subject:
    """What is measured, before anything is: the first half of `measure`, with its arguments (those of the second half are let be)."""
    if bias == "n4" and importlib.util.find_spec("SimpleITK") is None:
        raise refusal("no_n4")
    matrix = None if placement is None else np.asarray(placement, dtype=np.float64)
    zone, drawn = _mask(deface_zone, volume), _mask(cord, volume)
    seen = Subject(volume, suffix, device=device, zone=zone, body=body, stage=stage, matrix=matrix, cord=drawn, bias=bias)
    _gradients(seen, bval, bvec)  # here and no later: they choose the volumes of a series that its scene shows
    return seen


def judged(
    subject: Subject,
    *,
    facts: Mapping[str, Any] | None = None,
    known: norms.Norms | None = None,
    whole: Any = None,
    conformity: Mapping[str, Any] | None = None,
    inclusion: Collection[str] = (),
    **_: Any,
) -> Report:
    """The report on a subject: the second half of `measure`, with its arguments (those of the first half are let be)."""
    found = subject.found + facts_of(subject) + broken(conformity, inclusion)
    kept = integrity(subject, whole, found)
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    if not any(f.code in HOPELESS for f in found):
        values, missing = values_of(subject)
    for name in expected(subject.kind):
        if name not in values and name not in missing:
            missing[name] = found[0].sentence if found else CODES["not_computable"][0]
    report = _report(subject, values, missing, found, facts or {}, known)
    report["integrity"] = kept
    return report


def broken(conformity: Mapping[str, Any] | None, inclusion: Collection[str]) -> list[Fact]:
    """The broken rules of a protocol that the dataset declared to be criteria of inclusion, as facts. What is unknown breaks nothing."""
    asked = [c for c in (conformity or {}).get("checks", ()) if c["id"] in inclusion and c["status"] == "deviates"]
    return [Fact("not_included", f"{c['says']}: found {c['found']}, expected {c['expected']}.") for c in asked]


def integrity(subject: Subject, whole: Any, found: list[Fact]) -> dict[str, float] | None:
    """What defacing did to the brain (4 mm inside its mask; without a brain: to all outside the zone), against the volume before it; None without one.

    In a structural image a changed voxel is a fact, added to `found`. Raises QaError `mask_mismatch` for a volume of another shape.
    """
    if whole is None or any(f.code in HOPELESS for f in found):
        return None
    if isinstance(whole, str | Path):
        from spatial.volumes import load

        whole = load(Path(whole))
    if whole.shape != subject.volume.shape:
        raise refusal("mask_mismatch")
    scene = subject.scene
    before, after = (canonical(np.asarray(v.data), np.asarray(v.affine))[0] for v in (whole, subject.volume))
    try:
        inside = scene.inner_native.cpu().numpy()
    except QaError:
        inside = np.ones(scene.shape, bool) if scene.zone is None else ~scene.zone.cpu().numpy()
    changed = (before != after) & (inside if before.ndim == 3 else inside[..., None])
    said = {"brain_changed": float(changed.sum()), "brain_holes": float((changed & (after == 0)).sum()), "compared": float(inside.sum())}
    # Where fat is suppressed a brain is placed to some mm only, and its rim may be skin: there the numbers are told, and the defacer's account decides.
    if said["brain_changed"] and subject.kind == "structural":
        found.append(Fact("brain_touched", f"{said['brain_changed']:.0f} voxels differ, {said['brain_holes']:.0f} of them became 0."))
    return said


def _report(
    subject: Subject, values: dict[str, float], missing: dict[str, str], found: list[Fact], facts: Mapping[str, Any], known: norms.Norms | None
) -> Report:
    key = norms.key(subject.suffix, facts, subject.volume.zooms, subject.body)
    metrics = {name: entry(name, values.get(name)) for name in expected(subject.kind)}
    review_z = None
    if known is not None and subject.bias == "fit":
        review_z = known.judge(key, metrics)
    doubts = [] if found else doubts_of(subject)
    verdict = grade(found, metrics, norms.limits(subject.kind, subject.suffix), review_z, doubts)
    shown = pictures.of(subject.scene, subject.stage) if not any(f.code in ("wrong_shape", "constant") for f in found) else {}
    return Report(
        {
            "schema": SCHEMA,
            "qa_version": VERSION if subject.bias == "fit" else f"{VERSION}+{subject.bias}",
            "suffix": subject.suffix,
            "kind": subject.kind,
            "stage": subject.stage,
            "device": subject.device,
            "shape": list(subject.volume.shape),
            "voxel_mm": [round(z, 4) for z in subject.volume.zooms],
            "norm_key": list(key),
            "metrics": metrics,
            "unavailable": dict(sorted(missing.items())),
            "placement": _placement(subject),
            "drivers": three(subject.kind, verdict["flags"], metrics),
            **verdict,
        },
        shown,
    )


def _placement(subject: Subject) -> list[list[float]] | None:
    """Image world -> template world where a brain was placed (only if a measure asked for it)."""
    found = subject.scene.placement if "scene" in subject.__dict__ else None
    return None if found is None else [[round(float(v), 6) for v in row] for row in found]


def entry(name: str, value: float | None) -> dict[str, Any]:
    """One measure as JSON: value (null where there is none), unit, direction, version."""
    row = METRICS[name]
    return {"value": value, "unit": row.unit, "direction": row.direction, "version": row.version}


def unreadable(suffix: str, reason: str = "") -> Report:
    """The report of a file that could not be read at all."""
    sentence = f"{CODES['unreadable'][0]} {reason}".strip()
    names = expected(kind(suffix))
    verdict = {"grade": "fail", "flags": ["unreadable"], "reasons": [sentence], "norm": "ungraded: no norm (0 of 20)"}
    content = {"schema": SCHEMA, "qa_version": VERSION, "suffix": suffix, "kind": kind(suffix), "metrics": {n: entry(n, None) for n in names}}
    return Report(content | {"unavailable": dict.fromkeys(names, sentence), "drivers": [], **verdict})


def _mask(given: Any, volume: Volume) -> NDArray[np.bool_] | None:
    if given is None:
        return None
    if isinstance(given, str | Path):
        from spatial.volumes import load

        given = load(Path(given)).data
    mask = np.asarray(given.data if isinstance(given, Volume) else given) > 0.5
    if mask.shape != volume.shape[:3]:
        raise refusal("mask_mismatch")
    return mask


def _gradients(subject: Subject, bval: Any, bvec: Any) -> None:
    if bval is None or bvec is None:
        subject.gradient_fault = CODES["no_gradients"][0]
        return
    b = np.loadtxt(bval, ndmin=1).reshape(-1) if isinstance(bval, str | Path) else np.asarray(bval, dtype=np.float64).reshape(-1)
    v = np.loadtxt(bvec, ndmin=2) if isinstance(bvec, str | Path) else np.asarray(bvec, dtype=np.float64)
    if v.ndim == 2 and v.shape[0] != 3 and v.shape[1] == 3:
        v = v.T
    subject.gradient_fault = diffusion.gradients_ok(b, v, subject.frames)
    if subject.gradient_fault:
        subject.found.append(Fact("bvec_mismatch", subject.gradient_fault))
    else:
        subject.bval, subject.bvec = b, v
