"""A Siemens CSA header with a token in every nook: the numbers come through, the tokens do not, and readers still read it."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deid import csa, descriptors, elements

pytestmark = pytest.mark.filterwarnings("ignore:The DICOM readers")
SCRUB = descriptors.Scrubber(frozenset({"Quibblewick^Zephyrina"}), frozenset({"4711234", "MRN-4711"}))
TOKEN = b"Zq7vex"


def entry(name: bytes, values: list[bytes], *, vm: int = 1, vr: bytes = b"DS\0\0", kind: int = 3, mark: int = 77, stray: bytes = b"") -> tuple[object, ...]:
    return name, values, vm, vr, kind, mark, stray


def header(entries: list[tuple[object, ...]], *, two: bool = True, tail: bytes = b"") -> bytes:
    """A CSA header. `stray` of an entry fills what no reader reads: behind the zero of its name, in its items' spare numbers, and in their padding."""
    out = [b"SV10\4\3\2\1" if two else b"", struct.pack("<II", len(entries), 77)]
    first = len(entries[0][1]) if entries else 0
    for name, values, vm, vr, kind, mark, stray in entries:
        out.append(struct.pack("<64si4siii", (name + b"\0" + stray * 9)[:64] if stray else name, vm, vr, kind, len(values), mark))
        for value in values:
            spare = int.from_bytes(stray[:3], "little") if stray and two else 77
            size = len(value)
            out.append(struct.pack("<4i", spare if two else size + first, size, spare, size if two else spare))
            out.append(value + (stray * 2)[: -size % 4].ljust(-size % 4, b"\0"))
    return b"".join(out) + tail


def read(raw: bytes) -> dict[str, list[object]]:
    """What nibabel reads of a header: name -> values. (Its CSA1 reader takes no first entry with items, so those are turned into CSA2 first.)"""
    from nibabel.nicom import csareader

    if raw[:4] != b"SV10":
        entries, _ = csa._read(raw, False)
        raw = header([entry(e.name.encode(), e.items, vm=e.vm, vr=e.vr.ljust(4, b"\0"), kind=e.kind, mark=e.mark) for e in entries])
    return {name: tag["items"] for name, tag in csareader.read(raw)["tags"].items()}


PROTOCOL = b"""<XProtocol>Zq7vex</XProtocol>
### ASCCONV BEGIN object=Zq7vex ###
sSliceArray.lSize\t = \t35
tReferenceImage0 = ""Zq7vex""
### ASCCONV END ###
Zq7vex"""
PLANTED = {
    "behind the zero of a name": entry(b"B_value", [b"1000\0"], stray=TOKEN),
    "behind the zero of a value": entry(b"B_value", [b"1000\0Zq7vex\0"]),
    "in a number": entry(b"B_value", [b"Zq7vex\0"]),
    "in one number of many": entry(b"DiffusionGradientDirection", [b"0.5\0", b"Zq7vex\0", b"0.25\0"], vm=3),
    "in a machine word": entry(b"ImaCoilString", [b"Zq7vex\0"], vr=b"LO\0\0"),
    "in an unknown entry": entry(b"PatientsHistory", [b"Zq7vex\0"], vr=b"LO\0\0"),
    "in the name of an entry": entry(TOKEN, [b"1\0"]),
    "in the protocol": entry(b"MrPhoenixProtocol", [PROTOCOL], vr=b"UN\0\0"),
}


@pytest.mark.parametrize("two", [True, False], ids=["CSA2", "CSA1"])
@pytest.mark.parametrize("place", PLANTED)
def test_a_token_in_a_nook_goes_and_the_numbers_stay(place: str, two: bool) -> None:
    for order in (1, -1):  # the first entry is special: in CSA1 all lengths count from it
        entries = [PLANTED[place], entry(b"NumberOfImagesInMosaic", [b"36\0", b""])][::order]
        raw = header(entries, two=two)
        assert TOKEN in raw
        fresh = csa.rewrite(raw, SCRUB)
        assert fresh is not None and TOKEN not in fresh
        assert read(fresh)["NumberOfImagesInMosaic"][0] == 36


def test_a_token_behind_the_last_entry_and_in_spare_numbers_goes() -> None:
    raw = header([entry(b"EchoTime", [b"2.98\0"], stray=TOKEN, mark=77)], tail=TOKEN * 3)
    fresh = csa.rewrite(raw, SCRUB)
    assert fresh is not None and b"Zq7" not in raw[:4] and b"Zq7" not in fresh and read(fresh)["EchoTime"] == [2.98]


def test_letters_in_the_fields_of_an_entry_go() -> None:
    john = int.from_bytes(b"John", "little")
    fresh = csa.rewrite(header([entry(b"EchoTime", [b"2.98\0"], vm=john, kind=john, vr=b"Joe\0")]), SCRUB)
    assert fresh is not None and b"John" not in fresh and b"Jo" not in fresh
    assert csa.rewrite(header([entry(b"EchoTime", [b"2.98\0"], mark=john)]), SCRUB) is None  # no header has that: refused as a whole


@pytest.mark.parametrize("value", [b"4711234\0", b"19620304\0", b"0.4711234\0", b"5551234567\0", b"1962 03 04\0", b"1e\0", b"--\0"])
def test_a_number_that_is_somebodys_or_none_goes(value: bytes) -> None:
    fresh = csa.rewrite(header([entry(b"EchoTime", [value])]), SCRUB)
    assert fresh is not None and value.rstrip(b"\0") not in fresh


@pytest.mark.parametrize(
    ("name", "value"), [(b"EchoTime", b"2.98\0"), (b"UsedChannelMask", b"4294967295\0"), (b"RealDwellTime", b"2600\0"), (b"dBdt", b"-1e-3\0")]
)
def test_a_number_that_is_nobodys_stays_to_the_letter(name: bytes, value: bytes) -> None:
    fresh = csa.rewrite(header([entry(name, [value])]), SCRUB)
    assert fresh is not None and value in fresh and name + b"\0" in fresh


def test_words_stay_only_when_they_are_vocabulary() -> None:
    raw = header([entry(b"ImaCoilString", [b"HEA;HEP\0", b"Quibblewick\0"], vr=b"LO\0\0"), entry(b"PhaseEncodingDirection", [b"ROW \0"], vr=b"CS\0\0")])
    fresh = csa.rewrite(raw, SCRUB)
    assert fresh is not None and b"HEA;HEP" in fresh and b"ROW" in fresh and b"Quibble" not in fresh


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SV10",
        b"SV10" + b"x" * 40,
        header([entry(b"EchoTime", [b"1\0"])])[:-8],
        header([entry(b"EchoTime", [b"1\0"])]).replace(struct.pack("<II", 1, 77), struct.pack("<II", 2, 77)),
        header([entry(b"EchoTime", [b"1\0"])]).replace(struct.pack("<II", 1, 77), struct.pack("<II", 0, 77)),
        struct.pack("<II", 2**31, 77) + b"\0" * 200,
    ],
    ids=["nothing", "magic only", "noise", "cut", "one entry too many", "no entries", "absurd count"],
)
def test_a_header_whose_counts_lie_goes_as_a_whole(raw: bytes) -> None:
    assert csa.rewrite(raw, SCRUB) is None


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_mutation_breaks_the_rewriting_or_carries_a_token_through(seed: int, two: bool) -> None:
    draw = random.Random(seed)
    raw = bytearray(header([*PLANTED.values(), entry(b"EchoTime", [b"2.98\0"])], two=two, tail=TOKEN))
    for _ in range(draw.randint(1, 12)):
        at = draw.randrange(len(raw))
        if TOKEN not in raw[max(0, at - 6) : at + 6]:
            raw[at] = draw.randrange(256)
    fresh = csa.rewrite(bytes(raw), SCRUB)
    assert fresh is None or TOKEN not in fresh


def test_real_headers_keep_every_number_that_conversion_reads(mri) -> None:
    seen = 0
    for case in ("siemens_bold_mosaic", "siemens_bold_pe", "siemens_fieldmap", "siemens_visit_face"):
        for path in sorted(p for p in (mri / "dicom" / case).rglob("*") if p.is_file())[::40]:
            try:
                found = elements.read(path).elements
            except Exception:
                continue
            for raw in (e.bytes for e in found if e.tag in (0x00291010, 0x00291020)):
                fresh = csa.rewrite(raw, SCRUB)
                assert fresh is not None
                before, after = read(raw), read(fresh)
                for name in csa.names().numbers & before.keys():
                    assert after[name] == before[name], name
                assert set(after) <= set(before) | {"Removed"}
                assert csa.rewrite(fresh, SCRUB) == fresh  # nothing is lost by doing it twice
                seen += 1
    assert seen >= 10
