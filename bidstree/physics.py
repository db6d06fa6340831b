"""Contrast follows from how a sequence weights relaxation, not from what somebody called it.

Relations used (all times in s):
- Fluid is dark where the inversion time nulls CSF: TI_null = T1 * (ln 2 - ln(1 + exp(-TR / T1))), T1 of CSF about 4.3 s at any field
  (inversion recovery with finite TR; Bernstein, King, Zhou, Handbook of MRI Pulse Sequences, 2004, section 14.2). TI within 25 % of it and a long TE: FLAIR.
- Spin echo: long TE weights T2, short TE with short TR weights T1, short TE with long TR leaves proton density.
- Spoiled gradient echo: short TE and a large angle for its TR weight T1; TE beyond some 12 ms weights T2*.
- An inversion before a train of gradient echoes (TI 0.3-1.5 s, short TE) is MPRAGE: T1.
- EPI: with b > 0 diffusion; gradient-echo EPI repeated over time at TE 15-70 ms is BOLD.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from bidstree.look import Look

T1_CSF = 4.3


@dataclass(frozen=True)
class Guess:
    """One answer: BIDS datatype and suffix (or a `code` when BIDS has no raw name for it), how sure (0..1), why, and entities that follow.

    `derived`: the `desc-` of what the scanner computed from others and is worth keeping, under derivatives/scanner; empty for what it measured.
    """

    datatype: str
    suffix: str
    sure: float
    why: str
    entities: dict[str, str | int] = field(default_factory=dict)
    code: str = "ok"
    derived: str = ""


def null_time(tr: float, t1: float = T1_CSF) -> float:
    """Inversion time (s) at which a fluid of `t1` gives no signal at repetition time `tr` (s)."""
    return t1 * (math.log(2) - math.log1p(math.exp(-tr / t1)))


def guess(m: Look) -> list[Guess]:
    """What the physics allows, best first; empty where the header says too little."""
    if any(weight > 50 for weight in m.weights) and m.volumes > 1:
        # Some vendors do not say that it is echo-planar.
        return [Guess("dwi", "dwi", 0.97, "volumes with several diffusion weightings")]
    if "EP" in m.sequence or "EPI" in m.pulse or m.name.startswith(("epfid", "epse", "ep2d", "epi", "ep_b")):
        return _planar(m)
    if m.te is None:
        return []
    if m.ti and ("SE" in m.sequence) and "GR" not in m.sequence:
        return _inverted_echo(m, m.te, m.ti)
    if "SE" in m.sequence and "GR" not in m.sequence:
        return _spin_echo(m, m.te)
    if "GR" in m.sequence or "tfl" in m.name:
        return _gradient_echo(m, m.te)
    return []


def _planar(m: Look) -> list[Guess]:
    spin = "SE" in m.sequence or "epse" in m.name or "Spin Echo EPI" in m.pulse
    if spin or m.weights:
        return [Guess("fmap", "epi", 0.6, "spin-echo EPI without diffusion weighting"), Guess("dwi", "dwi", 0.4, "spin-echo EPI, gradients not known")]
    if m.agent and m.volumes > 1:
        return [Guess("func", "bold", 0.4, "gradient-echo EPI over time with a contrast agent: perfusion, for which BIDS has no raw name")]
    if m.te is not None and 0.010 <= m.te <= 0.080:
        sure = 0.9 if "GR" in m.sequence or "fid" in m.name or "epirt" in m.name or "Gradient Echo EPI" in m.pulse else 0.6
        # GE "research mode" EPI may be anything, diffusion included.
        sure = 0.5 if "RM" in m.sequence else sure
        if m.volumes > 1:
            return [Guess("func", "bold", sure, "gradient-echo EPI repeated over time"), Guess("dwi", "dwi", 0.3, "EPI, gradients not known")]
        return [Guess("func", "sbref", 0.6, "a single gradient-echo EPI volume"), Guess("func", "bold", 0.4, "gradient-echo EPI")]
    return []


def _inverted_echo(m: Look, te: float, ti: float) -> list[Guess]:
    tr = m.tr or 0.0
    null = null_time(tr) if tr else 2.0
    if te >= 0.06 and 0.7 <= ti / null <= 1.35:
        return [Guess("anat", "FLAIR", 0.95, "inversion nulls fluid, long echo time")]
    if ti <= 0.30 and tr > 1.5:
        suffix = "T2w" if te > 0.03 else "T1w"
        return [Guess("anat", suffix, 0.75, "short inversion time nulls fat", {"acq": "stir"})]
    if te < 0.045 and 0.3 <= ti <= 1.5:
        return [Guess("anat", "T1w", 0.9, "inversion recovery with a short echo time")]
    return [Guess("anat", "FLAIR", 0.5, "inversion recovery spin echo"), Guess("anat", "T2w", 0.4, "inversion recovery spin echo")]


def _spin_echo(m: Look, te: float) -> list[Guess]:
    tr = m.tr or 0.0
    if te >= 0.06 and tr >= 1.5:
        return [Guess("anat", "T2w", 0.93, "spin echo with long echo and repetition times")]
    if te <= 0.035 and 0 < tr <= 1.3:
        return [Guess("anat", "T1w", 0.93, "spin echo with short echo and repetition times")]
    if te <= 0.045 and tr >= 1.8:
        return [Guess("anat", "PDw", 0.85, "spin echo with a short echo time and a long repetition time")]
    return [Guess("anat", "T2w", 0.5, "spin echo"), Guess("anat", "PDw", 0.4, "spin echo"), Guess("anat", "T1w", 0.3, "spin echo")]


def _gradient_echo(m: Look, te: float) -> list[Guess]:
    tr, flip = m.tr or 0.0, m.flip if m.flip is not None else 0.0
    if m.flow and te < 0.012:
        return [Guess("anat", "angio", 0.93, "the header says angiography, gradient echo with a short echo time")]
    inverted = (m.ti is not None and 0.25 <= m.ti <= 1.6) or "IR" in m.sequence or "MPRAGE" in m.pulse
    if inverted and te < 0.012:
        return [Guess("anat", "T1w", 0.95, "inversion-prepared gradient echoes with a short echo time")]
    if te >= 0.012:
        return [Guess("anat", "T2starw", 0.9, "gradient echo with an echo time over 12 ms")]
    spoiled = bool(m.variant & {"SP"}) or "fl" in m.name
    if spoiled and m.dimension == "2D" and flip >= 40 and te < 0.010:
        return [Guess("anat", "T1w", 0.88, "spoiled gradient echo with a large flip angle"), Guess("fmap", "magnitude1", 0.3, "gradient echo")]
    if "MP" in m.variant and te < 0.008:
        return [Guess("anat", "T1w", 0.88, "magnetisation-prepared gradient echoes with a short echo time")]
    if spoiled and tr < 0.06 and flip >= 10 and te < 0.008:
        return [Guess("anat", "T1w", 0.75, "three-dimensional spoiled gradient echo"), Guess("anat", "angio", 0.4, "could be a time-of-flight angiogram")]
    return [Guess("anat", "T1w", 0.4, "gradient echo"), Guess("anat", "T2starw", 0.3, "gradient echo")]
