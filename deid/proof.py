"""Is the face gone, and was it the face? Asked of the result in ways that the engine who found the place cannot answer for itself.

A second engine says where *it* puts the face: how far that is from the first one's, and whether anything of the face is left there. The surface that is left
is looked at without a template. The amount removed is compared with what a face of this head's size holds. Every doubt sends the volume to a person.

Thresholds were set on the heads named beside each (those of `tests/measure/faces_register_cases.py`, 2026-11-22); the rows of
`tests/measure/faces_proof_rows.py` measure them again, and heads that nobody here has seen are kept for judging.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import facezones, headfit, second, surface
from deid.placing import HeadImage, Place, is_outlined
from spatial import affines, pyramid, register, templates
from spatial.affines import Matrix
from spatial.errors import SpatialError
from spatial.resample import resample
from spatial.volumes import Volume

Mask = NDArray[np.bool_]
CORE_MM = second.APART_MM  # how deep inside the zone something must lie to be of the face in either frame
# Share of the face's core, where the second engine puts it, that may be left. 12 real heads as they are and 10 perturbed, engines up to 4 mm apart: 0.000
# (once 0.002); a zone 20 mm too far forward on a made head: over 0.05; an engine 33 mm off: 0.59.
MOST_LEFT = 0.05
# Tissue removed over what the template's own face holds in the same view. Real heads with their faces (7 as they are, 7 perturbed): 0.62 to 1.20; the upper
# half of a zone left in on a made head: under 0.5. Heads defaced before (0.09 to 0.51) are not asked.
LEAST_AMOUNT, MOST_AMOUNT = 0.5, 1.6
# Sizes: real heads as they are 0.86 to 1.03, children of one year about 1.25 (head circumference 46 cm against 57). A wide band: shape is asked by `headfit`.
USUAL_SMALLEST, USUAL_LARGEST, LEAST_IN_VIEW = 0.72, 1.25, 0.5
# A head of which a slab shows little can be laid in many ways that fit the slab alike, and both engines may agree on one: of 78 slabs of 13 real heads 7 were
# over 5 mm off with the engines agreeing. 3 of them had less than 0.26 of the face in view; 2 had fewer than 0.4 of the box's corners, and engines over 4 mm
# apart or brought together only by a hint; the other 2 were 5.8 and 5.9 mm off by the box, and 2.3 and 3.6 mm by what was in view (2026-11-29).
LEAST_OF_FACE, LEAST_OF_BOX, APART_IN_PART_MM = 0.27, 0.4, 4.0
MOST_MOVED_MM = 5.0  # as far as two engines may be apart
# Where so much of the face's surface is known to have moved back, what still looks like eyes lies behind them: thick slices and made heads can look so.
SURELY_MOVED = 0.97


def opinions(images: Mapping[str, HeadImage], found: Mapping[str, Place | None]) -> dict[str, second.Opinion | str]:
    """The second engine's word on every volume that was laid on the template by itself: its opinion, or the code of why it has none.

    The others of a visit were aligned to one of these; theirs is that one's (see `beside`). Raises SpatialError `no_second_engine`.
    """
    out: dict[str, second.Opinion | str] = {}
    for name, place in found.items():
        if place is None or place.how not in ("template", "template_turned", "flirt"):
            continue
        try:
            out[name] = second.opinion(images[name].volume, place.matrix)
        except SpatialError as error:
            if error.code == "no_second_engine":
                raise
            out[name] = "second_engine_failed"
    return out


def beside(name: str, found: Mapping[str, Place | None], asked: Mapping[str, second.Opinion | str]) -> second.Opinion | str | None:
    """What the second engine says of a volume: its own opinion, or that of the volume it was aligned to, brought over by the rigid alignment between them."""
    place = found[name]
    if name in asked or place is None:
        return asked.get(name)
    known = None if place.reference is None or place.reference == name else beside(place.reference, found, asked)
    if place.rigid is None or not isinstance(known, second.Opinion):
        return known
    matrix = known.matrix @ place.rigid
    how = "hinted" if known.asked == "hinted" else "reference"
    return second.Opinion(matrix, register.apart_mm(place.matrix, matrix, templates.face_box()), how, known.engine)


@dataclass(frozen=True)
class Proof:
    """What was asked and answered: `measures` for the report, `doubts` as codes of `deid.verdicts.REASONS`, gravest first."""

    measures: dict[str, Any]
    doubts: tuple[str, ...]


def prove(
    image: HeadImage, place: Place, zone: Mask, done: Volume, profile: str, word: second.Opinion | str | None, before: bool, moved: float | None
) -> Proof:
    """Ask everything of one defaced volume. `zone`: what was removed; `before`: its face had been removed by somebody else already;
    `moved`: share of the face's surface that went back (None: not told)."""
    answers: list[tuple[str, bool]] = []
    measures: dict[str, Any] = {"second": None}
    if isinstance(word, str):
        answers.append((word, True))
    elif word is not None:
        left = core_left(image.volume, zone, word.matrix, profile)
        measures["second"] = word.as_json() | {"face_left": left, "frame": "second engine"}
        answers += [("engines_apart", not word.agrees), ("second_frame_not_empty", left is not None and left > MOST_LEFT)]
    skinny = shows_skin(image)
    # Laid on the template's brain alone it should have had nothing around it: what was removed nevertheless is of a head nobody has placed.
    answers.append(("place_uncertain", skinny and (place.how == "brain" or uncertain(place, word))))
    answers.append(("frames_moved", skinny and frames_apart_mm(image.volume) > MOST_MOVED_MM))
    seen_of_it = face_share(image.volume, place.matrix, profile)
    measures["face_in_view"] = round(seen_of_it, 2)
    answers.append(("little_face_in_view", skinny and place.how != "same_grid" and (seen_of_it < LEAST_OF_FACE or unsure_in_part(image.volume, place, word))))
    amount = measures["amount_of_face"] = amount_of_face(image.volume, zone, place.matrix, profile)
    answers.append(("odd_amount", skinny and place.how != "same_grid" and amount is not None and not (before or LEAST_AMOUNT <= amount <= MOST_AMOUNT)))
    answers.append(("odd_size", odd_size(place)))
    if skin_is_seen(image, place):
        seen = surface.look(done)
        measures["surface"] = seen.as_json()
        answers.append(("face_still_seen", seen.visible is True and not (moved is not None and moved >= SURELY_MOVED)))
    return Proof(measures, tuple(code for code, doubt in answers if doubt))


def shows_skin(image: HeadImage) -> bool:
    """Whether a volume of this kind shows skin: in diffusion, BOLD and perfusion fat is suppressed, and the skin with it. Of 182 people 0 to 2 % were matched
    with photographs on such volumes, with nothing removed (the study by sequence of the group of Schwarz 2021, doi:10.1016/j.neuroimage.2021.117845)."""
    return image.datatype not in ("dwi", "func", "perf")


def skin_is_seen(image: HeadImage, place: Place) -> bool:
    """Whether the surface of this volume says anything; one without an outline stands and falls with the one on its grid (`faces.deface_visit`)."""
    return shows_skin(image) and is_outlined(image) and place.how != "same_grid"


def frames_apart_mm(volume: Volume) -> float:
    """How far, in mm, the middle of any frame's outline lies from that of their mean (0 for one frame): one zone serves only a head that kept still."""
    if volume.data.ndim == 3:
        return 0.0
    frames = [volume.mean3d(), *(Volume(volume.data[..., t], volume.affine) for t in range(volume.data.shape[3]))]
    middles = []
    for frame in frames:
        small = pyramid.shrink(frame, headfit.GRID_MM)
        try:
            inside = np.argwhere(headfit.tissue(small))
        except SpatialError:
            return float("inf")
        middles.append(affines.apply(small.affine, inside.mean(axis=0)[None])[0])
    return max(float(np.linalg.norm(middle - middles[0])) for middle in middles[1:])


def uncertain(place: Place, word: second.Opinion | str | None) -> bool:
    """Whether runs from other starts ended elsewhere, and no second engine that found its own way confirms the place."""
    confirmed = isinstance(word, second.Opinion) and word.agrees and word.asked == "alone"
    return bool(place.spread_mm > register.DOUBTFUL_MM and not confirmed)


def unsure_in_part(volume: Volume, place: Place, word: second.Opinion | str | None) -> bool:
    """Whether most of the face's box lies outside the picture, and the second engine did not find nearly the same place by itself."""
    if not isinstance(word, second.Opinion) or in_view(volume, place.matrix, templates.face_box()).mean() >= LEAST_OF_BOX:
        return False
    return word.asked != "alone" or word.apart_mm > APART_IN_PART_MM


def in_view(volume: Volume, matrix: Matrix, points: NDArray[np.float64]) -> Mask:
    """Which world points (n, 3) of the template lie in the picture, where `matrix` (world of the volume -> template) puts them: (n,) bool."""
    at = affines.apply(affines.inverse(matrix @ volume.affine), points)
    return np.asarray(((at >= -0.5) & (at <= np.array(volume.shape[:3]) - 0.5)).all(axis=1))


def face_share(volume: Volume, matrix: Matrix, profile: str) -> float:
    """Share of the tissue of the template's face that lies in the picture."""
    return float(in_view(volume, matrix, face_points(profile)).mean())


def face_points(profile: str) -> NDArray[np.float64]:
    """World points of the template (n, 3), mm, evenly spread over the tissue of its face."""
    return _face_points(profile)[1]


def odd_size(place: Place) -> bool:
    """Whether the head is so small, large or far out of view that a person should look."""
    fit = place.fit
    return bool(fit.scale[0] < USUAL_SMALLEST or fit.scale[2] > USUAL_LARGEST or fit.overlap < LEAST_IN_VIEW)


@functools.cache
def _core(profile: str) -> Volume:
    """The zone of a profile without what lies within `CORE_MM` of its deep and side walls, where it is tissue; 1 is core. Its way into the air stays."""
    from scipy import ndimage

    zone = facezones.zone(profile)
    steps = round(CORE_MM / max(zone.zooms))
    core = ndimage.binary_erosion(zone.data > 0, iterations=steps, border_value=1)
    return Volume(core.astype(np.uint8), zone.affine)


def core_left(volume: Volume, removed: Mask, matrix: Matrix, profile: str) -> float | None:
    """Share of the tissue in the face's core, where `matrix` (world of the volume -> template) puts it, that was not removed; None where it meets none."""
    small = pyramid.shrunk(volume)
    core = headfit.lookup(_core(profile), small, matrix) > 0
    inside = core & headfit.tissue(small)
    if inside.sum() * _ml(small.affine) < headfit.FEWEST_ML:
        return None
    gone = resample(Volume(removed.astype(np.float32), volume.affine), small).data
    return round(float((gone[inside] < 0.5).mean()), 3)


def face_in_view(image: HeadImage, place: Place, profile: str) -> bool:
    """Whether this view should hold some of a face's tissue, had nobody taken it: then a zone without any is no proof that there is none."""
    nothing = np.zeros(image.volume.shape[:3], dtype=np.bool_)
    return shows_skin(image) and place.how not in ("brain", "same_grid") and amount_of_face(image.volume, nothing, place.matrix, profile) is not None


def amount_of_face(volume: Volume, removed: Mask, matrix: Matrix, profile: str) -> float | None:
    """Tissue removed over the tissue that the template's own face holds in the same view, at this head's size; None where that is next to nothing."""
    grid, points = _face_points(profile)
    expected = float(in_view(volume, matrix, points).sum()) * grid / abs(float(np.linalg.det(matrix[:3, :3])))
    if expected < 10 * headfit.FEWEST_ML:
        return None
    return round(headfit.removed_ml(removed, volume) / expected, 3)


@functools.cache
def _face_points(profile: str) -> tuple[float, NDArray[np.float64]]:
    """Millilitres for which each point stands, and world points of the template in the tissue of the zone."""
    head, every = templates.head(), 5
    points = np.argwhere(head.head & (facezones.zone(profile).data > 0))[::every]
    return every * _ml(head.volume.affine), affines.apply(head.volume.affine, points)


def _ml(affine: Matrix) -> float:
    return abs(float(np.linalg.det(affine[:3, :3]))) / 1000
