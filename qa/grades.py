"""pass, review or fail, always with the sentence why: hard facts fail, a norm or a published limit can ask for a look, nothing soft rejects.

A grade never overrides a person's verdict and a person's verdict never changes a grade: they stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qa.errors import CODES
from qa.metrics import METRICS

FEW = 30
"""Below this number of scans in a norm, its own uncertainty widens the limit."""
Z_REVIEW, Z_REVIEW_FEW = 3.0, 3.5


@dataclass(frozen=True)
class Fact:
    """A hard fact: `code` (qa.errors.CODES) and the measured detail after its sentence. Only these make `fail`."""

    code: str
    detail: str = ""

    @property
    def sentence(self) -> str:
        """The reason as a person reads it."""
        return f"{CODES[self.code][0]} {self.detail}".strip()


@dataclass(frozen=True)
class Limit:
    """A norm-free limit with its calibration: a value beyond `limit` in the bad direction asks for a look."""

    metric: str
    above: bool
    limit: float
    calibration: str

    def crossed(self, value: float) -> bool:
        """Whether a value lies beyond the limit."""
        return value > self.limit if self.above else value < self.limit


def grade(
    facts: Sequence[Fact], metrics: Mapping[str, Mapping[str, Any]], limits: Sequence[Limit], review_z: float | None, doubts: Sequence[Fact] = ()
) -> dict[str, Any]:
    """The verdict: {grade, flags, reasons, norm}.

    `metrics`: name -> {value, z, norm_n, ...}; `review_z`: the calibrated limit of the largest bad z (None: 3.0, or 3.5 for norms below 30 scans).
    Grade is `fail` for any fact; else `review` for one of the `doubts`, for a z beyond the limit or a norm-free limit crossed (these are asked only
    where no fact speaks); else `pass`.
    """
    said_first = [*facts, *(() if facts else doubts)]
    reasons = [f.sentence for f in said_first]
    flags = [f.code for f in said_first]
    for name, entry in metrics.items():
        said = _against_norm(name, entry, review_z)
        if said:
            reasons.append(said)
            flags.append(f"norm:{name}")
    for limit in () if facts else limits:
        value = metrics.get(limit.metric, {}).get("value")
        if value is not None and limit.crossed(value) and f"norm:{limit.metric}" not in flags:
            reasons.append(_beyond(limit, value))
            flags.append(f"limit:{limit.metric}")
    verdict = "fail" if facts else "review" if flags else "pass"
    known = [e["norm_n"] for e in metrics.values() if e.get("norm_n")]
    most = max((e.get("norm_seen", 0) for e in metrics.values()), default=0)
    norm = f"norm of {max(known)} scans" if known else f"ungraded: no norm ({most} of 20)"
    return {"grade": verdict, "flags": flags, "reasons": reasons, "norm": norm}


def bad_z(name: str, z: float) -> float:
    """How far a robust z lies in the bad direction of a measure: positive is worse; for `none` it is 0."""
    direction = METRICS[name].direction
    return {"high": -z, "low": z, "range": abs(z)}.get(direction, 0.0)


def _against_norm(name: str, entry: Mapping[str, Any], review_z: float | None) -> str:
    z, n = entry.get("z"), entry.get("norm_n") or 0
    if z is None or not METRICS[name].judged:
        return ""
    limit = review_z if review_z is not None else Z_REVIEW if n >= FEW else Z_REVIEW_FEW
    if bad_z(name, z) <= limit:
        return ""
    row = METRICS[name]
    said = f"{row.sentence[0].upper()}{row.sentence[1:]} ({name}) is {entry['value']:.3g}"
    return f"{said}, {abs(z):.1f} robust deviations from the median {entry['norm_median']:.3g} of {n} accepted scans of {entry['norm_key']}."


def _beyond(limit: Limit, value: float) -> str:
    row = METRICS[limit.metric]
    side = "above" if limit.above else "below"
    return f"{row.sentence[0].upper()}{row.sentence[1:]} ({limit.metric}) is {value:.3g}, {side} the norm-free limit {limit.limit:.3g} ({limit.calibration})."


def _badness(name: str, entry: Mapping[str, Any]) -> float:
    z = entry.get("z")
    return bad_z(name, z) if z is not None and METRICS[name].judged else -1.0


USUAL_THREE = {
    "structural": ("noise_sigma", "snr_total", "cjv", "slice_jump", "aes"),
    "bold": ("tsnr", "fd_mean", "dvars_std", "gsr_y"),
    "dwi": ("ndc", "snr_b0", "fd_mean", "dropouts"),
    "spine": ("cord_snr", "cord_cnr", "slice_jump", "noise_sigma"),
    "map": ("coverage_mm", "brain_outside", "iso_offset_mm"),
}
"""Shown where nothing drove the grade: the numbers a reader of that kind of image asks for first."""


SHOWN_FOR = {"dead_slices": "zero_slices", "brain_cut": "brain_outside", "no_anatomy": "head_separation", "volumes_dead": "volume_spikes"}
"""The measure that shows a fact best."""


def three(kind: str, flags: Sequence[str], metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The three measures that drove the grade: flagged ones first, then the worst against the norm, then the usual ones of the kind."""
    flagged = [f.split(":", 1)[1] if ":" in f else SHOWN_FOR.get(f, "") for f in flags]
    ranked = sorted((n for n in metrics if _badness(n, metrics[n]) > 1.5), key=lambda n: -_badness(n, metrics[n]))
    wanted = [*flagged, *ranked, *USUAL_THREE.get(kind, ()), *USUAL_THREE["structural"], *USUAL_THREE["map"]]
    found = [n for n in dict.fromkeys(wanted) if metrics.get(n, {}).get("value") is not None]
    return found[:3]
