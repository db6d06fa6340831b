"""A hospital that never existed: MR files with a planted identifier in every hiding place we know,
each token unlike any other so that a leak names its place."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import pydicom.config
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from deid import elements, headers, profile, pseudonyms

MR = "1.2.840.10008.5.1.4.1.1.4"


@dataclass
class Planted:
    """A data set and the tokens hidden in it: token -> place."""

    data: FileDataset
    tokens: dict[str, str] = field(default_factory=dict)
    raw: Callable[[bytes], bytes] = lambda content: content

    def save(self, path: Path) -> Path:
        with pydicom.config.disable_value_validation():
            self.data.save_as(path, enforce_file_format=True)
        path.write_bytes(self.raw(path.read_bytes()))
        return path


def make_mr(
    patient_id: str = "MRN-4711", name: str = "Quibblewick^Zephyrina", n: int = 1, study: int = 1, date: str = "20190314", syntax: str = ExplicitVRLittleEndian
) -> FileDataset:
    """One plain 64 x 64 MR slice with everything a scanner writes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = MR, f"1.2.3.4.{study}.{n}", syntax
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet = "ISO_IR 192"
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    data.SOPClassUID, data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID = MR, f"1.2.3.4.{study}.{n}", f"1.2.3.4.{study}", f"1.2.3.4.{study}.0"
    data.FrameOfReferenceUID = f"1.2.3.9.{study}"
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = date
    data.StudyTime, data.SeriesTime, data.AcquisitionTime, data.ContentTime = "093000", "094000", f"0945{n % 60:02d}.123456", f"0945{n % 60:02d}"
    data.Modality, data.Manufacturer, data.ManufacturerModelName, data.SoftwareVersions = "MR", "SIEMENS", "Prisma", "syngo MR E11"
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex, data.PatientAge = name, patient_id, "19620304", "F", "057Y"
    data.PatientWeight, data.PatientSize, data.AccessionNumber, data.ReferringPhysicianName, data.StudyID = (
        "61",
        "1.7",
        "ACC7788991",
        "Housemartin^Gregor",
        "ST77",
    )
    data.SeriesDescription, data.ProtocolName, data.StudyDescription = (
        f"T1 mprage for Zephyrina QUIBBLEWICK {patient_id} 1962-03-04",
        "t1_mprage_sag",
        "Head MS follow up",
    )
    data.BodyPartExamined, data.PatientPosition = "HEAD", "HFS"
    data.ScanningSequence, data.SequenceVariant, data.ScanOptions, data.MRAcquisitionType = ["GR", "IR"], ["SK", "MP"], "IR", "3D"
    data.EchoTime, data.RepetitionTime, data.InversionTime, data.FlipAngle, data.MagneticFieldStrength = "2.98", "2300", "900", "9", "3"
    data.SliceThickness, data.EchoTrainLength, data.SequenceName = "1", "1", "*tfl3d1_16ns"
    data.SeriesNumber, data.InstanceNumber, data.AcquisitionNumber = 2, n, 1
    data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing = [0, 0, n], [1, 0, 0, 0, 1, 0], [1, 1]
    data.PositionReferenceIndicator, data.Laterality = "", ""
    data.SamplesPerPixel, data.PhotometricInterpretation, data.Rows, data.Columns = 1, "MONOCHROME2", 64, 64
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.PixelData = np.random.default_rng(n).integers(5, 900, (64, 64), dtype=np.uint16).tobytes()
    return data


def plant(n: int = 1, syntax: str = ExplicitVRLittleEndian) -> Planted:
    """A plain MR file with a token in every hiding place of anchors/deidentification.md section 5 that a header can have."""
    with pydicom.config.disable_value_validation():
        return _plant(make_mr(n=n, syntax=syntax), n)


def _plant(data: FileDataset, n: int) -> Planted:
    out = Planted(data)
    counter = itertools.count(n * 1000)

    def token(place: str) -> str:
        text = f"Zq{next(counter)}vex"
        out.tokens[text] = place
        return text

    out.tokens |= {
        "Quibblewick": "PatientName",
        "Zephyrina": "PatientName",
        "MRN-4711": "PatientID",
        "19620304": "birth date",
        "ACC7788991": "accession",
        "Housemartin": "referring physician",
    }
    out.tokens |= {f"1.2.3.4.{k}": "UID" for k in (f"1.{n}", "1.0")}
    _plant_table(data, token)
    _plant_nested(data, token)
    _plant_private(data, token)
    data.add_new(0x60000010, "US", 64)
    data.add_new(0x60000022, "LO", token("overlay description"))
    data.add_new(0x60001500, "LO", token("overlay label"))
    data.add_new(0x60003000, "OW", token("overlay data").encode())
    data.add_new(0x50000022, "LO", token("curve description"))
    data.add_new(0x00080000, "UL", 99)
    data.ImageType = [*data.ImageType, token("ImageType").upper()[:16]]
    out.tokens[str(data.ImageType[-1])] = "ImageType"
    data.file_meta.PrivateInformationCreatorUID = "1.2.3.4.99.7"
    data.file_meta.PrivateInformation = token("file meta private information").encode() + b" "
    data.file_meta.SourceApplicationEntityTitle = token("file meta AE")
    data.preamble = (b"MZ" + token("preamble").encode()).ljust(128, b"\0")
    tail = token("bytes behind the data set").encode()
    out.raw = lambda content: content + tail
    return out


def _plant_table(data: Dataset, token: Callable[[str], str]) -> None:
    """Every text attribute of Table E.1-1 at the top level, and text outside the table."""
    from pydicom.datadict import DicomDictionary

    for tag, rule in profile.load().rules.items():
        if tag in data or tag >> 16 in (0, 2, 4) or DicomDictionary[tag][4] in ("SpecificCharacterSet",):
            continue
        if rule.vr in ("LO", "SH", "LT", "ST", "UT", "PN", "AE", "UC", "UR"):
            data.add_new(tag, rule.vr, token(rule.keyword)[:16])
    data.add_new(0x00189999, "LO", token("unknown public tag"))
    data.add_new(0x00100032, "TM", "010203")
    data.add_new(0x00181200, "DA", "20180102")  # DateOfLastCalibration


def _plant_nested(data: Dataset, token: Callable[[str], str]) -> None:
    """Identity one, two and three levels deep, in sequences that are kept."""
    deep, middle, top = Dataset(), Dataset(), Dataset()
    for level, item in (("3 deep", deep), ("2 deep", middle), ("1 deep", top)):
        item.PatientName, item.PatientID, item.InstitutionName = token(f"PatientName {level}"), token(f"PatientID {level}"), token(f"InstitutionName {level}")
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = MR, "1.2.3.4.1.1"
        item.add_new(0x00091001, "LO", token(f"private {level}"))
        item.SeriesDescription = token(f"SeriesDescription {level}")
    middle.ReferencedImageSequence = Sequence([deep])
    top.SourceImageSequence = Sequence([middle])
    data.ReferencedImageSequence = Sequence([top])
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = token("local code"), token("local scheme"), token("local meaning")
    data.AnatomicRegionSequence = Sequence([code])


def _plant_private(data: Dataset, token: Callable[[str], str]) -> None:
    """Private text under a known and an unknown creator, in the creator, orphaned, nested; and one safe number to keep."""
    known = data.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    known.add_new(0x0C, "IS", "1000")
    known.add_new(0x05, "LO", token("private, known creator, other element"))
    known.add_new(0x0D, "CS", token("private, known creator, safe element"))
    other = data.private_block(0x0029, token("private creator itself"), create=True)
    other.add_new(0x01, "LO", token("private, unknown creator"))
    inner = Dataset()
    inner.PatientName = token("name in a private sequence")
    other.add_new(0x02, "SQ", Sequence([inner]))
    data.add_new(0x00331010, "LO", token("private, no creator"))
    data.add_new(0x00351001, "UN", token("private UN").encode() + b" ")


@pytest.fixture
def keys() -> tuple[pseudonyms.CodeKey, pseudonyms.PseudonymKey]:
    return pseudonyms.CodeKey(b"c" * 32), pseudonyms.PseudonymKey(b"p" * 32)


@pytest.fixture
def clean(keys: tuple[pseudonyms.CodeKey, pseudonyms.PseudonymKey], tmp_path: Path) -> Callable[..., tuple[Path, headers.Cleaned]]:
    """Clean one file as the pipeline does; gives the product and what came of it."""
    codes, pseudonym = keys
    count = itertools.count()

    def go(path: Path, **more: object) -> tuple[Path, headers.Cleaned]:
        who = headers.identify(path)
        out = tmp_path / f"clean{next(count)}.dcm"
        subject = headers.Subject(codes.code("site", who.issuer, who.patient_id), pseudonym, starts=headers.study_starts([who]), **more)  # type: ignore[arg-type]
        return out, headers.clean_file(path, out, subject, profile.load())

    return go


@pytest.fixture
def mr() -> Callable[..., FileDataset]:
    return make_mr


@pytest.fixture
def planted() -> Callable[..., Planted]:
    return plant


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[FileDataset], Path]:
    """Write a data set to a file of its own."""
    count = itertools.count()

    def go(data: FileDataset) -> Path:
        path = tmp_path / f"source{next(count)}.dcm"
        data.save_as(path, enforce_file_format=True)
        return path

    return go


@pytest.fixture
def altered(tmp_path: Path) -> Callable[..., Path]:
    """A plain MR file in which whole elements were put in or replaced, byte for byte, as no library would write them."""
    count = itertools.count()

    def go(*fresh: elements.Element, base: FileDataset | None = None, without: tuple[int, ...] = ()) -> Path:
        path = tmp_path / f"altered{next(count)}.dcm"
        with pydicom.config.disable_value_validation():
            (base or make_mr()).save_as(path, enforce_file_format=True)
        file = elements.parse(path.read_bytes())
        gone = {element.tag for element in fresh} | set(without)
        whole = sorted([*(e for e in file.elements if e.tag not in gone), *fresh], key=lambda e: e.tag)
        top = file.top()
        uid = top[0x00080018].bytes.decode().strip("\0")
        path.write_bytes(b"".join([elements.head(elements.EXPLICIT, MR, uid, "1.2.3", "X"), *elements.body(whole, file.fragments)]))
        return path

    return go


__all__ = ["ImplicitVRLittleEndian", "Planted", "pydicom"]
