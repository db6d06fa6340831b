"""The one table of what is measured: for every measure its unit, which way is good, what it needs, where it applies, and the version of its definition.

A number without its version cannot be compared: a change of a formula, a mask or a constant raises the version of every measure it moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

STRUCTURAL = ("T1w", "T2w", "FLAIR", "PDw", "T2starw", "T1map", "UNIT1", "MTw", "inplaneT1", "inplaneT2", "angio", "PDT2", "T2map", "MTS", "MEGRE", "MESE")
"""BIDS suffixes measured as one 3D picture; anything unknown is measured the same way."""
MAPS = ("ADC", "FA", "trace", "colFA", "phase", "phase1", "phase2", "phasediff", "fieldmap", "T1map", "T2map", "cbf", "relcbf", "expADC", "S0map")
"""Suffixes whose values are not brightness: only hard facts and coverage are asked of them."""


@dataclass(frozen=True)
class Metric:
    """One row. `direction`: high | low (is good) | range (both ends are bad) | none (a description). `kinds`: structural, bold, dwi, spine.

    `group`: the function of `qa.examine` that makes it. `judged`: whether a norm may send a scan to review because of it.
    """

    name: str
    unit: str
    direction: str
    needs: tuple[str, ...]
    kinds: tuple[str, ...]
    group: str
    sentence: str
    judged: bool = True
    version: str = "1"


ALL = ("structural", "bold", "dwi", "spine")
BRAINS = ("structural", "bold", "dwi")
PICTURE = ("structural", "spine")


def _rows() -> list[Metric]:
    m = Metric
    tissue, air = ("brain", "tissue"), ("head", "air")
    rows = [m(f"snr_{k}", "1", "high", tissue, ("structural",), "tissue", f"signal over noise in {w}") for k, w in CLASSES.items()]
    rows.append(m("snr_total", "1", "high", tissue, ("structural",), "tissue", "signal over noise, mean of the three tissues"))
    rows += [
        m(f"snrd_{k}", "1", "high", (*tissue, "air"), ("structural",), "tissue_air", f"signal in {w} over noise in air (Dietrich)") for k, w in CLASSES.items()
    ]
    rows += [
        m("snrd_total", "1", "high", (*tissue, "air"), ("structural",), "tissue_air", "signal over noise in air, mean of the three tissues (Dietrich)"),
        m("cnr", "1", "high", (*tissue, "air"), ("structural",), "tissue_air", "contrast between white and grey matter over noise"),
        m("cjv", "1", "low", tissue, ("structural",), "tissue", "spread of white and grey matter over their distance"),
        m("wm2max", "1", "range", tissue, ("structural",), "tissue", "white matter over the brightest 0.05 % of the image"),
        m("contrast_gmwm", "1", "high", tissue, ("structural",), "tissue", "relative contrast between grey and white matter"),
        m("contrast_csf", "1", "high", tissue, ("structural",), "tissue", "relative contrast between fluid and white matter"),
        m("inu_range", "1", "low", ("brain", "field"), ("structural",), "shading", "range of the shading across the brain"),
        m("inu_med", "1", "range", ("brain", "field"), ("structural",), "shading", "median of the shading over the head", judged=False),
        m("efc", "1", "low", (), PICTURE, "picture", "entropy focus criterion: ghosting and blur", judged=False),
        m("fber", "1", "high", air, ("structural", "spine"), "air", "energy in the head over energy in air", judged=False),
        m("noise_sigma", "1", "low", air, PICTURE, "air", "noise in air over the level of white matter"),
        m("qi_1", "1", "low", air, ("structural",), "air", "share of artefacts in the air above the head", judged=False),
        m("kspike", "log10", "low", (), PICTURE, "kspace", "largest wild sample of k-space"),
        m("kedge", "1", "high", (), PICTURE, "kspace", "detail at the edge of k-space", judged=False),
        m("kextent", "1", "high", (), PICTURE, "kspace", "how far out k-space holds signal, in cycles per voxel", judged=False),
        m("slice_jump", "1", "low", ("head",), ALL, "slices", "largest jump of brightness between neighbouring slices"),
        m("odd_even", "1", "low", ("head",), ALL, "slices", "usual difference of a slice from its two neighbours"),
        m("slice_gap", "1", "low", ("head",), PICTURE, "slices", "largest change of content between neighbouring slices over the usual change"),
        m("zero_slices", "1", "low", ("head",), ALL, "slices", "slices inside the anatomy without signal"),
        m("aes", "1", "high", ("head",), PICTURE, "detail", "strength of the sharpest edges"),
        m("grad_entropy", "nat", "range", ("head",), PICTURE, "detail", "entropy of the gradient", judged=False),
        m("sat_frac", "1", "low", (), PICTURE, "picture", "share of voxels at the maximum"),
        m("void_frac", "1", "low", ("brain",), ("structural",), "brain", "share of the deep brain with less than a quarter of the usual signal", judged=False),
        m(
            "dark_patch",
            "1",
            "high",
            ("brain", "field"),
            ("structural",),
            "brain",
            "brightest tissue within 8 mm, at the darkest place",
            judged=False,
        ),
        m("misfit_mm", "mm", "low", ("head", "brain"), ("structural",), "brain", "distance of the skull's outline from the template's", judged=False),
        m("z_offset_mm", "mm", "range", ("brain",), BRAINS, "brain", "height of the brain's centre against the isocentre", judged=False),
        m("iso_offset_mm", "mm", "low", ("head",), ALL, "place", "distance of the head's centre from the isocentre", judged=False),
        m("pose_deg", "degree", "low", ("brain",), BRAINS, "brain", "roll or yaw of the head", judged=False),
        m("pitch_deg", "degree", "none", ("brain",), BRAINS, "brain", "nod of the head", judged=False),
        m("brain_ml", "ml", "none", ("brain",), BRAINS, "brain", "volume of the brain mask inside the field of view", judged=False),
        m("brain_outside", "1", "low", ("brain",), BRAINS, "brain", "share of the template's brain outside the field of view"),
        m("head_separation", "1", "high", ("head",), ALL, "place", "how clearly the object stands out from the background", judged=False),
        m("coverage_mm", "mm", "none", (), ALL, "place", "extent of the field of view from foot to head", judged=False),
    ]
    rows += [
        m(f"{name}_{axis}", unit, way, ("head", *need), PICTURE, group, f"{words} along {axis}", judged=judged)
        for axis in "xyz"
        for name, unit, way, need, group, words, judged in AXIAL
    ]
    rows += [
        m(f"face_{f}", "1", "low", ("head",), PICTURE, "place", f"share of the {w} face of the field of view with signal", judged=False)
        for f, w in FACES.items()
    ]
    return [replace(row, version="2") if row.name in SECOND or row.group in BY_LEVEL else row for row in rows + _series_rows()]


SECOND = ("qi_1", "tsnr", "dvars_nstd", "dvars_std", "dvars_vstd", "void_frac", "noise_sigma", "dark_patch")
BY_LEVEL = ("tissue", "tissue_air", "shading", "ghosts", "slices", "detail")
"""Second definitions: tissue nearby instead of the template's brightness;
artefacts above zero; nipype's deviations and scaling; and, by group, what rests on the level of white matter or the field,
which is now fitted until it stands (cjv, besides, takes its MAD over likely voxels)."""


CLASSES = {"csf": "fluid", "gm": "grey matter", "wm": "white matter"}
FACES = {"L": "left", "R": "right", "P": "back", "A": "front", "I": "lower", "S": "upper"}
AXIAL = [
    ("ghost", "1", "low", ("air",), "ghosts", "brightness of the head's shadow in air", True),
    ("fwhm", "mm", "low", (), "detail", "smoothness", True),
    ("ringing", "1", "low", (), "detail", "oscillation at the Nyquist rate", False),
]


def _series_rows() -> list[Metric]:
    m, time, q = Metric, ("head", "volumes"), ("head", "volumes", "gradients")
    return [
        m("tsnr", "1", "high", time, ("bold",), "bold", "mean over standard deviation in time, median over the brain"),
        m("dvars_nstd", "1", "low", time, ("bold",), "bold", "change from volume to volume, brain scaled to 1000"),
        m("dvars_std", "1", "low", time, ("bold",), "bold", "change from volume to volume over what is expected"),
        m("dvars_vstd", "1", "low", time, ("bold",), "bold", "change from volume to volume, scaled per voxel"),
        m("gcor", "1", "low", time, ("bold",), "bold", "correlation shared by the whole brain"),
        m("aor", "1", "low", time, ("bold",), "bold", "share of outlying voxels"),
        m("aqi", "1", "low", time, ("bold",), "bold", "distance of volumes from the median volume"),
        m("volume_spikes", "count", "low", time, ("bold",), "bold", "slices of single volumes with sudden signal"),
        m("dummies", "count", "low", time, ("bold",), "bold", "first volumes before the signal settled", judged=False),
        m("gsr_x", "1", "low", ("head",), ("bold",), "bold_mean", "ghost over signal, left-right"),
        m("gsr_y", "1", "low", ("head",), ("bold",), "bold_mean", "ghost over signal, back-front"),
        m("fd_mean", "mm", "low", time, ("bold", "dwi"), "motion", "mean head displacement from volume to volume"),
        m("fd_max", "mm", "low", time, ("bold", "dwi"), "motion", "largest head displacement from volume to volume"),
        m("fd_high", "1", "low", time, ("bold",), "motion", "share of steps above 0.2 mm"),
        m("snr_b0", "1", "high", q, ("dwi",), "dwi", "signal over noise without diffusion weighting"),
        m("snr_worst", "1", "high", q, ("dwi",), "dwi", "signal over noise of the weakest volume of the strongest shell"),
        m("ndc", "1", "high", q, ("dwi",), "dwi", "correlation of neighbours in q-space"),
        m("dwi_spikes_ppm", "ppm", "low", time, ("dwi",), "dwi", "voxels above 3 deviations in time"),
        m("dropouts", "count", "low", q, ("dwi",), "dwi", "slices of single volumes with lost signal"),
        m("bvec_missing", "count", "low", ("gradients",), ("dwi",), "dwi", "weighted volumes without a direction", judged=False),
        m("bvec_unique", "count", "none", ("gradients",), ("dwi",), "dwi", "distinct directions", judged=False),
        m("cord_snr", "1", "high", ("head",), ("spine",), "spine", "signal over noise in the core of the object"),
        m("cord_fluid_snr", "1", "high", ("head",), ("spine",), "spine", "signal over noise in the fluid of the core of the object"),
        m("cord_cnr", "1", "high", ("head",), ("spine",), "spine", "contrast between cord and fluid over noise"),
    ]


METRICS: dict[str, Metric] = {row.name: row for row in _rows()}


def kind(suffix: str, body: str = "brain") -> str:
    """Which measures apply to a BIDS suffix: bold | dwi | map | spine | structural. `body`: as for `qa.measure`."""
    if suffix in ("bold", "cbv"):
        return "bold"
    if suffix == "dwi":
        return "dwi"
    if suffix in MAPS:
        return "map"
    return "structural" if body == "brain" else "spine"


def expected(of_kind: str) -> list[str]:
    """Names of the measures that an image of that kind has, computed or not."""
    return [name for name, row in METRICS.items() if of_kind in row.kinds]
