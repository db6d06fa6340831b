"""What stays in a sidecar was put on the list by somebody; everything else goes, on real headers full of names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pydicom
import pytest

from bidstree import foreign, sidecar
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


def test_a_number_without_end_is_dropped_and_not_an_error() -> None:
    for clean in (sidecar.clean, foreign.clean):
        assert clean({"EchoTime": 10**400, "FlipAngle": [-(10**400)], "RepetitionTime": float("inf"), "DwellTime": 2}) == {"DwellTime": 2}


def test_a_code_has_the_keys_of_a_code_and_no_other() -> None:
    assert sidecar.clean({"DeidentificationMethodCodeSequence": [{"CodeValue": "113100", "CodeMeaning": "Basic profile"}]})
    assert sidecar.clean({"DeidentificationMethodCodeSequence": [{"Hans Mueller": "x"}]}) == {}


PATH = "ses-20190512/func/sub-MuellerHans_ses-20190512_task-rest_bold.nii.gz"
# field of a site's own sidecar: what must go -> what may stay (None: nothing of this field may)
OUTSIDE: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(("IntendedFor", "RawSources", "Sources", "B0FieldSource", "B0FieldIdentifier", "SpatialReference"), (PATH, None)),
    **dict.fromkeys(("SequenceName", "PulseSequenceType", "ReceiveCoilName", "WaterFatShiftAxis", "PhaseEncodingMethod"), ("Hans Mueller", None)),
    "PulseSequenceDetails": ("%SiemensSeq%\\hansmueller", None),
    "DeidentificationMethod": (["Hans Mueller"], None),
    "DeidentificationMethodCodeSequence": ([{"CodeMeaning": "Hans Mueller"}], None),
    "ConversionSoftwareVersion": ("v19.61.03.02", None),
    "TaskName": ("Hans Mueller", "rest"),
    "Manufacturer": ("Mueller", "Siemens Healthineers"),
    "ManufacturersModelName": ("Hans", "Prisma_fit"),
    "SoftwareVersions": ("Hans 1961", "syngo MR E11"),
    "ImageType": (["ORIGINAL", "MUELLER"], ["ORIGINAL", "PRIMARY", "M", "ND", "NORM"]),
    "ScanningSequence": ("HANS", "GR_IR"),
    "SequenceVariant": ("MUELLER", "SK_SP_MP"),
    "ScanOptions": ("HANS", "PFP\\FS"),
    "ImageOrientationText": ("Mueller", "Tra"),
    "PASLType": ("Mueller", "FAIR"),
    "ConversionSoftware": ("Mueller", "dcm2niix"),
    "EchoTime": (3105772046, 0.1),
    "SliceTiming": ([3105772046.0], [0.0, 0.05]),
    "NonlinearGradientCorrection": ("yes", True),
    "PhaseEncodingDirection": ("Hans", "j-"),
}


@pytest.mark.parametrize("field", OUTSIDE)
def test_of_a_sidecar_from_outside_only_numbers_flags_and_listed_words_stay(field: str) -> None:
    wrong, right = OUTSIDE[field]
    assert foreign.clean({field: wrong, "FlipAngle": 9}) == {"FlipAngle": 9}
    if right is not None:
        assert foreign.clean({field: right}) == {field: right} == sidecar.clean({field: right})


def test_no_field_of_the_list_lets_a_free_word_or_a_free_key_in_from_outside() -> None:
    for key in sidecar.FIELDS:
        for value in ("Hans Mueller", "hansmueller", ["Hans Mueller"], {"Hans Mueller": 1}, [{"Hans Mueller": 1}], [["Hans"]], PATH, 3105772046, 10**400):
            assert foreign.clean({key: value}) == {}, key


def test_a_key_of_nobodys_list_is_counted_and_not_told() -> None:
    told, others = foreign.dropped({"PatientName": "x", "TaskName": "Hans Mueller", "Hans Mueller 1961-03-02": 1, "EchoTime": 0.1})
    assert told == {"PatientName": "the person", "TaskName": "value of another kind"} and others == 1


def test_most_of_what_a_converter_says_of_a_scan_may_come_from_outside(converted: dict[str, Conversion]) -> None:
    bold = foreign.clean(converted["siemens_bold_mosaic/ax/axasc35"].images[0].sidecar)
    assert {"RepetitionTime", "EchoTime", "SliceTiming", "PhaseEncodingDirection", "TotalReadoutTime", "FlipAngle", "Manufacturer", "ScanningSequence"} <= set(
        bold
    )


def test_what_is_dropped_is_told_by_name_and_reason() -> None:
    told = sidecar.dropped({"PatientName": "x", "SeriesDescription": "y", "Whatever": 1, "EchoTime": 0.1})
    assert set(told) == {"PatientName", "SeriesDescription", "Whatever"} and told["Whatever"] == "not on the list"
