"""The facts of one image that quality control and contrast classification ask for; none identifies, and all are read from the *cleaned* data set."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from deid import values
from deid.dictionary import tag_for_keyword
from deid.tree import Element, walk

_ASKED_FOR = """
Manufacturer ManufacturerModelName SoftwareVersions MagneticFieldStrength Modality ImageType FrameType BodyPartExamined SeriesDescription ProtocolName
StudyDescription SequenceName PulseSequenceName ScanningSequence SequenceVariant ScanOptions MRAcquisitionType AngioFlag EchoTime EffectiveEchoTime
EchoNumbers EchoTrainLength EchoPulseSequence RepetitionTime InversionTime InversionTimes InversionRecovery FlipAngle NumberOfAverages PixelBandwidth
SliceThickness SpacingBetweenSlices PixelSpacing Rows Columns NumberOfFrames FrameOfReferenceUID AcquisitionMatrix PercentSampling PercentPhaseFieldOfView
InPlanePhaseEncodingDirection ReceiveCoilName TransmitCoilName ParallelReductionFactorInPlane ParallelAcquisitionTechnique ImageOrientationPatient
PatientPosition ImagingFrequency ImagedNucleus ResonantNucleus NumberOfTemporalPositions TemporalPositionIdentifier DiffusionBValue
DiffusionDirectionality ContrastBolusAgent ContrastBolusRoute ContrastBolusVolume ContrastBolusTotalDose ContrastBolusIngredient
ContrastBolusIngredientConcentration PatientSex PatientAge PatientSize PatientWeight SAR SeriesNumber AcquisitionNumber InstanceNumber AcquisitionDuration
GradientEchoTrainLength RFEchoTrainLength SpectrallySelectedSuppression FatSaturation MagnetizationTransfer BloodSignalNulling SteadyStatePulseSequence
ComplexImageComponent AcquisitionContrast VolumetricProperties PhotometricInterpretation BitsAllocated BitsStored SamplesPerPixel RescaleSlope
RescaleIntercept
"""
FACTS = frozenset(_ASKED_FOR.split())
_KEYWORDS = {int(tag): keyword for keyword in FACTS if (tag := tag_for_keyword(keyword)) is not None}
_GROUPS = (0x52009229, 0x52009230)  # shared and per-frame functional groups


def of(elements: list[Element]) -> dict[str, Any]:
    """Keyword -> number, text or list, top level first, then the shared and the first per-frame functional group."""
    out: dict[str, Any] = {}
    _collect(elements, out)
    for tag in _GROUPS:
        for element in elements:
            if element.tag == tag and element.items:
                _collect(list(walk(element.items[0].elements)), out)
    return out


def _collect(elements: list[Element], out: dict[str, Any]) -> None:
    for element in elements:
        keyword = _KEYWORDS.get(element.tag)
        if keyword is not None and keyword not in out and element.value is not None and (found := _value(element.vr, element.bytes)):
            out[keyword] = found[0] if len(found) == 1 else list(found)


@lru_cache(maxsize=16384)
def _value(vr: str, raw: bytes) -> tuple[Any, ...]:
    element = Element(0, vr, raw)
    found: list[Any] | None = values.numbers(element) if vr not in values.STRINGS or vr in ("DS", "IS") else values.texts(element, ("utf-8",))
    return tuple(found or ())
