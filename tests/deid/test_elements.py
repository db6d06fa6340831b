"""A file is read as what it is: without preamble or meta information, in any encoding and character set; and refused where it does not hold together."""

from __future__ import annotations

import random
import struct
import zlib

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from deid import elements, envelope, errors, headers, identity, objects, profile, reading, values
from deid.tree import Element

NAME, DESCRIPTION, CHARSET = 0x00100010, 0x0008103E, 0x00080005


def refusal(data: bytes) -> str:
    with pytest.raises(errors.Refused) as caught:
        objects.gate(elements.parse(data))
    return caught.value.code


def wrap(body: bytes, syntax: str = elements.EXPLICIT) -> bytes:
    return elements.head(syntax, objects.MR_IMAGE, "1.2.3", "1.2.3", "X") + body


# --- what stands around a data set -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [elements.EXPLICIT, elements.IMPLICIT])
@pytest.mark.parametrize("cut", ["preamble", "meta", "both"])
def test_a_file_without_preamble_or_meta_is_cleaned_like_any_other(mr, saved, clean, tmp_path, syntax, cut):
    raw = saved(mr(syntax=syntax)).read_bytes()
    start = elements.parse(raw).start
    bare = {"preamble": raw[132:], "meta": raw[:132] + raw[start:], "both": raw[start:]}[cut]
    path = tmp_path / "bare"
    path.write_bytes(bare)
    product, _ = clean(path)
    data = pydicom.dcmread(product)
    assert data.EchoTime == 2.98 and data.PixelData == mr().PixelData and b"uibblewick" not in product.read_bytes()
    assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID


@pytest.mark.parametrize(("truth", "said"), [(elements.EXPLICIT, elements.IMPLICIT), (elements.IMPLICIT, elements.EXPLICIT)])
def test_meta_information_that_lies_about_the_encoding_costs_nothing(mr, saved, clean, tmp_path, truth, said):
    raw = saved(mr(syntax=truth)).read_bytes()
    path = tmp_path / "lie"
    path.write_bytes(wrap(raw[elements.parse(raw).start :], said))
    assert pydicom.dcmread(clean(path)[0]).EchoTime == 2.98


def test_an_implicit_length_that_looks_like_two_letters_is_not_taken_for_explicit(mr, saved, clean, tmp_path):
    """A first element of 0x5355 bytes ("US") looks explicit; only the other reading holds together."""
    raw = saved(mr(syntax=ImplicitVRLittleEndian)).read_bytes()
    body = raw[elements.parse(raw).start :]
    first = struct.pack("<HHL", 8, 1, 0x5355) + b" " * 0x5355  # (0008,0001), once a length
    for data in (first + body, wrap(first + body, elements.IMPLICIT)):
        path = tmp_path / "guess"
        path.write_bytes(data)
        assert pydicom.dcmread(clean(path)[0]).EchoTime == 2.98


def test_deflated_and_padded_files_are_read(mr, clean, tmp_path):
    data = mr(syntax=DeflatedExplicitVRLittleEndian)
    path = tmp_path / "deflated"
    data.save_as(path, enforce_file_format=True)
    assert elements.read(path).syntax == elements.DEFLATED
    assert pydicom.dcmread(clean(path)[0]).file_meta.TransferSyntaxUID == elements.EXPLICIT
    padded = tmp_path / "padded"
    mr().save_as(padded, enforce_file_format=True)
    padded.write_bytes(padded.read_bytes() + b"\0" * 700 + b"Quibblewick")
    product, _ = clean(padded)
    assert elements.read(padded).trailing == 711 and b"uibblewick" not in product.read_bytes()


def test_every_real_odd_file_is_cleaned_or_refused_for_what_it_is(mri, keys, tmp_path):
    subject, got = headers.Subject("a" * 26, keys[1]), {}
    for path in sorted(p for p in (mri / "edge").rglob("*") if p.is_file()):
        try:
            headers.clean_file(path, tmp_path / "out.dcm", subject, profile.load())
            got[path.name] = "kept"
        except errors.Refused as refused:
            got[path.name] = refused.code
    kept = {name for name, code in got.items() if code == "kept"}
    assert {f"MR_small{tail}.dcm" for tail in ("", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless", "_jpeg_ls_lossless", "_padded")} <= kept
    assert {f"emri_small{tail}.dcm" for tail in ("", "_RLE", "_big_endian", "_jpeg_2k_lossless", "_jpeg_ls_lossless")} <= kept
    assert {f"chr{tail}.dcm" for tail in ("Arab", "Fren", "FrenMulti", "Germ", "Greek", "H31", "H32", "Hbrw", "I2", "Russ", "X1", "X2")} <= kept
    said = {"MR_truncated.dcm": "truncated", "rtplan_truncated.dcm": "truncated", "DICOMDIR": "dicomdir", "DICOMDIR-bigEnd": "dicomdir", "LICENSE": "not_dicom",
            "test-SR.dcm": "structured_report", "meta_missing_tsyntax.dcm": "not_mr", "ExplVR_BigEndNoMeta.dcm": "not_an_image",
            "ExplVR_LitEndNoMeta.dcm": "not_an_image", "emri_small_jpeg_2k_lossless_too_short.dcm": "truncated"}  # fmt: skip
    assert {name: got[name] for name in said} == said


# --- limits ----------------------------------------------------------------------------------------------------------------------------------------------


def nest(depth: int, explicit: bool) -> bytes:
    body = b""
    for _ in range(depth):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
        body = (struct.pack("<HH2s2xL", 8, 0x1140, b"SQ", len(item)) if explicit else struct.pack("<HHL", 8, 0x1140, len(item))) + item
    return body


def test_hostile_files_are_refused_inside_limits():
    assert refusal(wrap(nest(65, True))) == "nested_too_deep" == refusal(wrap(nest(65, False), elements.IMPLICIT))
    assert len(elements.parse(wrap(nest(64, True))).elements) == 1, "64 levels are read"
    empty = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    assert refusal(wrap(struct.pack("<HH2s2xL", 8, 0x1140, b"SQ", elements.UNDEFINED) + empty * 1_600_000)) == "too_many_elements"
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = squeeze.compress(b"\0" * (1 << 20)) + squeeze.flush(zlib.Z_FULL_FLUSH)  # stands alone, so it may be repeated
    deflated = block * 300 + squeeze.flush()
    assert refusal(wrap(deflated, elements.DEFLATED)) == "inflates_too_much"
    assert refusal(wrap(struct.pack("<HH2s2xL", 0x7FE0, 0x10, b"OW", 0xFFFFFFF0))) == "truncated"
    assert refusal(b"hello, this is no DICOM at all " * 20) == "not_dicom"
    assert refusal(wrap(b"", "1.2.3.4.5") + b"\x08\0\x60\0CS\x02\0MR") == "unknown_transfer_syntax"


def test_sequences_that_call_themselves_un_cost_no_more_than_they_say():
    """Two readings of UN at each of many levels would be 2^n readings."""
    body = b"\x08\0\x60\0ZZ\x02\0MR"
    for _ in range(40):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
        body = struct.pack("<HH2s2xL", 8, 0x1140, b"UN", len(item)) + item
    reader_calls = 0
    original = reading.Reader._sequence

    def counting(self, *args, **more):
        nonlocal reader_calls
        reader_calls += 1
        assert reader_calls < 2000
        return original(self, *args, **more)

    reading.Reader._sequence = counting
    try:
        assert refusal(wrap(body)) in ("malformed", "truncated", "nested_too_deep", "not_an_image", "no_pixels")
    finally:
        reading.Reader._sequence = original


def test_half_a_file_is_never_taken(mr, saved):
    whole = saved(mr()).read_bytes()
    assert objects.gate(elements.parse(whole)) == objects.MR_IMAGE
    for share in (5, 30, 50, 90, 99):
        assert refusal(whole[: len(whole) * share // 100]) in ("truncated", "no_pixels", "malformed", "no_uids", "not_an_image")


def test_random_bytes_never_crash_the_reader(mr, saved):
    rng, whole = random.Random(5), saved(mr()).read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        mutant = bytearray(whole[:4000] + whole[-200:])
        for _ in range(rng.randrange(1, 20)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        try:
            elements.parse(bytes(mutant))
            outcomes["read"] += 1
        except errors.Refused:
            outcomes["refused"] += 1
    assert outcomes["refused"] > 50


# --- character sets ----------------------------------------------------------------------------------------------------------------------------------------


def charset_files(mri) -> list[elements.File]:
    out = []
    for path in sorted((mri / "edge" / "pydicom_charset").glob("chr*.dcm")):
        file = elements.read(path)
        if (NAME in file.top() and not file.top()[NAME].bytes.isascii()) or b"\x1b" in file.top().get(NAME, Element(NAME, "PN", b"")).bytes:
            out.append(file)
    return out


@pytest.mark.parametrize("declared", ["as it is", "not at all", "ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87", "NONSENSE"])
def test_a_name_in_any_script_is_found_in_text_whatever_set_is_declared(mri, altered, clean, declared):
    files = charset_files(mri)
    assert len(files) >= 12
    for file in files:
        name, said = file.top()[NAME].bytes, file.top().get(CHARSET)
        fresh = [Element(NAME, "PN", name), Element(DESCRIPTION, "LO", b"T1 mprage " + name.split(b"=")[-1])]
        if declared == "as it is" and said is not None:
            fresh.append(said)
        elif declared not in ("as it is", "not at all"):
            fresh.append(Element(CHARSET, "CS", declared.encode()))
        product, done = clean(altered(*fresh, without=(CHARSET,)))
        left = elements.read(product).top()
        assert left[DESCRIPTION].bytes.strip() in (b"T1 mprage", b"T1 mprage "), (said.bytes if said else b"", left[DESCRIPTION].bytes)
        assert left[CHARSET].bytes.strip() == b"ISO_IR 192" and any("^" in removed for removed in done.removed)


def test_text_is_read_as_what_its_bytes_are_where_the_declaration_lies():
    for raw, declared, text in (
        ("Zoë 5 µT".encode(), "ISO_IR 100", "Zoë 5 µT"),
        ("Zoë".encode("latin-1"), "ISO_IR 192", "Zoë"),
        ("Zoë".encode("latin-1"), "ISO_IR 100", "Zoë"),
        ("Люкс".encode("iso8859-5"), "ISO_IR 144", "Люкс"),
        ("王小東".encode("gb18030"), "GB18030", "王小東"),
        (b"\x1b$B;3ED\x1b(B", "ISO_IR 100", "山田"),
    ):
        assert values.text(Element(DESCRIPTION, "LO", raw), values.encodings(declared)) == text


def test_ideographic_and_phonetic_groups_are_names_too(mri, altered, clean):
    file = elements.read(mri / "edge" / "pydicom_charset" / "chrH31.dcm")
    groups = values.text(file.top()[NAME], values.encodings("\\ISO 2022 IR 87")).split("=")
    assert len(groups) == 3
    raw = file.top()[NAME].bytes.split(b"=")
    for group in raw:
        fresh = [Element(CHARSET, "CS", b"\\ISO 2022 IR 87"), file.top()[NAME], Element(DESCRIPTION, "LO", b"T2 flair " + group)]
        product, _ = clean(altered(*fresh))
        assert elements.read(product).top()[DESCRIPTION].bytes.strip() == b"T2 flair"


def test_an_item_may_declare_a_character_set_of_its_own(altered, clean):
    from deid.tree import Item

    inside = [Element(CHARSET, "CS", b"ISO_IR 144"), Element(NAME, "PN", "Люкceмбypг".encode("iso8859-5")), Element(0x00081155, "UI", b"1.2.3.4.1.9")]
    path = altered(Element(0x00081140, "SQ", None, [Item(inside)]), Element(DESCRIPTION, "LO", "T1 mprage Люкceмбypг".encode()))
    product, done = clean(path)
    assert "Люкceмбypг^" in done.removed and elements.read(product).top()[DESCRIPTION].bytes.strip() == b"T1 mprage"


def test_identity_reads_files_without_meta_too(mr, saved, tmp_path):
    raw = saved(mr()).read_bytes()
    path = tmp_path / "bare"
    path.write_bytes(raw[elements.parse(raw).start :])
    assert identity.identify(path) == identity.identify(saved(mr())) and envelope.read(path).syntax == elements.EXPLICIT
