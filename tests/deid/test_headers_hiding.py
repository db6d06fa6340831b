"""Places where a value can hide that no list of attributes names, each with its honest twin that stays."""

from __future__ import annotations

import struct

import numpy as np
import pydicom
import pytest

from deid import elements
from deid.tree import Element, Item


def ds(tag: int, text: bytes, vr: str = "DS") -> Element:
    return Element(tag, vr, text)


def top(product) -> dict[int, Element]:
    return elements.read(product).top()


INSTANCE, SERIES_NUMBER, LOCATION, WEIGHT, SAR, ROWS = 0x00200013, 0x00200011, 0x00201041, 0x00101030, 0x00181316, 0x00280010


@pytest.mark.parametrize(
    ("tag", "vr", "hidden", "honest"),
    [
        (INSTANCE, "IS", b"19620304", b"19700"),
        (SERIES_NUMBER, "IS", b"7788991 ", b"7701"),
        (LOCATION, "DS", b"19620304.0", b"-19.620304"),
        (LOCATION, "DS", b"1962-03-04", b"1962.0304"),
        (LOCATION, "DS", b"12.5\0Smith", b"12.5"),
        (WEIGHT, "DS", b"80 SMITH", b"80"),
        (SAR, "DS", b"4711-0815", b"0.4711 "),
        (0x00189087, "FD", struct.pack("<d", 19620304.0), struct.pack("<d", 1000.0)),
        (0x00189087, "FD", b"QUIBBLEW", struct.pack("<d", 19620.304)),
        (0x00189073, "FD", struct.pack("<d", 7788991), struct.pack("<d", 77.88991)),
        (0x00280009, "AT", b"SMIT", struct.pack("<HH", 0x0018, 0x1063)),
        (0x00280009, "AT", struct.pack("<HH", 0x0018, 0x7777), struct.pack("<HH", 0x0054, 0x0010)),
        (0x00180022, "CS", b"SMITHERS", b"PFP "),
        (0x00180022, "CS", b"FS\0Quibblewick ", b"FS"),
        (0x00080008, "CS", b"ORIGINAL\\PRIMARY\\MRN4711", b"ORIGINAL\\PRIMARY\\M\\ND"),
        (0x0018500C, "CS", b"zephyrina ", None),
    ],
)  # fmt: skip
def test_a_value_that_is_no_number_or_term_goes_and_an_honest_one_stays(altered, clean, tag, vr, hidden, honest):
    product, _ = clean(altered(Element(tag, vr, hidden)))
    left = top(product).get(tag)
    planted = hidden.split(b"\\")[-1].strip()
    assert left is None or planted not in left.bytes, "gone"
    assert planted not in product.read_bytes()
    if honest is not None:
        assert top(clean(altered(Element(tag, vr, honest)))[0])[tag].bytes.strip(b" ") == honest.strip(b" ")


def test_a_required_number_that_identifies_leaves_an_empty_place(altered, clean):
    product, done = clean(altered(ds(INSTANCE, b"19620304", "IS")))
    assert top(product)[INSTANCE].bytes == b"", "InstanceNumber is of Type 2: empty, not absent"
    (row,) = [r for r in done.account["elements"] if r["keyword"] == "InstanceNumber"]
    assert row["done"] == "removed" and "identifies" in row["why"]


@pytest.mark.parametrize(
    "raw", [b"1.2.840.10008.5.1.4.1.1.4.19620304", b"1.2.19620304.4711", b"1.2.840.10008.SMITH", b"1.2.3\0SMITH", b"SMITH", b"1.2.3\\4.5.19620304"]
)
def test_a_uid_with_something_in_it_is_replaced_whole(altered, clean, raw):
    product, _ = clean(altered(Element(0x00200052, "UI", raw)))
    left = top(product)[0x00200052].bytes
    assert all(part.strip(b"\0").startswith(b"2.25.") for part in left.split(b"\\"))
    assert b"SMITH" not in product.read_bytes() and b"19620304" not in product.read_bytes()


def test_a_class_of_the_standard_stays_and_one_that_only_looks_like_it_goes(altered, clean):
    def reference(sop: bytes) -> Element:
        return Element(0x00081140, "SQ", None, [Item([Element(0x00081150, "UI", sop), Element(0x00081155, "UI", b"1.2.3.4.1.9")])])

    (item,) = top(clean(altered(reference(b"1.2.840.10008.5.1.4.1.1.4")))[0])[0x00081140].items
    assert item.elements[0].bytes.strip(b"\0") == b"1.2.840.10008.5.1.4.1.1.4"
    (item,) = top(clean(altered(reference(b"1.2.840.10008.5.1.4.1.1.19620304")))[0])[0x00081140].items
    assert item.elements[0].bytes.startswith(b"2.25.")


def code(value: bytes, scheme: bytes, meaning: bytes) -> Element:
    inside = [Element(0x00080100, "SH", value), Element(0x00080102, "SH", scheme), Element(0x00080104, "LO", meaning)]
    return Element(0x00082218, "SQ", None, [Item(inside)])  # AnatomicRegionSequence


@pytest.mark.parametrize(
    ("value", "scheme", "meaning", "kept"),
    [
        (b"12738006", b"SCT", b"Brain", b"Brain"),
        (b"T-A0100", b"SRT", b"Brain", b"Brain"),
        (b"12738006", b"SCT", b"Brain of Zephyrina", b"Brain"),
        (b"12738006", b"SCT", b"Quibblewick", b"Brain structure"),
        (b"12738007", b"SCT", b"Brain", None),
        (b"19620304", b"SCT", b"Brain", None),
        (b"JOHN", b"DCM", b"Brain", None),
        (b"113041", b"DCM", b"Apparent Diffusion Coefficient", b"Apparent Diffusion Coefficient"),
        (b"113041", b"99SMITH", b"Brain", None),
        (b"JO-HN", b"LOCAL", b"Brain", None),
        (b"471108", b"DCM", b"Brain", None),
        (b"mm", b"UCUM", b"millimeter", b"mm"),
        (b"Smith", b"UCUM", b"unit", None),
    ],
)
def test_a_code_stays_where_its_scheme_is_public_and_the_value_is_one_of_its_own(altered, clean, value, scheme, meaning, kept):
    product, _ = clean(altered(code(value, scheme, meaning)))
    left = top(product).get(0x00082218)
    if kept is None:
        assert left is None
        return
    found = {e.tag: e.bytes.strip() for e in left.items[0].elements}
    assert found[0x00080100] == value and (found[0x00080104].startswith(kept) or kept in found[0x00080104] or kept == b"mm")
    assert b"Zephyrina" not in found[0x00080104] and b"Quibblewick" not in found[0x00080104]


def test_the_last_of_two_equal_tags_is_left_behind_at_every_depth(altered, clean):
    inside = [Element(0x00081155, "UI", b"1.2.3.4.1.9"), Element(0x00081155, "UI", b"1.2.3.4.1.8"), Element(0x00081150, "UI", b"1.2.840.10008.5.1.4.1.1.4")]
    path = altered(Element(0x00081140, "SQ", None, [Item(inside)]))
    raw = path.read_bytes()
    pixel = raw.index(b"\xe0\x7f\x10\0OW")
    twice = b"".join(elements.body([Element(0x0008103E, "LO", b"T2 Quibblewick"), Element(0x00100010, "PN", b"Second^Person")], None))
    path.write_bytes(raw[:pixel] + twice + raw[pixel:])
    product, done = clean(path)
    file = elements.read(product)
    assert not file.duplicates and product.read_bytes().count(b"2.25.") > 3
    assert [e.tag for e in file.top()[0x00081140].items[0].elements] == [0x00081150, 0x00081155], "each once, in order"
    assert file.top()[0x0008103E].bytes.startswith(b"T1 mprage") and "Second^Person" in done.removed


@pytest.mark.parametrize(
    "extra",
    [
        Element(0x00189999, "LO", b"Zq1vex"), Element(0x00080000, "UL", b"c\0\0\0"), Element(0x50000022, "LO", b"Zq1vex"), Element(0x60000022, "LO", b"Zq1vex"),
        Element(0x60021500, "LO", b"Zq1vex"), Element(0xFFFCFFFC, "OB", b"Zq1vex"), Element(0x00020016, "AE", b"Zq1vex"), Element(0x00041220, "LO", b"Zq1vex"),
        Element(0x00000010, "LO", b"Zq1vex"), Element(0x00880200, "SQ", None, [Item([Element(0x00080008, "CS", b"Zq1vex")])]),
        Element(0x04000500, "SQ", None, [Item([Element(0x04000520, "OB", b"Zq1vex")])]), Element(0x00282000, "OB", b"Zq1vex"),
    ],
)  # fmt: skip
def test_unknown_and_unwanted_attributes_are_gone_at_the_top_and_inside_a_kept_sequence(altered, clean, extra):
    outer = Element(0x00081140, "SQ", None, [Item([Element(0x00081155, "UI", b"1.2.3.4.1.9"), extra])])
    for path in (altered(extra), altered(outer)):
        product, _ = clean(path)
        assert b"q1vex" not in product.read_bytes() and extra.tag not in {e.tag for e in elements.walk(elements.read(product).elements) if e.tag >> 16 != 2}
    assert top(clean(altered(outer))[0])[0x00081140].items[0].elements, "the honest part of the item is kept"


def test_text_in_a_lookup_table_goes_and_a_table_stays(altered, clean):
    def table(data: bytes) -> Element:
        inside = [Element(0x00283002, "US", struct.pack("<3H", len(data) // 2, 0, 16)), Element(0x00283006, "OW", data)]
        return Element(0x00283010, "SQ", None, [Item(inside)])

    for hidden in (b"Quibblewick^Zephyrina!", "Quibblewick".encode("utf-16-le"), bytes(range(200)) + b"housemartin "):
        assert hidden[:8] not in clean(altered(table(hidden)))[0].read_bytes()
    honest = np.arange(0, 4096, 16, dtype="<u2").tobytes()
    assert top(clean(altered(table(honest)))[0])[0x00283010].items[0].elements[-1].bytes == honest


def test_bits_above_the_stored_ones_are_no_part_of_the_picture(altered, clean, mr):
    cells = np.frombuffer(mr().PixelData, "<u2").copy()
    cells[100:200] |= 0x8000  # an overlay, as it used to be drawn
    product, done = clean(altered(Element(0x7FE00010, "OW", cells.tobytes())))
    assert top(product)[0x7FE00010].bytes == (cells & 0x0FFF).tobytes()
    assert any("no part of the picture" in row["why"] for row in done.account["elements"])
    honest, done = clean(altered())
    assert top(honest)[0x7FE00010].bytes == mr().PixelData and not any("no part of the picture" in row["why"] for row in done.account["elements"])


def test_the_sign_of_a_signed_picture_is_no_overlay(altered, clean):
    cells = np.arange(-2048, 2048, dtype="<i2").tobytes()
    product, _ = clean(altered(Element(0x7FE00010, "OW", cells), Element(0x00280103, "US", b"\1\0")))
    assert top(product)[0x7FE00010].bytes == cells


def test_bytes_behind_the_last_frame_and_the_pad_byte_hold_nothing(altered, clean):
    product, _ = clean(altered(Element(0x7FE00010, "OW", bytes(8192) + b"Quibblewick and more")))
    assert top(product)[0x7FE00010].bytes == bytes(8192) and b"uibblewick" not in product.read_bytes()
    odd = [Element(tag, "US", struct.pack("<H", n)) for tag, n in ((0x00280010, 3), (0x00280011, 3), (0x00280100, 8), (0x00280101, 8), (0x00280102, 7))]
    product, _ = clean(altered(*odd, Element(0x7FE00010, "OB", b"\1\2\3\4\5\6\7\x08\x09Z")))
    assert top(product)[0x7FE00010].bytes == b"\1\2\3\4\5\6\7\x08\x09\0"


def test_text_behind_a_nul_and_words_too_many_go_and_the_rest_of_the_value_stays(altered, clean):
    product, _ = clean(altered(Element(0x0008103E, "LO", b"T1 mprage\0Qx Vy\0\0")))
    assert top(product)[0x0008103E].bytes.startswith(b"T1 mprage") and b"\0" not in top(product)[0x0008103E].bytes.strip(b" ")
    long = b"T1 mprage " * 400 + b"Quibblewick"
    product, _ = clean(altered(Element(0x00204000, "LT", long)))
    assert b"uibblewick" not in product.read_bytes() and b"T1 mprage" in top(product)[0x00204000].bytes


@pytest.mark.parametrize("text", ["T1 mprage 92y", "T1 mprage, age: 94", "T1 mprage 101-year-old", "T1 mprage 093Y"])
def test_an_age_above_89_in_free_text_goes(altered, clean, text):
    left = top(clean(altered(Element(0x0008103E, "LO", text.encode())))[0])[0x0008103E].bytes.strip()
    assert left == b"T1 mprage"
    assert top(clean(altered(Element(0x0008103E, "LO", b"T1 mprage TR92 TE94")))[0])[0x0008103E].bytes.strip() == b"T1 mprage TR92 TE94"


def test_only_the_values_that_do_not_parse_are_taken_from_a_list_of_dates(altered, clean, keys):
    tag = 0x00080022
    product, done = clean(altered(Element(tag, "DA", b"20190314\\14.3.19\\20190315 ")))
    first, gone, last = top(product)[tag].bytes.strip().split(b"\\")
    assert gone == b"" and int(last) - int(first) in (1, 70, 73, 8870) and "14.3.19" in done.removed
    assert any(row["keyword"] == "AcquisitionDate" and row["done"] == "removed" and row["n"] == 1 for row in done.account["elements"])


def test_dates_of_devices_and_of_other_people_are_removed_never_moved(altered, clean):
    device = [Element(tag, vr, b"20180102") for tag, vr in ((0x00181200, "DA"), (0x0018700C, "DA"), (0x00141407, "DA"), (0x00181203, "DT"), (0x00081201, "DT"))]
    product, _ = clean(altered(*device))
    assert not {e.tag for e in device} & set(top(product))
    assert 0x00080022 in top(product), "the image's own date is moved, and stays"


def test_a_time_zone_goes_and_the_moment_stays(altered, clean):
    product, _ = clean(altered(Element(0x00080201, "SH", b"+0130 "), Element(0x0008002A, "DT", b"20190314094501.123456+0130")))
    left = top(product)
    assert 0x00080201 not in left and b"+" not in left[0x0008002A].bytes and left[0x0008002A].bytes.strip().endswith(b".000000")


def test_what_group_2_holds_is_what_the_standard_asks_and_agrees_with_the_data_set(planted, clean, tmp_path):
    product, _ = clean(planted().save(tmp_path / "in.dcm"))
    data = pydicom.dcmread(product)
    assert {e.tag & 0xFFFF for e in data.file_meta} == {0x0000, 0x0001, 0x0002, 0x0003, 0x0010, 0x0012, 0x0013}
    assert (data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID) == (data.SOPClassUID, data.SOPInstanceUID)
    assert data.preamble == b"\0" * 128
