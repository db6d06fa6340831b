"""The face goes, the brain stays, and what cannot be shown to be so does not pass.

One volume of a visit, the best picture of the whole head, is aligned to the template head (affine); the others of the visit to it (rigid). One zone, drawn on
the template (`deid.facezones`), is then looked up for every voxel of every volume and set to 0. Beyond the template's edge the zone goes on
as it is at the edge: a nose longer than any is still a nose. Nothing else of a volume changes, bit by bit.

Before that the place found must be plausible: size and angle of a head, outline of the skull and of the brain where the template says (`deid.headfit`).
Verdicts: `defaced`; `no_face` (the zone meets no tissue of this volume, shown by geometry); `exempt` (a dataset's named policy); `withheld`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from deid import facezones, headfit, surface
from deid import render as rendering
from spatial import affines, register, templates, volumes
from spatial.affines import Matrix
from spatial.errors import SpatialError
from spatial.poses import Reach
from spatial.volumes import Volume

Mask = NDArray[np.bool_]
Verdict = Literal["defaced", "no_face", "exempt", "withheld"]

ZONE, BRAIN = 1, 2
FEWEST_SLICES = 8
LEAST_TISSUE_ML = 0.3  # less than this of a zone is noise
STRUCTURAL = frozenset({"T1w", "T2w", "FLAIR", "PDw", "T2starw", "UNIT1", "MP2RAGE"})  # contrasts whose skin is seen
LEAST_MOVED = 0.8  # 6 real heads in view: 0.995 and more, 0.62 to 0.96 with the zone 20 mm too far forward; 20 demo heads: 0.86 and more
ALREADY_EMPTY = 0.6  # share of nose, mouth and chin at one constant value: a face was taken out before

REASONS: dict[str, tuple[str, str]] = {
    "ok": ("The face was removed; the brain is untouched.", "Nothing to do."),
    "already_defaced": ("A face had been removed before; what our profile still found of it was removed as well.", "Nothing to do."),
    "no_face_in_view": ("The field of view holds no part of the face.", "Nothing to do."),
    "no_skin_in_view": ("The volume shows tissue up to all its edges and no skin, so no face can be seen in it.", "Nothing to do."),
    "exempt_by_policy": ("The dataset's policy exempts this kind of volume from defacing.", "Nothing to do, or change the dataset's policy."),
    "empty_volume": ("The volume is empty.", "Leave it out, or convert the series again."),
    "bad_values": ("The volume holds values that are not numbers.", "Convert the series again."),
    "too_few_slices": ("The volume has too few slices to find a face in it.", "Leave localizers and single slices out, or have a steward look."),
    "no_head_found": ("No human head could be found in the volume.", "Check what was scanned: phantoms and other body parts are not released by this profile."),
    "face_not_proven_gone": ("Something of the face may still be visible.", "Have a steward look, or leave the volume out."),
    "brain_in_zone": ("The zone to remove meets the brain.", "Have a steward look; the alignment is not good enough."),
    "label_in_zone": ("A label of a mask lies inside the zone to remove.", "Choose a profile that keeps this region, or leave the volume out."),
    "failed": ("An internal failure; the volume was not released.", "Report this to the maintainers."),
}


@dataclass(frozen=True)
class HeadImage:
    """One volume of a visit with its BIDS suffix (T1w, FLAIR, dwi, ...) and datatype (anat, dwi, ...)."""

    volume: Volume
    suffix: str = "T1w"
    datatype: str = "anat"


@dataclass(frozen=True)
class Defaced:
    """What became of one volume. `volume` is None where it is withheld; `zone` (i, j, k) bool is what was removed (None: nothing)."""

    volume: Volume | None
    zone: Mask | None
    verdict: Verdict
    code: str
    reason: str
    measures: dict[str, Any] = field(default_factory=dict)
    advice: str = ""


def deface_visit(
    volumes: Mapping[str, HeadImage], *, profile: str = facezones.DEFAULT, device: str = "cpu", seed: int = 0, exempt: frozenset[str] = frozenset()
) -> dict[str, Defaced]:
    """Deface all volumes of one visit of one person; every key gets a verdict.

    `exempt`: BIDS suffixes that the dataset's policy lets pass where no face could be looked for. Raises KeyError for an unknown profile, SpatialError
    `no_device` or `no_template`; what is wrong with a volume is its verdict, never an exception.
    """
    zone = _zone_and_brain(profile)
    verdicts: dict[str, Defaced] = {}
    for name, image in volumes.items():
        early = _early(image)
        if early is not None:
            verdicts[name] = early
    places = _places({name: image for name, image in volumes.items() if name not in verdicts}, device, seed)
    for name, place in places.items():
        verdicts[name] = _apply(volumes[name], place, zone, profile) if place is not None else _without_head(volumes[name])
    return {name: _exempted(verdicts[name], image, exempt) for name, image in volumes.items()}


def render(volume: Volume) -> bytes:
    """Front and three-quarter views of the head's surface as PNG (see `deid.render`)."""
    return rendering.render(volume)


def labels_in_zone(zone: Mask, labels: NDArray[Any]) -> list[int]:
    """The label values (not 0) of a mask on the same grid that have voxels inside the removed zone: any of them refuses the volume."""
    inside = labels[zone] if labels.ndim == zone.ndim else labels[zone].ravel()
    return sorted(int(value) for value in np.unique(inside) if value != 0)


def withheld(code: str, **measures: Any) -> Defaced:
    """A volume that does not pass, and why."""
    return _verdict(None, None, "withheld", code, measures)


def _verdict(volume: Volume | None, zone: Mask | None, verdict: Verdict, code: str, measures: dict[str, Any]) -> Defaced:
    reason, advice = REASONS[code]
    return Defaced(volume, zone, verdict, code, reason, measures, advice)


def _zone_and_brain(profile: str) -> Volume:
    """The profile's zone and the brain as bits on the template's grid; the brain touches no edge of it."""
    zone = facezones.zone(profile)
    return Volume(zone.data * np.uint8(ZONE) + templates.head().brain * np.uint8(BRAIN), zone.affine)


def _early(image: HeadImage) -> Defaced | None:
    """What can be said before looking for a head."""
    data = image.volume.data
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        return withheld("bad_values")
    if data.min() == data.max():
        return withheld("empty_volume")
    if min(image.volume.shape[:3]) < FEWEST_SLICES:
        return withheld("too_few_slices", slices=min(image.volume.shape[:3]))
    return None


@dataclass(frozen=True)
class _Place:
    """Where a volume lies: its world -> the template's world, and how well that fits."""

    matrix: Matrix
    fit: headfit.Fit
    how: str


def _places(images: Mapping[str, HeadImage], device: str, seed: int) -> dict[str, _Place | None]:
    """Align the best volume to the template and the others to it; a volume that does not fit that way is aligned on its own."""
    out: dict[str, _Place | None] = {}
    reference: str | None = None
    for name in sorted(images, key=lambda n: (_rank(images[n]), n)):
        place = _twin(images[name], images, out)
        if place is None and reference is not None:
            place = _beside(images[name], images[reference], out[reference], device, seed)
        if place is None and not _is_phase(images[name]):
            place = _alone(images[name], device, seed)
        out[name] = place
        if reference is None and place is not None:
            reference = name
    return out


def _rank(image: HeadImage) -> tuple[int, float]:
    """Small is good: a whole head in fine voxels of a contrast with clear skin."""
    small = min(image.volume.extent) < 120
    order = {"T1w": 0, "T2w": 1, "FLAIR": 1, "PDw": 1}.get(image.suffix, 2 if image.datatype == "anat" else 3)
    order += 10 * _is_phase(image)
    return order + 4 * small, float(max(image.volume.zooms))


def _is_phase(image: HeadImage) -> bool:
    """Whether the values are angles: such a volume shows no outline, and is of the same moment as its magnitude."""
    return image.suffix.startswith("phase") or bool(image.volume.data.min() < 0 and image.datatype == "fmap")


def _twin(image: HeadImage, images: Mapping[str, HeadImage], known: Mapping[str, _Place | None]) -> _Place | None:
    """A phase volume lies where the magnitude on its grid lies."""
    if not _is_phase(image):
        return None
    for name, place in known.items():
        if place is not None and not _is_phase(images[name]) and volumes.same_grid(images[name].volume, image.volume):
            return _Place(place.matrix, place.fit, "magnitude")
    return None


def _alone(image: HeadImage, device: str, seed: int) -> _Place | None:
    head = templates.head()
    # A search that ended where no head can lie is begun once more from other points before the head is sought lying down.
    tries: tuple[tuple[Reach, int], ...] = (("wide", seed), ("wide", seed + 1), ("any", seed))
    for reach, points in tries:
        try:
            found = register.align(head.volume, image.volume, kind="affine", device=device, seed=points, reach=reach)
        except SpatialError as error:
            if error.code == "no_device":
                raise
            return None
        fit = headfit.measure(image.volume, found.matrix, found)
        if fit.plausible:
            return _Place(found.matrix, fit, "template" if reach == "wide" else "template_turned")
    return None


def _beside(image: HeadImage, reference: HeadImage, known: _Place | None, device: str, seed: int) -> _Place | None:
    """Rigid to the reference of the visit, first near the shared scanner frame, then wide."""
    if known is None:
        return None
    for reach in ("near", "wide"):
        try:
            found = register.align(reference.volume, image.volume, kind="rigid", device=device, seed=seed, reach=reach)
        except SpatialError as error:
            if error.code == "no_device":
                raise
            continue
        matrix = known.matrix @ found.matrix
        fit = headfit.measure(image.volume, matrix, replace(found, scale=affines.scales(matrix)), known=True)
        if fit.plausible:
            return _Place(matrix, fit, "reference")
    return None


def _apply(image: HeadImage, place: _Place, zone: Volume, profile: str) -> Defaced:
    """Take the zone out of one volume and look at what is left."""
    volume = image.volume
    bits = headfit.lookup(zone, volume, place.matrix)
    gone, brain = (bits & ZONE) > 0, (bits & BRAIN) > 0
    measures = _measures(volume, place, gone, brain, profile)
    if (gone & brain).any():
        return _verdict(None, None, "withheld", "brain_in_zone", measures)
    if measures["tissue_removed_ml"] < LEAST_TISSUE_ML:
        return _verdict(volume, None, "no_face", "no_face_in_view", measures)
    clean = volume.data.copy()
    clean[gone] = fill_value(volume.data)
    done = Volume(clean, volume.affine)
    if measures["face_empty_before"] is not None and measures["face_empty_before"] > ALREADY_EMPTY:
        return _verdict(done, gone, "defaced", "already_defaced", measures)
    measures["surface_moved"] = surface.moved_share(volume, done) if image.suffix in STRUCTURAL else None
    if measures["surface_moved"] is not None and measures["surface_moved"] < LEAST_MOVED:
        return _verdict(None, None, "withheld", "face_not_proven_gone", measures)
    return _verdict(done, gone, "defaced", "ok", measures)


def fill_value(data: NDArray[Any]) -> Any:
    """0, or the smallest value where the volume's own scaling may not reach 0."""
    low = data.min()
    return data.dtype.type(0 if data.dtype.kind in "iu" or low <= 0 else low)


def _measures(volume: Volume, place: _Place, gone: Mask, brain: Mask, profile: str) -> dict[str, Any]:
    ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    return {
        "engine": "spatial.register",
        "profile": profile,
        "aligned_to": place.how,
        **place.fit.as_json(),
        "removed_voxels": int(gone.sum()),
        "tissue_removed_ml": headfit.removed_ml(gone, volume),
        "brain_in_view_ml": round(float(brain.sum()) * ml, 1),
        "brain_voxels_changed": int((gone & brain).sum()),
        "brain_margin_mm": headfit.margin_mm(gone, brain, volume.affine),
        "face_empty_before": headfit.empty_share(volume, place.matrix),
    }


def _without_head(image: HeadImage) -> Defaced:
    """No head was found: either no skin is in view at all, or nothing can be shown."""
    skin = headfit.skin_share(image.volume)
    if skin == 0 and image.datatype == "anat" and max(image.volume.extent) < headfit.CROP_MM:
        return _verdict(image.volume, None, "no_face", "no_skin_in_view", {"skin_share": 0.0})
    return withheld("no_head_found", skin_share=skin)


def _exempted(found: Defaced, image: HeadImage, exempt: frozenset[str]) -> Defaced:
    if found.verdict == "withheld" and found.code in ("no_head_found", "too_few_slices") and image.suffix in exempt:
        return _verdict(image.volume, None, "exempt", "exempt_by_policy", {"instead_of": found.code, **found.measures})
    return found


def main(argv: Sequence[str]) -> int:
    """`python -m deid deface IN OUT`: 0 when the volume passes, 1 when it is withheld (OUT is then not written), 2 on wrong usage."""
    options = _options().parse_args(argv)
    try:
        images = {"image": HeadImage(volumes.load(options.input), options.suffix)}
        if options.companion is not None:
            images["companion"] = HeadImage(volumes.load(options.companion), "T1w")
        found = deface_visit(images, profile=options.profile, device=options.device)["image"]
        if found.volume is not None:
            volumes.save(found.volume, options.output, like=options.input)
        if options.render is not None:
            options.render.write_bytes(render(images["image"].volume if found.volume is None else found.volume))
    except SpatialError as error:
        found = Defaced(None, None, "withheld", error.code, error.reason, {}, error.advice)
    report = {"verdict": found.verdict, "code": found.code, "reason": found.reason, "advice": found.advice, "measures": found.measures}
    text = json.dumps(report, indent=1, sort_keys=True) + "\n"
    if options.report is not None:
        options.report.write_text(text)
    sys.stdout.write(text)
    return 1 if found.verdict == "withheld" else 0


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deid deface", description=main.__doc__)
    parser.add_argument("input", type=Path, metavar="IN.nii.gz")
    parser.add_argument("output", type=Path, metavar="OUT.nii.gz")
    parser.add_argument("--profile", choices=sorted(facezones.BITS), default=facezones.DEFAULT)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--suffix", default="T1w", help="BIDS suffix of IN")
    parser.add_argument("--with", dest="companion", type=Path, metavar="T1.nii.gz", help="a better picture of the same head in the same visit")
    parser.add_argument("--report", type=Path, metavar="R.json")
    parser.add_argument("--render", type=Path, metavar="PNG", help="the surface afterwards")
    return parser
