"""Which contrast is this: physics and image type first, words second, and never a name without saying how sure.

A rule of physics and a word that agree are near certain; physics alone is worth what its rule says; words alone 0.8; where they contradict each other the
answer falls below `THRESHOLD` and a person decides between the candidates. Series that BIDS has no raw name for get a `code` instead of a name:
`localizer`, `derived_map`, `secondary_capture`, `contrast_unknown`, `gradients_missing`, `fields_missing`, `perfusion_incomplete`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bidstree import names, physics, shapes, words
from bidstree.look import KEYWORDS, Look, look
from bidstree.physics import Guess
from bidstree.sidecar import clean

__all__ = ["KEYWORDS", "THRESHOLD", "Contrast", "contrast"]

# Below this a person decides.
THRESHOLD = 0.7
# What physics alone must be worth to contradict a person.
MEASURED = 0.85

# Anatomical images that are one volume: a series of them shows a contrast agent coming, or a parameter that changes.
_SINGLE = frozenset({"T1w", "T2w", "PDw", "FLAIR", "angio", "UNIT1"})

_ADVICE = {
    "localizer": "A localizer serves planning only and is kept out.",
    "derived_map": "A map that the scanner computed, for which BIDS has no raw name; it is kept out.",
    "secondary_capture": "A screen capture or another object that is no MR volume; it is kept out.",
    "contrast_unknown": "Neither the sequence nor its words tell the contrast; a person must name it.",
    "gradients_missing": "Diffusion images without b-values and directions cannot be used; hand in the series with its vendor fields.",
    "fields_missing": "BIDS requires fields of such an image that its header does not tell.",
    "perfusion_incomplete": "BIDS needs the labelling of every volume and its delays, which the header does not tell.",
}


@dataclass(frozen=True)
class Contrast:
    """`datatype`, `suffix`, `entities`: BIDS (empty where `code` is not `ok`); `confidence` 0..1; `words` a sentence; `fields`: sidecar fields it implies.

    `candidates`: every answer considered, best first, as (datatype, suffix, confidence). `review`: whether a person must look before it goes out.
    """

    datatype: str
    suffix: str
    entities: dict[str, str | int]
    confidence: float
    words: str
    code: str = "ok"
    fields: dict[str, Any] = field(default_factory=dict)
    candidates: tuple[tuple[str, str, float], ...] = ()
    context: tuple[str, ...] = ()  # ASL: what each volume is, for aslcontext.tsv
    derived: str = ""  # computed by the scanner from others: its `desc-` under derivatives/scanner

    @property
    def review(self) -> bool:
        """Below the threshold, or without a name."""
        return self.code != "ok" or self.confidence < THRESHOLD


def contrast(sidecar: Mapping[str, Any], facts: Mapping[str, Any], *, volumes: int = 1, weights: Sequence[float] = ()) -> Contrast:
    """Name one converted image.

    `sidecar`: dcm2niix's (seconds); `facts`: DICOM keyword -> value as read before the header was scrubbed (DICOM units; see `KEYWORDS`), may be empty;
    `volumes`: length of the fourth axis; `weights`: b-values (s/mm2), empty where there is no bval. Never raises.
    """
    m = look(sidecar, facts, volumes=volumes, weights=weights)
    best, others = _decide(m)
    candidates = tuple((one.datatype, one.suffix, round(one.sure, 2)) for one in [best, *others] if one.suffix)
    if best.code != "ok":
        return Contrast("", "", {}, best.sure, f"{_ADVICE[best.code]} ({best.why})", best.code, candidates=candidates)
    if best.datatype == "anat" and m.volumes > 1 and best.suffix in _SINGLE and not m.colour:
        why = f"{_ADVICE['contrast_unknown']} ({m.volumes} volumes over time of {best.suffix}, for which BIDS has no raw name)"
        return Contrast("", "", {}, best.sure, why, "contrast_unknown", candidates=candidates)
    return complete(_dress(m, best, candidates), sidecar)


def complete(named: Contrast, sidecar: Mapping[str, Any]) -> Contrast:
    """The answer itself, or `fields_missing` where BIDS requires sidecar fields that neither `sidecar` nor the answer has."""
    missing = sorted(required(named) - set(clean({**sidecar, **named.fields})))
    if missing:
        why = f"{_ADVICE['fields_missing']} ({', '.join(missing)})"
        return replace(named, datatype="", suffix="", entities={}, words=why, code="fields_missing")
    return named


# Sidecar fields without which a name is invalid (schema 1.2.7, rules.sidecars, level "required"), by suffix and by entity.
_REQUIRED: dict[str, frozenset[str]] = {
    "phasediff": frozenset({"EchoTime1", "EchoTime2"}),
    "phase1": frozenset({"EchoTime"}),
    "phase2": frozenset({"EchoTime"}),
    "fieldmap": frozenset({"Units"}),
    "epi": frozenset({"PhaseEncodingDirection"}),
    "bold": frozenset({"TaskName", "RepetitionTime"}),
    "MP2RAGE": frozenset({"FlipAngle", "InversionTime", "RepetitionTimeExcitation", "RepetitionTimePreparation", "NumberShots", "MagneticFieldStrength"}),
}
_REQUIRED_BY_ENTITY = {"echo": "EchoTime", "flip": "FlipAngle", "inv": "InversionTime", "mt": "MTState"}


def required(named: Contrast) -> frozenset[str]:
    """Sidecar fields that BIDS requires for this suffix and these entities."""
    by_entity = {field for entity, field in _REQUIRED_BY_ENTITY.items() if entity in named.entities}
    phase = {"Units"} if named.entities.get("part") == "phase" else set()
    return _REQUIRED.get(named.suffix, frozenset()) | by_entity | phase


def _decide(m: Look) -> tuple[Guess, list[Guess]]:
    special = _special(m)
    if special:
        return special, []
    measured, said = physics.guess(m), words.guess(m)
    if said and said.datatype == "fmap":
        return _field_map(m, said), measured
    if m.asl or (said and said.datatype == "perf"):
        return Guess("perf", "asl", 0.9, "arterial spin labelling", code="perfusion_incomplete"), measured
    if said and said.suffix == "MTR":
        return _transfer(m, said), measured
    if said and said.suffix == "sbref":
        datatype = "dwi" if m.says(r" (dwi|dti|diff)") else "func"
        return replace(said, datatype=datatype, sure=0.9), measured
    if not measured:
        return (said, []) if said else (Guess("", "", 0.0, "no rule applies", code="contrast_unknown"), [])
    return _weigh(m, measured, said)


def _weigh(m: Look, measured: list[Guess], said: Guess | None) -> tuple[Guess, list[Guess]]:
    """Physics and words together."""
    if said and (said.datatype, said.suffix) == ("dwi", "dwi") and not any(weight > 50 for weight in m.weights):
        if m.volumes == 1 and measured[0].suffix == "epi":
            return replace(measured[0], sure=0.6), measured[1:]
        return replace(said, code="gradients_missing", sure=0.9), measured
    # A word that contradicts what the bytes hold loses: diffusion weights are no opinion.
    if measured[0].suffix == "dwi" and measured[0].sure > 0.9:
        return replace(measured[0], sure=0.98 if said and said.suffix == "dwi" else measured[0].sure), []
    if said is None:
        return measured[0], measured[1:]
    match = next((one for one in measured if (one.datatype, one.suffix) == (said.datatype, said.suffix)), None)
    if match is measured[0] and match is not None:
        return replace(match, sure=max(match.sure, 0.97), why=f"{match.why}; its words agree", entities={**match.entities, **said.entities}), measured[1:]
    if match is not None:
        return replace(match, sure=0.8, why=f"{match.why}; its words say so", entities={**match.entities, **said.entities}), measured
    if measured[0].entities.get("acq") == "stir" and said.suffix == "FLAIR" and not m.says(r" (\w*flair\w*|dark ?fluid)"):
        return replace(measured[0], sure=0.85, why=f"{measured[0].why}; TIRM is what its vendor calls it"), measured[1:]
    if said.entities.get("acq") in {"dir", "psir", "swi"} and measured[0].suffix in {"FLAIR", "T1w", "T2w", "T2starw"}:
        return replace(said, sure=0.85, why=f"{measured[0].why}; its words name the variant"), measured
    if measured[0].sure < 0.6:
        return replace(said, sure=0.75), measured
    return replace(measured[0], sure=0.6, why=f"{measured[0].why}, but its words say {said.suffix}"), [replace(said, sure=0.4), *measured[1:]]


def _special(m: Look) -> Guess | None:
    """What the image type decides alone."""
    if m.modality != "MR" or m.image_type & {"SCREEN SAVE", "SCREENSAVE", "CSA REPORT"}:
        return Guess("", "", 0.99, "not an MR image", code="secondary_capture")
    if "LOCALIZER" in m.image_type or m.says(words.LOCALIZER):
        return Guess("", "", 0.95, "image type or words", code="localizer")
    return _diffusion_map(m) or _other_map(m)


def _diffusion_map(m: Look) -> Guess | None:
    diffusion = "DIFFUSION" in m.image_type or m.says(r" (dwi|dti|diff|adc|trace|dir\d+)")
    derived = "DERIVED" in m.image_type
    if not derived and not m.image_type & {"ADC", "TRACEW", "EADC", "ADC_UNSPECIFIED"}:
        return None
    for code, suffix in (("EADC", "expADC"), ("ADC", "ADC"), ("ADC_UNSPECIFIED", "ADC"), ("TRACEW", "trace"), ("TRACE", "trace"), ("TENSOR_B0", "S0map")):
        if code in m.image_type:
            return Guess("dwi", suffix, 0.95, "image type")
    if {"TENSOR", "B0"} <= m.image_type:
        return Guess("dwi", "S0map", 0.95, "image type")
    if "FA" in m.image_type:
        return Guess("dwi", "colFA" if m.colour or m.says(r" col ?fa|colour fa|color fa") else "FA", 0.95, "image type")
    if diffusion and m.says(r" (adc|apparent)"):
        return Guess("dwi", "ADC", 0.85, "image type and words")
    return None


_MAP_CODES = frozenset(
    {"SUB", "TTEST", "RELCBF", "CBF", "CBV", "MTT", "TTP", "MIP", "MINIP", "MNIP", "MPR", "PROJECTION IMAGE", "CSAPARALLEL", "T-TEST", "SUBTRACT"}
)


def _other_map(m: Look) -> Guess | None:
    least = bool(m.image_type & {"MINIP", "MNIP"}) or m.says(r" (min ?ip|mip|mnip)\b")
    swi = bool(m.image_type & {"SWI"}) or (least and m.says(r" (swi|swan|suscept\w*|venobold|swip)"))
    if "DERIVED" in m.image_type and swi:
        what = "minip" if least else "processed"
        return Guess("anat", "T2starw", 0.9, f"a susceptibility image that the scanner made ({what})", {"acq": "swi"}, derived=what)
    if "DERIVED" in m.image_type and (m.image_type & _MAP_CODES or least):
        return Guess("", "", 0.95, "image type", code="derived_map")
    return None


def _transfer(m: Look, said: Guess) -> Guess:
    """A pair with and without magnetisation transfer: which of the two, by the header, else by the words; both must not contradict each other."""
    on, off = m.says(words.MT_ON), m.says(words.MT_OFF)
    header = m.transfer
    state = header if header is not None else (on if on != off else None)
    if state is None:
        return replace(said, sure=0.5, why="a pair for magnetisation transfer that does not say which of the two", entities={"mt": "on"})
    sure = 0.5 if (header is True and off and not on) or (header is False and on and not off) else 0.9
    return replace(said, sure=sure, why=f"magnetisation transfer {'on' if state else 'off'}", entities={"mt": "on" if state else "off"})


def _field_map(m: Look, said: Guess) -> Guess:
    """Which part of a field map: by component and echo."""
    if "EP" in m.sequence or "EPI" in m.pulse:
        return Guess("fmap", "epi", 0.9, "echo-planar images for distortion correction")
    if m.image_type & {"B0", "B0 MAP", "FIELD_MAP"}:
        return Guess("fmap", "fieldmap", 0.9, "a field map in Hz")
    if m.component == "phase":
        # A phase image of the first echo exists only where both were kept apart; otherwise the scanner stored their difference.
        apart = m.echo == 1 or m.image_type >= {"T1", "MIXED"}
        return Guess("fmap", f"phase{m.echo or 1}" if apart else "phasediff", 0.9, "phase image of a double-echo field map")
    if m.component != "mag":
        return Guess("", "", 0.9, "real or imaginary part of a field map", code="derived_map")
    return Guess("fmap", f"magnitude{m.echo if m.echo in (1, 2) else 1}", 0.9, "magnitude image of a double-echo field map")


def _dress(m: Look, best: Guess, candidates: tuple[tuple[str, str, float], ...]) -> Contrast:
    """Add what the name and the sidecar need beyond the suffix."""
    entities: dict[str, str | int] = dict(best.entities)
    fields: dict[str, Any] = {}
    sure, why = best.sure, best.why
    allowed = names.RULES[(best.datatype, best.suffix)].allowed
    if "task" in names.RULES[(best.datatype, best.suffix)].required:
        entities["task"] = words.task(m)
        fields["TaskName"] = entities["task"]
    if best.datatype in {"dwi", "func", "fmap"} and "dir" in allowed and (direction := words.direction(m)):
        entities["dir"] = direction
    if best.suffix == "MP2RAGE":
        return _mp2rage(m, best, candidates)
    if m.component != "mag" and best.datatype != "fmap" and "part" in allowed:
        entities["part"] = m.component
        fields["Units"] = "arbitrary" if m.component == "phase" else None
    elif entities.get("acq") == "swi" and "part" in allowed and not best.derived:
        entities["part"] = "mag"
    if best.datatype == "fmap" and best.suffix == "fieldmap":
        fields["Units"] = "Hz"
    if "mt" in entities or m.transfer is not None:
        fields["MTState"] = entities["mt"] == "on" if "mt" in entities else m.transfer
    dixon = shapes.dixon_of(["", "", *m.image_type])
    if dixon and "acq" in allowed and best.datatype == "anat":
        entities["acq"] = f"{list(shapes.DIXON)[dixon - 1]}{entities.get('acq', '')}"
    body = words.body(m)
    fields["BodyPart"] = body
    if body != "BRAIN" and "acq" in allowed:
        entities["acq"] = f"{body.lower()}{entities.get('acq', '')}"
    if best.suffix in {"T1w", "FLAIR"}:
        sure, why, agent = _agent(m, sure, why)
        if agent:
            entities["ce"] = "gadolinium"
            fields["ContrastBolusIngredient"] = "GADOLINIUM"
            fields["MinutesSinceInjection"] = m.since if m.since is not None and m.since >= 0 else None
    fields = {key: value for key, value in fields.items() if value is not None}
    return Contrast(best.datatype, best.suffix, entities, round(sure, 2), why, fields=fields, candidates=candidates, derived=best.derived)


def together(answers: Sequence[Contrast], sidecars: Sequence[Mapping[str, Any]]) -> list[Contrast]:
    """Answers for the images of one series, seen together: gradient echoes of several echo times are one MEGRE, spin echoes of four or more one MESE.

    Images of one echo time (components of it) share the number of their echo; EPI of several echoes keeps its suffix and gets `echo-`.
    """
    result = list(answers)
    times = [float(value) if isinstance(value := one.get("EchoTime"), int | float) else None for one in sidecars]
    for suffixes, name, least in ((("T2starw", "T1w"), "MEGRE", 2), (("PDw", "T2w", "T1w"), "MESE", 4), (("bold", "sbref"), "", 2)):
        members = [n for n, one in enumerate(answers) if one.code == "ok" and one.suffix in suffixes and times[n] is not None]
        if name == "MEGRE":
            members = [n for n in members if "SE" not in _scanning(sidecars[n]) and "IR" not in _scanning(sidecars[n])]
        order = sorted({value for n in members if (value := times[n]) is not None})
        if len(order) < least or len(order) == 1 or len(members) < len(result):
            continue
        for n in members:
            one = answers[n]
            entities = {**one.entities, "echo": 1 + order.index(times[n] or 0.0)}
            suffix = name or one.suffix
            kept = {key: value for key, value in entities.items() if key in names.rule(one.datatype, suffix).allowed}
            sure = max((each.confidence for each in answers if each.suffix == "T2starw"), default=one.confidence) if name == "MEGRE" else one.confidence
            result[n] = replace(one, suffix=suffix, entities=kept, confidence=sure, words=f"{one.words}; {len(order)} echoes of one series")
        return result
    return result


def directed(answers: Sequence[Contrast], towards: Sequence[str]) -> list[Contrast]:
    """Answers for the images of one series with their phase-encoding directions (`AP`, `PA`, ...; empty where not told) in the name.

    Only where words of the protocol do not say it, and where it tells images apart: field maps of EPI, and images of one series that differ in it.
    """
    differ = len({one for one in towards if one}) > 1
    result = []
    for one, way in zip(answers, towards, strict=True):
        wanted = way and one.code == "ok" and "dir" in names.rule(one.datatype, one.suffix).allowed
        mapped = (one.datatype, one.suffix) == ("fmap", "epi") and "dir" not in one.entities
        result.append(replace(one, entities={**one.entities, "dir": way}) if wanted and (differ or mapped) else one)
    return result


def agent_forgotten(images: Sequence[tuple[int, str, bool]]) -> list[int]:
    """Places of images of one visit that should show a contrast agent and do not say so: a person must look.

    `images`: (number of the series, suffix, whether `ce-gadolinium`). An agent that was given does not leave within a visit, so T1w and FLAIR after the
    first image with one are after contrast agent, whatever their header says.
    """
    first = min((number for number, suffix, agent in images if agent and suffix in {"T1w", "FLAIR"}), default=None)
    if first is None:
        return []
    return [n for n, (number, suffix, agent) in enumerate(images) if number > first and suffix in {"T1w", "FLAIR"} and not agent]


def _scanning(sidecar: Mapping[str, Any]) -> str:
    return str(sidecar.get("ScanningSequence", ""))


def _mp2rage(m: Look, best: Guess, candidates: tuple[tuple[str, str, float], ...]) -> Contrast:
    if m.image_type & {"UNI"} or m.says(r" uni\b"):
        return Contrast("anat", "UNIT1", {}, 0.95, "uniform image of an MP2RAGE", candidates=candidates)
    if m.image_type & {"T1 MAP", "T1MAP"} or m.says(r" (t1 ?map|t1 images)\b"):
        return Contrast("anat", "T1map", {}, 0.9, "T1 map of an MP2RAGE", candidates=candidates)
    inversion = 2 if m.says(r" inv ?2\b") else 1 if m.says(r" inv ?1\b") else 0
    if not inversion:
        return Contrast("anat", "T1w", {"acq": "mp2rage"}, 0.5, "an MP2RAGE that does not say which inversion", candidates=candidates)
    part: dict[str, str | int] = {"part": m.component} if m.component != "mag" else {}
    return Contrast("anat", "MP2RAGE", {"inv": inversion, **part}, 0.9, best.why, candidates=candidates)


def _agent(m: Look, sure: float, why: str) -> tuple[float, str, bool]:
    """Whether a contrast agent was on board: header and words must not contradict each other."""
    post, pre = m.says(words.POST), m.says(words.PRE)
    if m.agent and m.since is not None and m.since < 0 and not post:
        return min(sure, 0.6), f"{why}; the header names a contrast agent, and says that it was given later", True
    if m.agent and pre and not post:
        return min(sure, 0.6), f"{why}; the header names a contrast agent, its words say before contrast", True
    if post and not pre and not m.agent:
        return min(sure, 0.6), f"{why}; its words say after contrast, the header names no agent", True
    if m.agent:
        return sure, f"{why}; after contrast agent", True
    return sure, why, False
