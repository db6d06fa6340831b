"""Vendor data with words of people in it: Siemens CSA and protocol, GE's gzipped protocol, every private element of MR makers in the data dictionary.

What a maker's element may hold is taken from pydicom's private dictionary: text elements get a planted word, identifiers a planted UID, dates a planted day.
Beside them stand values that are known to be safe (b-value, slice times), which a careful tool keeps.
"""

from __future__ import annotations

import gzip
import struct

from hiding_images import Planted
from hiding_people import Words
from hiding_table import TEXT, put, value
from pydicom.datadict import private_dictionaries
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

# Creators that MR scanners write (others in the dictionary are of CT, angiography and so on).
MR_CREATORS = (
    "SIEMENS MR",
    "SIEMENS CSA",
    "SIEMENS MED",
    "SIEMENS MEDCOM",
    "GEMS_",
    "Philips",
    "PHILIPS",
    "SPI-P",
    "Image Private Header",
    "TOSHIBA",
    "CANON",
    "HITACHI",
    "HMC - ",
    "UIH",
)


# --- Siemens -------------------------------------------------------------------------------------------------------------------------------------------


def csa(entries: list[tuple[str, bytes, list[bytes]]], stray: bytes = b"", two: bool = True) -> bytes:
    """A CSA header: (name, VR, values) each; `stray` bytes stand behind every name and value, as the scanner's memory does."""
    out = [b"SV10\x04\x03\x02\x01" if two else b"", struct.pack("<II", len(entries), 77)]
    first = 6
    for name, vr, items in entries:
        filled = [*items, *[b""] * (6 - len(items))]
        field = (name.encode() + b"\0" + stray)[:64].ljust(64, b"\0")
        out.append(struct.pack("<64si4siii", field, len(items), vr + b"\0\0", 6, len(filled), 77))
        for item in filled:
            raw = item + b"\0" + stray if item else b""
            size = len(raw)
            out.append(struct.pack("<4i", *((size, size, 77, size) if two else (size + first, size, 77, size))) + raw + b"\0" * (-size % 4))
    return b"".join(out)


def protocol(planted: Planted, words: Words) -> bytes:
    """MrPhoenixProtocol: an XProtocol head full of people, and an ASCCONV block with people between its numbers."""

    def plant(detail: str) -> str:
        return planted.plant(words.word(), "MrPhoenixProtocol", detail)

    person = planted.person
    lines = [
        'ulVersion\t = \t0x14b44b6', f'tSequenceFileName\t = \t""%CustomerSeq%\\{plant("tSequenceFileName")}""',
        f'tProtocolName\t = \t""t1 {plant("tProtocolName")}""',
        f'tReferenceImage0\t = \t""{planted.plant(words.uid(), "MrPhoenixProtocol", "tReferenceImage0")}""',
        f'sPatient.tName\t = \t""{person.name.split("=")[0]}""',
        f'tPatientID\t = \t""{person.mrn}""', f'sStudy.tComment\t = \t""{plant("comment")}""', f'sWipMemBlock.tFree\t = \t""{plant("tFree")}""',
        f'sCoilSelectMeas.aRxCoilSelectData[0].asList[0].sCoilElementID.tCoilID\t = \t""HeadNeck_64 {plant("tCoilID")}""',
        f'sWipMemBlock.alFree[3]\t = \t{person.birth}',
        "alTR[0]\t = \t2300000", "sKSpace.lBaseResolution\t = \t64", f'tUnknownText\t = \t""{plant("unknown key")}""', f"{plant('key itself')}.lValue\t = \t5",
        f"# {plant('comment line')}", f"alTE[0]\t = \t2980 # {plant('comment after a number')}",
        f"sWipMemBlock.alFree[5]\t = \t{person.digits.lstrip('0')}", f"sAdjData.uiStudyDate\t = \t{person.studies[planted.study]}",
    ]  # fmt: skip
    frame = planted.plant(words.uid(), "MrPhoenixProtocol", "frame of reference")
    head = f'<XProtocol> \n{{\n<ParamString."PatientName"> {{ "{plant("XProtocol PatientName")}" }}\n<ParamString."tFrameOfReference"> {{ "{frame}" }}\n'
    head += f'<ParamMap."{plant("XProtocol key")}"> {{ }}\n}}\n'
    tail = f"\n### ASCCONV BEGIN object=MrProtDataImpl@{plant('object name')} version=41310008 ###\n"
    return (head + tail + "\n".join(lines) + f"\n### ASCCONV END ###\n{plant('behind the end')}\n").encode("latin-1", "replace")


def siemens(planted: Planted, words: Words, two: bool = True) -> None:
    """Both CSA headers, with people in text entries, unknown entries, number entries, the padding, and the tail."""

    def plant(detail: str) -> bytes:
        return planted.plant(words.word(), "CSA blob", f"{detail} CSA{2 if two else 1}").encode()

    stray = plant("padding behind the zero")
    person = planted.person
    image = [
        ("B_value", b"IS", [b"1000"]), ("NumberOfImagesInMosaic", b"US", [b"32"]), ("MosaicRefAcqTimes", b"FD", [b"0.0", b"1205.5", b"62.5"]),
        ("PhaseEncodingDirectionPositive", b"IS", [b"1"]), ("BandwidthPerPixelPhaseEncode", b"FD", [b"22.3"]),
        ("ImaCoilString", b"LO", [b"HEA;HEP " + plant("ImaCoilString")]),
        ("ProtocolSliceNumber", b"IS", [plant("number entry")]), ("ICE_Dims", b"LO", [plant("ICE_Dims")]), ("SequenceName", b"SH", [plant("SequenceName")]),
        ("PatientName", b"PN", [person.name.split("=")[0].encode("latin-1", "replace")]),
        ("ReferencedImageSequence", b"UI", [planted.plant(words.uid(), "CSA blob", "UID").encode()]),
        ("TimeAfterStart", b"DS", [person.birth.encode()]), ("Actual3DImaPartNumber", b"IS", [person.mrn.encode()]),
        (plant("entry name").decode(), b"LO", [plant("unknown entry")]), ("ImageComments", b"LT", [plant("ImageComments")]),
    ]  # fmt: skip
    series = [
        ("UsedPatientWeight", b"IS", [b"61"]), ("Patient", b"LO", [plant("series entry")]), ("MrProtocolVersion", b"IS", [b"41310008"]),
        ("CoilString", b"LO", [plant("CoilString")]), ("MrPhoenixProtocol", b"UN", [protocol(planted, words)]), ("Institution", b"LO", [plant("Institution")]),
    ]  # fmt: skip
    header = planted.data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    header.add_new(0x08, "CS", "IMAGE NUM 4")
    header.add_new(0x10, "OB", _even(csa(image, stray, two) + plant("behind the last entry")))
    header.add_new(0x18, "CS", "MR")
    header.add_new(0x20, "OB", _even(csa(series, stray, two) + plant("behind the last series entry")))
    header.add_new(0x09, "LO", planted.plant(words.word(), "CSA blob", "CSAImageHeaderVersion"))
    other = planted.data.private_block(0x0029, "SIEMENS MEDCOM HEADER", create=True)
    other.add_new(0x31, "LO", planted.plant(words.word(), "private flat", "MEDCOM"))
    other.add_new(0x60, "OB", _even(plant("MEDCOM history")))
    planted.data.private_block(0x0029, "SIEMENS CSA NON-IMAGE", create=True).add_new(0x10, "OB", _even(plant("blob that does not parse")))


def siemens_xa(planted: Planted, words: Words) -> None:
    """The protocol as XA software carries it: raw, in a private sequence of the functional groups."""
    inner = Dataset()
    inner.private_block(0x0021, "SIEMENS MR SDS 01", create=True).add_new(0x19, "OB", _even(protocol(planted, words)))
    inner.private_block(0x0021, "SIEMENS MR SDS 01").add_new(
        0x08, "CS", planted.plant(words.word(14).upper().replace("-", ""), "private nested", "SDS 01 text")
    )
    outer = planted.data.SharedFunctionalGroupsSequence[0] if "SharedFunctionalGroupsSequence" in planted.data else planted.data
    outer.private_block(0x0021, "SIEMENS MR SDS 01", create=True).add_new(0xFE, "SQ", Sequence([inner]))


# --- GE ------------------------------------------------------------------------------------------------------------------------------------------------


def ge(planted: Planted, words: Words) -> None:
    """The gzipped protocol block (and its gzip header's name, comment and extra field), the memory image, and identifiers of the study."""

    def plant(detail: str) -> str:
        return planted.plant(words.word(), "GE protocol block", detail)

    key = planted.plant(words.word().upper().replace("-", "_"), "GE protocol block", "key")
    lines = [
        f'PATNAME "{planted.person.name}"', f'PATID "{planted.person.mrn}"', f'SEDESC "t1 {plant("SEDESC")}"', 'TE "2.9"', f'COIL "{plant("COIL")}"',
        f'{key} "1"',
        f'OPERATOR "{plant("OPERATOR")}"', f'UNKNOWN "{plant("unknown key")}"', f'IEC "{planted.person.birth}"', f'SLTHICK "{planted.person.mrn}"',
        'NUMSLICES "32"', f'VIEWORDER "{plant("VIEWORDER")}"', plant("a line of its own"),
    ]  # fmt: skip
    packed = bytearray(gzip.compress("\n".join(lines).encode("latin-1", "replace"), mtime=0))
    packed[3] = 4 | 8 | 16  # extra field, name, comment (RFC 1952)
    name, comment, extra = (planted.plant(words.word(), "gzip header", what).encode() for what in ("name", "comment", "extra field"))
    stream = bytes(packed[:10]) + struct.pack("<H", len(extra)) + extra + name + b"\0" + comment + b"\0" + bytes(packed[10:])
    stream += plant("behind the gzip stream").encode()
    series = planted.data.private_block(0x0025, "GEMS_SERS_01", create=True)
    series.add_new(0x1B, "OB", _even(struct.pack("<I", len(stream)) + stream))
    series.add_new(0x1A, "SH", planted.plant(words.word(14), "private flat", "GEMS_SERS_01 1A"))
    memory = bytearray(8192)
    struct.pack_into("<H", memory, 24, 512)
    struct.pack_into("<f", memory, 512, 25.0)
    for at, detail in ((100, "before the header"), (600, "in the header"), (3000, "behind it")):
        word = planted.plant(words.word(), "GE user data", detail).encode()
        memory[at : at + len(word)] = word
    parameters = planted.data.private_block(0x0043, "GEMS_PARM_01", create=True)
    parameters.add_new(0x2A, "OB", bytes(memory))
    parameters.add_new(0x39, "IS", [1000000800, 8, 0, 0])


# --- all makers ----------------------------------------------------------------------------------------------------------------------------------------


def dictionary(planted: Planted, words: Words, family: tuple[str, ...], place: str = "private, element known to the dictionary") -> None:
    """Every text, name, UID and date element of the creators whose name begins with one of `family`."""
    for creator, known in sorted(private_dictionaries.items()):
        if not creator.startswith(family) or len(creator) > 64 or not creator.isprintable():
            continue
        for pattern, (vr, *_) in sorted(known.items()):
            group, low = int(pattern[:4], 16), pattern[-2:]
            vr = vr.split(" or ")[0]
            if group % 2 == 0 or group < 9 or vr not in {*TEXT, "CS", "UI", "DA", "DT"} or "x" in low:
                continue
            what, token = value(vr, words, int(low, 16)) or ("", "")
            try:
                block = planted.data.private_block(group, creator, create=True)
            except (KeyError, ValueError):
                continue
            block.add_new(int(low, 16), vr, what)
            planted.plant(token, place, f"{creator} {group:04X},{low}")


def shapes(planted: Planted, words: Words) -> None:
    """Private elements of every shape: flat, nested, orphaned, of an unknown creator, in its name, as UN, as a sequence in UN bytes, dates in text."""
    data, plant = planted.data, planted.plant
    data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x05, "LO", plant(words.word(), "private flat", "known creator, other element"))
    safe = data.private_block(0x0019, "SIEMENS MR HEADER")
    safe.add_new(0x0D, "CS", plant(words.word(14).upper().replace("-", "_"), "private flat", "known creator, safe element"))
    safe.add_new(0x0B, "DS", planted.person.birth)
    data.private_block(0x0051, "SIEMENS MR HEADER", create=True).add_new(0x0F, "LO", f"HEA;HEP {plant(words.word(), 'private flat', 'safe text element')}")
    unknown = data.private_block(0x0011, plant(words.word(), "private creator", "text of the creator"), create=True)
    unknown.add_new(0x01, "LO", plant(words.word(), "private flat", "unknown creator"))
    unknown.add_new(0x02, "LO", f"{planted.person.birth} {plant(words.word(), 'private flat', 'date as text')}")
    deep, middle = Dataset(), Dataset()
    deep.PatientName, middle.SeriesDescription = plant(words.word(), "private nested", "2 deep"), plant(words.word(), "private nested", "1 deep")
    deep.private_block(0x0011, "SOMEBODY", create=True).add_new(0x01, "LO", plant(words.word(), "private nested", "private in private"))
    middle.private_block(0x0011, "SOMEBODY", create=True).add_new(0x05, "SQ", Sequence([deep]))
    unknown.add_new(0x03, "SQ", Sequence([middle]))
    kept = Dataset()
    kept.PatientName, kept.CodeMeaning = (
        plant(words.word(), "private nested", "in a safe sequence"),
        plant(words.word(), "private nested", "meaning in a safe sequence"),
    )
    data.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x80, "SQ", Sequence([kept]))
    put(data, 0x00331010, "LO", plant(words.word(), "private orphan", "no creator"))
    put(data, 0x00351001, "UN", _even(plant(words.word(), "private orphan", "UN without creator")))
    put(data, 0x00370005, "LO", plant(words.word(), "private orphan", "element below 0010"))
    text = _even(plant(words.word(), "private, a sequence as UN bytes", "implicit VR"))
    item = b"\x08\x00\x3e\x10" + struct.pack("<I", len(text)) + text
    unknown.add_new(0x04, "UN", b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item)
    data.private_block(0x2005, "Philips MR Imaging DD 001").add_new(0x83, "UN", b"\xfe\xff\x00\xe0" + struct.pack("<I", len(item)) + item)
    wide = plant(words.word(), "UTF-16, base64 and hexadecimal forms", "private UTF-16", "utf-16-le")
    unknown.add_new(0x06, "OB", wide.encode("utf-16-le"))


def safe_values(planted: Planted) -> None:
    """Values that PS3.15 Table E.3.10-1 or the converters call safe, as this maker writes them."""
    wanted: dict[str, tuple[tuple[str, int, int, str, object], ...]] = {
        "SIEMENS": (("SIEMENS MR HEADER", 0x0019, 0x0C, "IS", 1000), ("SIEMENS MR HEADER", 0x0019, 0x0E, "FD", [0.1, 0.2, 0.97])),
        "GE MEDICAL SYSTEMS": (("GEMS_PARM_01", 0x0043, 0x39, "IS", [1000, 8, 0, 0]), ("GEMS_ACQU_01", 0x0019, 0xBB, "DS", "0.5")),
        "Philips Medical Systems": (("Philips Imaging DD 001", 0x2001, 0x03, "FL", 1000.0), ("Philips MR Imaging DD 001", 0x2005, 0xB0, "FL", 0.25)),
        "UIH": (("Image Private Header", 0x0065, 0x09, "FD", 1000.0), ("Image Private Header", 0x0065, 0x37, "FD", [0.1, 0.2, 0.97])),
    }
    found = wanted.get(planted.person.vendor, ())
    for creator, group, low, vr, what in found:
        planted.data.private_block(group, creator, create=True).add_new(low, vr, what)
    planted.safe = tuple((creator, group, low, what) for creator, group, low, _, what in found)


def _even(raw: bytes | str) -> bytes:
    raw = raw.encode() if isinstance(raw, str) else raw
    return raw + b"\0" * (len(raw) % 2)
