"""Small DICOM files for the tests of sorting: written by pydicom, of nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

MR = "1.2.840.10008.5.1.4.1.1.4"
ROOT = "1.3.6.1.4.1.98765.2"


def scan(path: Path, *, study: int = 1, series: int = 1, instance: int = 1, shown: int = 7, **values: Any) -> Path:
    """Write one 8 x 8 MR slice; `values`: DICOM keywords to set (None takes one away)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MR, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = f"{ROOT}.{study}.{series}.{instance}"
    data = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    whole: dict[str, Any] = {
        "SOPClassUID": MR,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "StudyInstanceUID": f"{ROOT}.{study}",
        "SeriesInstanceUID": f"{ROOT}.{study}.{series}",
        "Modality": "MR",
        "PatientID": "310577-2046",
        "PatientName": "Vestergaard^Solveig",
        "PatientBirthDate": "19770531",
        "PatientSex": "F",
        "StudyDate": "20190311",
        "StudyTime": "101500",
        "SeriesNumber": series,
        "InstanceNumber": instance,
        "ImagePositionPatient": [0.0, 0.0, float(instance)],
        "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "PixelSpacing": [1.0, 1.0],
        "SliceThickness": 1.0,
        "Rows": 8,
        "Columns": 8,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": (np.arange(64, dtype="<u2") + shown).tobytes(),
    }
    for name, value in (whole | values).items():
        if value is not None:
            setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path
