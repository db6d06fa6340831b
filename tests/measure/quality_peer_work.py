"""What a peer does, in the peer's own environment: `python quality_peer_work.py WHAT ARRAYS.npz` reads arrays and prints one line of JSON.

`structural`: MRIQC's measures of one volume with masks (image, csf, gm, wm, head, hat, distance), each with its CPU seconds. `series`: DVARS, tSNR, FD and
GSR of (x, y, z, t) with a mask and motion parameters, by the functions that MRIQC's workflow calls. `torchio`: one random transform of a volume.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Found = dict[str, Any]


def structural(given: Any) -> Found:
    """`values`: MRIQC's measures as its StructuralQC strings them together; `cpu`: seconds of each step (masks are given, so not in it)."""
    from mriqc.interfaces.anatomical import artifact_mask
    from mriqc.qc import anatomical as m

    logging.disable(logging.CRITICAL)
    sys.modules["nireports"] = types.ModuleType("nireports")  # art_qi2 imports its plotting, which is asked not to plot
    for name in ("nireports.reportlets", "nireports.reportlets.nuisance"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["nireports.reportlets.nuisance"].plot_qi2 = None  # type: ignore[attr-defined]
    image, head, hat, distance = given["image"].astype(np.float64), given["head"], given["hat"], given["distance"]
    cpu: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        began = time.process_time()
        out = call()
        cpu[name] = time.process_time() - began
        return out

    # Its default rounds the data to whole numbers, which moves the median of faint air by up to half a unit: asked for three decimals instead.
    art = timed("artifact_mask", lambda: artifact_mask(image.copy(), hat.copy(), distance))
    air = hat & (art == 0)
    maps = {name: given[name].astype(np.float64) for name in ("csf", "gm", "wm")} | {"bg": air.astype(np.float64)}
    s = timed("summary_stats", lambda: m.summary_stats(image, maps, rprec_data=3))
    values = {f"snr_{k}": m.snr(s[k]["median"], s[k]["stdv"], s[k]["n"]) for k in ("csf", "gm", "wm")}
    values["snr_total"] = sum(values.values()) / 3
    noise = {"mad_air": s["bg"]["mad"], "sigma_air": s["bg"]["stdv"]}
    snrd = {f"snrd_{k}": m.snr_dietrich(s[k]["median"], **noise) for k in ("csf", "gm", "wm")}
    values |= snrd | {"snrd_total": sum(snrd.values()) / 3}
    values["cnr"] = m.cnr(s["wm"]["median"], s["gm"]["median"], s["bg"]["stdv"], s["wm"]["stdv"], s["gm"]["stdv"])
    values["cjv"] = m.cjv(s["wm"]["median"], s["gm"]["median"], s["wm"]["mad"], s["gm"]["mad"])
    values["fber"] = timed("fber", lambda: m.fber(image, head.astype(np.uint8)))
    values["efc"] = timed("efc", lambda: m.efc(image))
    values["wm2max"] = timed("wm2max", lambda: m.wm2max(image, s["wm"]["median"]))
    values["qi_1"] = timed("qi_1", lambda: m.art_qi1(air.astype(np.uint8), art))
    if "qi_2" in given:
        values["qi_2"] = float(timed("qi_2", lambda: m.art_qi2(image, air.astype(np.uint8), save_plot=False)[0]))
    return {"values": values, "cpu": cpu}


def series(given: Any) -> Found:
    """`values`: DVARS (three forms), tSNR, FD and GSR of a series."""
    import nibabel as nb
    from mriqc.qc.functional import gsr
    from nipype.algorithms import confounds

    logging.disable(logging.CRITICAL)
    here = Path(str(given["folder"]))
    nb.Nifti1Image(given["series"], np.eye(4)).to_filename(here / "series.nii")
    nb.Nifti1Image(given["mask"].astype(np.uint8), np.eye(4)).to_filename(here / "mask.nii")
    std, nstd, vstd = confounds.compute_dvars(str(here / "series.nii"), str(here / "mask.nii"), remove_zerovariance=True)
    node = confounds.TSNR(in_file=[str(here / "series.nii")], tsnr_file=str(here / "tsnr.nii"), mean_file=str(here / "mean.nii"))
    node.inputs.stddev_file = str(here / "sd.nii")
    node.run()
    np.savetxt(here / "motion.txt", given["motion"])
    fd = confounds.FramewiseDisplacement(in_file=str(here / "motion.txt"), parameter_source="SPM", out_file=str(here / "fd.txt")).run().outputs
    values = {"dvars_std": std.mean(), "dvars_nstd": nstd.mean(), "dvars_vstd": vstd.mean(), "fd_mean": fd.fd_average}
    values["tsnr"] = np.median(nb.load(here / "tsnr.nii").get_fdata()[given["mask"]])
    mean, mask = given["series"].mean(axis=3), given["mask"].astype(np.uint8)
    values |= {f"gsr_{axis}": gsr(mean, mask, axis) for axis in "xy"}
    return {"values": {name: float(v) for name, v in values.items()}}


def torchio(given: Any) -> Found:
    """One transform of TorchIO (kind, strength 0..1, seed) of the image (x, y, z), written to `out`."""
    import torch
    import torchio as tio

    torch.manual_seed(int(given["seed"]))
    torch.set_num_threads(1)
    image, out = torch.from_numpy(given["image"].astype(np.float32))[None], Path(str(given["out"]))
    for n, strength in enumerate(given["strengths"].tolist()):
        torch.manual_seed(int(given["seed"]))
        np.save(out / f"{n}.npy", TRANSFORMS[str(given["kind"])](tio, strength)(image)[0].numpy())
    return {}


TRANSFORMS: dict[str, Callable[[Any, float], Any]] = {
    "motion": lambda tio, s: tio.RandomMotion(degrees=(4 * s, 8 * s), translation=(4 * s, 8 * s), num_transforms=2),
    "ghost": lambda tio, s: tio.RandomGhosting(num_ghosts=(4, 4), axes=(1,), intensity=(0.8 * s, 0.8 * s)),
    "spike": lambda tio, s: tio.RandomSpike(num_spikes=(1, 1), intensity=(0.1 * s, 0.1 * s)),
    "noise": lambda tio, s: tio.RandomNoise(mean=0, std=(0.12 * s, 0.12 * s)),
    "bias": lambda tio, s: tio.RandomBiasField(coefficients=(0.3 * s, 0.3 * s), order=3),
}


if __name__ == "__main__":
    with np.load(sys.argv[2]) as loaded:
        arrays = dict(loaded)
    print(json.dumps({"structural": structural, "series": series, "torchio": torchio}[sys.argv[1]](arrays)))
