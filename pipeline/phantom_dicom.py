"""Writes a volume as a hospital's scanner would: MR Image Storage, one file per slice, full of what must not leave the hospital.

The identifying values stand where real ones stand: patient and study modules, nested sequences, private elements,
descriptions typed by people, the file preamble, private information of the file meta group, and UIDs that name the scanner.
Physics stands in standard attributes (PS3.3 C.8.3.1), diffusion in (0018,9087) and (0018,9089) as in PS3.3 C.8.13.5.9.
Frame: DICOM's patient frame, LPS; positions are centres of the first transmitted pixel (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, SecondaryCaptureImageStorage

from pipeline.phantom_head import Array, Grid, Matrix
from pipeline.phantom_people import Person, Site

LPS = np.diag([-1.0, -1.0, 1.0])
# What the scanner says of each contrast: PS3.3 C.8.3.1.
PHYSICS: dict[str, dict[str, Any]] = {
    "T1w": {"ScanningSequence": ["GR", "IR"], "SequenceVariant": ["SK", "SP", "MP"], "ScanOptions": "IR", "MRAcquisitionType": "3D", "SequenceName": "tfl3d1",
            "RepetitionTime": 2300, "EchoTime": 2.98, "InversionTime": 900, "FlipAngle": 9, "EchoTrainLength": 1, "PixelBandwidth": 240},
    "T2w": {"ScanningSequence": "SE", "SequenceVariant": ["SK", "SP"], "ScanOptions": "FC", "MRAcquisitionType": "2D", "SequenceName": "tse2d1_15",
            "RepetitionTime": 5200, "EchoTime": 96, "FlipAngle": 150, "EchoTrainLength": 15, "PixelBandwidth": 190},
    "FLAIR": {"ScanningSequence": ["SE", "IR"], "SequenceVariant": ["SK", "SP", "MP"], "ScanOptions": "IR", "MRAcquisitionType": "2D",
              "SequenceName": "tir2d1_16", "RepetitionTime": 9000, "EchoTime": 118, "InversionTime": 2500, "FlipAngle": 150,
              "EchoTrainLength": 16, "PixelBandwidth": 220},
    "dwi": {"ScanningSequence": ["EP", "SE"], "SequenceVariant": ["SK", "SP"], "ScanOptions": "FS", "MRAcquisitionType": "2D", "SequenceName": "epse2d1_80",
            "RepetitionTime": 6100, "EchoTime": 88, "FlipAngle": 90, "EchoTrainLength": 60, "PixelBandwidth": 1500},
}  # fmt: skip
WORDS = {"T1w": "t1 mprage", "T2w": "t2 tse tra", "FLAIR": "t2 flair dark fluid", "dwi": "ep2d diff 6 dir"}


@dataclass(frozen=True)
class Study:
    """One examination: whose, where, when. `number` makes its UIDs."""

    person: Person
    site: Site
    day: date
    number: str
    at: Matrix = field(default_factory=lambda: np.eye(4))

    @property
    def uid(self) -> str:
        return f"{self.site.uid_root}.{self.number}"

    @property
    def accession(self) -> str:
        return f"ACC{self.day:%y%m}{int(self.number.replace('.', '')):06d}"


@dataclass(frozen=True)
class Scan:
    """One series: arrays (columns, rows, slices) of magnitudes, on a grid, of a contrast; several arrays with gradients make a diffusion series."""

    number: int
    contrast: str
    grid: Grid
    volumes: list[Array]
    gradients: tuple[tuple[int, tuple[float, float, float]], ...] = ()


def write_scan(study: Study, scan: Scan, folder: Path) -> int:
    """Write the files of a series into `folder` (made) and say how many. Files are numbered as transmitted, volume after volume."""
    folder.mkdir(parents=True)
    data = series_header(study, scan)
    count = scan.grid.shape[2]
    scale = 3400.0 / max(float(np.percentile(v, 99.99)) for v in scan.volumes)
    for v, volume in enumerate(scan.volumes):
        pixels = np.clip(volume * scale, 0, 4095).astype("<u2")
        for k in range(count):
            number = v * count + k + 1
            slice_header(data, study, scan, k, number)
            if scan.gradients:
                diffusion_header(data, *scan.gradients[v])
            data.PixelData = np.ascontiguousarray(pixels[:, :, k].T).tobytes()
            save(data, study, folder / f"IM{number:06d}")
    return count * len(scan.volumes)


def series_header(study: Study, scan: Scan) -> Dataset:
    """What all files of one series share."""
    data = person_header(study)
    start = 8 * 3600 + 1900 + scan.number * 420
    for kind, offset in (("Series", 0), ("Acquisition", 5), ("Content", 9)):
        setattr(data, f"{kind}Date", f"{study.day:%Y%m%d}")
        setattr(data, f"{kind}Time", clock(start + offset))
    data.SOPClassUID = MRImageStorage
    data.Modality = "MR"
    data.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION" if scan.contrast == "dwi" else "M", "NONE"]
    data.SeriesInstanceUID = f"{study.uid}.{scan.number}"
    data.SeriesNumber = scan.number
    data.SeriesDescription = f"{WORDS[scan.contrast]} {study.person.family}"[:64]
    data.ProtocolName = WORDS[scan.contrast]
    data.FrameOfReferenceUID = f"{study.uid}.9000"
    data.PositionReferenceIndicator = ""
    data.AcquisitionNumber = 1
    physics_header(data, study, scan)
    grid_header(data, scan.grid)
    return data


def physics_header(data: Dataset, study: Study, scan: Scan) -> None:
    """MR Image module. A 3D sequence keeps its name but says 3D when the slices are thin."""
    for keyword, value in PHYSICS[scan.contrast].items():
        setattr(data, keyword, value)
    if scan.grid.samples == 1 and scan.contrast != "dwi":
        data.MRAcquisitionType = "3D"
    data.MagneticFieldStrength = study.site.field
    data.ImagingFrequency = decimal(42.577 * study.site.field)
    data.ImagedNucleus = "1H"
    data.NumberOfAverages = 1
    data.PercentSampling = 100
    data.PercentPhaseFieldOfView = 100
    data.NumberOfPhaseEncodingSteps = scan.grid.shape[1]
    data.InPlanePhaseEncodingDirection = "COL"
    data.AcquisitionMatrix = [0, scan.grid.shape[0], scan.grid.shape[1], 0]
    data.PatientPosition, data.BodyPartExamined = "HFS", "HEAD"
    data.SAR = 0.31
    data.TransmitCoilName = "BODY"
    data.ReceiveCoilName = "HEAD32"


def grid_header(data: Dataset, grid: Grid) -> None:
    """Image plane and pixel modules: PixelSpacing is row spacing then column spacing (PS3.3 10.7.1.3)."""
    steps = np.linalg.norm(grid.affine[:3, :3], axis=0)
    axes = LPS @ grid.affine[:3, :3] / steps
    data.PixelSpacing = [decimal(steps[1]), decimal(steps[0])]
    data.SliceThickness = decimal(steps[2])
    data.SpacingBetweenSlices = decimal(steps[2])
    data.ImageOrientationPatient = [decimal(v) for v in (*axes[:, 0], *axes[:, 1])]
    pixel_header(data, grid.shape[1], grid.shape[0], bits=12)


def pixel_header(data: Dataset, rows: int, columns: int, *, bits: int) -> None:
    data.Rows, data.Columns = rows, columns
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = 8 if bits == 8 else 16
    data.BitsStored, data.HighBit = bits, bits - 1
    data.PixelRepresentation = 0
    if bits != 8:
        data.WindowCenter, data.WindowWidth = 1600, 3200


def slice_header(data: Dataset, study: Study, scan: Scan, k: int, number: int) -> None:
    """What differs from slice to slice: position, number, UID."""
    position = LPS @ (scan.grid.affine @ np.array([0, 0, k, 1.0]))[:3]
    rows, columns = (LPS @ axis / np.linalg.norm(axis) for axis in scan.grid.affine[:3, :2].T)
    data.ImagePositionPatient = [decimal(v) for v in position]
    data.SliceLocation = decimal(float(position @ np.cross(rows, columns)))
    data.InstanceNumber = number
    data.SOPInstanceUID = f"{study.uid}.{scan.number}.{number}"


def diffusion_header(data: Dataset, b: int, direction: tuple[float, float, float]) -> None:
    """Diffusion b-value in s/mm2 and gradient direction in the patient frame; no direction at b = 0."""
    data.DiffusionBValue = float(b)
    data.DiffusionDirectionality = "DIRECTIONAL" if b else "NONE"
    if b:
        data.DiffusionGradientOrientation = [float(v) for v in direction]
    elif "DiffusionGradientOrientation" in data:
        del data.DiffusionGradientOrientation


def person_header(study: Study) -> Dataset:
    """Patient, study and equipment modules, as full of identity as a real header; and the places that cleaners forget."""
    who, where, data = study.person, study.site, Dataset()
    data.SpecificCharacterSet = where.charset
    data.InstanceCreationDate, data.InstanceCreationTime = f"{study.day:%Y%m%d}", "093015"
    data.PatientName, data.PatientID, data.IssuerOfPatientID = who.name, who.source_id, who.issuer
    data.PatientBirthDate, data.PatientSex = f"{who.birth_date:%Y%m%d}", who.sex
    data.PatientAge = f"{(study.day - who.birth_date).days // 365:03d}Y"
    data.PatientSize, data.PatientWeight = "1.74", "71"
    data.PatientAddress, data.PatientTelephoneNumbers = who.address, who.phone
    data.PatientMotherBirthName, data.OtherPatientNames = who.mother, f"{who.mother}^{who.given}"
    data.PatientComments = f"daughter or son of {who.mother}, call {who.phone}"
    data.StudyInstanceUID, data.StudyID = study.uid, study.number.replace(".", "")
    data.StudyDate, data.StudyTime = f"{study.day:%Y%m%d}", clock(8 * 3600 + 1800)
    data.AccessionNumber = study.accession
    data.StudyDescription = f"Head {who.given} {who.family}"[:64]
    data.ImageComments = f"Report to {where.referring.split('^')[0]}; {who.family} born {who.birth_date:%Y%m%d}"
    data.ReferringPhysicianName, data.PerformingPhysicianName = where.referring, where.performing
    data.OperatorsName, data.NameOfPhysiciansReadingStudy = where.operator, where.reading
    data.InstitutionName, data.InstitutionAddress = where.institution, where.address
    data.InstitutionalDepartmentName, data.StationName = where.department, where.station
    data.Manufacturer, data.ManufacturerModelName = "Nobody Imaging", where.scanner
    data.DeviceSerialNumber, data.SoftwareVersions = where.serial, "PW 4.2"
    data.RequestAttributesSequence = [request_item(study)]
    private = data.private_block(0x0029, "PHANTOM WORKS 1.0", create=True)
    private.add_new(0x01, "LO", f"{who.family} {who.given}"[:64])
    private.add_new(0x02, "OB", f"{who.source_id}|{who.birth_date:%Y%m%d}|{who.family}".encode().ljust(64, b"\0"))
    private.add_new(0x03, "SQ", [request_item(study)])
    return data


def request_item(study: Study) -> Dataset:
    """An item one level down, where cleaners that look at the top level only never come."""
    item = Dataset()
    item.RequestedProcedureDescription = f"MR head for {study.person.family}"[:64]
    item.ScheduledProcedureStepDescription = f"{study.person.given} {study.person.family}"[:64]
    item.ScheduledProcedureStepID = "SPS1"
    item.RequestedProcedureID = study.accession
    return item


def write_screen(study: Study, folder: Path, text: tuple[str, ...], background: npt.NDArray[np.uint8]) -> int:
    """Write a screen save (Secondary Capture, 8 bit) with `text` burned into its pixels. Returns 1, the number of files."""
    folder.mkdir(parents=True)
    data = person_header(study)
    data.SOPClassUID, data.Modality, data.ConversionType = SecondaryCaptureImageStorage, "MR", "WSD"
    data.ImageType = ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    data.SeriesInstanceUID, data.SOPInstanceUID = f"{study.uid}.90", f"{study.uid}.90.1"
    data.SeriesNumber, data.InstanceNumber, data.SeriesDescription = 90, 1, "screen save"
    data.PatientOrientation, data.BodyPartExamined = "", "HEAD"
    pixels = burn(background, text)
    pixel_header(data, *pixels.shape, bits=8)
    data.PixelData = pixels.tobytes()
    save(data, study, folder / "IM000001")
    return 1


def burn(image: npt.NDArray[Any], text: tuple[str, ...]) -> npt.NDArray[Any]:
    """The image (rows, columns) with lines of text in its upper left corner, at the image's own brightest value."""
    from PIL import Image, ImageDraw, ImageFont

    ink = Image.new("L", (image.shape[1], image.shape[0]))
    size = max(10, image.shape[0] // 24)
    for n, line in enumerate(text):
        ImageDraw.Draw(ink).text((size // 2, size // 2 + n * size * 1.3), line, fill=255, font=ImageFont.load_default(size))
    return np.where(np.asarray(ink) > 100, image.max(), image).astype(image.dtype)


def save(data: Dataset, study: Study, path: Path) -> None:
    """Write one Part 10 file. The preamble and the private information of group 2 carry a name: both survive a careless read and save."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.ImplementationVersionName = ExplicitVRLittleEndian, "PHANTOM_1"
    meta.ImplementationClassUID = f"{study.site.uid_root}.1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.PrivateInformationCreatorUID = f"{study.site.uid_root}.2"
    meta.PrivateInformation = study.person.family.encode().ljust(48, b"\0")
    data.file_meta = meta
    data.preamble = f"{study.person.name} {study.person.source_id}".encode()[:128].ljust(128, b"\0")
    data.save_as(path, enforce_file_format=True)


def clock(seconds: float) -> str:
    """Seconds after midnight as DICOM TM."""
    return f"{int(seconds // 3600):02d}{int(seconds // 60 % 60):02d}{seconds % 60:09.6f}"


def decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    return f"{float(value) + 0.0:.9g}"[:16]
