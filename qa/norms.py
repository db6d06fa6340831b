"""What is usual for this scanner: the robust median and spread of scans that a person accepted, never of all scans.

A norm belongs to a key (maker, model, field strength, contrast, brain or spine, voxel class, version of qa). With fewer than 20 accepted scans of a key
the next coarser key is asked, and with none of them there is no norm, which is said. Published percentiles also need 20: a small cell names a site.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from qa.grades import Limit, bad_z, grade, three
from qa.metrics import METRICS

LEAST = 20
FALSE_REVIEW = 0.05
"""Share of accepted scans that may be sent to review, all measures together (cross-validated)."""

Key = tuple[str, ...]


def voxel_class(zooms: Sequence[float]) -> str:
    """Coarse class of voxel size: iso1 (all edges within 20 %, rounded mm), or 2d3 (thick slices, rounded mm)."""
    low, high = min(zooms[:3]), max(zooms[:3])
    return f"iso{low:.1f}" if high <= 1.2 * low else f"thick{round(high)}"


SPINE = "spine"


def key(suffix: str, facts: Mapping[str, Any], zooms: Sequence[float], body: str = "brain") -> Key:
    """The finest key: (suffix, voxel class, field in tesla, maker, model). Unknown facts are "?". `body`: as for `qa.measure`.

    A spine's first word is the suffix with `spine` after it (`T2w spine`): the same contrast of a head is another picture, with other air, coil and slices.
    """
    try:
        tesla = f"{round(float(facts.get('MagneticFieldStrength', 'nan')) * 2) / 2:g}T"
    except (TypeError, ValueError):
        tesla = "?"
    maker = str(facts.get("Manufacturer") or "?").split()[0].casefold()
    model = " ".join(str(facts.get("ManufacturerModelName") or "?").casefold().split())
    contrast = suffix if body == "brain" else f"{suffix} {SPINE}"
    return contrast, voxel_class(zooms), "?" if tesla == "nanT" else tesla, maker, model


def key_of(report: Mapping[str, Any]) -> Key:
    """The key of a stored report. Those made before spines had keys of their own say what they are by their kind (a spine's bold and dwi do not)."""
    first, *rest = map(str, report["norm_key"])
    return (f"{first} {SPINE}" if report.get("kind") == SPINE and SPINE not in first.split() else first, *rest)


def steps(of: Key) -> list[Key]:
    """The key and its coarser ones, finest first; never coarser than the contrast and voxel class."""
    return [of[:n] for n in range(len(of), 1, -1)]


@dataclass(frozen=True)
class Norm:
    """Of one measure under one key: number of accepted scans, median, robust sd (1.4826 MAD), and the percentiles 5, 25, 50, 75, 95."""

    n: int
    median: float
    spread: float
    percentiles: tuple[float, ...]
    values: tuple[float, ...] = field(repr=False, default=())

    def z(self, value: float) -> float:
        """Robust z of a value."""
        return (value - self.median) / self.spread

    def percentile(self, value: float) -> float:
        """Share (0..100) of the accepted scans at or below a value."""
        return 100 * sum(v <= value for v in self.values) / len(self.values)


@dataclass(frozen=True)
class Norms:
    """All norms: (key, measure) -> Norm; how many scans each key has seen; the review limit of each key, calibrated by leaving one out."""

    table: Mapping[tuple[Key, str], Norm]
    seen: Mapping[Key, int]
    review: Mapping[Key, float]

    def find(self, of: Key, name: str) -> tuple[Key, Norm] | None:
        """The norm of a measure under the finest key that has one."""
        for step in steps(of):
            if (step, name) in self.table:
                return step, self.table[step, name]
        return None

    def judge(self, of: Key, metrics: Mapping[str, dict[str, Any]]) -> float | None:
        """Write z, percentile, norm_key, norm_n and norm_median into the entries; return the calibrated review limit of the key that served."""
        served: Key | None = None
        for name, entry in metrics.items():
            entry["norm_seen"] = max((self.seen.get(s, 0) for s in steps(of)), default=0)
            found = None if entry["value"] is None else self.find(of, name)
            if found is None:
                continue
            served, norm = found
            z, percentile = norm.z(entry["value"]), norm.percentile(entry["value"])
            entry |= {"z": round(z, 3), "percentile": round(percentile, 1), "norm_key": " ".join(served), "norm_n": norm.n, "norm_median": norm.median}
            entry["norm_percentiles"] = list(norm.percentiles)
        return None if served is None else self.review.get(served)


def build(accepted: Iterable[Mapping[str, Any]]) -> Norms:
    """Norms of reports (as `qa.measure` made them) of scans that a person accepted; other versions of qa and failed scans are left out."""
    from qa.examine import VERSION

    rows = [r for r in accepted if r.get("qa_version") == VERSION and r.get("grade") != "fail" and r.get("stage") == "pre-deface"]
    groups: dict[Key, list[Mapping[str, Any]]] = {}
    for row in rows:
        for step in steps(key_of(row)):
            groups.setdefault(step, []).append(row)
    table: dict[tuple[Key, str], Norm] = {}
    review: dict[Key, float] = {}
    for step, members in groups.items():
        if len(members) < LEAST:
            continue
        columns = {name: _column(members, name) for name in METRICS}
        table |= {(step, name): norm_of(v) for name, v in columns.items() if len([x for x in v if not math.isnan(x)]) >= LEAST}
        review[step] = _calibrated(columns)
    return Norms(table, {step: len(members) for step, members in groups.items()}, review)


def against(report: Mapping[str, Any], known: Norms) -> dict[str, Any]:
    """A report as it stands, judged against norms that were not at hand when it was made: the same facts and reasons, z and percentiles added.

    What has no measures or is `fail` already keeps its grade; a measure beyond the norm adds its sentence and asks for review.
    """
    if not report.get("metrics") or not report.get("norm_key"):
        return dict(report)
    metrics = {name: dict(entry) for name, entry in report["metrics"].items()}
    limit = known.judge(key_of(report), metrics)
    said = grade([], metrics, [], limit)
    flags, reasons = ([*report.get(part, []), *(x for x in said[part] if x not in report.get(part, []))] for part in ("flags", "reasons"))
    worst = max(str(report["grade"]), str(said["grade"]), key=("pass", "review", "fail").index)
    drivers = three(str(report.get("kind", "structural")), flags, metrics)
    return dict(report) | {"metrics": metrics, "flags": flags, "reasons": reasons, "grade": worst, "norm": said["norm"], "drivers": drivers}


def _column(members: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    found = [m["metrics"].get(name, {}).get("value") for m in members]
    return [math.nan if v is None else float(v) for v in found]


def norm_of(values: Sequence[float]) -> Norm:
    """The norm of at least one finite value; a spread of zero becomes one thousandth of the median, so that a z stays finite."""
    x = np.array([v for v in values if not math.isnan(v)])
    middle = float(np.median(x))
    spread = 1.4826 * float(np.median(np.abs(x - middle)))
    low, q1, q2, q3, high = (float(p) for p in np.percentile(x, [5, 25, 50, 75, 95]))
    return Norm(len(x), middle, max(spread, 1e-3 * abs(middle), 1e-9), (low, q1, q2, q3, high), tuple(sorted(x.tolist())))


def _calibrated(columns: Mapping[str, Sequence[float]]) -> float:
    """The review limit: each scan's worst z against the norm of all others, and the quantile of these that keeps 5 % above (conformal: n + 1)."""
    names = [n for n, v in columns.items() if METRICS[n].judged and sum(not math.isnan(x) for x in v) >= LEAST]
    count = len(next(iter(columns.values())))
    worst = np.zeros(count)
    for name in names:
        values = np.asarray(columns[name])
        for i in range(count):
            if not math.isnan(values[i]):
                rest = norm_of(np.delete(values, i).tolist())
                worst[i] = max(worst[i], bad_z(name, rest.z(float(values[i]))))
    rank = min(count, math.ceil((count + 1) * (1 - FALSE_REVIEW)))
    return float(np.sort(worst)[rank - 1])


@cache
def _all_limits() -> dict[str, list[Limit]]:
    import tomllib

    text = resources.files("qa").joinpath("limits.toml").read_text(encoding="utf-8")
    found: dict[str, list[Limit]] = {}
    for row in tomllib.loads(text)["limit"]:
        limit = Limit(row["metric"], row["side"] == "above", float(row["value"]), row["calibration"])
        for kind in row["kinds"]:
            found.setdefault(kind, []).append(limit)
    return found


def limits(kind: str, suffix: str) -> list[Limit]:
    """The norm-free limits (limits.toml) of a kind of image, or of one suffix."""
    return [limit for name in dict.fromkeys((kind, suffix)) for limit in _all_limits().get(name, [])]
