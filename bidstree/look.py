"""What a classifier may look at, in one unit system: a sidecar (seconds) and DICOM facts (milliseconds) become one record in seconds and degrees."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# DICOM keywords whose values `classify.contrast` reads from `facts` (the rest of a facts dict is ignored). Free text among them is matched
# against fixed vocabularies only; no word of it is ever copied to a name, a sidecar or a message.
KEYWORDS: tuple[str, ...] = (
    "Modality", "ImageType", "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName",
    "ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "EchoTime", "EffectiveEchoTime",
    "RepetitionTime", "InversionTime", "FlipAngle", "EchoTrainLength", "EchoNumbers", "ContrastBolusAgent",
    "ContrastBolusIngredient", "ContrastBolusVolume", "BodyPartExamined", "AcquisitionContrast", "EchoPulseSequence",
    "InversionRecovery", "SamplesPerPixel", "DiffusionBValue", "DiffusionDirectionality", "MagneticFieldStrength",
    "ComplexImageComponent", "MagnetizationTransfer", "MinutesSinceInjection",
    "AngioFlag",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """Times in seconds, angles in degrees; None where not known. Sets hold upper-case codes of the standard, `words` small letters and blanks."""

    te: float | None = None
    tr: float | None = None
    ti: float | None = None
    flip: float | None = None
    train: float | None = None
    echo: int | None = None
    sequence: frozenset[str] = frozenset()
    variant: frozenset[str] = frozenset()
    options: frozenset[str] = frozenset()
    image_type: frozenset[str] = frozenset()
    name: str = ""  # vendor's sequence name, small letters
    pulse: str = ""  # dcm2niix's PulseSequenceType
    dimension: str = ""
    words: str = ""
    volumes: int = 1
    weights: tuple[float, ...] = ()
    component: str = "mag"
    agent: bool | None = None
    since: float | None = None  # minutes from the injection of the agent to the acquisition; negative before it
    body: str = ""
    colour: bool = False
    asl: bool = False
    flow: bool = False  # the header says that inflowing blood is what is shown
    transfer: bool | None = None  # magnetisation transfer pulses; None where the header says nothing
    modality: str = "MR"
    facts: Mapping[str, Any] = field(default_factory=dict)

    def says(self, pattern: str) -> bool:
        """Whether the words hold `pattern` (a regular expression; `\\b` is at blanks and at borders between letters and digits)."""
        return re.search(pattern, self.words) is not None


def look(sidecar: Mapping[str, Any], facts: Mapping[str, Any], *, volumes: int = 1, weights: Sequence[float] = ()) -> Look:
    """One record of a sidecar (dcm2niix's, seconds) and `facts` (DICOM keyword -> value, DICOM units: milliseconds); the sidecar goes first."""

    def seconds(key: str, *also: str) -> float | None:
        if (value := _number(sidecar.get(key))) is not None:
            return value
        raw = next((number for name in (key, *also) if (number := _number(facts.get(name))) is not None), None)
        return None if raw is None else raw / 1000.0

    def codes(key: str) -> frozenset[str]:
        return frozenset(_codes(sidecar.get(key)) | _codes(facts.get(key)))

    ti = seconds("InversionTime")
    enhanced = _codes(facts.get("EchoPulseSequence"))
    sequence = codes("ScanningSequence") | ({"SE"} if enhanced & {"SPIN", "BOTH"} else set()) | ({"GR"} if "GRADIENT" in enhanced else set())
    if str(facts.get("InversionRecovery", "")).upper() == "YES":
        sequence |= {"IR"}
    images = codes("ImageType")
    echo = _number(sidecar.get("EchoNumber")) or _number(facts.get("EchoNumbers"))
    return Look(
        te=seconds("EchoTime", "EffectiveEchoTime"),
        tr=seconds("RepetitionTime"),
        ti=ti if ti else None,
        flip=_first(sidecar.get("FlipAngle"), facts.get("FlipAngle")),
        train=_first(sidecar.get("EchoTrainLength"), facts.get("EchoTrainLength")),
        echo=int(echo) if echo else None,
        sequence=frozenset(sequence),
        variant=codes("SequenceVariant"),
        options=codes("ScanOptions"),
        image_type=images,
        name=str(sidecar.get("SequenceName") or facts.get("SequenceName") or facts.get("PulseSequenceName") or "").lower(),
        pulse=str(sidecar.get("PulseSequenceType") or ""),
        dimension=str(sidecar.get("MRAcquisitionType") or facts.get("MRAcquisitionType") or ""),
        words=_words(sidecar, facts),
        volumes=volumes,
        weights=tuple(weights),
        component=_component(images, str(facts.get("ComplexImageComponent", ""))),
        agent=_agent(facts),
        since=_number(facts.get("MinutesSinceInjection")),
        body=str(sidecar.get("BodyPartExamined") or facts.get("BodyPartExamined") or "").upper(),
        colour=_number(facts.get("SamplesPerPixel")) == 3,
        asl="ArterialSpinLabelingType" in sidecar or bool(images & {"ASL"}),
        flow=str(facts.get("AngioFlag") or "").upper() in {"Y", "YES"} or "TOF" in codes("SequenceVariant") | codes("ScanOptions"),
        transfer=_transfer(sidecar, facts),
        modality=str(facts.get("Modality") or sidecar.get("Modality") or "MR").upper(),
        facts=facts,
    )


def _number(value: object) -> float | None:
    try:
        number = float(str(value[0] if isinstance(value, list | tuple) and value else value))
    except ValueError:
        return None
    return number if number == number and abs(number) != float("inf") else None


def _first(*values: object) -> float | None:
    return next((number for value in values if (number := _number(value)) is not None), None)


def _codes(value: object) -> set[str]:
    """Upper-case codes of a value that may be a list, or text with backslashes (dcm2niix) or a Python list's look."""
    if value is None:
        return set()
    many = value if not isinstance(value, str) and hasattr(value, "__iter__") else [value]
    return {part.strip().upper() for one in many for part in str(one).split("\\") if part.strip()}


def _words(sidecar: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Descriptions in small letters, other signs than letters, digits, `*` and `+` as blanks, with a blank at both ends."""
    parts = [str(source.get(key) or "") for key in ("SeriesDescription", "ProtocolName") for source in (facts, sidecar)]
    text = " ".join(dict.fromkeys(parts))
    text = re.sub(r"([a-z])([A-Z][a-z])", r"\1 \2", text).lower()
    return f" {re.sub(r'[^a-z0-9*+]+', ' ', text)} "


def _component(images: frozenset[str], said: str) -> str:
    for codes, name in ((("P", "PHASE"), "phase"), (("R", "REAL"), "real"), (("I", "IMAGINARY"), "imag")):
        if said.upper() in codes or images & set(codes):
            return name
    return "phase" if any(code.startswith("PHASE") and code != "PHASE CONTRAST" for code in images) else "mag"


def _transfer(sidecar: Mapping[str, Any], facts: Mapping[str, Any]) -> bool | None:
    """MTState of the sidecar, MagnetizationTransfer of an enhanced header, or the option MT of a classic one (whose absence says nothing)."""
    if isinstance(sidecar.get("MTState"), bool):
        return bool(sidecar["MTState"])
    said = str(facts.get("MagnetizationTransfer") or "").upper()
    if said:
        return said not in {"NONE", "NO"}
    options = _codes(sidecar.get("ScanOptions")) | _codes(facts.get("ScanOptions"))
    return True if options & {"MT", "MT_GEMS", "MTC"} else None


def _agent(facts: Mapping[str, Any]) -> bool | None:
    """Whether a contrast agent was on board, by the header: None where the header says nothing."""
    text = " ".join(str(facts.get(key) or "") for key in ("ContrastBolusAgent", "ContrastBolusIngredient")).strip().lower()
    if not text:
        return None
    return re.search(r"\b(no|none|nein|ohne|without|n/?a|not)\b", text) is None
