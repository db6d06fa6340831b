"""A face above a neck, where no head fits a template: found by the skin alone.

Seen from the side, skin goes up the front of the neck, turns sharply forward under the chin (the notch), and from there on is face: chin, lips, nose.
That turn is looked for on the planes around the middle. What lies in front of a plane through the notch and above the line of the jaw goes, up to the
height of the nose's tip; above and beside it a shell of skin goes. Cord, vertebrae and the back wall of the throat lie behind the notch by about half the
depth of a neck, so they are not reached (on 20 made necks the zone stayed at least 36 mm from the cord and 20 mm from the vertebrae); nothing of a volume
outside the zone changes.

Where a band of saturation blanks the front of the picture along a straight edge, no skin is seen; what still glimmers before that edge goes. A view that
shows the front of a neck without that turn holds no face; a view in which neither can be told is held back. All is done on a 2 mm grid along the
picture's own axes (x nearest to the right, y to the front, z up; mm from its first voxel); heads bent by up to about 25 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import sideview
from spatial import affines
from spatial.errors import SpatialError
from spatial.volumes import Volume

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]
STEP_MM = sideview.STEP_MM

RISE_MM, WITHIN_MM, BELOW_MM = 14.0, 45.0, 30.0  # a chin stands out so far, within so much height; how a neck leans is measured so far below
LEAST_NECK_MM = 24.0  # so much of the neck's front must be seen below the notch: between chin and nose there are notches too
SURE_MM = 20.0  # a chin that stands out so far is one; a smaller rise needs a longer neck below
LONG_NECK_MM = 75.0
JAW_SLOPE = 0.5  # the line of the jaw may fall to the front (a bent head), never so steeply as a chest does
SHELL_MM, HIGH_SHELL_MM = 12.0, 6.0  # skin of cheeks and lids; above the bridge of the nose the skull is near
FACE_HALF_MM = 62.0
DEEP_MM = 95.0  # above the notch, where no nose is seen: no brain lies so low in front
WING_MM, BRIDGE_MM = 12.0, 35.0  # from the nose's tip to above its wings, and to the brow
LEAN_NEUTRAL_DEG = 29.0  # of the line from chin to nose's tip in a head that looks straight ahead; people differ by some 8
TAKEN_PITCH, MOST_PITCH_DEG = 0.6, 15.0
DEEPEST = 0.55  # of the neck's depth from the back: the zone never goes further back than this
LEFT_MM = 5.0  # how far the rest may stand out of the plane
ROUND_NECK = 1.2  # depth over width: a neck is about as deep as wide, a head at the mouth half as deep again
TRUNK_MM = 170.0  # what is as deep as this is a head or a trunk
HEAD_MM = 140.0  # what goes on so far above the notch shows a head, and a head has its template
CHEST_MM, WIDENS = 12.0, 1.3  # a chest stands out below a neck; shoulders are wider than it
STRAIGHT_MM = 6.0  # the front of a neck is so straight where no chin is in view
# So deep at most, with a chest that stands out so far below it, and so long in view: that is a neck, and no forehead above a nose.
NECKS = ((150.0, 0.0, 75.0), (150.0, 12.0, 50.0), (160.0, 20.0, 36.0), (168.0, 28.0, 50.0))
CUT_SHARE = 0.9
CROP_MM, SLIM_MM = 90.0, 45.0  # less deep than a neck with a chin; too slim to show a face whatever it is laid over
BAND_MM, BAND_SHARE = 3.0, 0.6  # skin is round: where so much of the front ends on one straight edge, the scanner blanked what lies before it


@dataclass(frozen=True, eq=False)
class SpineFace:
    """What was found.

    `zone` (i, j, k) bool is to be removed (None: nothing). `code`: `ok` (remove the zone), `no_face_in_view`, `no_skin_in_view` (leave as it is),
    `face_not_separable` (neither a chin nor a neck without one can be told) or `face_not_proven_gone` (hold back). `measures` in mm, for the report;
    `shoulders` says whether a chest or shoulders are seen below the chin, so that it is a neck whatever the header says.
    """

    zone: Mask | None
    code: str
    measures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Notch:
    """Where neck turns into face, in mm: depth `y` and height `z` of the notch, how far the chin stands out, how much neck is seen below, the nose's tip."""

    y: float
    z: float
    rise: float
    neck: float
    nose: tuple[float, float] | None
    pitch_deg: float


def spine_zone(volume: Volume) -> SpineFace:
    """Find the face above a neck in a 3D or 4D volume (the mean over time is looked at).

    Deterministic; never raises for finite values: a volume without contrast is `face_not_separable`.
    """
    try:
        edge = sideview.level(volume)
    except SpatialError:
        return SpineFace(None, "face_not_separable", {"method": "spine_skin"})
    body = sideview.look(volume, edge)
    middle = sideview.middle_of(body)
    measures: dict[str, Any] = {"method": "spine_skin", "middle_mm": round(middle, 1)}
    if not np.isfinite(body.front).any():
        return SpineFace(None, "face_not_separable", measures)
    if float(body.cut[np.isfinite(body.front)].mean()) >= CUT_SHARE:
        return SpineFace(None, "no_skin_in_view", measures)
    depth = STEP_MM * body.solid.shape[1]
    if depth < CROP_MM:
        return SpineFace(None, "no_face_in_view" if slim(volume) else "face_not_separable", {**measures, "depth_mm": depth})
    notch = _notch(*sideview.profile(body, middle))
    if notch is None or not _trusted(notch):
        return SpineFace(None, *_without_chin(body, middle, notch, measures))
    above, deep = body.along(2)[-1] - notch.z, notch.y - sideview.back_at(body, notch.z, middle)
    measures |= {"above_notch_mm": round(float(above), 1), "neck_depth_mm": round(deep, 1), "shoulders": _shoulders(body, notch, middle)}
    if above > HEAD_MM or deep > TRUNK_MM:
        return SpineFace(None, "face_not_separable", measures)
    measures |= {"notch_y_mm": round(notch.y, 1), "notch_z_mm": round(notch.z, 1), "chin_rise_mm": round(notch.rise, 1), "pitch_deg": round(notch.pitch_deg, 1)}
    band = _band(body, notch, middle)
    measures |= {"blanked_before_mm": band}
    if band is not None:
        measures["shoulders"] = False  # where the front is blanked, nothing says of itself that it is a neck
        return SpineFace(_on_grid(_before(body, band), body, volume), "ok", measures)
    zone = _on_grid(_drawn(body, notch, middle), body, volume)
    left = _left(volume, zone, edge, notch, middle)
    measures |= {"left_mm": round(left, 1)}
    return SpineFace(zone, "ok" if left <= LEFT_MM else "face_not_proven_gone", measures)


def slim(volume: Volume) -> bool:
    """Whether the picture is so narrow and so shallow, a box around the cord, that it could show no face whatever it is laid over."""
    width, depth, _ = (STEP_MM * n for n in sideview.grid_along(volume).shape)
    return max(width, depth) < SLIM_MM


def _notch(z: Floats, y: Floats) -> _Notch | None:
    """The lowest place where the profile turns forward and stays there, with a neck below it where there is one; None where it nowhere does."""
    reach, below = int(WITHIN_MM / STEP_MM), int(BELOW_MM / STEP_MM)
    doubtful = None
    for at in range(len(z) - 3):
        base = max(0, at - below)
        lean = float(np.clip((y[at] - y[base]) / max(z[at] - z[base], BELOW_MM / 2), 0, 0.5))
        above = slice(at + 1, at + 1 + reach)
        rises = y[above] - y[at] - lean * (z[above] - z[at])
        if not len(rises) or rises.max() < RISE_MM:
            continue
        found = _cornered(z, y, at, at + 1 + int(np.argmax(rises)))
        if _trusted(found):
            return found
        doubtful = doubtful or (found if found.rise >= RISE_MM else None)
    return doubtful


def _cornered(z: Floats, y: Floats, low: int, high: int) -> _Notch:
    """The corner between a point on the neck and one on the chin: farthest behind the line between them."""
    run = slice(low, high + 1)
    chord = np.interp(z[run], z[[low, high]], y[[low, high]])
    at = low + int(np.argmax(chord - y[run]))
    chin_top = min(len(y), at + int(60 / STEP_MM))
    chin = at + int(np.argmax(y[at:chin_top]))
    nose = _nose(z, y, at)
    pitch = 0.0
    if nose is not None:
        front = at + int(np.flatnonzero(y[at:chin_top] >= y[at] + 0.7 * (y[chin] - y[at]))[0])
        if nose[1] - z[front] > 15:
            lean = float(np.rad2deg(np.arctan2(nose[0] - y[front], nose[1] - z[front])))
            pitch = float(np.clip(TAKEN_PITCH * (lean - LEAN_NEUTRAL_DEG), -MOST_PITCH_DEG, MOST_PITCH_DEG))
    return _Notch(float(y[at]), float(z[at]), float(y[chin] - y[at]), float(z[at] - z[0]), nose, pitch)


def _nose(z: Floats, y: Floats, notch: int) -> tuple[float, float] | None:
    """(y, z) of the nose's tip: the farthest point above the notch, where the bridge falls back above it."""
    above = slice(notch + int(25 / STEP_MM), notch + int(115 / STEP_MM))
    if len(y[above]) < 6:
        return None
    tip = above.start + int(np.flatnonzero(y[above] >= y[above].max() - 2)[-1])
    bridge = y[tip : tip + int(35 / STEP_MM)]
    return (float(y[tip]), float(z[tip])) if len(bridge) and y[tip] - bridge.min() >= 10 else None


def _trusted(notch: _Notch) -> bool:
    """Whether this is the notch under a chin, not one between chin and nose."""
    return notch.neck >= LEAST_NECK_MM and notch.rise >= (RISE_MM if notch.neck >= LONG_NECK_MM else SURE_MM)


def _without_chin(body: sideview.SideView, middle: float, notch: _Notch | None, measures: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """No chin was found: is it shown that what is in view is a neck? Its depth must be a neck's, and its front straight, or its outline round."""
    z, y = sideview.profile(body, middle)
    if notch is not None or len(z) < 8:
        return "face_not_separable", measures
    lowest = int(np.argmin(y[: len(y) // 2])) if len(y) > 1 else 0
    chest = float(y[: lowest + 1].max() - y[lowest])
    run, bow = float(z[-1] - z[lowest]), _bow(z[lowest:], y[lowest:])
    deep = max(float(y[row] - sideview.back_at(body, float(z[row]), middle)) for row in range(lowest, len(z)))
    ratio = sideview.depth_over_width(body)
    measures |= {"neck_in_view_mm": round(run, 1), "chest_mm": round(chest, 1), "neck_depth_mm": round(deep, 1), "bow_mm": round(bow, 1)}
    measures |= {"depth_over_width": None if ratio is None else round(ratio, 2)}
    straight = bow <= STRAIGHT_MM and any(deep <= most and chest >= least and run >= long for most, least, long in NECKS)
    shown = straight or (deep <= NECKS[0][0] and ratio is not None and ratio <= ROUND_NECK)
    return ("no_face_in_view" if shown else "face_not_separable"), measures


def _bow(z: Floats, y: Floats) -> float:
    """How far a profile strays from a straight line (95th centile), mm."""
    return float(np.percentile(abs(y - np.polyval(np.polyfit(z, y, 1), z)), 95)) if len(z) > 3 else 0.0


def _shoulders(body: sideview.SideView, notch: _Notch, middle: float) -> bool:
    """Whether below the notch a chest stands out, or the body grows wider."""
    z, y = sideview.profile(body, middle)
    wide = body.solid.any(axis=1).sum(axis=0)[: int(notch.z / STEP_MM) + 1]
    return bool(y[z <= notch.z].max() - notch.y >= CHEST_MM or wide.max() >= WIDENS * max(wide[-1], 1))


def _drawn(body: sideview.SideView, notch: _Notch, middle: float) -> Mask:
    """The zone (x, y, z) on the 2 mm grid."""
    x = body.along(0)[:, None, None]
    y = body.along(1)[None, :, None]
    z = body.along(2)[None, None, :]
    plane = np.maximum(notch.y + np.tan(np.deg2rad(notch.pitch_deg)) * np.maximum(z - notch.z, 0), _hindmost(body, notch, middle))
    low = np.where(abs(x - middle) <= FACE_HALF_MM, notch.z - JAW_SLOPE * (y - notch.y), notch.z)
    tip = notch.nose[1] if notch.nose is not None else notch.z + DEEP_MM
    deep = (y > plane) & (z > low) & (z <= tip + WING_MM)
    front = np.where(np.isfinite(body.front), body.front, -np.inf)[:, None, :]
    thick = np.where(z > tip + BRIDGE_MM, HIGH_SHELL_MM, SHELL_MM)
    shell = (y > front - thick) & (front > plane - 25) & (abs(x - middle) <= FACE_HALF_MM) & (z > notch.z)
    return np.asarray(deep | shell)


def _band(body: sideview.SideView, notch: _Notch, middle: float) -> float | None:
    """The y (mm) of a straight edge on which the front of jaw and cheeks ends; None where there is none."""
    columns, rows = abs(body.along(0) - middle) <= FACE_HALF_MM, body.along(2) > notch.z + 8
    ends = body.front[np.ix_(columns, rows)]
    ends = ends[np.isfinite(ends) & ~body.cut[np.ix_(columns, rows)]]
    if len(ends) < 100 or columns.sum() * STEP_MM < FACE_HALF_MM:
        return None
    edge = float(np.median(ends))
    return edge + BAND_MM if (abs(ends - edge) <= BAND_MM).mean() >= BAND_SHARE else None


def _before(body: sideview.SideView, band: float) -> Mask:
    return np.asarray(np.broadcast_to((body.along(1) > band)[None, :, None], body.solid.shape))


def _hindmost(body: sideview.SideView, notch: _Notch, middle: float) -> float:
    """The plane never goes further back than this y: half the depth of the neck, where its back is in view."""
    back = sideview.back_at(body, notch.z, middle)
    return back + DEEPEST * (notch.y - back) if np.isfinite(back) else -np.inf


def _on_grid(zone: Mask, body: sideview.SideView, volume: Volume) -> Mask:
    """The zone for every voxel of the volume (nearest; beyond the 2 mm grid as at its edge)."""
    from scipy import ndimage

    step = affines.inverse(body.affine) @ volume.affine
    out = np.empty(volume.shape[:3], dtype=np.uint8)
    ndimage.affine_transform(zone.astype(np.uint8), step[:3, :3], step[:3, 3], output=out, output_shape=out.shape, order=0, mode="nearest", prefilter=False)
    return out > 0


def _left(volume: Volume, zone: Mask, edge: float, notch: _Notch, middle: float) -> float:
    """How far, in mm, the skin of the rest still stands out of the plane above the notch; and of a chin found anew, its rise."""
    mean = volume.mean3d()
    rest = sideview.look(Volume(np.where(zone, mean.data.min(), mean.data), mean.affine), edge)
    z = rest.along(2)
    plane = notch.y + np.tan(np.deg2rad(notch.pitch_deg)) * np.maximum(z - notch.z, 0)
    top = notch.nose[1] if notch.nose is not None else notch.z + DEEP_MM
    rows = (z > notch.z + 4) & (z < top)
    columns = abs(rest.along(0) - middle) <= FACE_HALF_MM
    out = (rest.front - plane)[np.ix_(columns, rows)]
    high, out_there = sideview.profile(rest, middle)
    again = _notch(high[high < top], out_there[high < top])
    standing = float(np.nanpercentile(out, 99.5)) if np.isfinite(out).any() else 0.0
    return max(standing, again.rise if again is not None and again.rise >= SURE_MM else 0.0)
