"""What stays in a sidecar was put on the list by somebody; everything else goes, on real headers full of names."""

from __future__ import annotations

import re
from pathlib import Path

import pydicom

from bidstree import sidecar
from bidstree.convert import Conversion

IDENTIFYING = (
    *("PatientName", "PatientID", "PatientBirthDate", "InstitutionName", "InstitutionAddress", "StationName", "DeviceSerialNumber", "AccessionNumber"),
    *("StudyDate", "SeriesDate", "AcquisitionDate", "AcquisitionTime", "StudyTime", "OperatorsName", "ReferringPhysicianName", "PerformingPhysicianName"),
    *("StudyID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID", "InstitutionalDepartmentName"),
)


def test_no_identifying_value_of_a_real_header_survives(mri: Path, converted: dict[str, Conversion]) -> None:
    searched = 0
    for name, done in converted.items():
        for image in done.images:
            ds = pydicom.dcmread(image.files[0], stop_before_pixels=True)
            values = {str(ds.get(keyword, "")).strip() for keyword in IDENTIFYING}
            text = sidecar_text(image.sidecar)
            for value in values:
                if len(value) >= 5 and value.lower() not in {"anonymous", "unknown", "dicom2nifti", "phantom", "dicom"}:
                    searched += 1
                    assert value.lower() not in text, name
    assert searched > 150


def sidecar_text(raw: dict[str, object]) -> str:
    import json

    return json.dumps(sidecar.clean(raw)).lower()


def test_no_clock_time_date_or_serial_number_is_left(converted: dict[str, Conversion]) -> None:
    for done in converted.values():
        for image in done.images:
            words = [value for value in sidecar.clean(image.sidecar).values() if isinstance(value, str)]
            assert not any(re.search(r"\d\d:\d\d|(19|20)\d{6}(?!\d)", word) for word in words if not word.startswith("v1.0."))


def test_what_a_reader_needs_stays(converted: dict[str, Conversion]) -> None:
    bold = sidecar.clean(converted["siemens_bold_mosaic/ax/axasc35"].images[0].sidecar)
    assert {"RepetitionTime", "EchoTime", "SliceTiming", "PhaseEncodingDirection", "TotalReadoutTime", "FlipAngle", "Manufacturer"} <= set(bold)
    assert bold["ConversionSoftware"] == "dcm2niix" and bold["ConversionSoftwareVersion"].startswith("v1.")
    assert len(bold["SliceTiming"]) == 35


def test_every_field_of_the_real_sidecars_was_decided_on(converted: dict[str, Conversion]) -> None:
    """A new dcm2niix that writes a new field shows itself here."""
    undecided = {key for done in converted.values() for image in done.images for key in image.sidecar} - set(sidecar.FIELDS) - set(sidecar.DROPPED)
    assert undecided == set()


def test_a_value_of_another_kind_is_dropped() -> None:
    kept = sidecar.clean({"EchoTime": 0.1, "Manufacturer": "Siemens"})
    assert kept == {"EchoTime": 0.1, "Manufacturer": "Siemens"}
    for wrong in ("0.1", float("nan"), [0.1], True, None, -1.0):
        assert sidecar.clean({"EchoTime": wrong}) == {}
    for wrong in ("Erika^Mustermann", "a@b.example", "20200102", "10:11", "12345678", "x" * 200, "a\nb"):
        assert sidecar.clean({"Manufacturer": wrong}) == {}
    assert sidecar.clean({"IntendedFor": "bids::sub-a/anat/sub-a_T1w.nii.gz"}) and not sidecar.clean({"IntendedFor": "../../etc/passwd"})
    assert sidecar.clean({"PulseSequenceDetails": "%SiemensSeq%\\ep2d_pasl"}) and not sidecar.clean({"PulseSequenceDetails": "%CustomerSeq%\\erika"})


def test_what_is_dropped_is_told_by_name_and_reason() -> None:
    told = sidecar.dropped({"PatientName": "x", "SeriesDescription": "y", "Whatever": 1, "EchoTime": 0.1})
    assert set(told) == {"PatientName", "SeriesDescription", "Whatever"} and told["Whatever"] == "not on the list"
