"""A compressed picture is carried over bit for bit, and nothing beside the picture with it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest

from deid import elements, errors, streams
from deid.tree import RLE, Element

TOKEN = b"Quibblewick^Zephyrina 19620304"
NOTHING = Element(0, "CS", b"")
JPEG, JPEG_LS, J2K = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"


def segment(mark: int, text: bytes) -> bytes:
    return bytes([0xFF, mark]) + struct.pack(">H", len(text) + 2) + text


def real(mri: Path, syntax: str) -> elements.File:
    """A real MR image of one frame in that syntax."""
    for folder in ("edge/pydicom", "dicom/d2n_compressed", "dicom/siemens_bold_compressed"):
        for path in sorted((mri / folder).rglob("*")):
            if path.is_file():
                try:
                    file = elements.read(path)
                except errors.Refused:
                    continue
                if file.syntax == syntax and file.fragments and len(file.fragments) == 1 and file.top().get(0x00080060, NOTHING).bytes[:2] == b"MR":
                    return file
    pytest.skip(f"needs shared-data in {syntax}")


def save(file: elements.File, fragments: list[bytes], path: Path) -> Path:
    top = file.top()
    sop, uid = (top[tag].bytes.decode().strip("\0 ") for tag in (0x00080016, 0x00080018))
    path.write_bytes(b"".join([elements.head(file.syntax, sop, uid, "1.2.3", "X"), *elements.body(file.elements, fragments)]))
    return path


def after(stream: bytes, mark: bytes, text: bytes) -> bytes:
    at = stream.index(mark) + len(mark)
    return stream[:at] + text + stream[at:]


def in_tile(stream: bytes, text: bytes) -> bytes:
    """The text in the first tile-part header of a JPEG 2000 stream, its length told."""
    at = stream.index(b"\xff\x90\0\x0a")
    length = struct.unpack_from(">I", stream, at + 6)[0]
    return stream[: at + 6] + struct.pack(">I", length + len(text) if length else 0) + stream[at + 10 : at + 12] + text + stream[at + 12 :]


def boxed(stream: bytes) -> bytes:
    """The stream in a JP2 file with a box of text."""
    xml = struct.pack(">I4s", 8 + len(TOKEN), b"xml ") + TOKEN
    return struct.pack(">I4sI", 12, b"jP  ", 0x0D0A870A) + xml + struct.pack(">I4s", 8 + len(stream), b"jp2c") + stream


J2K_COMMENT = segment(0x64, b"\0\1" + TOKEN)
PLACES = {
    "JPEG comment": (JPEG, lambda s: [after(s, b"\xff\xd8", segment(0xFE, TOKEN))]),
    "JPEG application data": (JPEG, lambda s: [after(s, b"\xff\xd8", segment(0xE1, b"Exif\0\0" + TOKEN))]),
    "JFIF thumbnail": (JPEG, lambda s: [after(s, b"\xff\xd8", segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\5\2" + TOKEN))]),
    "behind the end of a JPEG": (JPEG, lambda s: [s.rstrip(b"\0") + TOKEN]),
    "JPEG in two pieces": (JPEG, lambda s: [after(s, b"\xff\xd8", segment(0xFE, TOKEN))[:600], after(s, b"\xff\xd8", segment(0xFE, TOKEN))[600:]]),
    "JPEG-LS comment": (JPEG_LS, lambda s: [after(s, b"\xff\xd8", segment(0xFE, TOKEN))]),
    "JPEG-LS application data": (JPEG_LS, lambda s: [after(s, b"\xff\xd8", segment(0xED, TOKEN))]),
    "JPEG 2000 comment": (J2K, lambda s: [s[: s.index(b"\xff\x90\0\x0a")] + J2K_COMMENT + s[s.index(b"\xff\x90\0\x0a") :]]),
    "JPEG 2000 comment in a tile": (J2K, lambda s: [in_tile(s, J2K_COMMENT)]),
    "JP2 box": (J2K, lambda s: [boxed(s)]),
    "behind the end of a JPEG 2000": (J2K, lambda s: [s.rstrip(b"\0") + TOKEN]),
    "behind the last run of an RLE": (RLE, lambda s: [s + TOKEN]),
}


@pytest.mark.parametrize("place", PLACES)
def test_text_inside_a_compressed_picture_goes_and_every_pixel_stays(mri, clean, tmp_path, place):
    syntax, plant = PLACES[place]
    file = real(mri, syntax)
    stream = bytes(file.fragments[0])
    honest, planted = save(file, [stream], tmp_path / "honest.dcm"), save(file, plant(stream), tmp_path / "planted.dcm")
    assert TOKEN in planted.read_bytes() or place == "JPEG in two pieces"
    product, done = clean(planted)
    assert TOKEN[:11] not in product.read_bytes() and TOKEN[-8:] not in product.read_bytes()
    assert np.array_equal(pydicom.dcmread(product).pixel_array, pydicom.dcmread(honest).pixel_array)
    assert any("compressed picture" in row["why"] for row in done.account["elements"])
    assert elements.read(product).syntax == syntax, "it keeps its syntax"
    assert clean(honest)[0].stat().st_size <= product.stat().st_size + 64, "what the honest twin becomes is no smaller than its picture"


def test_what_is_no_picture_of_the_declared_kind_is_refused(mri, clean, tmp_path):
    def code(file: elements.File, fragments: list[bytes]) -> str:
        with pytest.raises(errors.Refused) as caught:
            clean(save(file, fragments, tmp_path / "bad.dcm"))
        return caught.value.code

    jpeg, j2k, rle = real(mri, JPEG), real(mri, J2K), real(mri, RLE)
    stream = bytes(jpeg.fragments[0])
    assert code(jpeg, [TOKEN * 20 + b"\xff\xd9"]) == "malformed"
    assert code(jpeg, [stream.rstrip(b"\0")[:-2]]) == "truncated"
    size = stream.index(b"\xff\xc3") + 5
    assert code(jpeg, [stream[:size] + struct.pack(">HH", 7, 9) + stream[size + 4 :]]) == "pixels_do_not_fit"
    assert code(j2k, [bytes(j2k.fragments[0])[:200] + b"\xff\xd9"]) == "truncated"
    assert code(j2k, [stream]) == "malformed"
    assert code(rle, [bytes(rle.fragments[0])[:300]]) == "truncated"
    assert code(rle, [b"\0" * 400]) == "malformed"


def test_the_colour_facts_of_a_jpeg_stay_and_nothing_else_of_their_segments():
    jfif, adobe = segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\0\0"), segment(0xEE, b"Adobe\0\x65\xc0\0\0\0\1" + TOKEN)
    frame = segment(0xC0, b"\x08\0\x08\0\x08\x01\x01\x11\0")
    scan = segment(0xDA, b"\x01\x01\0\0\x3f\0") + b"\x12\xff\0\x34"
    (out,), left_out = streams.clean(JPEG, [b"\xff\xd8" + jfif + adobe + frame + scan + b"\xff\xd9"], 1, 8, 8)
    assert bytes(out) == b"\xff\xd8" + jfif + segment(0xEE, b"Adobe\0\x64\0\0\0\0\1") + frame + scan + b"\xff\xd9" and left_out == len(TOKEN)


def test_frames_spread_over_fragments_are_put_together(mri):
    file = real(mri, JPEG)
    stream = bytes(file.fragments[0]).rstrip(b"\0")
    rows, columns = (struct.unpack("<H", file.top()[tag].bytes)[0] for tag in (0x00280010, 0x00280011))
    pieces = [stream[:500], stream[500:900], stream[900:], stream[:300], stream[300:]]
    out, _ = streams.clean(JPEG, pieces, 2, rows, columns)
    assert len(out) == 2 and bytes(out[0]) == bytes(out[1]) == streams.clean(JPEG, [stream], 1, rows, columns)[0][0]
    with pytest.raises(errors.Refused, match="pixels_do_not_fit"):
        streams.clean(JPEG, pieces, 3, rows, columns)


def test_every_real_compressed_image_decodes_to_the_same_pixels(mri, clean):
    seen: dict[str, int] = {}
    for folder in ("dicom/d2n_compressed", "dicom/siemens_bold_compressed", "edge/pydicom", "edge/pydicom_enhanced", "edge/d2n_failing"):
        for path in sorted(p for p in (mri / folder).rglob("*") if p.is_file()):
            try:
                file = elements.read(path)
                if file.fragments is None or seen.get(file.syntax, 0) >= 4:
                    continue
                product, _ = clean(path)
            except errors.Refused:
                continue
            assert np.array_equal(pydicom.dcmread(product).pixel_array, pydicom.dcmread(path).pixel_array), path.parent.name
            seen[file.syntax] = seen.get(file.syntax, 0) + 1
    assert {JPEG, JPEG_LS, J2K, RLE} <= set(seen)
