"""A Siemens protocol and GE's blocks with a token in every nook: numbers under known names come through, people do not."""

from __future__ import annotations

import gzip
import struct
import zlib

import pytest

from deid import asc_protocol, descriptors, ge_blocks

SCRUB = descriptors.Scrubber(frozenset({"Quibblewick^Zephyrina"}), frozenset({"4711234", "MRN-4711"}))
TOKEN = "Zq7vex"


def block(*lines: str, head: str = " ") -> str:
    return f"### ASCCONV BEGIN{head}###\n" + "\n".join(lines) + "\n### ASCCONV END ###"


def rewritten(*lines: str, head: str = " ") -> str:
    return asc_protocol.rewrite(block("sSliceArray.lSize\t = \t35", *lines, head=head), SCRUB)


@pytest.mark.parametrize(
    "line",
    [
        "sSliceArray.asSlice[0].dThickness\t = \t3.0",
        "sSliceArray.asSlice[35].sPosition.dTra\t = \t-62.13513566",
        "sPat.lAccelFactPE\t = \t2",
        "sSliceAcceleration.lMultiBandFactor\t = \t3",
        "sWipMemBlock.alFree[3]\t = \t140",
        "sKSpace.ucPhasePartialFourier\t = \t0x10",
        "sTXSPEC.asNucleusInfo[0].lFrequency\t = \t123247640",
        "sDiffusion.alBValue[1]\t = \t1000",
        "sAsl.ulLabelingDuration\t = \t1500000",
        "sFastImaging.lTurboFactorMode\t = \t3",  # not seen before, but made of words that were
        'sCoilSelectMeas.aRxCoilSelectData[0].asList[0].sCoilElementID.tElement\t = \t"HEA"',
        'sTXSPEC.asNucleusInfo[0].tNucleus\t = \t""1H""',
        'tSequenceFileName\t = \t""%CustomerSeq%\\nih_ep2d_bold""',
        'sProtConsistencyInfo.tBaselineString\t = \t""N4_VE11C_LATEST_20160120""',
    ],
)
def test_what_conversion_needs_stays_to_the_letter(line: str) -> None:
    assert line in rewritten(line).splitlines()


@pytest.mark.parametrize(
    "line",
    [
        f'tReferenceImage0 = ""{TOKEN}""',
        f'sWipMemBlock.tFree = ""{TOKEN}""',
        f'tProtocolName = ""ep2d {TOKEN}""',
        f'sCoilSelectMeas.tCoilID = "{TOKEN}"',
        f'tSequenceFileName = ""C:\\{TOKEN}\\ep2d""',
        f'sProtConsistencyInfo.tBaselineString = ""N4_VE11C_LATEST_{TOKEN}""',
        f"sSliceArray.{TOKEN} = 5",
        f"s{TOKEN}.lSize = 5",
        f"sSliceArray.lSize[{TOKEN}] = 5",
        f"sSliceArray.lSize = 5 # {TOKEN}",
        f"sSliceArray.lSize = {TOKEN}",
        f"{TOKEN}",
        f"### {TOKEN}",
        f'tNewText = "{TOKEN}"',
        f'sPat.tName = "{TOKEN}',
        f"sSliceArray.lSize =\t{'9' * 1100}{TOKEN}",
    ],
)
def test_a_token_anywhere_in_a_line_goes(line: str) -> None:
    out = rewritten(line)
    assert TOKEN not in out and "sSliceArray.lSize\t = \t35" in out


@pytest.mark.parametrize(
    "line",
    [
        "sWipMemBlock.alFree[0] = 4711234",  # the patient's own number
        "sWipMemBlock.adFree[0] = 0.4711234",
        "sWipMemBlock.alFree[0] = 19620304",  # a day
        "sSliceArray.lSize = 5551234567",  # too long for what it says
        "lStudyDay = 5",
        "sPatient.dWeight = 70",
        "sDiffusion.sFreeDiffusionData.sComment.0 = 0x4a    # 'J'",  # a text, letter by letter
        "sCoilSelectMeas.CoilPlugs.Plug[0].IdPart[0] = 238",
        "ulQuibblewick = 5",
        "sSmith.lJohn = 5",
        "sLi.lJo = 5",
    ],
)
def test_a_number_that_may_be_somebodys_goes(line: str) -> None:
    assert rewritten(line).splitlines()[1:-1] == ["sSliceArray.lSize\t = \t35"]


def test_around_and_between_the_blocks_nothing_stays() -> None:
    first = block("sPat.lRefLinesPE = 24", head=f" object={TOKEN} version=51130001 ")
    text = f"<XProtocol>{TOKEN}</XProtocol>\n{first}\n{TOKEN}\n{block('lContrasts = 2')}{TOKEN}"
    out = asc_protocol.rewrite(text, SCRUB)
    assert TOKEN not in out and out.count("ASCCONV BEGIN") == 2
    assert "version=51130001" in out and "lRefLinesPE\t = \t24" in out and "lContrasts\t = \t2" in out
    assert "version" not in asc_protocol.rewrite(block("lContrasts = 2", head=" version=19620304 "), SCRUB)
    assert asc_protocol.rewrite(f"no block, but {TOKEN}", SCRUB) == ""
    assert asc_protocol.rewrite(out, SCRUB) == out


def test_free_text_of_a_sequence_loses_builds_days_and_people() -> None:
    written = "c90dac29-7893-4e98-9f19-be2ce2e7cc10||Sequence: R017 nxva30a/master r/d34922cc2+; Jun 27 2022 13:23:04 by eja"
    out = rewritten(f'sWipMemBlock.tFree = ""{written}""')
    assert "Sequence" in out
    for gone in ("c90dac29", "d34922cc2", "2022", "13:23", "eja"):
        assert gone not in out


# --- GE ---


def protocol_block(text: str, *, name: bytes = b"", length: bool = True) -> bytes:
    """A GE protocol data block; `name` is planted as the file name in the gzip header (RFC 1952)."""
    packed = gzip.compress(text.encode("latin-1"), mtime=1_600_000_000)
    if name:
        packed = packed[:3] + b"\x08" + packed[4:10] + name + b"\0" + packed[10:]
    return (struct.pack("<I", len(packed)) if length else b"") + packed


def unpacked(raw: bytes) -> str:
    return zlib.decompressobj(31).decompress(raw[raw.index(b"\x1f\x8b") :]).decode("latin-1")


def test_a_ge_protocol_keeps_its_numbers_and_loses_people() -> None:
    good = ['SLICEORDER "1"', 'VIEWORDER "0"', 'TE "Min Full"', 'MULTIBVALUE "1000.0;"', 'SLOC1 "I17.7"', 'COIL "32Ch Head"', 'MBACCEL "3"']
    bad = [
        f'SEDESC "{TOKEN}"',
        f'NOTES "{TOKEN}"',
        'PDGMUID "1.2.840.113"',
        f'{TOKEN.upper()} "1"',
        'TR "4711234"',
        'TI "19620304"',
        f"{TOKEN}",
        'STATION "77"',
    ]
    raw = protocol_block("\n".join(good + bad), name=TOKEN.encode())
    fresh = ge_blocks.rewrite_protocol(raw, SCRUB)
    assert TOKEN.encode() in raw and fresh is not None and TOKEN.encode() not in fresh
    assert unpacked(fresh).splitlines() == [*good, 'SEDESC ""', 'TI ""']
    assert struct.unpack_from("<I", fresh)[0] == len(fresh) - 4
    assert ge_blocks.rewrite_protocol(fresh, SCRUB) == fresh


@pytest.mark.parametrize(
    "raw", [b"", b"no gzip at all", b"\x1f\x8b\x08" + b"x" * 40, b"x" * 20 + gzip.compress(b'TE "1"', mtime=0)], ids=["empty", "no gzip", "damaged", "too late"]
)
def test_what_is_no_ge_protocol_goes(raw: bytes) -> None:
    assert ge_blocks.rewrite_protocol(raw, SCRUB) is None


def test_ge_user_data_keeps_six_numbers_and_no_letters() -> None:
    raw = bytearray(TOKEN.encode() * 800)[:4096]
    struct.pack_into("<H", raw, 24, 1544)
    struct.pack_into("<f", raw, 1544, 28.002999)
    for at in (0x4C + 0x3A, 0x4C + 0x30, 0x4C + 0x394 - 0x8C):
        struct.pack_into("<H", raw, 1544 + at, 0x4840)
    fresh = ge_blocks.rewrite_user_data(bytes(raw))
    assert fresh is not None and len(fresh) == len(raw)
    kept = [at for at in range(len(fresh)) if fresh[at]]
    assert len(kept) <= 12 and struct.unpack_from("<H", fresh, 1544 + 0x4C + 0x3A)[0] == 0x4840
    assert not any(fresh[at : at + 2].isalpha() for at in kept)
    assert ge_blocks.rewrite_user_data(fresh) == fresh
    assert ge_blocks.rewrite_user_data(bytes(raw[:900])) is None and ge_blocks.rewrite_user_data(b"\xff" * 2000) is None
