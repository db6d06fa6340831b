"""Only what is on the list stays: every field of a sidecar is kept because somebody decided so, in BIDS units, or it is gone.

dcm2niix writes some 150 fields; with de-identified input most are harmless, but free text (ProtocolName, SeriesDescription, ImageComments), places
(Institution*, StationName), serial numbers and clock times have no business in a shared file. `FIELDS` is the whole list, with the kind of value each
may have; a value of another kind is dropped as well. Units are those of BIDS: seconds, tesla, degrees, mm (dcm2niix already converts milliseconds).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Json = Any
Test = Callable[[Json], bool]

LARGEST = 1e12  # in absolute value; whatever a header means by more is no fact of a scan
_WORD = re.compile(r"[A-Za-z0-9 _+*%.,;:/\\()&#\[\]>-]{1,96}")
# What a text field must not look like: a date, a time of day, a long number (serials, telephone numbers), an address of a person.
_SUSPICIOUS = re.compile(r"\d{7,}|\b(19|20)\d\d[-./]?[01]\d[-./]?[0-3]\d\b|\b\d\d:\d\d|@|\^")


def _number(value: Json) -> bool:
    # Compared, not converted: an integer of 400 digits is no float at all.
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST


def _positive(value: Json) -> bool:
    return _number(value) and value >= 0


def _numbers(value: Json) -> bool:
    return isinstance(value, list) and all(_number(one) for one in value)


def _number_or_numbers(value: Json) -> bool:
    return _number(value) or _numbers(value)


def _flag(value: Json) -> bool:
    return isinstance(value, bool)


def _word(value: Json) -> bool:
    return isinstance(value, str) and bool(_WORD.fullmatch(value)) and not _SUSPICIOUS.search(value)


def _words(value: Json) -> bool:
    return isinstance(value, list) and all(_word(one) for one in value)


def _one_of(*choices: str) -> Test:
    return lambda value: value in choices


def _each(test: Test, names: str) -> dict[str, Test]:
    return dict.fromkeys(names.split(), test)


# What a code consists of (DICOM PS3.3, Table 8.8-1).
CODE_KEYS = frozenset({"CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning", "LongCodeValue"})
AXES = ("i", "i-", "j", "j-", "k", "k-")

FIELDS: dict[str, Test] = {
    # The scanner as a kind of machine, never as one machine at one place.
    **_each(_word, "Manufacturer ManufacturersModelName SoftwareVersions ReceiveCoilName ReceiveCoilActiveElements MatrixCoilMode CoilCombinationMethod"),
    **_each(_word, "PulseSequenceType SequenceName ScanningSequence SequenceVariant ScanOptions MTPulseShape NonlinearGradientCorrectionType"),
    **_each(_word, "ParallelAcquisitionTechnique AcquisitionContrast WaterFatShiftAxis PhaseEncodingMethod SpoilingType MultibandAccelerationTechnique"),
    **_each(_positive, "MagneticFieldStrength ImagingFrequency NumberReceiveCoilActiveElements SpoilingRFPhaseIncrement SpoilingGradientMoment"),
    # Times (s), angles (degrees), lengths (mm).
    **_each(_positive, "EchoTime EchoTime1 EchoTime2 RepetitionTime RepetitionTimeExcitation RepetitionTimePreparation InversionTime DwellTime"),
    **_each(_positive, "TotalReadoutTime EffectiveEchoSpacing AcquisitionDuration DelayTime MixingTime TriggerDelayTime TimezeroToFirstVolume"),
    **_each(_positive, "SliceThickness SpacingBetweenSlices WaterFatShift PixelBandwidth PartialFourier PercentPhaseFOV PercentSampling PhaseResolution"),
    **_each(_number_or_numbers, "FlipAngle SliceTiming VolumeTiming FrameTimesStart AcquisitionVoxelSize ImageOrientationPatientDICOM ShimSetting"),
    **_each(_positive, "NumberOfAverages EchoTrainLength EchoNumber NumberShots NumberOfVolumesDiscardedByScanner MultibandAccelerationFactor"),
    **_each(_positive, "ParallelReductionFactorInPlane ParallelReductionFactorOutOfPlane ParallelReductionFactorFrequencyEncode BaseResolution"),
    **_each(_positive, "PhaseEncodingSteps AcquisitionMatrixPE ReconMatrixPE FrequencyEncodingSteps BandwidthPerPixelPhaseEncode SAR"),
    **_each(_positive, "MTOffsetFrequency MTNumberOfPulses MTPulseDuration MTPulseBandwidth DiffusionBValue NumberOfDiffusionDirections"),
    **_each(_positive, "EstimatedEffectiveEchoSpacing EstimatedTotalReadoutTime RefLinesPE PhaseOversampling PhaseEncodingStepsNoPartialFourier"),
    **_each(_positive, "PhaseEncodingStepsOutOfPlane NumberOfKSpaceTrajectories"),
    **_each(_number, "PhilipsRWVSlope PhilipsRWVIntercept"),
    **_each(_positive, "PhilipsRescaleSlope PhilipsScaleSlope PhilipsFloatSlope"),
    **_each(_number, "PhilipsRescaleIntercept RescaleSlope RescaleIntercept"),
    "UsePhilipsFloatNotDisplayScaling": lambda value: value in (0, 1, True, False),
    # Directions in axes of the image.
    "PhaseEncodingDirection": _one_of(*AXES),
    "SliceEncodingDirection": _one_of(*AXES),
    "PhaseEncodingAxis": _one_of("i", "j", "k"),
    "InPlanePhaseEncodingDirectionDICOM": _one_of("ROW", "COL"),
    "MRAcquisitionType": _one_of("1D", "2D", "3D"),
    "PartialFourierDirection": _one_of("PHASE", "FREQUENCY", "SLICE_SELECT", "COMBINATION"),
    # Only the vendor's own sequences by name: a customer's path can name its author.
    "PulseSequenceDetails": lambda value: isinstance(value, str) and bool(re.fullmatch(r"%SiemensSeq%\\[a-z0-9_]{2,24}", value)),
    "PatientPosition": _one_of("HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL"),
    "Modality": _one_of("MR"),
    **_each(_flag, "NonlinearGradientCorrection RawImage MTState SpoilingState LookLocker DeepLearning"),
    "ImageType": _words,
    "ImageOrientationText": _word,
    # Perfusion (BIDS perf).
    "ArterialSpinLabelingType": _one_of("CASL", "PCASL", "PASL"),
    "M0Type": _one_of("Separate", "Included", "Estimate", "Absent"),
    "PASLType": _word,
    "BolusCutOffTechnique": _word,
    **_each(_flag, "BackgroundSuppression BolusCutOffFlag VascularCrushing"),
    **_each(_positive, "TotalAcquiredPairs M0Estimate LabelingDistance LabelingEfficiency BackgroundSuppressionNumberPulses BolusDuration"),
    **_each(_number_or_numbers, "PostLabelingDelay LabelingDuration BolusCutOffDelayTime BackgroundSuppressionPulseTime"),
    # Written by us or by BIDS tools, never copied from free text.
    "TaskName": _word,
    "BodyPart": _one_of("BRAIN", "CSPINE", "TSPINE", "LSPINE", "SPINE", "HEAD"),
    "ContrastBolusIngredient": _one_of("GADOLINIUM", "IODINE", "CARBON DIOXIDE", "BARIUM", "XENON", "UNKNOWN"),
    "MinutesSinceInjection": _positive,
    "Units": _one_of("Hz", "rad/s", "T", "rad", "arbitrary"),
    "ConversionSoftware": _word,
    "ConversionSoftwareVersion": lambda value: isinstance(value, str) and bool(re.fullmatch(r"v?\d+(\.\d+){1,3}", value)),
    # References between files of the dataset: relative BIDS paths and identifiers.
    **_each(lambda value: _reference(value), "IntendedFor B0FieldIdentifier B0FieldSource Sources RawSources SpatialReference"),
    # What was done about identity (BIDS: de-identification fields); codes and methods, no values.
    "DeidentificationMethod": _words,
    "DeidentificationMethodCodeSequence": lambda value: (
        isinstance(value, list) and all(isinstance(one, dict) and set(one) <= CODE_KEYS and all(map(_word, one.values())) for one in value)
    ),
    # Several channels' worth of numbers.
    "Defaced": _flag,
}

# Fields that only our own sidecars of annotations have (bidstree.masks writes them; they hold references and numbers of axes).
ANNOTATION: frozenset[str] = frozenset(
    {"Type", "Labels", "LabelMap", "Manual", "Reorientation", "Resampled", "Sources", "SpatialReference", "Resolution", "Agreement", "Method", "SkullStripped"}
)

# Fields that dcm2niix is known to write and that are dropped on purpose, with the reason (docs/reference/bids.md prints this table).
DROPPED: dict[str, str] = {
    **dict.fromkeys(["SeriesDescription", "ProtocolName", "StudyDescription", "ProcedureStepDescription", "ImageComments"], "free text, typed by people"),
    **dict.fromkeys(["InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"], "a place"),
    **dict.fromkeys(["StationName", "DeviceSerialNumber"], "one machine at one place"),
    **dict.fromkeys(["AcquisitionTime", "AcquisitionDateTime", "StudyDate", "StudyTime"], "a clock time"),
    **dict.fromkeys(["PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge", "PatientWeight", "AccessionNumber"], "the person"),
    **dict.fromkeys(["SeriesInstanceUID", "StudyInstanceUID", "StudyID"], "an identifier; the provenance keeps what is needed"),
    **dict.fromkeys(["SeriesNumber", "AcquisitionNumber", "TablePosition", "TxRefAmp"], "of no use to a reader, and a fingerprint of one session"),
    **dict.fromkeys(["ConsistencyInfo", "CoilString", "WipMemBlock"], "paths and texts of the site's own sequences"),
    **dict.fromkeys(["DerivedVendorReportedEchoSpacing", "DiffusionScheme", "ImageTypeText", "InternalPulseSequenceName"], "said by another field already"),
    **dict.fromkeys(
        ["NumberOfDiffusionDirectionGE", "NumberOfDiffusionT2GE", "PhaseEncodingPolarityGE", "PartialFourierEnabled"], "said by another field already"
    ),
    **dict.fromkeys(["PhaseEncodingDirectionDisplayed", "PrescanReuseString"], "the vendor's own words, for its own service"),
    **dict.fromkeys(["BidsGuess"], "the converter's guess; bidstree.classify decides"),
}


def _reference(value: Json) -> bool:
    """A BIDS URI, a relative path, or an identifier, or a list of them: no spaces, no absolute path, no way up."""
    many = value if isinstance(value, list) else [value]
    pattern = r"(bids:[A-Za-z0-9]*:)?[A-Za-z0-9][A-Za-z0-9_./+-]*"
    return bool(many) and all(isinstance(one, str) and re.fullmatch(pattern, one) and ".." not in one.split("/") for one in many)


def clean(sidecar: Mapping[str, Json]) -> dict[str, Json]:
    """The part of a sidecar that may be shared: fields of `FIELDS` whose value is of the right kind, keys sorted.

    `sidecar` is what dcm2niix wrote of de-identified DICOM, or our own additions, in BIDS units (seconds, degrees, mm); it is not changed. What somebody
    outside wrote passes the stricter list of `bidstree.foreign` first.
    """
    kept = {key: value for key, value in sidecar.items() if key in FIELDS and FIELDS[key](value)}
    return dict(sorted(kept.items()))


def dropped(sidecar: Mapping[str, Json]) -> dict[str, str]:
    """Field -> why it is not shared, for the provenance: names only, never values."""
    kept = clean(sidecar)
    return {key: DROPPED.get(key, "not on the list" if key not in FIELDS else "value of another kind") for key in sorted(sidecar) if key not in kept}
