"""The face goes, the brain stays, and what cannot be shown to be so does not pass.

Every volume of a visit is laid on the template head (`deid.placing`). One zone, drawn on the template (`deid.facezones`), is looked up for every voxel of every
volume and blanked, or filled with noise (`deid.facefill`). Beyond the template's edge the zone goes on as it is at the edge: a nose longer
than any is still a nose. Nothing else of a volume changes, bit by bit.

Before that the place found must be plausible: size and angle of a head, outline of the skull and of the brain where the template says (`deid.headfit`).
After it the result is questioned (`deid.proof`): by a second engine, on the surface that is left, by the amount removed. `deid.verdicts` holds the answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import facefill, facepolicy, facezones, headfit, proof, second, surface
from deid import render as rendering
from deid.facepolicy import FacePolicy
from deid.placing import HeadImage, Place, places
from deid.verdicts import REASONS, Defaced, Mask, Verdict, told, withheld
from spatial import register, templates
from spatial.errors import SpatialError
from spatial.volumes import Volume

__all__ = ["REASONS", "Defaced", "HeadImage", "Verdict", "deface_visit", "labels_in_zone", "main", "render", "threads", "withheld"]

ZONE, BRAIN = 1, 2
FEWEST_SLICES = 8
LEAST_MOVED = 0.8  # 6 real heads in view: 0.995 and more, 0.62 to 0.96 with the zone 20 mm too far forward; 20 demo heads: 0.86 and more
# Share of nose, mouth and chin that holds nothing but air: a face was taken out before. 7 heads so defaced, as they are, turned, cut, thick and noisy: 0.79 and
# more; 6 heads with their faces, likewise: 0.53 and less (2026-11-29).
ALREADY_EMPTY = 0.7


def deface_visit(
    volumes: Mapping[str, HeadImage],
    *,
    profile: str = facezones.DEFAULT,
    device: str = "cpu",
    seed: int = 0,
    policy: FacePolicy = FacePolicy(),  # noqa: B008 - frozen
    second_opinion: bool = False,
    backend: str = "torch",
    labels: Mapping[str, Sequence[NDArray[Any]]] | None = None,
) -> dict[str, Defaced]:
    """Deface all volumes of one visit of one person; every key gets a verdict.

    `profile`: a zone of `deid.facezones`, with `-noise` behind it where it is to be filled with noise (`deid.facefill`).
    `policy`: what the dataset exempts, and what becomes of orbits. `second_opinion`: ask the second engine about every volume that was laid on the template by
    itself. `backend`: `torch`, or `pydeface` where FSL is installed. `labels`: for a key, masks on its grid of which no label
    may lie in the zone. Raises KeyError for an unknown profile, SpatialError `no_device`, `no_template`; what is wrong with a volume, and an engine that was
    asked for and is not there or gives up (`no_second_engine`, `no_fsl`, `fsl_failed`), are its verdict, never an exception.
    """
    asked_for = Asked(profile, seed)
    verdicts = {name: early for name, image in volumes.items() if (early := _early(image, policy)) is not None}
    for name, image in volumes.items():  # a spine is looked at as a neck before a head is sought in it
        if image.region == "spine" and name not in verdicts:
            neck = _without_head(image, asked_for, (labels or {}).get(name, ()))
            verdicts |= {name: neck} if neck.verdict != "withheld" or neck.code == "label_in_zone" else {}
    rest = {name: image for name, image in volumes.items() if name not in verdicts}
    try:
        found = places(rest, device, seed, backend)
        asked = proof.opinions(rest, found) if second_opinion else {}
    except SpatialError as error:
        if error.code not in ("no_second_engine", "no_fsl", "fsl_failed"):
            raise
        return {name: verdicts.get(name) or withheld(error.code) for name in volumes}
    for name, place in found.items():
        if place is None:
            verdicts[name] = _without_head(volumes[name], asked_for, (labels or {}).get(name, ()))
            continue
        restricted = _unseen(volumes[name], place, policy)
        word = proof.beside(name, found, asked) if second_opinion else None
        verdicts[name] = restricted or _apply(volumes[name], place, asked_for, word, (labels or {}).get(name, ()))
    for name, place in found.items():
        if place is not None and place.how == "same_grid" and place.reference is not None:
            verdicts[name] = _with_its_twin(verdicts[name], verdicts[place.reference])
    return {name: _exempted(verdicts[name], image, policy) for name, image in volumes.items()}


def render(volume: Volume) -> bytes:
    """Front, three-quarter and profile views of the head's surface as PNG (see `deid.render`)."""
    return rendering.render(volume)


def labels_in_zone(zone: Mask, labels: NDArray[Any]) -> list[int]:
    """The label values (not 0) of a mask on the same grid that have voxels inside the removed zone: any of them refuses the volume."""
    inside = labels[zone] if labels.ndim == zone.ndim else labels[zone].ravel()
    return sorted({int(np.ceil(value)) for value in np.unique(inside) if value != 0})


def _early(image: HeadImage, policy: FacePolicy) -> Defaced | None:
    """What can be said before looking for a head."""
    data = image.volume.data
    if data.dtype.kind not in "iufb" or data.ndim not in (3, 4):
        return withheld("unsupported_values")
    if data.dtype.kind == "f" and not np.isfinite(data).all():
        return withheld("bad_values")
    if data.min() == data.max():
        return withheld("empty_volume")
    if min(image.volume.shape[:3]) < FEWEST_SLICES and not (image.region == "spine" and _is_slim(image.volume)):
        return withheld("too_few_slices", slices=min(image.volume.shape[:3]))
    if image.region == "orbit":
        return _orbit(image, policy, {"by": "header"})
    return None


def _orbit(image: HeadImage, policy: FacePolicy, measures: dict[str, Any]) -> Defaced:
    """A series made of the orbits: whole where the dataset's policy lets two people decide on it, else nothing of it."""
    measures |= {"policy": policy.name} if policy.orbits else {}
    return told(image.volume if policy.orbits else None, None, "orbit_restricted", "orbit_restricted", measures)


def _unseen(image: HeadImage, place: Place, policy: FacePolicy) -> Defaced | None:
    """The verdict of a view that is never cut: the orbits and little else, or nothing near a face."""
    view = headfit.view(image.volume, place.matrix)
    measures = {"aligned_to": place.how, "reference": place.reference, **view.as_json()}
    if view.orbital:
        return _orbit(image, policy, {"by": "geometry", **measures})
    if place.how == "header":
        return told(image.volume, None, "no_face", "no_face_in_view", measures)
    return None


class Asked:
    """What a profile asks for: its zone and the brain as bits on the template's grid (the brain touches no edge of it), and the filling."""

    def __init__(self, profile: str, seed: int) -> None:
        self.profile, self.fill = facefill.asked(profile)
        self.seed = seed
        zone = facezones.zone(self.profile)
        self.bits = Volume(zone.data * np.uint8(ZONE) + templates.head().brain * np.uint8(BRAIN), zone.affine)


def _apply(image: HeadImage, place: Place, asked: Asked, word: second.Opinion | str | None, labels: Sequence[NDArray[Any]]) -> Defaced:
    """Take the zone out of one volume and question what is left."""
    volume = image.volume
    bits = headfit.lookup(asked.bits, volume, place.matrix)
    gone, brain = (bits & ZONE) > 0, (bits & BRAIN) > 0
    gone, spared = _spared(image, place, gone, brain)
    measures = _measures(volume, place, gone, brain, asked.profile) | {"kept_from_brain_mm": spared}
    hit = sorted({label for mask in labels for label in labels_in_zone(gone, mask)})
    if hit:
        return told(None, None, "withheld", "label_in_zone", measures | {"labels_in_zone": hit})
    if (gone & brain).any():
        return told(None, None, "withheld", "brain_in_zone", measures)
    before = _gone_before(volume, place, measures["face_empty_before"], word)
    if measures["tissue_removed_ml"] < headfit.FEWEST_ML:
        if not before and proof.face_in_view(image, place, asked.profile):
            return told(None, None, "withheld", "face_not_proven_gone", measures)
        return told(volume, None, "no_face", "brain_only" if place.how == "brain" else "no_face_in_view", measures)
    done, filling = facefill.filled(volume, gone, asked.fill, asked.seed)
    measures |= filling
    moved = surface.moved_share(volume, done) if proof.skin_is_seen(image, place) and not before else None
    measures["surface_moved"] = moved
    if moved is not None and moved < LEAST_MOVED:
        return told(None, None, "withheld", "face_not_proven_gone", measures)
    shown = proof.prove(image, place, gone, done, asked.profile, word, before, moved)
    measures |= shown.measures
    if shown.doubts:
        return told(done, gone, "review", shown.doubts[0], measures | {"review": list(shown.doubts)})
    return told(done, gone, "defaced", "already_defaced" if before else "ok", measures)


def _gone_before(volume: Volume, place: Place, empty: float | None, word: second.Opinion | str | None) -> bool:
    """Whether somebody took the face out before. A place that is wrong is empty too: the second engine must put the face into air as well or, where it was
    not asked, the face must have been blanked with one value."""
    if empty is None or empty <= ALREADY_EMPTY:
        return False
    if isinstance(word, second.Opinion):
        seen = headfit.empty_share(volume, word.matrix) if word.asked != "hinted" else None  # a hinted place is nearly our own
    else:
        seen = headfit.blank_share(volume, place.matrix)
    return seen is not None and seen > ALREADY_EMPTY


def _with_its_twin(own: Defaced, twin: Defaced) -> Defaced:
    """A volume without an outline, whose surface says nothing, stands and falls with the one on its grid."""
    if own.verdict not in ("defaced", "review") or twin.verdict not in ("review", "withheld"):
        return own
    if twin.verdict == "withheld":
        return told(None, None, "withheld", twin.code, own.measures)
    doubts = list(dict.fromkeys([*own.measures.get("review", []), *twin.measures["review"]]))
    return told(own.volume, own.zone, "review", doubts[0], own.measures | {"review": doubts})


def _spared(image: HeadImage, place: Place, gone: Mask, brain: Mask) -> tuple[Mask, float | None]:
    """The zone, and how many mm it was kept from the brain (None: it was not).

    Where no skin is seen and runs from other starts ended some mm apart, nobody's face hangs on those mm, but the brain does: the zone keeps as far away from
    where the template's brain lies.
    """
    if proof.shows_skin(image) or not place.spread_mm > register.DOUBTFUL_MM or not brain.any():
        return gone, None
    from scipy import ndimage

    far = ndimage.distance_transform_edt(~brain, sampling=image.volume.zooms) > place.spread_mm
    return gone & far, round(float(place.spread_mm), 2)


def _measures(volume: Volume, place: Place, gone: Mask, brain: Mask, profile: str) -> dict[str, Any]:
    """What was found and done, without anything of whom it was done to."""
    ml = abs(float(np.linalg.det(volume.affine[:3, :3]))) / 1000
    return {
        "engine": "pydeface (FSL flirt)" if place.how == "flirt" else "spatial.register",
        "profile": profile,
        **hashes(),
        "aligned_to": place.how,
        "reference": place.reference,
        "affine": [[round(float(x), 5) for x in row] for row in place.matrix],
        "spread_mm": round(place.spread_mm, 2) if np.isfinite(place.spread_mm) else None,
        **place.fit.as_json(),
        "removed_voxels": int(gone.sum()),
        "tissue_removed_ml": headfit.removed_ml(gone, volume),
        "labels_in_zone": [],
        "brain_in_view_ml": round(float(brain.sum()) * ml, 1),
        "brain_voxels_changed": int((gone & brain).sum()),
        "brain_margin_mm": headfit.margin_mm(gone, brain, volume.affine),
        "face_empty_before": headfit.empty_share(volume, place.matrix),
    }


_HASHES: dict[str, str] = {}


def hashes() -> dict[str, str]:
    """Of the template's picture and of the file of zones: which ones a report speaks of."""
    if not _HASHES:
        picture = templates.head().volume.data
        _HASHES["template_sha256"] = hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()[:16]
        _HASHES["zones_sha256"] = hashlib.sha256(Path(facezones.DATA).read_bytes()).hexdigest()[:16]
    return _HASHES


def _without_head(image: HeadImage, asked: Asked, labels: Sequence[NDArray[Any]]) -> Defaced:
    """No head was found: a neck with a face above it is cut by its skin (`deid.spineface`); else no skin is in view at all, or nothing can be shown.

    That a neck shows no face is believed only where the header says that it is one: a bottle has no chin either. Where no header says so, the shoulders
    must be seen below the chin.
    """
    from deid import spineface  # wanted by necks only

    skin = headfit.skin_share(image.volume)
    if skin == 0 and image.datatype == "anat" and max(image.volume.extent) < headfit.CROP_MM:
        return told(image.volume, None, "no_face", "no_skin_in_view", {"skin_share": 0.0})
    neck = spineface.spine_zone(image.volume)
    measures = {"engine": "deid.spineface", "profile": asked.profile, "skin_share": skin, "neck": neck.code, **neck.measures}
    if neck.zone is not None and neck.code == "ok" and (image.region == "spine" or neck.measures["shoulders"]):
        return _neck(image, neck.zone, asked, labels, measures)
    if image.region == "spine" and neck.code in ("no_face_in_view", "no_skin_in_view"):
        return told(image.volume, None, "no_face", neck.code, measures)
    return withheld("face_not_proven_gone" if neck.code == "face_not_proven_gone" else "no_head_found", **measures)


def _is_slim(volume: Volume) -> bool:
    from deid import spineface  # wanted by necks only

    return spineface.slim(volume)


def _neck(image: HeadImage, zone: Mask, asked: Asked, labels: Sequence[NDArray[Any]], measures: dict[str, Any]) -> Defaced:
    """A neck without the face above it."""
    hit = sorted({label for mask in labels for label in labels_in_zone(zone, mask)})
    measures |= {"removed_voxels": int(zone.sum()), "tissue_removed_ml": headfit.removed_ml(zone, image.volume), "labels_in_zone": hit}
    if hit:
        return told(None, None, "withheld", "label_in_zone", measures)
    done, filling = facefill.filled(image.volume, zone, asked.fill, asked.seed)
    seen = surface.look(done)
    measures |= filling | {"surface": seen.as_json()}
    if seen.visible is not False:
        return told(done, zone, "review", "face_still_seen", measures | {"review": ["face_still_seen"]})
    return told(done, zone, "defaced", "ok", measures)


def _exempted(found: Defaced, image: HeadImage, policy: FacePolicy) -> Defaced:
    """What the dataset's policy lets pass: a kind without skin by the word of its scanner, in which neither a head was found nor a face is seen."""
    if found.verdict != "withheld" or found.code != "no_head_found" or image.suffix not in policy.exempt:
        return found
    if image.claimed or image.datatype not in facepolicy.SKINLESS or surface.look(image.volume.mean3d()).visible is True:
        return found
    return told(image.volume, None, "exempt", "exempt_by_policy", {"instead_of": found.code, "policy": policy.name, **found.measures})


def threads() -> int:
    """How many threads the arithmetic uses."""
    import torch

    return int(torch.get_num_threads())


def main(argv: Sequence[str]) -> int:
    """The command (see `deid.facecommand`)."""
    from deid import facecommand

    return facecommand.main(argv)
