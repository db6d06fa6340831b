"""Places outside the data set, and bytes that no library would write: preamble, file meta, what follows the data set, duplicate tags, lying encodings.

Each function changes the bytes of a finished file. Also here: the transfer syntaxes, compressed pictures with comments inside, and documents that hold no
picture at all and should be refused.
"""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable

import pydicom
import pydicom.config
from hiding_images import STORAGE, Planted, picture
from hiding_people import Words
from hiding_table import put
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

LONG = ("OB", "OW", "UN", "SQ", "UT", "UC", "UR")
Change = Callable[[bytes], bytes]


def element(tag: int, vr: str, value: bytes) -> bytes:
    """One element, Explicit VR Little Endian, as it stands in a file."""
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    return head + (struct.pack("<HL", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))) + value


def as_bytes(data: FileDataset) -> bytes:
    """The file as pydicom writes it."""
    out = io.BytesIO()
    with pydicom.config.disable_value_validation():
        data.save_as(out, enforce_file_format=True)
    return out.getvalue()


def meta_end(content: bytes) -> int:
    """Where the data set begins."""
    return 144 + struct.unpack_from("<L", content, 140)[0]


# --- around the data set -------------------------------------------------------------------------------------------------------------------------------


def meta(planted: Planted, words: Words) -> None:
    """AE titles, presentation addresses, implementation version and private information in group 0002."""
    head, place = planted.data.file_meta, "file meta"
    for keyword in ("SourceApplicationEntityTitle", "SendingApplicationEntityTitle", "ReceivingApplicationEntityTitle", "ImplementationVersionName"):
        setattr(head, keyword, planted.plant(words.word(16), place, keyword))
    head.ImplementationClassUID = planted.plant(words.uid(), place, "ImplementationClassUID")
    head.SourcePresentationAddress = f"https://{planted.plant(words.word(), place, 'SourcePresentationAddress')}.example"
    head.PrivateInformationCreatorUID = planted.plant(words.uid(), place, "PrivateInformationCreatorUID")
    head.PrivateInformation = planted.plant(words.word(30), place, "PrivateInformation").encode().ljust(32)


def preamble(planted: Planted, words: Words, start: bytes = b"MZ\x90\x00") -> Change:
    """A preamble that makes the file a program, an archive or a TIFF as well."""
    text = planted.plant(words.word(), "preamble", start[:2].decode("latin-1")).encode()
    return lambda content: (start + text).ljust(128, b"\0") + content[128:]


def behind(planted: Planted, words: Words, before: bytes = b"") -> Change:
    """Text after the data set."""
    text = planted.plant(words.word(), "bytes after the data set", before.hex() or "text").encode()
    return lambda content: content + before + text


def archive_behind(planted: Planted, words: Words) -> Change:
    """A whole zip after the data set: with the preamble a polyglot. Member name and comments tell too."""
    place = "bytes after the data set"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.comment = planted.plant(words.word(), place, "archive comment").encode()
        info = zipfile.ZipInfo(f"{planted.plant(words.word(), place, 'member name')}.txt")
        info.comment = planted.plant(words.word(), place, "member comment").encode()
        archive.writestr(info, planted.plant(words.word(), place, "member"))
    return lambda content: content + stream.getvalue()


def padding(planted: Planted, words: Words) -> Change:
    """The trailing padding element (FFFC,FFFC), and elements behind the pixels, out of order and twice."""
    place = "trailing padding element"
    tail = element(0xFFFCFFFC, "OB", planted.plant(words.word(), place).encode().ljust(40, b"\0"))
    return lambda content: content + tail


def twice(planted: Planted, words: Words) -> Change:
    """Tags that stand twice, and tags behind the pixels."""
    place = "duplicate and out-of-order tags"
    early = element(0x00080060, "CS", b"MR") + element(0x0008103E, "LO", f"T1 {planted.plant(words.word(), place, 'first of two')}".encode())
    early += element(0x00100010, "PN", planted.plant(words.word(), place, "second PatientName first").encode())
    late = element(0x00100010, "PN", planted.plant(words.word(), place, "PatientName after the pixels").encode())
    late += element(0x00081030, "LO", f"Head {planted.plant(words.word(), place, 'StudyDescription after the pixels')}".encode())
    return lambda content: content[: meta_end(content)] + early + content[meta_end(content) :] + late


def middle(planted: Planted, words: Words) -> Change:
    """A tag out of order in the middle of the header, before the patient's group."""
    text = planted.plant(words.word(), "duplicate and out-of-order tags", "InstitutionName at the start").encode()
    name = planted.plant(words.word(), "duplicate and out-of-order tags", "PatientName at the start").encode()
    return lambda content: content[: meta_end(content)] + element(0x00324000, "LT", text) + element(0x00080080, "LO", name) + content[meta_end(content) :]


def other_groups(planted: Planted, words: Words) -> Change:
    """Commands, file meta and a directory inside the body; group lengths, one of which is a text."""
    place = "groups 0000, 0002, 0004 in the body"
    front = element(0x00000000, "UL", struct.pack("<L", 99)) + element(0x00001000, "UI", planted.plant(words.uid(), place, "0000,1000").encode())
    front += element(0x00000600, "AE", planted.plant(words.word(14), place, "0000,0600").encode())
    front += element(0x00020016, "AE", planted.plant(words.word(14), place, "0002,0016").encode()) + element(
        0x00020102, "OB", planted.plant(words.word(), place, "0002,0102").encode()
    )
    front += element(0x00020003, "UI", planted.plant(words.uid(), place, "0002,0003").encode())
    front += element(0x00041130, "CS", planted.plant(words.word(14).upper(), place, "0004,1130").encode()) + element(
        0x00041511, "UI", planted.plant(words.uid(), place, "0004,1511").encode()
    )
    front += element(0x00080000, "UL", struct.pack("<L", 1234))
    wrong = element(0x00100000, "LO", planted.plant(words.word(), "group lengths", "a text as group length").encode())
    return lambda content: content[: meta_end(content)] + front + content[meta_end(content) :] + wrong


# Values that end in a NUL, behind which there is room.
PADDED = (
    (0x0008103E, "LO", b"T1 mprage"), (0x00081030, "LO", b"Head"), (0x00080070, "LO", b"SIEMENS"), (0x00180022, "CS", b"IR"), (0x00180015, "CS", b"HEAD"),
    (0x00180081, "DS", b"2.98"), (0x00180091, "IS", b"1"), (0x00200052, "UI", b"1.2.3.4.5"), (0x00081150, "UI", b"1.2.840.10008.5.1.4.1.1.4"),
    (0x00180024, "SH", b"*tfl3d1"), (0x00204000, "LT", b"head"),
)  # fmt: skip


def after_nul(planted: Planted, words: Words) -> Change:
    """Text behind the NUL that ends a value: strings, UIDs, numbers, codes."""
    place, out = "value padding after NUL", b""
    for tag, vr, lead in PADDED:
        out += element(tag, vr, lead + b"\0" + planted.plant(words.word(10), place, f"{tag:08X} {vr}").encode())
    for tag in (0x0008103E, 0x00081030, 0x00080070, 0x00180022, 0x00180015, 0x00180081, 0x00180091, 0x00200052, 0x00180024):
        planted.data.pop(tag, None)
    return lambda content: _in_order(content, out)


def _in_order(content: bytes, extra: bytes) -> bytes:
    """Put elements where they belong, so that only their values are odd."""
    start = meta_end(content)
    pieces = {struct.unpack_from("<HH", raw): raw for raw in [*_elements(content, start), *_elements(extra, 0)]}
    return content[:start] + b"".join(pieces[key] for key in sorted(pieces))


def _elements(content: bytes, pos: int) -> list[bytes]:
    out = []
    while pos < len(content):
        long = content[pos + 4 : pos + 6].decode("ascii") in LONG
        length = struct.unpack_from("<L", content, pos + 8)[0] if long else struct.unpack_from("<H", content, pos + 6)[0]
        end = pos + (12 if long else 8) + length
        out.append(content[pos:end])
        pos = end
    return out


def numbers_with_words(planted: Planted, words: Words) -> Change:
    """Numbers that are followed by a word."""
    place, out = "numbers with a word behind them", b""
    for tag, vr, lead in (
        (0x00180080, "DS", b"2300 "),
        (0x00181314, "DS", b"9\\"),
        (0x00200013, "IS", b"1 "),
        (0x00180050, "DS", b"1"),
        (0x00201041, "DS", b""),
    ):
        out += element(tag, vr, lead + planted.plant(words.word(10), place, f"{tag:08X}").encode())
        planted.data.pop(tag, None)
    return lambda content: _in_order(content, out)


def lying(declared: bytes, codec: str) -> Callable[[Planted, Words], Change]:
    """A declared character set that is not the one the bytes are in."""

    def plant(planted: Planted, words: Words) -> Change:
        name = {"utf-8": "Müllerström^Jörgän", "latin-1": "Ødegårdsen^Åshildür", "gb18030": "欧阳小东^东北人民", "utf-16-le": "Pemberton^Wilfredo"}[codec]
        for part in name.split("^"):
            planted.plant(part, "a declared character set that lies", declared.decode() or "none", codec, "utf-8", "latin-1")
        raw = [part.encode(codec) for part in name.split("^")]
        out = element(0x00080005, "CS", declared) if declared else b""
        out += (
            element(0x0008103E, "LO", b"T1 " + raw[0] + b" sag")
            + element(0x00100010, "PN", raw[0] + b"^" + raw[1])
            + element(0x00204000, "LT", raw[1] + b" " + raw[0])
        )
        out += element(0x00080080, "LO", raw[0])
        for tag in (0x00080005, 0x0008103E, 0x00100010, 0x00204000, 0x00080080):
            planted.data.pop(tag, None)
        return lambda content: _in_order(content, out)

    return plant


def bare(content: bytes) -> bytes:
    """The data set alone: no preamble, no file meta."""
    return content[meta_end(content) :]


# --- transfer syntaxes ---------------------------------------------------------------------------------------------------------------------------------


def implicit(planted: Planted) -> None:
    planted.data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian


def big_endian(planted: Planted) -> Change:
    """Every number turned round (PS3.5 A.3)."""
    data = planted.data

    def turn(content: bytes) -> bytes:
        head = content[: meta_end(content)].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
        data.PixelData = picture(planted.number).astype(">u2").tobytes()
        body = DicomBytesIO()
        body.is_little_endian, body.is_implicit_VR = False, False
        with pydicom.config.disable_value_validation():
            write_dataset(body, data)
        return head + body.getvalue()

    return turn


def deflated(content: bytes) -> bytes:
    """The data set deflated (PS3.5 A.5)."""
    source = pydicom.dcmread(io.BytesIO(content))
    source.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return as_bytes(source)


def run_length(planted: Planted) -> None:
    planted.data.compress(RLELossless, generate_instance_uid=False)


def jpeg_2000(planted: Planted, words: Words) -> None:
    """JPEG 2000 with a comment segment in the code stream."""
    from pydicom.encaps import generate_frames

    planted.data.compress(JPEG2000Lossless, generate_instance_uid=False)
    stream = next(iter(generate_frames(planted.data.PixelData, number_of_frames=1)))
    text = planted.plant(words.word(), "comment inside a compressed picture", "JPEG 2000").encode()
    at = 4 + struct.unpack_from(">H", stream, 4)[0]  # behind SIZ, which follows SOC
    stream = stream[:at] + b"\xff\x64" + struct.pack(">HH", len(text) + 4, 1) + text + stream[at:]
    planted.data.PixelData = encapsulate([stream + b"\0" * (len(stream) % 2)])
    planted.data["PixelData"].is_undefined_length = True


def jpeg(planted: Planted, words: Words) -> None:
    """Baseline JPEG with COM and APP1 segments, in an 8-bit capture."""
    out = io.BytesIO()
    place = "comment inside a compressed picture"
    app = b"Exif\0\0" + planted.plant(words.word(), place, "JPEG APP1").encode()
    Image.fromarray(picture(planted.number, colour=True)[0]).save(
        out, "JPEG", quality=95, subsampling=0, comment=planted.plant(words.word(), place, "JPEG COM"), exif=app
    )
    stream = out.getvalue() + planted.plant(words.word(), place, "behind EOI").encode()
    data = planted.data
    data.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    data.PhotometricInterpretation, data.LossyImageCompression = "YBR_FULL", "01"
    data.PixelData = encapsulate([stream + b"\0" * (len(stream) % 2)])
    data["PixelData"].is_undefined_length = True


# --- documents -----------------------------------------------------------------------------------------------------------------------------------------


def document(planted: Planted, words: Words, sop: str, modality: str) -> None:
    """Turn the image into something that holds no picture: report, PDF, presentation state, key objects, raw data."""
    data, plant = planted.data, planted.plant
    planted.image = False
    for tag in [element.tag for element in data if element.tag.group in (0x0018, 0x0028, 0x7FE0)]:
        del data[tag]
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = STORAGE + sop
    data.Modality = modality
    if sop.startswith("104"):
        title = plant(words.word(), "encapsulated PDF", "title")
        data.DocumentTitle, data.MIMETypeOfEncapsulatedDocument = f"Report {title}", "application/pdf"
        inside = plant(words.word(), "encapsulated PDF", "PDF title"), plant(words.word(), "encapsulated PDF", "text")
        body = f"%PDF-1.4\n1 0 obj << /Title ({inside[0]}) >> endobj\n{inside[1]}\n%%EOF\n"
        data.EncapsulatedDocument = body.encode() + b"\0" * (len(body) % 2)
    content = Dataset()
    content.RelationshipType, content.ValueType, content.TextValue = "CONTAINS", "TEXT", plant(words.word(), "SR content", f"text {modality}")
    content.add_new(0x0040A123, "PN", f"{plant(words.word(), 'SR content', f'person {modality}')}^A")
    data.ContentSequence = Sequence([content])
    put(data, 0x00700080, "CS", "LABEL")


DOCUMENTS = (("88.11", "SR"), ("88.22", "SR"), ("104.1", "DOC"), ("11.1", "PR"), ("88.59", "KO"), ("66", "RAW"), ("9.1.1", "ECG"))
