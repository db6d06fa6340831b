"""Which DICOM objects are taken, which are refused, and whether an image is all there.

Only objects whose content can be made clean and proven so are taken: MR images, classic and enhanced, and secondary captures of MR studies. Documents,
reports,
presentation states, raw data and other modalities are refused with codes of their own. PS3.4 Table B.5-1 names the classes; PS3.3 C.7.6.3.3 the size of
pixels.
"""

from __future__ import annotations

from deid import elements, values
from deid.elements import PIXEL_DATA, Element, File
from deid.errors import Refused
from deid.identity import MODALITY, SERIES_UID, SOP_CLASS, SOP_UID, STUDY_UID

STORAGE = "1.2.840.10008.5.1.4.1.1."
MR_IMAGE = STORAGE + "4"
MR = frozenset({MR_IMAGE, STORAGE + "4.1", STORAGE + "4.3", STORAGE + "4.4"})
CAPTURE = frozenset(STORAGE + tail for tail in ("7", "7.1", "7.2", "7.3", "7.4"))
_PREFIXES = (
    ("104.", "encapsulated_document"),
    ("88.", "structured_report"),
    ("11.", "presentation_state"),
    ("66", "not_an_image"),
    ("4.2", "not_an_image"),
    ("9.", "not_an_image"),
    ("481.", "not_an_image"),
)
_IMAGELESS = frozenset({"SR", "PR", "KO", "DOC", "RTPLAN", "RTSTRUCT", "RTRECORD", "ECG", "EPS", "HD", "REG", "FID", "PLAN", "RAW", "SMR", "AU"})
MR_LIKE = frozenset({"MR", "OT", "SC", "DOC", ""})
ROWS, COLUMNS, SAMPLES, FRAMES, ALLOCATED = 0x00280010, 0x00280011, 0x00280002, 0x00280008, 0x00280100
DOCUMENT, DOUBLE_PIXELS, FLOAT_PIXELS = 0x00420011, 0x7FE00009, 0x7FE00008


def gate(file: File) -> str:
    """The object's SOP class UID, or a refusal.

    Raises Refused: encapsulated_document, structured_report, presentation_state, not_an_image, not_mr, no_pixels, no_uids, truncated, pixels_do_not_fit,
    malformed.
    """
    top = file.top()
    sop = _plain(top.get(SOP_CLASS))
    modality = _plain(top.get(MODALITY)).upper()
    _kind(sop, modality, top)
    if not all(_plain(top.get(tag)) for tag in (STUDY_UID, SERIES_UID, SOP_UID)):
        raise Refused("no_uids")
    pixels(file, top)
    return sop or MR_IMAGE


def _kind(sop: str, modality: str, top: dict[int, Element]) -> None:
    if DOCUMENT in top and PIXEL_DATA not in top:  # beside a picture it is one more attribute that goes
        raise Refused("encapsulated_document")
    tail = sop.removeprefix(STORAGE)
    for prefix, code in _PREFIXES:
        if tail != sop and (tail + ".").startswith(prefix if prefix.endswith(".") else prefix + "."):
            raise Refused(code)
    if modality in _IMAGELESS and not sop:
        raise Refused("not_an_image")
    if sop in MR and modality in MR_LIKE:
        return
    if sop in CAPTURE or (not sop and modality == "MR"):
        if modality not in MR_LIKE:
            raise Refused("not_mr")
        return
    raise Refused("not_mr" if PIXEL_DATA in top or ROWS in top else "not_an_image")


def _plain(element: Element | None) -> str:
    return "" if element is None else element.bytes.decode("ascii", "replace").strip(" \0")


def expected_bytes(top: dict[int, Element]) -> int:
    """Bytes that native pixel data must have: rows x columns x samples x bits / 8 x frames, and one more where that is odd."""
    rows, columns = values.number(top.get(ROWS)), values.number(top.get(COLUMNS))
    bits = int(values.number(top.get(ALLOCATED)))
    if not (rows > 0 and columns > 0 and bits in (1, 8, 16, 32, 64)):
        raise Refused("pixels_do_not_fit")
    frames = max(1, int(values.number(top.get(FRAMES), 1)))
    total = int(rows) * int(columns) * max(1, int(values.number(top.get(SAMPLES), 1))) * frames * bits
    return (total + 7) // 8


def pixels(file: File, top: dict[int, Element]) -> None:
    """Raise Refused where pixel data are missing, short, or no stream of as many frames as declared. Longer native data are cut in `headers`."""
    element = top.get(PIXEL_DATA)
    if element is None or (element.value is not None and not len(element.value)):
        raise Refused("no_pixels")
    need = expected_bytes(top)
    if file.fragments is None:
        if file.syntax in elements.COMPRESSED:
            raise Refused("malformed")
        if element.value is None:
            raise Refused("no_pixels")
        if len(element.value) < need:
            raise Refused("pixels_do_not_fit")
        return
    if file.syntax not in elements.COMPRESSED:
        raise Refused("malformed")
    frames = max(1, int(values.number(top.get(FRAMES), 1)))
    if len(file.fragments) < frames or not all(len(f) for f in file.fragments):
        raise Refused("pixels_do_not_fit")
    if file.syntax.rsplit(".", 1)[0].endswith(".4") and not _ends(file.fragments[-1]):
        raise Refused("truncated")


def _ends(fragment: elements.Buffer) -> bool:
    """Whether a JPEG, JPEG-LS or JPEG 2000 stream has its end marker (FFD9). What lies behind it is `streams`' to leave out."""
    return b"\xff\xd9" in bytes(fragment[-16:]) or b"\xff\xd9" in bytes(fragment)
