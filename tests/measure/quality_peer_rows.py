"""The rows of `make show-quality` beside MRIQC's own functions: the same numbers from the same arrays and masks, and the seconds they cost.

Masks cannot be compared (MRIQC makes them with ANTs and deep learning), so ours are given to both. A volume's own measures: two real heads with air, and the
made head. Series: a real BOLD run. Motion parameters for FD are our registration's, given to both. MRIQC scales white matter to 1000 first, and so do we here.
"""

from __future__ import annotations

import json
import time
from functools import cache
from typing import Any

import numpy as np
from faces_register_cases import CACHE, head
from quality_peers import ask, made
from scipy import ndimage
from table import ROOT, Result

from spatial.volumes import Volume, load

OUT = ROOT / "build" / "quality"
WITHIN = 0.005
HEADS = {"quick": ("xa30_t1",), "usual": ("xa30_t1", "visit_t1"), "full": ("xa30_t1", "visit_t1", "siemens_2d_t1")}
QUICK_FRAMES = 8
SERIES = "ref/ge_bold/DCM2NIIX_regression_test_4.nii"
SIDE, TOTAL_S, TIMES = 256, 15.0, 3.0
Values = dict[str, float]


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def agree(depth: str) -> Result:
    """The largest relative difference over all measures and volumes, and which it is."""
    if depth == "quick" and not made("mriqc"):
        return Result("not run now (QUICK=1 makes no environment for MRIQC)", met=None, sample=True)
    one_thread()
    apart: dict[str, float] = {}
    for name in HEADS[depth]:
        arrays = structural_arrays(head(name))
        compare(apart, name, ours_structural(arrays), said("mriqc", "structural", name, arrays)["values"])
    series = series_arrays(QUICK_FRAMES if depth == "quick" else None)
    compare(apart, "bold", ours_series(series), said("mriqc", "series", "bold", series)["values"])
    worst = max(apart, key=lambda name: apart[name])
    figure = f"{len(apart)} values of {len(HEADS[depth])} heads and a BOLD run, at most {100 * apart[worst]:.3f} % apart ({worst})"
    return Result(figure, met=apart[worst] <= WITHIN, sample=depth == "quick")


def compare(apart: dict[str, float], where: str, ours: Values, theirs: Values) -> None:
    """Relative differences into `apart`; a measure that one side lacks counts as wholly apart. Both zero: equal."""
    for name in sorted(set(ours) | set(theirs)):
        a, b = ours.get(name, np.nan), theirs.get(name, np.nan)
        off = 0.0 if a == b else abs(a - b) / max(abs(b), 1e-12)
        apart[f"{name} of {where}"] = 1.0 if np.isnan(off) else off


def said(peer: str, what: str, name: str, arrays: dict[str, Any]) -> dict[str, Any]:
    folder = OUT / "peer"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / f"{name}.npz", **arrays, folder=str(folder))
    return ask(peer, what, folder / f"{name}.npz")


def structural_arrays(volume: Volume, suffix: str = "T1w") -> dict[str, Any]:
    """What both sides are given: the image without its bias and with white matter at 1000, probabilities, head, hat and distance from the head (0..1)."""
    from qa.masks import spread
    from qa.scene import Scene

    s = Scene(volume, suffix)
    field, classes = s.field_and_tissue
    image = s.image / spread(field, s.by, s.shape)
    image = (image * (1000 / s.level)).numpy()
    maps = {k: spread(p * s.inner, s.by, s.shape).numpy() for k, p in classes.posterior(s.work / field).items()}
    outside = s.head_native.numpy()
    hat = ~outside
    hat[:, :, : int(s.brain_native.any(0).any(0).nonzero().min())] = False
    distance = ndimage.distance_transform_edt(~outside, sampling=s.zooms).astype(np.float32)
    return {"image": image, **maps, "head": outside, "hat": hat, "distance": distance / distance[hat].max()}


def ours_structural(a: dict[str, Any]) -> Values:
    """Our formulas over those arrays."""
    import torch

    from qa import contrast, noise

    image, hat, distance = (torch.from_numpy(np.ascontiguousarray(a[k])) for k in ("image", "hat", "distance"))
    head_ = torch.from_numpy(a["head"])
    inside = torch.from_numpy(a["csf"] + a["gm"] + a["wm"] > 0)
    values = image[inside]
    weights = {k: torch.from_numpy(a[k])[inside] for k in ("csf", "gm", "wm")}
    found = noise.tissue_snr(values, weights)
    air = image[hat & ~noise.artefacts(image, hat, distance)]
    found |= noise.tissue_snr(values, weights, air)
    found["cnr"] = contrast.cnr(values, weights["wm"], weights["gm"], air)
    found["cjv"] = contrast.cjv(values, weights["wm"], weights["gm"])
    found |= {"fber": noise.fber(image, head_, ~head_), "efc": noise.efc(image)}
    found["wm2max"] = contrast.wm2max(image, noise.median(values, weights["wm"]))
    return found | {"qi_1": noise.qi_1(image, hat, distance)}


def series_arrays(frames: int | None = None) -> dict[str, Any]:
    """A real BOLD run (or its first `frames`) in its own voxels, our head mask and our motion parameters (mm and radians, as SPM orders them)."""
    from qa.examine import Subject
    from qa.temporal import rigid

    volume = load(CACHE / SERIES)
    volume = Volume(volume.data[..., :frames], volume.affine)
    s = Subject(volume, "bold", device="cpu", zone=None, body="brain", stage="pre-deface")
    motion = rigid(s.series, s.scene.zooms, s.region).numpy()
    return {"series": np.moveaxis(s.series.numpy(), 0, 3), "mask": s.scene.head_native.numpy(), "motion": motion}


def ours_series(a: dict[str, Any]) -> Values:
    import torch

    from qa import temporal

    t, mask = torch.from_numpy(np.ascontiguousarray(np.moveaxis(a["series"], 3, 0))), torch.from_numpy(a["mask"])
    found = temporal.dvars(t, mask) | {"tsnr": temporal.tsnr(t, mask)}
    found["fd_mean"] = float(temporal.displacement(torch.from_numpy(a["motion"])).mean())
    return found | temporal.gsr(t.mean(0), mask)


# --- seconds ------------------------------------------------------------------------------------------------------------------------------------------


@cache
def big() -> Volume:
    """A real head with its air on a 256^3 grid of 0.95 mm, with fresh noise: resampling alone would leave the air smooth."""
    given = head("visit_t1")
    step = SIDE * 0.95 / 2
    affine = np.diag([0.95, 0.95, 0.95, 1.0])
    middle = given.affine[:3, :3] @ ((np.array(given.shape) - 1) / 2) + given.affine[:3, 3]
    affine[:3, 3] = middle - step
    back = np.linalg.inv(given.affine) @ affine
    data = ndimage.affine_transform(np.asarray(given.data, np.float32), back[:3, :3], back[:3, 3], output_shape=(SIDE,) * 3, order=1, mode="nearest")
    rng, sigma = np.random.default_rng(6), 0.01 * float(np.percentile(data, 95))
    real, imaginary = (rng.normal(0, sigma, data.shape).astype(np.float32) for _ in range(2))
    return Volume(np.hypot(data + real, imaginary).astype(np.float32), affine)


def whole_seconds(depth: str) -> Result:
    """CPU seconds of `qa.measure` on 256^3, registration and masks included; and the most memory it held."""
    import subprocess
    import sys

    path = OUT / "big.npy"
    OUT.mkdir(parents=True, exist_ok=True)
    np.save(path, big().data)
    code = (
        "import json,resource,sys,time;import numpy as np;import torch;torch.set_num_threads(1)\n"
        "import qa;from spatial.volumes import Volume\n"
        "from spatial.templates import head;head()\n"
        "v=Volume(np.load(sys.argv[1]),np.array(json.loads(sys.argv[2])))\n"
        "before=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;s=time.process_time();r=qa.measure(v,'T1w')\n"
        "print(json.dumps([time.process_time()-s,resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/2**20,before/2**20,len(r['unavailable'])]))"
    )
    words = [sys.executable, "-c", code, str(path), json.dumps(big().affine.tolist())]
    runs = [json.loads(subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout) for _ in range(3 if depth == "full" else 1)]
    seconds, peak, before, missing = sorted(runs)[len(runs) // 2]
    figure = f"{seconds:.1f} s, all masks and the registration in it; {missing} measures null; at most {peak:.2f} GiB held ({before:.2f} before it began)"
    return Result(figure, met=seconds <= TOTAL_S and peak < 2.0)


def beside_mriqc(depth: str) -> Result:
    """CPU seconds for the measures that MRIQC has too, given the masks, without and with qi_2, in the same run."""
    one_thread()
    arrays = structural_arrays(big())
    said_ = said("mriqc", "structural", "big", arrays | {"qi_2": True})["cpu"]
    ours_structural(arrays)
    began = time.process_time()
    ours_structural(arrays)
    ours = time.process_time() - began
    plain = sum(v for k, v in said_.items() if k != "qi_2")
    whole = plain + said_["qi_2"]
    figure = f"ours {ours:.1f} s; MRIQC's functions {plain:.1f} s without qi_2, {whole:.1f} s with it, {whole / ours:.1f} times ours (we have no qi_2)"
    return Result(figure, met=ours <= plain and whole >= TIMES * ours)
