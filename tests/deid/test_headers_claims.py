"""What a file says about itself is what was done to it; what others said is neither believed nor lost."""

from __future__ import annotations

import datetime
import subprocess
from pathlib import Path

import pydicom
import pytest

from deid import ages, elements, errors, headers, profile, pseudonyms
from deid.tree import Element, Item

CODES, METHOD, BURNED_IN = 0x00120064, 0x00120063, 0x00280301


def codes(product: Path) -> list[str]:
    return [item.CodeValue for item in pydicom.dcmread(product).DeidentificationMethodCodeSequence]


def claim(value: bytes, scheme: bytes, meaning: bytes) -> Item:
    return Item([Element(0x00080100, "SH", value), Element(0x00080102, "SH", scheme), Element(0x00080104, "LO", meaning)])


def test_earlier_methods_stay_beside_ours_but_nothing_identifying_in_them(altered, clean):
    items = [
        claim(b"113102", b"DCM", b"Clean Recognizable Visual Features Option"),
        claim(b"113100", b"DCM", b"Basic Application Confidentiality Profile"),
        claim(b"113109", b"DCM", b"as Quibblewick asked"),
        claim(b"QX4711", b"SITE", b"by Housemartin"),
    ]
    lines = Element(METHOD, "LO", b"mri_reface 0.3.4\\done for Quibblewick by Housemartin\\" + b"T1 " * 40)
    product, _ = clean(altered(Element(CODES, "SQ", None, items), lines, Element(0x00120062, "CS", b"YES")))
    assert codes(product) == ["113102", "113109", "113100", "113105", "113107", "113111"]
    said = list(pydicom.dcmread(product).DeidentificationMethod)
    assert said[0] == "mri_reface 0.3.4" and all(len(line) <= 64 for line in said) and len(said) == 8
    content = product.read_bytes()
    assert not [word for word in (b"uibblewick", b"ousemartin", b"QX4711", b"SITE") if word in content]


def test_pixels_are_claimed_clean_only_where_somebody_looks(altered, clean, keys):
    for said, searched, written, claimed in (
        (None, False, None, False),
        (b"NO", False, None, False),
        (b"YES", False, "YES", False),
        (None, True, "NO", True),
        (b"NO", True, "NO", True),
        (b"YES", True, "YES", False),
    ):
        product, _ = clean(altered(*([Element(BURNED_IN, "CS", said)] if said else [])), searched=searched)
        assert pydicom.dcmread(product).get("BurnedInAnnotation") == written and ("113101" in codes(product)) is claimed
    headers.write(product, headers.with_pixels_cleaned(elements.read(product), keys[1]))
    assert pydicom.dcmread(product).BurnedInAnnotation == "NO" and codes(product).count("113101") == 1
    again, _ = clean(product)
    assert again.read_bytes() == product.read_bytes(), "signed anew, it is known again"
    twice = b"".join(headers.with_pixels_cleaned(elements.read(product), keys[1]))
    assert twice == product.read_bytes(), "and saying it twice changes nothing"


def test_an_enhanced_image_can_only_say_no_and_claims_nothing_by_it(mri, clean, tmp_path):
    path = mri / "edge" / "pydicom_enhanced" / "emri_small.dcm"
    assert pydicom.dcmread(path).BurnedInAnnotation == "NO"
    for searched in (False, True):
        product, _ = clean(path, searched=searched)
        assert pydicom.dcmread(product).BurnedInAnnotation == "NO" and ("113101" in codes(product)) is searched


def test_a_foreign_no_on_a_capture_is_not_believed(altered, clean):
    capture = b"1.2.840.10008.5.1.4.1.1.7.3"
    for searched, written in ((False, "YES"), (True, "NO")):
        product, _ = clean(altered(Element(0x00080016, "UI", capture), Element(BURNED_IN, "CS", b"NO")), searched=searched)
        assert pydicom.dcmread(product).BurnedInAnnotation == written


def test_new_pixels_are_signed_and_an_altered_file_is_refused(altered, clean, keys, tmp_path):
    product, _ = clean(altered())
    file = elements.read(product)
    headers.write(product, headers.with_pixels_cleaned(file, keys[1], pixels=bytes(8192)))
    data = pydicom.dcmread(product)
    assert data.PixelData == bytes(8192) and "Writing in pixels hidden" in data.DeidentificationMethod
    clean(product)
    raw = bytearray(product.read_bytes())
    raw[-1] ^= 1
    (tmp_path / "altered").write_bytes(raw)
    with pytest.raises(errors.Refused, match="own_output_altered"):
        clean(tmp_path / "altered")
    (tmp_path / "longer").write_bytes(product.read_bytes() + b"Quibblewick")
    with pytest.raises(errors.Refused, match="own_output_altered"):
        clean(tmp_path / "longer")


def test_recognisable_faces_are_told_unless_the_body_part_has_none(altered, clean):
    part = 0x00180015
    for word, told in ((b"HEAD", "YES"), (b"", "YES"), (b"CSPINE", "YES"), (b"KNEE", None)):
        product, _ = clean(altered(Element(part, "CS", word)))
        assert pydicom.dcmread(product).get("RecognizableVisualFeatures") == told
        assert "113102" not in codes(product), "headers alone deface nobody"


@pytest.mark.parametrize(
    ("said", "birth", "study", "over", "written"),
    [
        ("089Y", None, None, False, "089Y"), ("090Y", None, None, False, "090Y"), ("091y", None, None, False, "090Y"), ("012M", None, None, False, "012M"),
        ("999M", None, None, False, "999M"), ("57Y", (1962, 3, 4), (2019, 3, 3), False, "056Y"), ("57Y", None, (2019, 3, 3), False, ""),
        ("", (1929, 3, 5), (2019, 3, 4), False, "089Y"), ("", (1929, 3, 4), (2019, 3, 4), False, "090Y"), ("045Y", (1920, 1, 1), (2019, 3, 4), False, "090Y"),
        ("010Y", None, None, True, "090Y"), ("", None, None, True, "090Y"), ("", (2020, 1, 1), (2019, 1, 1), False, ""),
    ],
)  # fmt: skip
def test_age(said, birth, study, over, written):
    births = {datetime.date(*birth)} if birth else set()
    assert ages.written(said, births, datetime.date(*study) if study else None, over) == written


def test_two_birth_dates_compute_no_age():
    births = {datetime.date(1962, 3, 4), datetime.date(1963, 3, 4)}
    assert ages.written("", births, datetime.date(2019, 3, 4), False) == "" and ages.written("", {*births, None}, None, False) == ""


def test_what_one_person_left_in_memory_is_never_written_for_another(mr, saved, tmp_path):
    """Answers are remembered per person, study and key: in whatever order files come, each comes out as it would alone."""
    people = [headers.Subject(code * 26, pseudonyms.PseudonymKey(key * 32)) for code, key in (("a", b"p"), ("b", b"p"), ("a", b"q"))]
    sources = [saved(mr(patient_id=f"P{n}", name=name, n=n)) for n, name in ((1, "Quibblewick^Zephyrina"), (2, "Mprage^Sagittal"), (3, "Head^Study"))]
    first = {}
    for turn in range(3):
        for k in [0, 1, 2, 1, 0][turn:]:
            for s, source in enumerate(sources):
                headers.clean_file(source, tmp_path / "out.dcm", people[k], profile.load())
                content = (tmp_path / "out.dcm").read_bytes()
                assert first.setdefault((k, s), content) == content
    assert len(set(first.values())) == 9
    descriptions = [pydicom.dcmread(__import__("io").BytesIO(first[0, s])).StudyDescription for s in range(3)]
    assert descriptions == ["Head MS follow up", "Head MS follow up", "MS follow up"]


def test_the_account_names_what_lay_outside_the_data_set(planted, clean, tmp_path):
    _, done = clean(planted().save(tmp_path / "in.dcm"))
    why = {row["why"] for row in done.account["elements"]}
    assert {"the preamble is written as zeros", "file meta information is written anew", "bytes behind the data set"} <= why
    assert sum(done.account["totals"].values()) == sum(row["n"] for row in done.account["elements"])


@pytest.mark.needs("dicom3tools")
def test_no_new_error_by_the_validator_on_three_files_of_every_shared_folder(mri, clean):
    def complaints(path: Path) -> set[str]:
        lines = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True, errors="replace", check=False).stderr.splitlines()
        return {line.split("> = <")[0].split("same value as")[0] for line in lines if line.startswith("Error")}

    new: dict[str, set[str]] = {}
    count = 0
    for folder in sorted({path.parent for part in ("dicom", "edge") for path in (mri / part).rglob("*") if path.is_file()}):
        taken = 0
        for path in sorted(p for p in folder.iterdir() if p.is_file()):
            try:
                product, _ = clean(path)
            except errors.Refused:
                continue
            taken, count = taken + 1, count + 1
            if extra := complaints(product) - complaints(path):
                new[f"{folder.name} {taken}"] = extra
            if taken == 3:
                break
    assert new == {} and count > 80
