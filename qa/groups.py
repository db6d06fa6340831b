"""From arrays to named values: each group computes together what shares its inputs, and one refusal speaks for the whole group.

Functions take a Subject and return name -> value, or name -> sentence where only that one cannot be computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qa import artifacts, contrast, coverage, diffusion, inhomogeneity, noise, temporal
from qa.errors import CODES, QaError, refusal
from qa.masks import factors, grow, pool, spread
from qa.metrics import METRICS, expected
from qa.robust import Tensor, median
from qa.scene import Scene
from qa.subject import Subject


def values(subject: Subject) -> tuple[dict[str, float], dict[str, str]]:
    """Run every group that the kind has; a group that cannot be computed gives its measures one reason."""
    wanted = expected(subject.kind)
    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    for group in dict.fromkeys(METRICS[name].group for name in wanted):
        names = [n for n in wanted if METRICS[n].group == group]
        try:
            found = GROUPS[group](subject)
        except QaError as error:
            missing.update(dict.fromkeys(names, error.reason))
            continue
        for name in names:
            value = found.get(name, math.nan)
            if isinstance(value, str):
                missing[name] = value
            elif math.isfinite(value):
                values[name] = float(value)
            else:
                missing[name] = CODES["not_computable"][0]
    return values, missing


def _tissue(s: Subject) -> dict[str, Any]:
    scene = s.scene
    v, w = scene.brain_values, scene.weights
    mu = {name: median(v, weight) for name, weight in w.items()}
    return noise.tissue_snr(v, w) | {
        "cjv": contrast.cjv(v, w["wm"], w["gm"]),
        "wm2max": contrast.wm2max(scene.image, mu["wm"]),
        "contrast_gmwm": contrast.relative(mu["gm"], mu["wm"]),
        "contrast_csf": contrast.relative(mu["csf"], mu["wm"]),
    }


def _tissue_air(s: Subject) -> dict[str, Any]:
    scene = s.scene
    air = scene.air_values
    return noise.tissue_snr(scene.brain_values, scene.weights, air) | {"cnr": contrast.cnr(scene.brain_values, scene.weights["wm"], scene.weights["gm"], air)}


def _shading(s: Subject) -> dict[str, Any]:
    field = s.scene.field_and_tissue[0]
    return inhomogeneity.inu(field[s.scene.brain.mask])


def _picture(s: Subject) -> dict[str, Any]:
    return {"efc": noise.efc(s.scene.image), "sat_frac": artifacts.saturation(s.scene.image)}


def _air(s: Subject) -> dict[str, Any]:
    scene = s.scene
    found: dict[str, Any] = {"noise_sigma": noise.noise_sigma(scene.air_values, scene.level)}
    try:
        found["fber"] = noise.energy_ratio(scene.image[scene.head_native], scene.air_read)
    except QaError as error:
        found["fber"] = error.reason
    if s.kind == "structural":
        found["qi_1"] = noise.qi_1(scene.work, _hat(scene), _away(scene))
    return found


def _away(scene: Scene) -> Tensor:
    """Distance from the head in mm on the work grid, reckoned on blocks of about 4 mm: it is only asked whether it is a tenth of the largest."""
    import torch
    from scipy import ndimage

    by = factors(scene.work_zooms, tuple(scene.work.shape), target=4.0)
    outside = pool((~scene.head.mask).float(), by) > 0.5
    mm = tuple(z * f for z, f in zip(scene.work_zooms, by, strict=True))
    away = np.asarray(ndimage.distance_transform_edt(outside.cpu().numpy(), sampling=mm), dtype=np.float32)
    return spread(torch.from_numpy(away).to(scene.work.device), by, tuple(scene.work.shape))


def _hat(scene: Scene) -> Tensor:
    """Air above the lower end of the brain: the neck and the mouth move and are not the head's fault."""
    bottom = int(scene.brain.mask.any(0).any(0).nonzero().min())
    hat = scene.air.clone()
    hat[:, :, :bottom] = False
    return hat


def _ghosts(s: Subject) -> dict[str, Any]:
    return artifacts.ghost(s.scene.work, grow(s.scene.head.mask, 4.0, s.scene.work_zooms), s.scene.air, s.scene.level)


def _kspace(s: Subject) -> dict[str, Any]:
    k = s.scene.spectrum
    return {"kspike": artifacts.kspike(k, s.scene.shape), "kedge": artifacts.kedge(k), "kextent": artifacts.kextent(k)}


def _box(mask: Tensor, margin: int = 2) -> tuple[slice, slice, slice]:
    """The smallest box around a mask with a margin in voxels: half of most images is air, and need not be read."""
    found = []
    for axis in range(3):
        dims = [a for a in range(3) if a != axis]
        where = mask.any(dims[1]).any(dims[0]).nonzero()
        found.append(slice(max(0, int(where.min()) - margin), int(where.max()) + 1 + margin))
    return found[0], found[1], found[2]


def _slices(s: Subject) -> dict[str, Any]:
    scene = s.scene
    box = _box(s.region)
    image, region = scene.image[box], s.region[box]
    axes = range(3) if scene.slice_axis is None else [scene.slice_axis]
    found = [artifacts.slices(image, region, axis, scene.level) | {"slice_gap": artifacts.slice_gap(image, region, axis)} for axis in axes]
    worst = {name: max((f[name] for f in found if not math.isnan(f[name])), default=math.nan) for name in found[0]}
    return worst | {"zero_slices": float(max(len(dead) for dead, _ in scene.extent))}


def _detail(s: Subject) -> dict[str, Any]:
    scene = s.scene
    box, inner = _box(scene.head_native), _box(s.region)
    image, head = scene.image[box], scene.head_native[box]
    found = artifacts.sharpness(image, head, scene.level) | artifacts.ringing(image, head)
    return found | artifacts.fwhm(scene.image[inner], s.region[inner], scene.zooms)


def _brain(s: Subject) -> dict[str, Any]:
    scene = s.scene
    mask = scene.brain.mask
    found: dict[str, Any] = {"brain_ml": coverage.brain_ml(mask, scene.work_zooms), "brain_outside": scene.brain.outside}
    found |= coverage.position(mask, scene.head.mask, scene.work_affine) | coverage.pose(scene.brain.matrix)
    if s.kind == "structural":
        found["misfit_mm"] = coverage.misfit(scene.head.mask, scene.work_affine, scene.brain.matrix)
        found["dark_patch"] = _dark_patch(scene)
        found["void_frac"] = artifacts.voids(scene.work, coverage.core(mask, scene.work_zooms), scene.level)
    return found


def _dark_patch(scene: Scene) -> float | str:
    """`artifacts.dark_patch` on the work grid, outside what a defacer took."""
    try:
        field = scene.field_and_tissue[0]
    except QaError as error:
        return error.reason
    place = grow(scene.brain.place, -4.0, scene.work_zooms)
    place = place if scene.zone_work is None else place & ~scene.zone_work
    return artifacts.dark_patch(scene.work / field, place, scene.work_zooms, scene.level)


def _place(s: Subject) -> dict[str, Any]:
    scene = s.scene
    live = tuple(live for _, live in scene.extent)
    centre = float(np.linalg.norm(coverage.world_centre(scene.head.mask, scene.work_affine)))
    extent = (live[2][1] - live[2][0]) * scene.zooms[2]
    return coverage.faces(scene.image, scene.head.threshold, live) | {"iso_offset_mm": centre, "head_separation": scene.head.separation, "coverage_mm": extent}


def _bold(s: Subject) -> dict[str, Any]:
    t, m = s.series, s.region
    found: dict[str, Any] = {"tsnr": temporal.tsnr(t, m), "gcor": temporal.gcor(t, m), "aor": temporal.aor(t, m), "aqi": temporal.aqi(t, m)}
    return found | temporal.dvars(t, m) | {"volume_spikes": temporal.spikes(t, m), "dummies": temporal.dummies(t, m)}


def _bold_mean(s: Subject) -> dict[str, Any]:
    return temporal.gsr(s.scene.image, s.scene.head_native)


def _motion(s: Subject) -> dict[str, Any]:
    if s.kind == "bold":
        return temporal.motion(s.series, s.scene.zooms, s.region)
    if s.bval is None:
        raise refusal("no_gradients")
    members = max(diffusion.shells(s.bval).values(), key=len)
    if len(members) < 3:
        raise refusal("few_volumes")
    drawn = diffusion.outlines(s.series[members.tolist()], s.region, s.scene.zooms)
    return temporal.motion(drawn, s.scene.zooms, grow(s.region, 8.0, s.scene.zooms))


def _dwi(s: Subject) -> dict[str, Any]:
    t, m = s.series, s.region
    found: dict[str, Any] = {"dwi_spikes_ppm": diffusion.spikes_ppm(t, m)}
    names = ("snr_b0", "snr_worst", "ndc", "dropouts", "bvec_missing", "bvec_unique")
    if s.bval is None or s.bvec is None:
        return found | dict.fromkeys(names, s.gradient_fault)
    try:
        air = spread(s.scene.air, s.scene.by, s.scene.shape)
    except QaError:
        air = None
    found |= diffusion.snr_shells(t, s.bval, m, air) | diffusion.bvec_sanity(s.bval, s.bvec)
    return found | {"ndc": diffusion.ndc(t, s.bval, s.bvec, m), "dropouts": diffusion.dropouts(t, s.bval, m)}


def _spine(s: Subject) -> dict[str, Any]:
    from qa.cord import measures

    return measures(s.scene)


GROUPS: dict[str, Callable[[Subject], dict[str, Any]]] = {
    "tissue": _tissue,
    "tissue_air": _tissue_air,
    "shading": _shading,
    "picture": _picture,
    "air": _air,
    "ghosts": _ghosts,
    "kspace": _kspace,
    "slices": _slices,
    "detail": _detail,
    "brain": _brain,
    "place": _place,
    "bold": _bold,
    "bold_mean": _bold_mean,
    "motion": _motion,
    "dwi": _dwi,
    "spine": _spine,
}
