"""A number that the last gate will look for goes from vendor data with its line, and the file is written; one that nobody carries stays."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from deid import elements, verify
from deid.elements import Element

NUMBER, DAY, SHORT = "48213", "1962063", "3117"  # the second is the birth date as a day of its year; the third is too short to be looked for among numbers


def csa(**entries: str) -> bytes:
    out = [b"SV10\4\3\2\1", struct.pack("<II", len(entries), 77)]
    for name, value in entries.items():
        item = value.encode() + b"\0"
        out.append(struct.pack("<64si4siii", name.encode(), 1, b"IS\0\0", 6, 1, 77) + struct.pack("<4i", len(item), len(item), 77, len(item)))
        out.append(item + b"\0" * (-len(item) % 4))
    return b"".join(out)


def protocol(value: str) -> str:
    return f"### ASCCONV BEGIN ###\nlContrasts\t = \t2\nlFrequency\t = \t{value}\nsSliceArray.lSize\t = \t35\n### ASCCONV END ###\n"


def block(value: str) -> bytes:
    packed = gzip.compress(f'NUMACCELFACTORS "2"\nFOV "{value}"\n'.encode())
    return struct.pack("<I", len(packed)) + packed


PLACES = {
    "CSA": lambda value: [Element(0x00290010, "LO", b"SIEMENS CSA HEADER"), Element(0x00291010, "OB", csa(EchoTime="2.98", RealDwellTime=value))],
    "ASCCONV in CSA": lambda value: [
        Element(0x00290010, "LO", b"SIEMENS CSA HEADER"),
        Element(0x00291020, "OB", csa(EchoTime="2.98", MrPhoenixProtocol=protocol(value))),
    ],
    "GE, protocol block": lambda value: [Element(0x00250010, "LO", b"GEMS_SERS_01"), Element(0x0025101B, "OB", block(value))],
    "GE, text": lambda value: [
        Element(0x00430010, "LO", b"GEMS_PARM_01"),
        Element(0x00431084, "LO", f"10\\0\\{value}".encode()),
        Element(0x00431001, "SS", struct.pack("<h", 5)),
    ],
    "private decimal": lambda value: [Element(0x00190010, "LO", b"SIEMENS MR HEADER"), Element(0x0019100C, "IS", value.encode().ljust(8))],
    "public decimal": lambda value: [Element(0x00180095, "DS", value.encode().ljust(8))],
}


def told(path: Path) -> bytes:
    """All values of a file, GE's block unpacked."""
    values = [element.bytes for element in elements.walk(elements.read(path).elements) if element.items is None]
    return b"\n".join(gzip.decompress(value[4:]) if value[4:7] == b"\x1f\x8b\x08" else value for value in values)


ABOUT = [Element(0x00104000, "LT", f"see file {NUMBER}".encode()), Element(0x00400280, "ST", f"and {SHORT} ".encode())]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", [NUMBER, DAY])
def test_a_number_that_somebody_wrote_of_the_patient_goes_and_the_file_stays(clean, altered, place: str, number: str) -> None:
    source = altered(*ABOUT, *PLACES[place](number))
    assert number.encode() in told(source)
    product, done = clean(source)
    lawful = number == DAY and place.endswith("decimal")  # no days are looked for where nothing but numbers may stand
    assert (number.encode() in told(product)) is lawful and any(NUMBER in value for value in done.removed)
    assert verify.search([product], done.removed) == []


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("number", ["48214", SHORT, "1962064"])
def test_its_twin_that_nobody_carries_stays(clean, altered, place: str, number: str) -> None:
    product, done = clean(altered(*ABOUT, *PLACES[place](number)))
    assert number.encode() in told(product)
    assert verify.search([product], done.removed) == []
