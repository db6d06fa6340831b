"""What hides it: plain MR images of five makers, multi-frame ones, converted ones and screen captures, each as a scanner would write it.

Every image carries a mark in its first eight pixels (its number in base 16, and a check): whatever a tool calls its output, the file it came from is known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pydicom
from hiding_people import Person, Token
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

STORAGE = "1.2.840.10008.5.1.4.1.1."
MR, ENHANCED, LEGACY, CAPTURE = STORAGE + "4", STORAGE + "4.1", STORAGE + "4.4", STORAGE + "7"
SIDE = 64


def listed(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


MODELS = {
    "SIEMENS": ("Prisma", "syngo MR E11"),
    "GE MEDICAL SYSTEMS": ("DISCOVERY MR750", "25"),
    "Philips Medical Systems": ("Ingenia", "5.3.1"),
    "UIH": ("uMR 770", "V9.10"),
    "TOSHIBA": ("Titan3T", "V2.30"),
}
# What of a plain image a study of imaging needs (BIDS sidecar fields that come from DICOM); all are kept by a tool that loses nothing.
NEEDED = listed(
    """
    Manufacturer ManufacturerModelName SoftwareVersions MagneticFieldStrength ReceiveCoilName BodyPartExamined PatientPosition ScanningSequence
    SequenceVariant ScanOptions MRAcquisitionType SequenceName AngioFlag EchoTime RepetitionTime InversionTime FlipAngle EchoTrainLength EchoNumbers
    NumberOfAverages SliceThickness SpacingBetweenSlices PixelBandwidth ImagingFrequency ImagedNucleus PercentSampling PercentPhaseFieldOfView
    AcquisitionMatrix InPlanePhaseEncodingDirection SAR NumberOfPhaseEncodingSteps ImagePositionPatient ImageOrientationPatient PixelSpacing Rows Columns
    ImageType Modality SeriesNumber InstanceNumber AcquisitionNumber SliceLocation VariableFlipAngleFlag TransmitCoilName
    """
)


@dataclass
class Planted:
    """One file of the set. `path`: below the set's folder; `tokens`: what must not survive it; `image`: it can be cleaned (else a refusal is right)."""

    number: int
    person: Person
    study: int
    data: FileDataset
    kind: str
    tokens: list[Token] = field(default_factory=list)
    image: bool = True
    path: str = ""
    raw: list[tuple[str, object]] = field(default_factory=list)
    words: str = ""  # of the series description: what must stay
    safe: tuple[tuple[str, int, int, object], ...] = ()  # creator, group, low byte, value: private and known to be safe

    def plant(self, text: str, place: str, detail: str = "", *encodings: str) -> str:
        """Note that `text` is hidden at `place`; gives it back."""
        self.tokens.append(Token(text, place, detail, encodings or ("utf-8",)))
        return text


def mark(number: int) -> list[int]:
    """The first eight pixels of image `number`: seven digits and a check, so that a lossy copy is no mark instead of a wrong one."""
    digits = [number >> 4 * n & 15 for n in range(7)]
    return [16 + digit for digit in (*digits, _check(digits))]


def _check(digits: list[int]) -> int:
    return (3 + sum((2 * n + 5) * digit for n, digit in enumerate(digits))) % 16


def picture(number: int, frames: int = 1, colour: bool = False) -> np.ndarray:
    """A soft blob with noise, marked: (frames, rows, columns[, 3]); no thin lines, no saturated patches, nothing that looks like writing."""
    chance = np.random.default_rng(number)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    blob = np.exp(-2.5 * (x**2 + y**2))
    out = np.stack([blob * (600 + 20 * k) + chance.normal(60, 6, (SIDE, SIDE)) for k in range(frames)])
    out = np.clip(out + 240, 256, 1000)  # above one byte, or five pixels in a row would now and then spell a name in UTF-16
    if colour:
        out = np.repeat((out / 4.2)[..., None], 3, -1)
    out = out.astype(np.uint8 if colour else np.uint16)
    out.reshape(-1)[:8] = mark(number)
    return out


def uid(number: int, what: str) -> str:
    """A UID of the set that any reader can recompute."""
    return f"1.2.826.0.1.3680043.9.7433.77.{ {'instance': 1, 'study': 2, 'series': 3, 'frame': 4}[what] }.{number}"


def mr(number: int, person: Person, study: int = 0, series: int = 1, instance: int = 1, kind: str = "classic MR") -> Planted:
    """One plain slice with everything that a scanner writes about the person, and nothing hidden yet."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = MR, uid(number, "instance"), ExplicitVRLittleEndian
    meta.ImplementationClassUID, meta.ImplementationVersionName = "1.2.3.4.5", "MADE_1"
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = person.charset
    _who(data, person, study)
    _when(data, person, study, series, instance)
    visit = person.number * 100 + study
    data.SOPClassUID, data.SOPInstanceUID, data.StudyInstanceUID = MR, uid(number, "instance"), uid(visit, "study")
    data.SeriesInstanceUID, data.FrameOfReferenceUID = uid(visit * 1000 + series, "series"), uid(visit, "frame")
    data.Modality, data.Manufacturer = "MR", person.vendor
    data.ManufacturerModelName, data.SoftwareVersions = MODELS[person.vendor]
    data.StudyDescription, data.SeriesDescription, data.ProtocolName = "Head MS follow up", "T1 mprage sag", "t1_mprage_sag"
    _acquisition(data)
    data.SeriesNumber, data.InstanceNumber, data.AcquisitionNumber = series, instance, 1
    data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing, data.SliceLocation = [0, 0, instance], [1, 0, 0, 0, 1, 0], [1, 1], instance
    data.PositionReferenceIndicator, data.Laterality = "", ""
    _pixels(data, number)
    planted = Planted(number, person, study, data, kind)
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        planted.plant(str(data[keyword].value), "UIDs of the image itself", keyword)
    planted.plant(str(data.AcquisitionTime), "clock times", "AcquisitionTime")
    return planted


def _who(data: Dataset, person: Person, study: int) -> None:
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = person.name, person.mrn, person.birth, person.sex
    data.PatientAge, data.PatientWeight, data.PatientSize = f"{person.age(study):03d}Y", f"{60 + person.number % 40}.5", "1.71"
    data.AccessionNumber, data.ReferringPhysicianName, data.OperatorsName = person.accessions[study], person.physician, person.operator
    data.InstitutionName, data.InstitutionAddress, data.StationName = person.institution, person.address, person.station
    data.PatientTelephoneNumbers, data.StudyID, data.DeviceSerialNumber = person.phone, f"{person.number}{study}", f"{45000 + person.number}"


def _when(data: Dataset, person: Person, study: int, series: int, instance: int) -> None:
    day = person.studies[study]
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = day
    data.StudyTime, data.SeriesTime = f"0930{person.number % 60:02d}", f"09{30 + series % 30:02d}{person.number % 60:02d}"
    second = instance % 60
    data.AcquisitionTime = f"09{30 + series % 30:02d}{second:02d}.{(person.number * 7919 + series * 104729 + instance * 1299709) % 1000000:06d}"
    data.ContentTime = f"09{30 + series % 30:02d}{second:02d}"


def _acquisition(data: Dataset) -> None:
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    data.BodyPartExamined, data.PatientPosition = "HEAD", "HFS"
    data.ScanningSequence, data.SequenceVariant, data.ScanOptions, data.MRAcquisitionType = ["GR", "IR"], ["SK", "MP"], "IR", "3D"
    data.SequenceName, data.AngioFlag, data.VariableFlipAngleFlag = "*tfl3d1_16ns", "N", "N"
    data.EchoTime, data.RepetitionTime, data.InversionTime, data.FlipAngle, data.MagneticFieldStrength = "2.98", "2300", "900", "9", "3"
    data.EchoTrainLength, data.EchoNumbers, data.NumberOfAverages, data.SliceThickness, data.SpacingBetweenSlices = "1", "1", "1", "1", "1"
    data.PixelBandwidth, data.ImagingFrequency, data.ImagedNucleus, data.PercentSampling = "240", "123.25", "1H", "100"
    data.PercentPhaseFieldOfView, data.NumberOfPhaseEncodingSteps, data.InPlanePhaseEncodingDirection = "100", "64", "ROW"
    data.AcquisitionMatrix, data.SAR, data.ReceiveCoilName, data.TransmitCoilName = [0, 64, 64, 0], "0.05", "HeadNeck_64", "Body"


def _pixels(data: Dataset, number: int) -> None:
    data.SamplesPerPixel, data.PhotometricInterpretation, data.Rows, data.Columns = 1, "MONOCHROME2", SIDE, SIDE
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = picture(number).tobytes()


def multi_frame(number: int, person: Person, study: int = 0, series: int = 20, *, legacy: bool = False) -> Planted:
    """An Enhanced MR (or Legacy Converted Enhanced MR) image of three frames, with shared and per-frame functional groups."""
    kind = "Legacy Converted Enhanced MR" if legacy else "Enhanced MR"
    planted = mr(number, person, study, series, kind=kind)
    data, sop = planted.data, LEGACY if legacy else ENHANCED
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop
    data.NumberOfFrames, data.PixelData = 3, picture(number, 3).tobytes()
    data.AcquisitionDateTime = f"{person.studies[study]}09{30 + person.number % 30}12.551{number:03d}"
    data.ContentQualification, data.AcquisitionContrast, data.VolumetricProperties = "RESEARCH", "T1", "VOLUME"
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceLocation"):
        del data[keyword]
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=[1, 1], SliceThickness=1)])
    shared.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    shared.MREchoSequence = Sequence([_item(EffectiveEchoTime=2.98)])
    data.SharedFunctionalGroupsSequence = Sequence([shared])
    data.PerFrameFunctionalGroupsSequence = Sequence([_frame(person, study, k) for k in range(3)])
    return planted


def _frame(person: Person, study: int, k: int) -> Dataset:
    content = _item(StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[1, k + 1], FrameAcquisitionNumber=1)
    content.FrameAcquisitionDateTime = content.FrameReferenceDateTime = f"{person.studies[study]}0940{k:02d}.123456"
    frame = Dataset()
    frame.FrameContentSequence = Sequence([content])
    frame.PlanePositionSequence = Sequence([_item(ImagePositionPatient=[0, 0, k])])
    frame.MRImageFrameTypeSequence = Sequence([_item(FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"])])
    return frame


def capture(number: int, person: Person, study: int = 0, series: int = 30) -> Planted:
    """A colour screen capture of an MR study, with no writing in it."""
    planted = mr(number, person, study, series, kind="Secondary Capture")
    data = planted.data
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CAPTURE
    data.ConversionType, data.ImageType, data.Modality = "WSD", ["DERIVED", "SECONDARY", "OTHER"], "MR"
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PlanarConfiguration = 3, "RGB", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = picture(number, colour=True).tobytes()
    return planted


def _item(**values: object) -> Dataset:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item


def number_of(path: object) -> int | None:
    """The number of the image that a file shows, by the mark in its pixels; None where no mark can be read."""
    first: list[int] = []
    try:
        data = pydicom.dcmread(path, force=True)
        raw = bytes(data.PixelData[:16])
        # Without file meta nothing says how the pixels are written; then they are as they were made.
        first = list(data.pixel_array.reshape(-1)[:8]) if "TransferSyntaxUID" in data.get("file_meta", {}) else list(np.frombuffer(raw, "<u2"))
    except Exception:  # whatever a tool wrote: it is then looked at as a file of unknown origin
        return None
    digits = [int(value) - 16 for value in first]
    if len(digits) < 8 or not all(0 <= digit < 16 for digit in digits) or digits[7] != _check(digits[:7]):
        return None
    return sum(digit << 4 * n for n, digit in enumerate(digits[:7]))
