"""Was the scan made as agreed: header facts against a profile, with three answers per rule: conforms, deviates, or unknown.

A header element that is missing or was taken away is `unknown`, never a failure. Facts are DICOM keywords with their values as pydicom or JSON gives
them; they are read before scrubbing, and only the verdict is kept. A profile is data (`profiles/*.toml`), so a site can bring its own.
Conformity is a verdict of its own beside the grade.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from qa.errors import refusal

Facts = Mapping[str, Any]

USUAL = "magnims-2024"
"""The profile of whoever names none."""


def profiles() -> list[str]:
    """Names of the profiles that come with qa."""
    return sorted(p.name.removesuffix(".toml") for p in resources.files("qa").joinpath("profiles").iterdir() if p.name.endswith(".toml"))


def load(profile: str | Path | Mapping[str, Any]) -> dict[str, Any]:
    """A profile by name, from a site's own TOML file, or as data (what such a file holds). Raises QaError `unknown_profile`, `bad_profile`."""
    if isinstance(profile, Mapping):
        return sound(profile)
    if isinstance(profile, Path):
        source: Any = profile
    else:
        source = resources.files("qa").joinpath("profiles", f"{profile}.toml")
        if profile not in profiles():
            raise refusal("unknown_profile")
    try:
        found = tomllib.loads(source.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise refusal("unknown_profile") from error
    return sound(found)


def sound(profile: Mapping[str, Any]) -> dict[str, Any]:
    """The profile, if it is one: every rule has an id of its own, a sentence, a value that may be asked for, and a range. Raises QaError `bad_profile`."""
    rules = profile.get("rule")
    if not all(isinstance(profile.get(name), str) and profile[name] for name in ("name", "title", "version")) or not isinstance(rules, list):
        raise refusal("bad_profile", "It needs name, title, version and a list of rules.")
    for number_, rule in enumerate(rules, 1):
        if why := _wrong(rule):
            raise refusal("bad_profile", f"Rule {number_} {why}.")
    if len({rule["id"] for rule in rules}) < len(rules):
        raise refusal("bad_profile", "Two rules have one id.")
    for lists in _lists(profile.get("visit", {})):
        if not all(isinstance(row, Mapping) and isinstance(row.get("says"), str) and isinstance(row.get("any"), list) for row in lists):
            raise refusal("bad_profile", "What a visit should bring needs says and any.")
    return dict(profile)


def _wrong(rule: Any) -> str:
    """What is wrong with a rule; empty for a sound one."""
    if not isinstance(rule, Mapping) or not all(isinstance(rule.get(name), str) and rule[name] for name in ("id", "says", "value")):
        return "needs id, says and value"
    if rule["value"] not in VALUES and rule["value"] not in KEYWORDS:
        return "asks for a header element that no protocol has a say in"
    ends = [rule[end] for end in ("min", "max") if end in rule]
    if not ends or not all(isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in ends):
        return "needs a finite min or max"
    where = rule.get("where")
    if not isinstance(where, Mapping) or not where.keys() <= WHERE or not all(isinstance(word, str | list) for word in where.values()):
        return f"needs a where with {', '.join(sorted(WHERE))} or nothing"
    return ""


def _lists(visits: Any) -> Iterable[list[Any]]:
    """The lists of contrasts of every purpose and body part. Raises QaError `bad_profile` where there is something else."""
    try:
        found = [rows for bodies in visits.values() for lists in bodies.values() for rows in lists.values()]
    except AttributeError:
        raise refusal("bad_profile", "What a visit should bring is by purpose, body part and kind.") from None
    if not all(isinstance(rows, list) for rows in found):
        raise refusal("bad_profile", "What a visit should bring stands in lists.")
    return found


def rules_of(profile: str | Path | Mapping[str, Any] = USUAL) -> list[str]:
    """The ids of a profile's rules: what a dataset may declare to be criteria of inclusion. Raises QaError `unknown_profile`, `bad_profile`."""
    return [str(rule["id"]) for rule in load(profile)["rule"]]


def purposes_of(profile: str | Path | Mapping[str, Any] = USUAL) -> list[str]:
    """The purposes of a visit that a profile knows. Raises QaError `unknown_profile`, `bad_profile`."""
    return sorted(load(profile).get("visit", {}))


def check(
    facts: Facts,
    profile: str | Path | Mapping[str, Any] = USUAL,
    *,
    suffix: str | None = None,
    body: str | None = None,
    purpose: str | None = None,
) -> dict[str, Any]:
    """{profile, version, verdict, checks[{id, says, expected, found, status}]} of one image.

    `suffix`: BIDS suffix (None: rules that ask for one are unknown); `body`: brain | spine | optic_nerve (None: from BodyPartExamined, else brain);
    `purpose` of the visit: a rule of one purpose is asked of visits of that purpose alone, so of none whose purpose nobody said.
    verdict: deviates if any rule deviates; else conforms if any conforms; else unknown. Raises QaError `unknown_profile`, `bad_profile`.
    """
    rules = load(profile)
    here = {"suffix": suffix, "body": body or body_of(facts), "acquisition": acquisition(facts), "plane": plane(facts), "purpose": purpose or ""}
    checks = [_check(rule, facts, here) for rule in rules["rule"] if _asked(rule["where"], here)]
    states = {c["status"] for c in checks}
    verdict = "deviates" if "deviates" in states else "conforms" if "conforms" in states else "unknown"
    return {"profile": rules["name"], "title": rules["title"], "version": rules["version"], "verdict": verdict, "checks": checks}


def _asked(where: Mapping[str, Any], here: Mapping[str, str | None]) -> bool:
    """Whether a rule is asked of this image; what is unknown about the image does not rule it out."""
    for name, wanted in where.items():
        value = here[name]
        if value is not None and value not in ([wanted] if isinstance(wanted, str) else wanted):
            return False
    return True


def _check(rule: Mapping[str, Any], facts: Facts, here: Mapping[str, str | None]) -> dict[str, Any]:
    value = _value(str(rule["value"]), facts)
    unsure = [name for name in rule["where"] if here[name] is None]
    if value is None or unsure:
        status = "unknown"
    else:
        status = "conforms" if rule.get("min", -math.inf) <= value <= rule.get("max", math.inf) else "deviates"
    found = "unknown" if value is None else round(value, 3)
    return {"id": rule["id"], "says": rule["says"], "expected": expected(rule), "found": found, "status": status}


def _value(name: str, facts: Facts) -> float | None:
    """A derived value (VALUES), or the header element of that keyword."""
    return VALUES[name](facts) if name in VALUES else number(facts.get(name))


def expected(rule: Mapping[str, Any]) -> str:
    """The range of a rule in words."""
    low, high = rule.get("min"), rule.get("max")
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"at least {low:g}" if low is not None else f"at most {high:g}"


def number(value: Any) -> float | None:
    """A header value as a finite float; None for what is missing, empty or not a number (0 of a missing DS element included: no length is 0)."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) and found > 0 else None


def numbers(value: Any, count: int) -> list[float] | None:
    """A multi-valued header element as floats: a sequence, or DICOM's text with backslashes; None unless there are `count`."""
    parts = value.split("\\") if isinstance(value, str) else value
    try:
        found = [float(p) for p in parts]
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(math.isfinite(v) for v in found) else None


def in_plane_mm(facts: Facts) -> float | None:
    """The larger of the two pixel edges. PixelSpacing is interpolated size; AcquisitionMatrix is not asked (it is often permuted)."""
    spacing = numbers(facts.get("PixelSpacing"), 2)
    return max(spacing) if spacing and min(spacing) > 0 else None


def gap_share(facts: Facts) -> float | None:
    """Gap between slices over slice thickness; negative (overlap) counts as none."""
    spacing, thickness = number(facts.get("SpacingBetweenSlices")), number(facts.get("SliceThickness"))
    return None if spacing is None or thickness is None else max(0.0, (spacing - thickness) / thickness)


def largest_voxel_mm(facts: Facts) -> float | None:
    """The largest edge of the voxel: in plane, or the step between slices (3D sequences overlap, so spacing goes before thickness)."""
    step = number(facts.get("SpacingBetweenSlices")) or number(facts.get("SliceThickness"))
    edge = in_plane_mm(facts)
    return None if step is None or edge is None else max(step, edge)


VALUES: dict[str, Callable[[Facts], float | None]] = {"in_plane_mm": in_plane_mm, "gap_share": gap_share, "largest_voxel_mm": largest_voxel_mm}


def acquisition(facts: Facts) -> str | None:
    """2D or 3D from MRAcquisitionType; None when it is not said."""
    said = str(facts.get("MRAcquisitionType") or "").strip().upper()
    return said if said in ("2D", "3D") else None


def plane(facts: Facts) -> str | None:
    """axial, sagittal or coronal from ImageOrientationPatient; None when it is not said."""
    six = numbers(facts.get("ImageOrientationPatient"), 6)
    if six is None:
        return None
    a, b = six[:3], six[3:]
    normal = [abs(a[1] * b[2] - a[2] * b[1]), abs(a[2] * b[0] - a[0] * b[2]), abs(a[0] * b[1] - a[1] * b[0])]
    return ("sagittal", "coronal", "axial")[normal.index(max(normal))]


WHERE = frozenset({"suffix", "body", "acquisition", "plane", "purpose"})
KEYWORDS = frozenset(
    [
        "MagneticFieldStrength",
        "SliceThickness",
        "SpacingBetweenSlices",
        "RepetitionTime",
        "EchoTime",
        "InversionTime",
        "FlipAngle",
        "EchoTrainLength",
        "NumberOfAverages",
        "PixelBandwidth",
        "ImagingFrequency",
        "PercentSampling",
        "PercentPhaseFieldOfView",
        "ReconstructionDiameter",
        "Rows",
        "Columns",
        "MinutesSinceInjection",
    ]
)
"""Header elements that a rule may ask for. A profile comes from a site, and what a check found is kept: a date of birth is a number as well."""

SPINE = ("SPINE", "CSPINE", "TSPINE", "LSPINE", "LSSPINE", "CTSPINE", "TLSPINE", "NECK", "CORD")


def body_of(facts: Facts) -> str:
    """spine, optic_nerve or brain from BodyPartExamined (most scanners say BRAIN, HEAD, or nothing)."""
    said = "".join(str(facts.get("BodyPartExamined") or "").upper().replace("_", "").split())
    if any(word in said for word in SPINE):
        return "spine"
    return "optic_nerve" if "ORBIT" in said or "OPTIC" in said else "brain"


def visit(images: Iterable[Mapping[str, Any]], purpose: str | None, profile: str | Path | Mapping[str, Any] = USUAL) -> dict[str, Any]:
    """What a visit lacks: {purpose, verdict, findings[{says, kind, status}]}.

    `images`: of each its `suffix`, `body` (default brain) and `contrast_agent` (bool, None unknown). `purpose`: diagnosis | monitoring | pml_safety;
    another or None gives the verdict unknown and no finding. A body part without any image is not asked. Raises QaError `unknown_profile`, `bad_profile`.
    """
    rules = load(profile).get("visit", {})
    given = list(images)
    if purpose not in rules:
        return {"purpose": purpose, "verdict": "unknown", "findings": []}
    findings = []
    for body, lists in rules[purpose].items():
        here = [i for i in given if (i.get("body") or "brain") == body]
        if here:
            findings += [_finding(row, kind, here) for kind in ("recommended", "conditional") for row in lists.get(kind, [])]
    missing = any(f["status"] == "missing" and f["kind"] == "recommended" for f in findings)
    return {"purpose": purpose, "verdict": "deviates" if missing else "conforms" if findings else "unknown", "findings": findings}


def _finding(row: Mapping[str, Any], kind: str, images: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    fits = {str(i["suffix"]) for i in images if i["suffix"] in row["any"] and (not row.get("contrast_agent") or i.get("contrast_agent") is not False)}
    sure = {str(i["suffix"]) for i in images if i["suffix"] in row["any"] and (not row.get("contrast_agent") or i.get("contrast_agent") is True)}
    need = int(row.get("count", 1))
    status = "present" if len(sure) >= need else "unknown" if len(fits) >= need else "missing"
    return {"says": row["says"], "kind": kind, "status": status}
