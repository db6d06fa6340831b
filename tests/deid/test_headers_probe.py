"""One token in every attribute that may be kept, at once, at the top and in a kept sequence: whatever kind of value it is, none of it comes out."""

from __future__ import annotations

import pytest
from pydicom.datadict import DicomDictionary

from deid import elements, errors, profile, signing
from deid.tree import Element, Item

GEOMETRY = (0x00280002, 0x00280004, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102, 0x00280103)
IDENTITY = (0x00080016, 0x00080018, 0x0020000D, 0x0020000E, 0x00080060, 0x00420011)
CODES = (0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120)
NUMBERS = ("DS", "IS")


def planted(token: str, numbers: bool) -> list[Element]:
    """The token in every attribute that a rule names and whose value is a string or bytes."""
    out = []
    for tag in sorted(profile.load().rules):
        vr = DicomDictionary[tag][0][:2]
        if vr == "SQ" or tag in (*GEOMETRY, *IDENTITY, *CODES, 0x7FE00010, 0x00280008) or tag in signing.WRITTEN_ANEW or (vr in NUMBERS and not numbers):
            continue
        text = token.encode() + b" " * (len(token) & 1)
        width = elements.WIDTH.get(vr)
        out.append(Element(tag, vr, text if width is None or vr == "OW" else (text * width)[: max(width, len(text) // width * width)]))
    return out


def left(product, token: str) -> set[str]:
    rules = profile.load().rules
    low = token.lower().encode()
    found = (e for e in elements.walk(elements.read(product).elements) if e.tag != 0x7FE00010 and low in e.bytes.lower())
    return {rules[e.tag].keyword if e.tag in rules else hex(e.tag) for e in found}


OWN = [("Oduya^Wren", "P-83310", "Oduya"), ("Oduya^Wren", "P-83310", "WREN"), ("Lee^An", "P-83310", "Lee"), ("Oduya^Wren", "83310457", "83310457"),
       ("Oduya^Wren", "P-83310", "P-83310"), ("Oduya^Wren", "AB77", "AB77"), ("Müller^Zoë", "P-83310", "Muller")]  # fmt: skip
STRANGE = ["Meier", "Quibblewick", "KOWALSKI", "83310457", "1962-03-04", "19620304", "04.03.1962", "AB123456", "555-0142", "jo@x.org", "+49 30 1234567"]


@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
@pytest.mark.parametrize(("name", "patient_id", "token"), [*OWN, *(("Oduya^Wren", "P-1234567", token) for token in STRANGE)])
def test_a_token_in_every_attribute_that_may_be_kept_is_left_in_none(mr, altered, clean, name, patient_id, token, nested):
    token_is_number = token.isdecimal()
    fresh = planted(token, numbers=True)
    if nested:
        fresh = [Element(0x00081140, "SQ", None, [Item(fresh)])]
    try:
        product, _ = clean(altered(*fresh, base=mr(name=name, patient_id=patient_id)))
    except errors.Refused as refused:
        assert refused.code == "pixels_do_not_fit" and token_is_number, "a number in place of a size may be refused"
        return
    assert left(product, token) == set()


def test_what_is_vocabulary_stays_in_the_same_places(mr, altered, clean):
    """The twin: an honest word is kept where it may be, so that the test above does not pass because everything goes."""
    words = [Element(e.tag, e.vr, b"HEAD") for e in planted("HEAD", numbers=False) if e.vr in ("LO", "SH", "CS", "LT", "ST")]
    product, _ = clean(altered(*words))
    assert len(left(product, "HEAD")) > 120
