"""What somebody who wanted to smuggle a name through, or to make us lose a good scan, tried with success; each of these once worked."""

from __future__ import annotations

import base64
import struct

import pytest

from deid import coding, figures
from deid.descriptors import Scrubber, is_term
from deid.elements import Element
from deid.needles import Needles
from deid.reading import Reader
from deid.safe_private import checked
from deid.tree import PIXEL_DATA, Item

NOBODY = Scrubber(frozenset())


def element(tag: int, vr: str, value: bytes) -> bytes:
    if vr in ("OW", "OB"):
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr.encode(), 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr.encode(), len(value)) + value


@pytest.mark.parametrize("rest", [b"LEAK0042", b"8314427", b"gorbitan and more"])
@pytest.mark.parametrize("follower", [(), ((0xFFFCFFFC, "OB", bytes(20)),), ((0x7FE10010, "LO", b"MAKER "),)])
def test_text_behind_the_data_set_costs_no_scan_even_where_something_follows_the_picture(follower: tuple[tuple[int, str, bytes], ...], rest: bytes) -> None:
    data = element(PIXEL_DATA, "OW", bytes(8)) + b"".join(element(*one) for one in follower) + rest
    reader = Reader(data, True)
    found, _ = reader.elements(0, len(data), 0)
    assert [e.tag for e in found] == [PIXEL_DATA, *(one[0] for one in follower)]
    assert reader.trailing == len(rest)


@pytest.mark.parametrize(("vr", "value"), [("US", b"S.GEBOV "), ("SS", b"Ditevut "), ("SL", b"ZQB9586V"), ("SS", b"tegole")])
def test_a_name_in_the_place_of_a_makers_counts_goes(vr: str, value: bytes) -> None:
    assert checked(Element(0x0019100A, vr, value), "number", (), NOBODY) is None
    assert figures.reads_as_text(vr, value)
    assert checked(Element(0x0019100A, vr, struct.pack("<4h", 30, 36, 1, 0)), "number", (), NOBODY) is not None


def test_a_second_value_in_a_code_item_goes_for_only_the_first_was_held_against_its_scheme() -> None:
    first, second = Element(coding.VALUE, "SH", b"121322"), Element(coding.LONG_VALUE, "UC", b"J.BUBAB ")
    scheme = Element(coding.SCHEME, "SH", b"DCM ")
    assert coding.judged(Item([first, scheme, second])) == [first, scheme]
    assert coding.judged(Item([scheme, second])) == [scheme, second]


def test_a_patient_called_philip_does_not_cost_us_philips() -> None:
    scrub = Scrubber(frozenset(["Young^Philip"]))
    for free in (True, False):
        assert scrub.clean("Philips Achieva", free=free).text == "Philips Achieva"
        assert scrub.clean("Philip Achieva", free=free).text == "Achieva"
    assert Scrubber(frozenset(["Philips^Anna"])).clean("Philips", free=False).text == "Philips"
    assert Scrubber(frozenset(["Head^Anna"])).clean("Head_32", free=False).text == "Head_32"


def test_a_birth_date_with_a_short_year_goes_from_facts_and_versions_stay() -> None:
    own = Scrubber(frozenset(), frozenset(["19330512"]))
    for form in ("12.5.33", "12/05/33", "05-12-33", "33.5.12"):
        assert own.clean(f"MR {form}", free=False).text == "MR"
    for version in ("11.1.20", "5.7.1", "5.3.0.3", "2.5.18"):
        assert own.clean(version, free=False).text == version
    assert NOBODY.clean("25.12.86", free=False).text == ""
    assert not is_term("25.12.86")
    assert is_term("M_SE")


@pytest.mark.parametrize("free", [True, False])
def test_a_number_with_its_check_letter_goes_and_weightings_and_times_stay(free: bool) -> None:
    assert NOBODY.clean("T1 X5200-B", free=free).text == "T1"
    assert not is_term("R843-M")
    for stays in ("b1000-M", "TE2000-M", "T2-W", "p2-S", "TR2500"):
        assert NOBODY.clean(stays, free=free).text == stays


def test_names_of_the_protocol_are_no_base64_of_somebody_and_real_base64_is() -> None:
    needles = Needles(["zqzr"])
    assert needles.hits("sPat.lAccelFactPE", "text") == ()
    hidden = base64.b64encode(b"the patient zqzr").decode()
    assert needles.hits(hidden, "text") == ("base64",)
