"""The small parts: codes, UIDs, words, the reader's limits, vendor blobs, the last gate, writing in pixels, the command."""

from __future__ import annotations

import gzip
import json
import random
import struct
import zlib

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from deid import __main__ as command
from deid import dates, descriptors, elements, errors, headers, identity, objects, pixels, profile, pseudonyms, vendor, verify

CODES, KEY = pseudonyms.CodeKey(b"c" * 32), pseudonyms.PseudonymKey(b"p" * 32)


# --- who ---


def test_equal_people_have_equal_codes_however_they_are_spelled():
    code = CODES.code("aarhus", "AUH", "Ab 12")
    assert code == CODES.code(" AARHUS", "auh ", "ab\u00a012\0") and len(code) == 26 and set(code) <= set("abcdefghijklmnopqrstuvwxyz234567")
    others = {
        CODES.code("odense", "AUH", "Ab 12"),
        CODES.code("aarhus", "", "Ab 12"),
        CODES.code("aarhus", "AUH", "Ab12"),
        pseudonyms.CodeKey(b"d" * 32).code("aarhus", "AUH", "Ab 12"),
    }
    assert code not in others and len(others) == 4


def test_a_code_is_its_own_code_and_a_strangers_is_not():
    code = CODES.code("s", "i", "p")
    assert CODES.code("other", "x", code) == code and CODES.recognises(code)
    assert not pseudonyms.CodeKey(b"d" * 32).recognises(code)
    assert not CODES.recognises("a" * 26)


@pytest.mark.parametrize("text", ["", "***", "anonymous", "ANON", "xxxx", "0000", "Anonymized", None, " - "])
def test_stand_ins_name_nobody(text):
    assert pseudonyms.is_placeholder(text)


@pytest.mark.parametrize("text", ["4711", "crlab", "DEV", "7", "11", "MRN-0001", "12345", "Smith"])
def test_real_identifiers_are_no_stand_ins(text):
    assert not pseudonyms.is_placeholder(text)


def test_uids_are_replaced_for_good_and_well_known_ones_stay():
    new = KEY.uid("1.2.3")
    assert new.startswith("2.25.") and len(new) <= 44 and KEY.uid(new) == new and KEY.recognises(new) and not KEY.recognises("2.25.7")
    assert KEY.uid("1.2.840.10008.1.2.1") == "1.2.840.10008.1.2.1"
    assert KEY.uid("1.2.840.10008.19620304") != "1.2.840.10008.19620304", "the standard's root alone is no pass"


@given(st.text(max_size=40), st.text(max_size=40))
@settings(max_examples=200)
def test_folding_twice_is_folding_once(one, two):
    assert pseudonyms.fold(pseudonyms.fold(one)) == pseudonyms.fold(one)
    if pseudonyms.fold(one) != pseudonyms.fold(two) and not pseudonyms.is_placeholder(one):
        assert CODES.code("s", "", one) != CODES.code("s", "", two)


@given(st.dates(min_value=dates.datetime.date(1930, 1, 1)), st.integers(1, 3650))
@settings(max_examples=100)
def test_every_date_moves_by_the_offset(day, days):
    moved = dates.move_date(day.strftime("%Y%m%d"), dates.Shift(days))
    assert dates.parse_date(moved) == day - dates.datetime.timedelta(days=days)


# --- words ---


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("T1 mprage for John SMITH 1962-03-04", "T1 mprage for"),
        ("t1_mprage_sag_SMITH_J", "t1_mprage_sag"),
        ("Smìth, JOHN ax dwi b1000", "ax dwi b1000"),
        ("AX T2 FLAIR 4 March 1962 AB1234", "AX T2 FLAIR"),
        ("J.Smith T2", "T2"),
        ("T2 SMITHJOHN", "T2"),
        ("axial FLAIR jsmith@example.org", "axial FLAIR"),
        ("TR 2500 TE 30 b=1000 220FOV", "TR 2500 TE 30 b=1000 220FOV"),
        ("DWI_dir80_PA_ColFA", "DWI_dir80_PA_ColFA"),
        ("T1 Quackenbush", "T1"),
        ("T1 田中", "T1"),
    ],
)
def test_descriptors_are_cleaned_and_kept(text, kept):
    scrub = descriptors.Scrubber(frozenset({"SMITH^John"}), frozenset({"AB1234"}))
    assert scrub.clean(text).text == kept


# --- the reader's limits ---


def wrap(body: bytes, syntax: str = elements.EXPLICIT) -> bytes:
    return elements.head(syntax, objects.MR_IMAGE, "1.2.3", "1.2.3", "X") + body


def refusal(data: bytes) -> str:
    with pytest.raises(errors.Refused) as caught:
        file = elements.parse(data)
        objects.gate(file)
    return caught.value.code


def test_hostile_files_are_refused_with_their_own_codes():
    nested = b""
    for _ in range(300):
        nested = struct.pack("<HH2s2xL", 8, 0x1140, b"SQ", len(nested) + 8) + struct.pack("<HHL", 0xFFFE, 0xE000, len(nested)) + nested
    assert refusal(wrap(nested)) == "nested_too_deep"
    bomb = struct.pack("<HH2s2xL", 8, 0x1140, b"SQ", elements.UNDEFINED) + struct.pack("<HHL", 0xFFFE, 0xE000, 0) * 1_600_000
    assert refusal(wrap(bomb)) == "too_many_elements"
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    deflated = b"".join(squeeze.compress(b"\0" * (1 << 20)) for _ in range(300)) + squeeze.flush()
    assert refusal(wrap(deflated, elements.DEFLATED)) == "inflates_too_much"
    assert refusal(wrap(struct.pack("<HH2s2xL", 0x7FE0, 0x10, b"OW", 0xFFFFFFF0))) == "truncated"
    assert refusal(b"hello, this is no DICOM at all " * 20) == "not_dicom"
    assert refusal(wrap(b"", "1.2.3.4.5") + b"\x08\0\x60\0CS\x02\0MR") == "unknown_transfer_syntax"


def test_half_a_file_is_never_taken(mr, saved):
    whole = saved(mr()).read_bytes()
    assert objects.gate(elements.parse(whole)) == objects.MR_IMAGE
    for share in (5, 30, 50, 90, 99):
        assert refusal(whole[: len(whole) * share // 100]) in ("truncated", "no_pixels", "malformed", "no_uids", "not_an_image")


@pytest.mark.parametrize(
    ("sop", "code"),
    [("88.11", "structured_report"), ("104.1", "encapsulated_document"), ("11.1", "presentation_state"), ("66", "not_an_image"), ("2", "not_mr")],
)
def test_what_is_no_mr_image_is_refused_by_kind(mr, saved, sop, code):
    data = mr()
    data.SOPClassUID = objects.STORAGE + sop
    assert refusal(saved(data).read_bytes()) == code


def test_an_image_without_all_its_pixels_is_refused(mr, saved):
    data = mr()
    data.PixelData = data.PixelData[:-64]
    assert refusal(saved(data).read_bytes()) == "pixels_do_not_fit"
    del data.PixelData
    assert refusal(saved(data).read_bytes()) == "no_pixels"


def test_seeded_mutations_are_refused_or_read_and_never_crash(mr, saved, mri, clean, tmp_path):
    rng = random.Random(7)
    sources = [saved(mr()), next((mri / "dicom" / "siemens_enh_xa30").rglob("*.dcm"), None), next((mri / "dicom" / "uih_dwi").rglob("*.dcm"), None)]
    outcomes = {"read": 0, "refused": 0}
    for source in [s for s in sources if s]:
        content = source.read_bytes()[: 1 << 18]
        for _ in range(60):
            mutant = bytearray(content)
            for _ in range(rng.randrange(1, 12)):
                mutant[rng.randrange(132, min(len(mutant), 6000))] = rng.randrange(256)
            path = tmp_path / "mutant"
            path.write_bytes(mutant)
            try:
                clean(path)
                outcomes["read"] += 1
            except errors.Refused:
                outcomes["refused"] += 1
    assert outcomes["refused"] > 20 and sum(outcomes.values()) >= 60


# --- persons that contradict themselves ---


def test_one_identifier_with_two_birth_dates_is_a_conflict(mr, saved):
    first, second = mr(), mr(n=2)
    assert identity.conflicts(headers.identify(saved(d)) for d in (first, second)) == {}
    second.PatientBirthDate = "19630304"
    assert set(identity.conflicts(headers.identify(saved(d)) for d in (first, second)).values()) == {"identity_conflict"}


# --- vendor ---


class Context:
    codecs = ("iso8859",)
    removed: set[str] = set()
    scrub = descriptors.Scrubber(frozenset({"Quibblewick^Zephyrina"}))

    def clean_items(self, element, place):
        return element.items


def test_the_siemens_protocol_keeps_numbers_and_loses_people():
    text = '<XProtocol>Quibblewick</XProtocol>\n### ASCCONV BEGIN ###\nsSliceArray.lSize\t = \t35\nucEnable = 0x1\ntReferenceImage0 = ""1.3.12.2.1107""\n'
    text += 'tSequenceFileName = ""%SiemensSeq%\\ep2d_bold""\ntProtocolName = ""ep2d Quibblewick""\n'
    text += "lStudyDay = 20220711\nsPatient.dWeight = 70\nalFree[0] = 20220711\n### ASCCONV END ###\ntail"
    out = vendor.rewrite_protocol(text, Context())
    assert "sSliceArray.lSize\t = \t35" in out and "0x1" in out and "ep2d_bold" in out
    for gone in ("Quibblewick", "1.3.12", "20220711", "Patient", "tail"):
        assert gone not in out


@pytest.mark.filterwarnings("ignore:The DICOM readers")
def test_a_csa_header_is_rewritten_and_still_parses(mri):
    from nibabel.nicom import csareader

    files = [p for p in sorted((mri / "dicom" / "siemens_bold_mosaic").rglob("*")) if p.name.startswith("MR.")]
    raw = next(e.bytes for path in files for e in elements.walk(elements.read(path).elements) if e.tag == 0x00291010)
    before, after = csareader.read(raw)["tags"], csareader.read(vendor.rewrite_csa(raw, Context()))["tags"]
    assert set(after) < set(before) and len(after) > 20
    assert (
        after["MosaicRefAcqTimes"]["items"] == before["MosaicRefAcqTimes"]["items"]
        and after["SliceNormalVector"]["items"] == before["SliceNormalVector"]["items"]
    )
    assert vendor.rewrite_csa(b"SV10" + b"x" * 40, Context()) is None


# --- the last gate ---


def test_the_last_gate_finds_values_wherever_they_are_written(tmp_path):
    removed = {"Quibblewick^Zephyrina", "19620304", "ACC7788991", "1.2.3.4.5.6", "White^Li"}
    image = nibabel.Nifti1Image(np.zeros((8, 8, 8), np.int16), np.eye(4))
    image.header["descrip"] = b"TE=3"
    nibabel.save(image, tmp_path / "clean.nii")
    (tmp_path / "clean.json").write_text(json.dumps({"EchoTime": 0.003, "Manufacturer": "White Labs", "SeriesDescription": "T1 mprage"}))
    assert verify.search([tmp_path / "clean.nii", tmp_path / "clean.json"], removed) == []
    bad = {
        "a.json": json.dumps({"Comment": "born 04.03.1962"}).encode(),
        "b.json": json.dumps({"SeriesDescription": "T2 white"}).encode(),
        "c.tsv": b"participant_id\tnote\nx\tqUIBBLEwick\n",
        "d.json": json.dumps({"X": "UXVpYmJsZXdpY2s="}).encode(),
        "e.json": json.dumps({"X": "uid 1.2.3.4.5.6"}).encode(),
        "f.nii.gz": gzip.compress((tmp_path / "clean.nii").read_bytes() + b"Zephyrina"),
        "acc7788991.json": b"{}",
        "g.json": json.dumps({"Quibblewick": 1}).encode(),
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        found = verify.search([tmp_path / name], removed)
        assert found, name
        assert "uibble" not in repr(found) and "7788991" not in repr(found)


def test_what_cannot_be_opened_is_not_clean(tmp_path):
    (tmp_path / "x.json").write_text("{")
    assert [f.kind for f in verify.search([tmp_path / "x.json"], {"Smithers"})] == ["unreadable"]


def test_the_last_gate_withholds_no_clean_real_scan(mri, clean):
    for case in ("ge_bold", "siemens_enh_xa30", "philips_enh_pcasl", "uih_dwi", "siemens_bold_mosaic"):
        removed, products = set(), []
        for path in [p for p in sorted((mri / "dicom" / case).rglob("*")) if p.is_file()][:12]:
            try:
                product, done = clean(path)
            except errors.Refused:
                continue
            removed |= done.removed
            products.append(product)
        assert products and verify.search(products, removed) == []


# --- writing in pixels ---


def written(text: str, size: int = 14) -> np.ndarray:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:256, :256]
    frame = (600 * np.exp(-(((x - 128) / 70) ** 2 + ((y - 128) / 90) ** 2)) + rng.normal(40, 12, (256, 256))).clip(0).astype(np.uint16)
    if text:
        image = Image.new("L", (256, 256))
        draw = ImageDraw.Draw(image)
        draw.text((20, 20), text, fill=255, font=ImageFont.load_default(size))
        frame[np.asarray(image) > 128] = frame.max()
    return frame


def test_the_cheap_test_picks_the_slice_with_writing_and_no_other():
    assert pixels.suspicious(written("SMITH JOHN"))
    assert not pixels.suspicious(written(""))


@pytest.mark.slow
def test_writing_is_hidden_and_the_rest_of_the_image_is_not_touched(mr, saved, clean):
    data = mr()
    data.Rows = data.Columns = 256
    data.PixelData, data.BurnedInAnnotation = written("SMITH JOHN").tobytes(), "YES"
    product, _ = clean(saved(data))
    before = product.read_bytes()
    (verdict,) = pixels.check([product], key=KEY)
    assert verdict.code is None and verdict.masked
    import pydicom

    out = pydicom.dcmread(product)
    old, new = written("SMITH JOHN"), out.pixel_array
    assert before != product.read_bytes() and (new[100:] == old[100:]).all() and new[20:34, 20:90].max() < old.max()
    assert out.BurnedInAnnotation == "NO" and "113101" in [item.CodeValue for item in out.DeidentificationMethodCodeSequence]
    again, _ = clean(product)
    assert again.read_bytes() == product.read_bytes(), "the seal was renewed"


def test_residue_refuses_and_a_clean_series_passes(mr, saved, clean):
    data = mr()
    data.BurnedInAnnotation = "YES"
    product, _ = clean(saved(data))
    (verdict,) = pixels.check([product], finder=lambda image, strict: [(1, 1, 5, 5)])
    assert verdict.code == "writing_in_pixels"
    (verdict,) = pixels.check([product], finder=lambda image, strict: [])
    assert verdict.code is None and verdict.looked


# --- the command ---


def test_the_command_gives_every_file_a_verdict_and_names_none(mr, tmp_path, capsys):
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for n in (1, 2):
        mr(n=n).save_as(source / f"Quibblewick{n}.dcm", enforce_file_format=True)
    mr(patient_id="***", study=5).save_as(source / "masked.dcm", enforce_file_format=True)
    (source / "notes.txt").write_text("nothing")
    assert command.main(["new-key", str(tmp_path / "key")]) == 0
    assert (
        command.main(["headers", str(source), str(target), "--key", str(tmp_path / "key"), "--site", "s", "--report", str(tmp_path / "r.json"), "--no-pixels"])
        == 0
    )
    report = json.loads((tmp_path / "r.json").read_text())
    assert sorted((row["verdict"], row["code"]) for row in report["files"]) == [
        ("kept", "ok"),
        ("kept", "ok"),
        ("refused", "not_dicom"),
        ("waiting", "no_identity"),
    ]
    assert [row["n"] for row in report["files"]] == [1, 2, 3, 4]
    everything = capsys.readouterr().out + json.dumps(report) + " ".join(str(p) for p in target.rglob("*"))
    assert "uibblewick" not in everything and "masked" not in everything
    first = {p.name: p.read_bytes() for p in target.rglob("*.dcm")}
    assert len(first) == 2
    command.main(["headers", str(target), str(tmp_path / "twice"), "--key", str(tmp_path / "key"), "--site", "elsewhere", "--no-pixels"])
    assert sorted(p.read_bytes() for p in (tmp_path / "twice").rglob("*.dcm")) == sorted(first.values())


def test_the_command_refuses_wrong_usage(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert command.main(["headers", str(tmp_path / "in"), str(tmp_path / "out"), "--key", str(tmp_path / "none")]) == 2
    assert command.main(["explain", "NoSuchThing"]) == 2
    assert command.main(["explain", "PatientName"]) == 0
    assert "code" in capsys.readouterr().out


def test_no_refusal_text_holds_more_than_its_words():
    for code, (reason, advice) in errors.REFUSALS.items():
        assert code == code.lower() and reason.endswith(".") and advice.endswith(".")
    assert profile.load().version
