"""Arterial spin labelling is only usable when every volume says what it is: label, control, or the calibration between them.

BIDS wants an `aslcontext.tsv` with one word a volume and the labelling in the sidecar (schema 1.2.7, rules.sidecars.asl). Scanners rarely write either, so
a series that lacks them is `perfusion_incomplete`, with the fields that are missing, and a person who knows the protocol supplies them once
(`bidstree.corrections`): they are then remembered for that site and protocol. Nothing is guessed: label and control swapped is perfusion with a minus sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bidstree.errors import BidsError
from bidstree.sidecar import clean

WORDS = frozenset({"label", "control", "m0scan", "deltam", "cbf", "noRF", "n/a"})
_ALWAYS = ("RepetitionTimePreparation", "ArterialSpinLabelingType", "PostLabelingDelay", "BackgroundSuppression", "M0Type", "TotalAcquiredPairs")
_BY_KIND = {"CASL": ("LabelingDuration",), "PCASL": ("LabelingDuration",), "PASL": ("BolusCutOffFlag",)}


def missing(sidecar: Mapping[str, Any], context: Sequence[str] | None, volumes: int) -> list[str]:
    """What BIDS requires and the series does not tell: names of fields, and `aslcontext` where not every volume has its word."""
    known = clean(sidecar)
    lacking = [name for name in (*_ALWAYS, "MRAcquisitionType", *_BY_KIND.get(str(known.get("ArterialSpinLabelingType")), ())) if name not in known]
    if known.get("M0Type") == "Estimate" and "M0Estimate" not in known:
        lacking.append("M0Estimate")
    if known.get("BolusCutOffFlag") is True:
        lacking += [name for name in ("BolusCutOffDelayTime", "BolusCutOffTechnique") if name not in known]
    if context is None or len(context) != volumes or not set(context) <= WORDS:
        lacking.append("aslcontext")
    elif known.get("M0Type") == "Included" and "m0scan" not in context:
        lacking.append("m0scan in aslcontext")
    return lacking


def missing_calibration(sidecar: Mapping[str, Any]) -> list[str]:
    """What BIDS requires of a separate calibration scan (`m0scan`) and its header does not tell."""
    known = clean(sidecar)
    wanted = ["RepetitionTimePreparation", "MagneticFieldStrength", *(["SliceTiming"] if known.get("MRAcquisitionType") == "2D" else [])]
    return [name for name in wanted if name not in known]


def repeat(pattern: Sequence[str], volumes: int) -> list[str]:
    """The words of all volumes from a pattern: leading `m0scan`s once, the rest over and over (`m0scan label control` for 9 volumes: m0, then 4 pairs).

    Raises BidsError `perfusion_pattern` where the pattern does not fill the volumes.
    """
    once = [word for n, word in enumerate(pattern) if word == "m0scan" and all(other == "m0scan" for other in pattern[:n])]
    cycle = list(pattern[len(once) :])
    rest = volumes - len(once)
    if not pattern or not set(pattern) <= WORDS or rest < 0 or (rest and not cycle) or (cycle and rest % len(cycle)):
        raise BidsError("perfusion_pattern", f"The pattern of {len(pattern)} words does not fill {volumes} volumes.", "Say label, control and m0scan in order.")
    return once + cycle * (rest // len(cycle) if cycle else 0)


def table(context: Sequence[str]) -> str:
    """The text of `_aslcontext.tsv`."""
    return "volume_type\n" + "".join(f"{word}\n" for word in context)
