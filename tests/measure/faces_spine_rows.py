"""Rows of `make show-faces` on what has no real scans to show it on: necks with a face in view, heads of children and of the ill.

The necks reported are those of seeds 0 to 19; every number in `deid.spineface` was chosen on seeds 100 to 123.
"""

from __future__ import annotations

import faces_phantoms
import numpy as np
from faces_phantoms import Neck
from scipy import ndimage
from table import Result

from deid import faces, spineface
from deid.faces import HeadImage

NECKS = range(20)
THROUGH_ALL = {"quick": 0, "usual": 3, "full": 20}  # necks that go through `deface_visit`, where a head is looked for first
LEAST_KEPT, LEFT_SHARE = 18, 0.05


def spine_kept(depth: str) -> Result:
    """Necks kept with mouth, chin and nose gone and cord and vertebrae bit-identical."""
    right, margins, wrong = 0, [], []
    for seed in NECKS:
        seen = faces_phantoms.neck(seed)
        zone = _removed(seen, through_all=seed < THROUGH_ALL[depth])
        if zone is None or not _gone(seen, zone) or (zone & (seen.cord | seen.spine)).any():
            wrong.append(seed)
            continue
        right += 1
        margins.append(_margin_mm(seen, zone))
    figure = f"{right} of {len(NECKS)}; nearest to cord {min(m[0] for m in margins):.0f} mm, to vertebrae {min(m[1] for m in margins):.0f} mm"
    return Result(figure + (f"; not: seeds {wrong}" if wrong else ""), right >= LEAST_KEPT)


def _removed(seen: Neck, *, through_all: bool) -> np.ndarray | None:
    """What was taken out of a neck: by the whole of `deface_visit`, or by the part that it ends in."""
    if not through_all:
        found = spineface.spine_zone(seen.volume)
        return found.zone if found.code == "ok" else None
    done = faces.deface_visit({"neck": HeadImage(seen.volume, seen.suffix, region="spine")})["neck"]
    if done.verdict != "defaced" or done.volume is None or done.zone is None:
        return None
    assert (done.volume.data == seen.volume.data)[~done.zone].all() and not done.volume.data[done.zone].any()
    return done.zone


def _gone(seen: Neck, zone: np.ndarray) -> bool:
    return all((part & ~zone).sum() <= LEFT_SHARE * part.sum() for part in seen.face.values())


def _margin_mm(seen: Neck, zone: np.ndarray) -> tuple[float, float]:
    away = ndimage.distance_transform_edt(~zone, sampling=seen.volume.zooms)
    return float(away[seen.cord].min()), float(away[seen.spine].min())


def children_and_pathology(depth: str) -> Result:
    """Heads of children and with lesions, wide ventricles, a shunt, a resection or small: defaced, face gone, no voxel of the brain changed."""
    kinds = faces_phantoms.HEADS
    seeds = {"quick": (0,), "usual": (0,), "full": (0, 1, 2)}[depth]
    right, wrong = 0, []
    for kind in kinds:
        for seed in seeds:
            case = faces_phantoms.head(kind, seed)
            done = faces.deface_visit({"head": HeadImage(case.volume, case.suffix)})["head"]
            kept = done.verdict == "defaced" and done.volume is not None and bool((done.volume.data == case.volume.data)[case.brain].all())
            gone = done.volume is not None and all(not done.volume.data[tuple(at)].any() for at in case.landmarks.values())
            right += kept and gone
            wrong += [] if kept and gone else [f"{kind}: {done.code if not kept else 'face left'}"]
    total = len(kinds) * len(seeds)
    return Result(f"{right} of {total} defaced, brain untouched" + (f"; not: {', '.join(wrong)}" if wrong else ""), right == total, sample=depth != "full")
