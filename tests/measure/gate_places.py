"""Every place in which a product can hold a removed value, each with a value planted in it; and lawful twins that only look like it.

    removed   what was taken out of the participant's files, as `deid.headers` says it (a caret marks a person)
    product   one file with one secret in one place, or a twin without a secret

No person existed.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

REMOVED = frozenset(
    """Quibblewick^Zephyrina|19620304|MRN-004711|ACC7788991|1.3.12.2.1107.5.2.19620304.77|O'Brien^Siobhán|Müller^Jürgen|Li^Wei=李^伟|White^May
van der Berg^Anneke|+45 86 12 34 56|Иванов^Пётр|حسن^علي|Sørensen^Bjørn|García-López^José|Aarhus Storstadshospital|0012345678""".replace("\n", "|").split("|")
)


@dataclass(frozen=True)
class Case:
    """One product. name: the place; path: the file; root: where its folders begin to count; found: whether the gate must find something."""

    name: str
    path: Path
    root: Path
    found: bool


def dicom(change: Callable[[FileDataset], None] = lambda data: None, raw: Callable[[bytes], bytes] = lambda content: content) -> bytes:
    """A small clean MR file, changed."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.4", "2.25." + "1" * 38
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SpecificCharacterSet, data.SOPClassUID, data.SOPInstanceUID = "ISO_IR 192", meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.ImageType, data.Modality, data.Manufacturer, data.ManufacturerModelName = ["ORIGINAL", "PRIMARY", "M", "ND"], "MR", "Philips", "White Matter 3T"
    data.PatientID = data.PatientName = "abcdefghijklmnopqrstuvwxy2"
    data.StudyDate, data.StudyTime, data.SeriesDescription, data.EchoTime = "20180102", "120000", "T1 mprage sag", "2.98"
    data.StudyInstanceUID, data.SeriesInstanceUID = "2.25." + "2" * 38, "2.25." + "3" * 38
    data.DeidentificationMethod = ["myelin-2026", "seal " + "A" * 43]
    data.Rows = data.Columns = 64
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation, data.SamplesPerPixel = 16, 12, 11, 0, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = np.random.default_rng(1).integers(0, 900, 4096, dtype=np.uint16).tobytes()
    with pydicom.config.disable_value_validation():
        change(data)
        out = io.BytesIO()
        data.save_as(out, enforce_file_format=True)
    return raw(out.getvalue())


def nifti(field: str = "", value: bytes = b"", *, extension: bytes = b"", tail: bytes = b"", voxels: bytes = b"", two: bool = False) -> bytes:
    """A small NIfTI, changed."""
    flat = np.random.default_rng(2).integers(300, 900, 512, dtype=np.int16)
    flat[: len(voxels) // 2] = np.frombuffer(voxels, np.int16)
    data = flat.reshape((8, 8, 8), order="F")
    image = (nibabel.Nifti2Image if two else nibabel.Nifti1Image)(data, np.eye(4))
    if field:
        image.header[field] = value
    if extension:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", extension))
    return bytes(image.to_bytes()) + tail


def packed(content: bytes, *, name: bytes = b"", comment: bytes = b"", extra: bytes = b"") -> bytes:
    """A gzip member with header fields (RFC 1952)."""
    flags = (8 if name else 0) | (16 if comment else 0) | (4 if extra else 0)
    head = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\x02\xff"
    head += (struct.pack("<H", len(extra)) + extra if extra else b"") + (name + b"\0" if name else b"") + (comment + b"\0" if comment else b"")
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -15)
    return head + squeeze.compress(content) + squeeze.flush() + struct.pack("<LL", zlib.crc32(content), len(content) & 0xFFFFFFFF)


def png(chunk: bytes = b"", tail: bytes = b"") -> bytes:
    """A one-pixel PNG with a further chunk (kind and body) before its end."""

    def made(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    whole = b"\x89PNG\r\n\x1a\n" + made(b"IHDR", struct.pack(">LLBBBBB", 1, 1, 8, 0, 0, 0, 0)) + made(b"IDAT", zlib.compress(b"\0\0"))
    return whole + (made(chunk[:4], chunk[4:]) if chunk else b"") + made(b"IEND", b"") + tail


def set_to(keyword: str, value: object) -> Callable[[FileDataset], None]:
    return lambda data: setattr(data, keyword, value)


def private(vr: str, value: object) -> Callable[[FileDataset], None]:
    return lambda data: data.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, vr, value)


def nested(depth: int) -> Callable[[FileDataset], None]:
    def change(data: FileDataset) -> None:
        inner = Dataset()
        inner.SeriesDescription = "for Quibblewick"
        for _ in range(depth):
            outer = Dataset()
            outer.ReferencedImageSequence = Sequence([inner])
            inner = outer
        data.ReferencedImageSequence = Sequence([inner])

    return change


def in_voxels(text: bytes) -> Callable[[FileDataset], None]:
    def change(data: FileDataset) -> None:
        data.PixelData = data.PixelData[:2001] + text + data.PixelData[2001 + len(text) :]

    return change


def sidecar(**fields: object) -> bytes:
    return json.dumps({"EchoTime": 0.003, "Manufacturer": "Philips", "SliceTiming": [0, 1.5], "ConversionSoftware": "dcm2niix"} | fields).encode()


SAID = {
    "as it is": "T1 for Quibblewick", "case": "qUIBBLEwick", "glued": "T1_SmithQuibblewickX", "reversed": "zephyrina quibblewick",
    "first name": "T2 Zephyrina",
    "umlaut": "Müller", "umlaut as two letters": "MUELLER", "umlaut dropped": "Muller", "decomposed": "Mu\u0308ller", "soft hyphen": "Quibble\u00adwick",
    "full width": "Ｑｕｉｂｂｌｅｗｉｃｋ", "apostrophe": "O'Brien", "apostrophe dropped": "OBRIEN", "typographic apostrophe": "O’Brien",
    "double-barrelled": "Lopez",
    "double-barrelled glued": "garcialopez", "o with stroke": "Sorensen", "o with stroke as two": "SOERENSEN", "particle": "berg a", "Han": "T1 李伟",
    "Han surname": "李 T1",
    "Cyrillic": "ИВАНОВ", "Arabic": "علي", "short name": "T1 Li sag", "glued short": "liwei", "vocabulary name": "T2 white", "vocabulary glued": "whitemay",
    "date, ISO": "1962-03-04", "date, bare": "19620304", "date, German": "04.03.1962", "date, American": "03/04/1962", "date, month": "4 Mar 1962",
    "date, long month": "March 4th, 1962",
    "date, two digits": "04.03.62", "date, six digits": "620304", "date, CPR": "040362-1111", "date, French": "4 mars 1962", "date, day of year": "1962063",
    "date, Japanese": "1962年3月4日",
    "date and time": "19620304120000", "number": "MRN 004711", "number without signs": "mrn004711", "number without zeros": "12345678",
    "number with zeros": "000012345678",
    "number spread": "1234-5678", "telephone": "86123456", "telephone with signs": "8612-3456", "accession": "acc 7788991",
    "UID": "see 1.3.12.2.1107.5.2.19620304.77",
    "hospital": "STORSTADSHOSPITAL", "base64": base64.b64encode(b"Quibblewick").decode(), "base64, phase 1": base64.b64encode(b"xQuibblewick").decode(),
    "base64, phase 2": base64.b64encode(b"xyQuibblewick!").decode(), "base64, lower case": base64.b64encode(b"quibblewick").decode(),
    "base64 behind a letter": "k" + base64.b64encode(b"Quibblewick").decode(), "base64 behind two": "kk" + base64.b64encode(b"Quibblewick").decode(),
    "base64 behind three": "kkk" + base64.b64encode(b"Quibblewick").decode(),
    "base64 of UTF-8": base64.b64encode("für Müller".encode()).decode(),
    "base64, url-safe": base64.urlsafe_b64encode(b"??>>Quibblewick~~").decode(),
    "base64 of a short value": base64.b64encode(b"Berg").decode(), "base64 of a date": base64.b64encode(b"1962-03-04").decode(),
    "base64 inside": "data:x;base64," + base64.b64encode(b"Zephyrina").decode(),
    "hexadecimal": b"Quibblewick".hex(), "hexadecimal, upper": b"Quibblewick".hex().upper(), "hexadecimal with blanks": b"Quibblewick".hex(" "),
    "hexadecimal with colons": b"Berg!".hex(":"),
    "hexadecimal, shifted": "a" + b"Quibblewick".hex(), "percent": "M%C3%BCller", "HTML": "M&uuml;ller", "escape": "M\\u00fcller",
}  # fmt: skip

LAWFUL = {
    "word of the vocabulary": "T1 mprage sag", "piece of a longer word": "transversal bergamot"[:11], "other date": "1963-03-04",
    "other number": "12345679", "shorter number": "47",
    "parameters": "TE 30 TR 2500 b=1000 220FOV", "decimal": "3.04711", "random base64": "A" * 20 + "q83vEjRWeJCrze8SNFZ4kKvN7w",
    "sequence name": "*tfl3d1_16ns", "times": "12:00:00.000000",
}  # fmt: skip


def cases(folder: Path) -> Iterator[Case]:
    """All products, written below `folder`."""
    count = 0

    def case(name: str, file: str, content: bytes, found: bool) -> Case:
        nonlocal count
        count += 1
        root = folder / str(count)
        path = root / file
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return Case(name, path, root, found)

    for how, text in SAID.items():
        yield case(f"JSON, {how}", "x.json", sidecar(SeriesDescription=text), True)
    for how, text in LAWFUL.items():
        yield case(f"JSON, {how}", "x.json", sidecar(SeriesDescription=text), False)
    yield from (case(name, file, content, True) for name, file, content in _secrets())
    yield from (case(name, file, content, False) for name, file, content in _twins())


def _secrets() -> Iterator[tuple[str, str, bytes]]:
    secret = b"Quibblewick"
    wide = "Quibblewick".encode("utf-16-le")
    changes = {
        "DICOM description": set_to("SeriesDescription", "T1 Quibblewick"), "DICOM coded string": set_to("ScanOptions", "QUIBBLEWICK"),
        "DICOM name": set_to("PatientName", "Quibblewick"),
        "DICOM date left": set_to("StudyDate", "19620304"), "DICOM datetime left": set_to("AcquisitionDateTime", "19620304101010"),
        "DICOM number": set_to("AccessionNumber", "7788991"),
        "DICOM integer": set_to("InstanceNumber", "12345678"), "DICOM UID": set_to("FrameOfReferenceUID", "1.3.12.2.1107.5.2.19620304.77"),
        "DICOM UID with a date": set_to("FrameOfReferenceUID", "1.2.3.19620304.5"),
        "DICOM UID with a number": set_to("FrameOfReferenceUID", "1.2.3.7788991.5"), "DICOM nested 5 deep": nested(5),
        "DICOM private OB": private("OB", b"\0\1" + secret + b"\0\2"),
        "DICOM private UN": private("UN", b"xx" + secret + b"z"), "DICOM private OB, UTF-16 LE": private("OB", b"\1\2" + wide),
        "DICOM private OB, UTF-16 BE": private("OB", b"\1\2\3" + "Quibblewick".encode("utf-16-be") + b"\0"),
        "DICOM private OB, GB18030": private("OB", b"\1\2" + "李伟".encode("gb18030")),
        "DICOM private OB, Latin-1": private("OB", b"\1\2" + "Jürgen".encode("latin-1")),
        "DICOM private OB, ISO 8859-5": private("OB", "ИВАНОВ".encode("iso8859-5")),
        "DICOM private OB, UTF-16 of Cyrillic": private("OB", b"\1" + "Иванов".encode("utf-16-be") + b"\0"),
        "DICOM private LO": private("LO", "Quibblewick"), "DICOM private base64": private("OB", base64.b64encode(b"??" + secret)),
        "DICOM private hexadecimal": private("LT", secret.hex().upper()),
        "DICOM doubles": private("FD", list(struct.unpack("<2d", b"Quibblewick.....")[:2])), "DICOM voxels": in_voxels(b"Quibblewick"),
        "DICOM voxels, case": in_voxels(b"QUIBBLEWICK"),
        "DICOM 16-bit voxels": in_voxels(wide), "DICOM 16-bit voxels, other order": in_voxels("quibblewick".encode("utf-16-be")),
        "DICOM file meta": lambda data: setattr(data.file_meta, "SourceApplicationEntityTitle", "QUIBBLEWICK"),
    }  # fmt: skip
    for name, change in changes.items():
        yield name, "x.dcm", dicom(change)
    yield "DICOM preamble", "x.dcm", dicom(raw=lambda content: b"MZ" + secret.ljust(126, b"\0") + content[128:])
    yield "DICOM after the data set", "x.dcm", dicom(raw=lambda content: content + b"\0\0" + secret)
    for field in ("descrip", "aux_file", "intent_name", "db_name"):
        yield f"NIfTI {field}", "x.nii", nifti(field, b"x Zephyrina"[: {"intent_name": 16, "db_name": 18}.get(field, 24)])
    yield "NIfTI after the end of a field", "x.nii", nifti("descrip", b"TE=3\0\0Quibblewick")
    yield "NIfTI vocabulary name in descrip", "x.nii", nifti("descrip", b"T1 White")
    yield "NIfTI-2 descrip", "x.nii", nifti("descrip", b"Quibblewick", two=True)
    yield "NIfTI extension", "x.nii.gz", gzip.compress(nifti(extension=b"by Quibblewick"))
    yield "NIfTI after the image", "x.nii.gz", gzip.compress(nifti(tail=b"\0Zephyrina"))
    yield "NIfTI voxels", "x.nii.gz", gzip.compress(nifti(voxels=b"\1\2Quibblewick\3"))
    yield "NIfTI 16-bit voxels", "x.nii.gz", gzip.compress(nifti(voxels="Zephyrina".encode("utf-16-le")))
    yield "gzip file name", "x.nii.gz", packed(nifti(), name=b"Quibblewick.nii")
    yield "gzip file name, date", "x.nii.gz", packed(nifti(), name=b"1962-03-04.nii")
    yield "gzip comment", "x.nii.gz", packed(nifti(), comment="für Jürgen".encode("latin-1"))
    yield "gzip extra field", "x.nii.gz", packed(nifti(), extra=b"\1\2" + secret)
    yield "after the gzip stream", "x.nii.gz", gzip.compress(nifti()) + b"junk Zephyrina"
    yield "second gzip member's name", "x.nii.gz", packed(nifti()) + packed(b"", name=b"Zephyrina")
    yield "second gzip member", "x.nii.gz", packed(nifti()) + packed(b"of Zephyrina")
    yield "JSON key", "x.json", sidecar(Quibblewick=1)
    yield "JSON key, vocabulary name", "x.json", sidecar(white=1)
    yield "JSON key twice", "x.json", b'{"EchoTime": "Quibblewick", "EchoTime": 1}'
    yield "JSON nested value", "x.json", sidecar(Sources=[{"who": ["x", "Zephyrina"]}])
    yield "JSON number", "x.json", sidecar(EchoTime=12345678)
    yield "JSON list of numbers", "x.json", sidecar(SliceTiming=[1, 7788991, 2])
    yield "JSON machine value", "x.json", sidecar(ReceiveCoilName="Head of Quibblewick")
    yield "JSON escape", "x.json", b'{"Comment": "M\\u00fcller"}'
    yield "TSV header", "x.tsv", b"participant_id\tQuibblewick\nsub-x\t1\n"
    yield "TSV cell", "x.tsv", b"participant_id\tnote\nsub-x\tfor Zephyrina\n"
    yield "TSV cell, number", "x.tsv", b"participant_id\tnote\nsub-x\t12345678\n"
    yield "TSV label", "x.tsv", b"participant_id\tage\nsub-7788991\t44\n"
    yield "file name", "Quibblewick.json", sidecar()
    yield "file name, vocabulary name", "T1_White.json", sidecar()
    yield "entity of a file name", "sub-x_acq-Quibblewick_T1w.json", sidecar()
    yield "label of a file name", "sub-Li/anat/sub-x_T1w.json", sidecar()
    yield "folder name", "Zephyrina/x.json", sidecar()
    yield "folder name, date", "scan_1962-03-04/x.json", sidecar()
    yield "ending of a file name", "sub-x_T1w.quibblewick.json", sidecar()
    yield "PNG text chunk", "x.png", png(b"tEXtAuthor\0Quibblewick")
    yield "PNG packed text chunk", "x.png", png(b"zTXtAuthor\0\0" + zlib.compress(b"Quibblewick"))
    yield "PNG after the end", "x.png", png(tail=b"Quibblewick")
    yield "text file", "README", b"by Zephyrina\n"
    yield "unknown bytes", "x.bin", b"\0\1\2" + secret
    yield "bval", "x.bval", b"0 1000 7788991\n"


def _twins() -> Iterator[tuple[str, str, bytes]]:
    yield "clean DICOM", "x.dcm", dicom()
    yield "DICOM maker like a name", "x.dcm", dicom(set_to("Manufacturer", "White Li"))
    yield "DICOM coded string like a name", "x.dcm", dicom(set_to("ScanOptions", "WHITE"))
    yield "DICOM voxels, short", "x.dcm", dicom(in_voxels(b"\1Berg\1"))
    yield "DICOM own UID", "x.dcm", dicom(set_to("FrameOfReferenceUID", "2.25.196203047788991196203047788991196203"))
    yield "clean NIfTI", "x.nii.gz", packed(nifti())
    yield "NIfTI with a plain descrip", "x.nii.gz", gzip.compress(nifti("descrip", b"TE=2.9;Time=120000.000"), mtime=0)
    yield "keys that BIDS defines", "x.json", sidecar(ManufacturersModelName="White", WhiteMatter=1)[:-1] + b"}"
    yield "converter's version", "x.json", sidecar(ConversionSoftwareVersion="v1.0.20260724")
    yield "table", "participants.tsv", b"participant_id\tage\tsex\nsub-k3li9x0a\t44\tF\n"
    yield "BIDS names", "sub-k3w9/ses-m00/anat/sub-k3w9_ses-m00_acq-white_run-1_T1w.json", sidecar()
    yield "PNG", "x.png", png()
    yield "bval", "x.bval", b"0 1000 1000\n"
