"""Private elements in every disguise: what is listed stays when its value is what the list says, and nothing else does."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from deid import descriptors, elements, safe_private, vendor
from deid.elements import Element

TOKEN = "Zq7vex"
SCRUB = descriptors.Scrubber(frozenset({"Quibblewick^Zephyrina", "Tran^Anh"}), frozenset({"4711234", "MRN-4711"}))


@dataclass
class Context:
    codecs: tuple[str, ...] = ("iso8859",)
    scrub: descriptors.Scrubber = field(default_factory=lambda: SCRUB)

    def clean_items(self, element, place):
        return [elements.Item([])]


def kept(creator: str, group: int, low: int, vr: str, value: bytes) -> bytes | None:
    found = vendor.keep(creator, group, low, Element(group << 16 | 0x1000 | low, vr, value), Context())
    return None if found is None else found.bytes


def test_every_row_of_the_standard_that_can_be_checked_is_on_the_list() -> None:
    table = safe_private.table()
    assert table["SIEMENS MR HEADER", 0x0019][0x0C] == "number" and table["SIEMENS MR HEADER", 0x0019][0x27] == "number"
    assert table["GEMS_PARM_01", 0x0043][0x6F] == "number" and table["Philips MR Imaging DD 001", 0x2005][0x0E] == "number"
    assert table["ELSCINT1", 0x01E1][0x26] == "term" and 0x12 not in table["HOLOGIC, Inc.", 0x7E01]  # bulk data of the list cannot be checked
    assert ("HOLOGIC, Inc.", 0x7E01) in table and 0x02 not in table["NQHeader", 0x0099]  # nor can UIDs


@pytest.mark.parametrize(
    ("creator", "group", "low", "vr", "value"),
    [
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", b"1000"),
        ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", struct.pack("<3d", 0.5, -0.25, 0.829)),
        ("SIEMENS MR HEADER", 0x0019, 0x0D, "CS", b"DIRECTIONAL "),
        ("SIEMENS MR HEADER", 0x0051, 0x0F, "LO", b"HEA;HEP "),
        ("GEMS_PARM_01", 0x0043, 0x39, "IS", b"1000\\8\\0\\0"),
        ("GEMS_PARM_01", 0x0043, 0x39, "IS", b"1000001000\\8\\0\\0 "),  # how GE marks a b-value
        ("GEMS_PARM_01", 0x0043, 0x27, "SH", b"0.984:1 "),
        ("Philips Imaging DD 001", 0x2001, 0x03, "FL", struct.pack("<f", 1000)),
        ("Philips MR Imaging DD 001", 0x2005, 0x0E, "FL", struct.pack("<f", 0.0021)),
        ("TOSHIBA_MEC_MR3", 0x700D, 0x00, "DS", b"1.5 "),
        ("Philips MR Imaging DD 005", 0x2005, 0x2E, "FL", b"\x9e\xc9\xff~"),  # Philips for "no value"
    ],
)
def test_a_listed_value_stays_as_it_is_declared_or_not(creator: str, group: int, low: int, vr: str, value: bytes) -> None:
    assert kept(creator, group, low, vr, value) == value
    assert kept(creator, group, low, "UN", value) == value  # wrongly declared, or not at all
    assert kept(creator + " X", group, low, vr, value) is None
    assert kept(creator, group + 2, low, vr, value) is None
    assert kept("", group, low, vr, value) is None


@pytest.mark.parametrize(
    ("creator", "group", "low", "vr", "value"),
    [
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", b"4711234 "),  # the patient's own number
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", b"19620304"),
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", b"Zq7vex"),
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "LO", b"Zq7vex"),
        ("SIEMENS MR HEADER", 0x0019, 0x0C, "PN", b"Zq7vex"),
        ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", b"Quibblewick Zephyrina   "),  # letters in the place of numbers
        ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", b"Zq7vexZq7vexZq7vexZq7vex"),
        ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", b"ZEPHYRINA QUIBBLEWICK AA"),
        ("SIEMENS MR HEADER", 0x0019, 0x0A, "US", b"Quibblewic"),
        ("SIEMENS MR HEADER", 0x0019, 0x0A, "US", b"Tran"),  # short, but the patient's
        ("Philips Imaging DD 001", 0x2001, 0x03, "FL", b"Zephyrin"),
        ("GEMS_SERS_01", 0x0025, 0x07, "SL", struct.pack("<l", 4711234)),
        ("GEMS_SERS_01", 0x0025, 0x07, "SL", struct.pack("<l", 19620304)),
        ("SIEMENS MR HEADER", 0x0019, 0x0D, "CS", b"QUIBBLEWICK "),
        ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", b"odd length"),
        ("Image Private Header", 0x0065, 0x00, "UL", struct.pack("<L", 1_537_853_911)),  # the second of the scan
        ("SIEMENS CSA HEADER", 0x0029, 0x10, "OB", b"Zq7vex" * 20),
        ("SIEMENS MR SDS 01", 0x0021, 0x19, "OB", b"Zq7vex" * 20),
        ("GEMS_SERS_01", 0x0025, 0x1B, "OB", b"Zq7vex" * 20),
        ("GEMS_PARM_01", 0x0043, 0x2A, "OB", b"Zq7vex" * 400),
        ("HOLOGIC, Inc.", 0x7E01, 0x12, "OB", b"Zq7vex"),
        ("SIEMENS MR HEADER", 0x0019, 0x99, "IS", b"1000"),
    ],
)
def test_a_value_that_is_not_what_the_list_says_goes(creator: str, group: int, low: int, vr: str, value: bytes) -> None:
    assert kept(creator, group, low, vr, value) is None


def test_a_text_of_the_list_loses_people_and_keeps_the_machine() -> None:
    assert kept("SIEMENS MR HEADER", 0x0051, 0x0F, "LO", b"HEA;HEP Quibblewick 4711234") == b"HEA;HEP"
    assert kept("SIEMENS MR HEADER", 0x0051, 0x0F, "LO", TOKEN.encode()) is None


# --- in whole files ---


def block(data: Dataset, group: int, creator: str) -> pydicom.dataset.PrivateBlock:
    return data.private_block(group, creator, create=True)


@pytest.mark.parametrize("syntax", [pydicom.uid.ExplicitVRLittleEndian, pydicom.uid.ImplicitVRLittleEndian])
def test_in_a_file_the_safe_stays_at_any_depth_and_the_rest_goes(mr, saved, clean, syntax) -> None:
    data = mr(syntax=syntax)
    known = block(data, 0x0019, "SIEMENS MR HEADER")
    known.add_new(0x0C, "IS", "1000")
    known.add_new(0x05, "LO", TOKEN)
    block(data, 0x0019, "SIEMENS MR HEADER " + TOKEN).add_new(0x0C, "IS", "1001")
    block(data, 0x0019, "siemens mr header").add_new(0x0C, "IS", "1002")
    data.add_new(0x00191F0C, "IS", "1003")  # no creator
    data.add_new(0x00210010, "LO", ["SIEMENS MR SDS 01", TOKEN])
    data.add_new(0x00211005, "FL", 1.5)
    inner = Dataset()
    block(inner, 0x0021, "SIEMENS MR SDS 01").add_new(0x05, "IS", "2")
    block(inner, 0x0021, "SIEMENS MR SDS 01").add_new(0x07, "LO", TOKEN)
    inner.PatientName = TOKEN
    block(data, 0x0021, "SIEMENS MR SDS 01").add_new(0xFE, "SQ", Sequence([inner]))
    product, done = clean(saved(data))
    out = pydicom.dcmread(product)
    assert TOKEN.encode() not in product.read_bytes()
    assert [e.value for e in out.group_dataset(0x0019) if e.tag.element == 0x100C] == [1000]
    assert not any(e.tag.element >= 0x1100 for e in out.group_dataset(0x0019) if not e.tag.is_private_creator)
    deep = out.private_block(0x0021, "SIEMENS MR SDS 01")[0xFE].value[0]
    assert deep.private_block(0x0021, "SIEMENS MR SDS 01")[0x05].value == 2 and "PatientName" not in deep
    assert TOKEN not in str(done.account)


def test_a_block_whose_creator_stands_twice_keeps_nothing_of_the_second(mr, saved, clean) -> None:
    data = mr()
    block(data, 0x0019, "SIEMENS MR HEADER").add_new(0x0C, "IS", "1000")
    path = saved(data)
    creator = struct.pack("<HH2sH", 0x19, 0x10, b"LO", 18) + b"SIEMENS MR HEADER "
    raw = path.read_bytes()
    assert raw.count(creator) == 1
    path.write_bytes(raw.replace(creator, creator + struct.pack("<HH2sH", 0x19, 0x10, b"LO", 6) + TOKEN.encode()))
    product, _ = clean(path)
    assert TOKEN.encode() not in product.read_bytes()


def test_a_creator_padded_with_nul_or_blanks_is_the_same_creator(mr, saved, clean) -> None:
    data = mr()
    block(data, 0x0019, "SIEMENS MR HEADER").add_new(0x0C, "IS", "1000")
    path = saved(data)
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"SIEMENS MR HEADER ", b"SIEMENS MR HEADER\0"))
    product, _ = clean(path)
    assert pydicom.dcmread(product)[0x0019, 0x100C].value == 1000
