"""Find writing in images; hide it or refuse.

Writing that a machine or a person burned into a picture differs from anatomy in one cheap way: its strokes are thin and of one constant value, often the
brightest.
So every slice passes that test (`suspicious`), which costs less than a millisecond, and only what it picks goes to a text detector, with the first, the middle
and the last slice and the maximum projection of every series. Secondary captures, screen images and images that say BurnedInAnnotation = YES go there
frame by frame.

What the detector finds is set to the image's lowest value and looked for again; if anything is still found, the image is refused. The detector is
rapidocr-onnxruntime, whose models lie in its wheel: nothing is fetched. Without it, whatever would have to be looked at is refused, never passed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import elements, objects, values
from deid.elements import PIXEL_DATA, Element, File, Item
from deid.errors import REFUSALS, Refused
from deid.identity import SOP_CLASS, SOP_UID
from deid.pseudonyms import PseudonymKey

Box = tuple[int, int, int, int]  # top, left, bottom, right; pixels, end excluded
Finder = Callable[[NDArray[np.uint8], bool], list[Box]]

IMAGE_TYPE, BURNED_IN, METHOD_CODES, METHOD, BITS_STORED, SIGNED, PHOTOMETRIC, PLANAR = (
    0x00080008,
    0x00280301,
    0x00120064,
    0x00120063,
    0x00280101,
    0x00280103,
    0x00280004,
    0x00280006,
)
SCREEN = frozenset(["SCREEN", "SAVE", "SCREENSAVE", "PASTED", "GRAPHICS", "POSDISP", "REFORMATTED", "TEXT"])
FEWEST = 14  # equal neighbours of one value: the stroke pixels of about two small characters
FEWEST_ALONE = 7  # bright pixels of one value, neighbours or not: the cores of smoothed strokes
MARGIN = 2


@dataclass(frozen=True, slots=True)
class PixelVerdict:
    """What came of one image. code: None when it may go on, else a refusal code. masked: writing was found and hidden. looked: the text detector saw it."""

    path: Path
    code: str | None
    reason: str
    masked: bool
    looked: bool = False


def check(paths: Sequence[Path], *, key: PseudonymKey | None = None, finder: Finder | None = None) -> list[PixelVerdict]:
    """Look for writing in the (already cleaned) images of one series; images in which some was found are re-written in place with it hidden.

    key: renews the seal of re-written files (without it they carry none). finder: image (rows, columns, 3) uint8 and whether to be strict -> boxes; the
    default
    is the bundled detector. One verdict per path, in order.
    """
    find = finder or _rapid
    out: dict[Path, PixelVerdict] = {}
    picked = _pick(paths, out)
    for path in paths:
        if path not in out:
            out[path] = _one(path, picked.get(path), key, find)
    return [out[path] for path in paths]


def _pick(paths: Sequence[Path], out: dict[Path, PixelVerdict]) -> dict[Path, set[int] | None]:
    """Which frames of which files the detector must see: None for all of them. Unreadable files get their verdict here."""
    chosen: dict[Path, set[int] | None] = {}
    plain: list[Path] = []
    for path in paths:
        try:
            file = elements.read(path)
            if _must(file):
                chosen[path] = None
                continue
            frames = decode(file, path)
        except (Refused, ValueError, RuntimeError, NotImplementedError, AttributeError, OSError, KeyError, TypeError):
            out[path] = PixelVerdict(path, "pixels_unreadable", REFUSALS["pixels_unreadable"][0], False)
            continue
        chosen[path] = {n for n, frame in enumerate(frames) if suspicious(frame)}
        plain.append(path)
    for path in {plain[0], plain[len(plain) // 2], plain[-1]} if plain else set():
        chosen[path] = (chosen[path] or set()) | {0}
    return chosen


def _must(file: File) -> bool:
    """Whether every frame has to be looked at: captures, screen images, and those that say they carry writing."""
    top = file.top()

    def words(tag: int) -> set[str]:
        return {part.upper() for part in values.texts(top[tag])} if tag in top and top[tag].items is None else set()

    kinds = {word for value in words(IMAGE_TYPE) for word in value.replace(" ", "_").split("_")}
    return bool(words(SOP_CLASS) & objects.CAPTURE or "YES" in words(BURNED_IN) or kinds & SCREEN)


def decode(file: File, path: Path) -> NDArray[Any]:
    """Picture values as (frames, rows, columns[, 3]). Native data are read here; compressed ones by pydicom and its plug-ins. Raises on what cannot be
    decoded."""
    top = file.top()
    rows, columns = int(values.number(top.get(objects.ROWS))), int(values.number(top.get(objects.COLUMNS)))
    samples = max(1, int(values.number(top.get(objects.SAMPLES), 1)))
    bits = int(values.number(top.get(objects.ALLOCATED)))
    if file.fragments is not None or bits not in (8, 16, 32):
        import pydicom

        data: NDArray[Any] = np.asarray(pydicom.dcmread(path).pixel_array)
        return data.reshape((-1, rows, columns, *((samples,) if samples > 1 else ())))
    signed = int(values.number(top.get(SIGNED))) == 1
    need = objects.expected_bytes(top)
    raw = top[PIXEL_DATA].value or b""
    flat = np.frombuffer(raw, dtype=f"<{'i' if signed else 'u'}{bits // 8}", count=need * 8 // bits)
    if samples > 1 and int(values.number(top.get(PLANAR))) == 1:
        return np.moveaxis(flat.reshape(-1, samples, rows, columns), 1, -1)
    return flat.reshape((-1, rows, columns, *((samples,) if samples > 1 else ())))


def suspicious(frame: NDArray[Any]) -> bool:
    """Whether a slice holds many thin, connected strokes of one constant value.

    frame: (rows, columns[, 3]), integers. Counted are pixels whose right or lower neighbour has the very same value, value by value; one bright value that
    has many of
    them, far more than the values around it, and that fills no solid area, is a stroke.
    """
    if frame.ndim == 3:
        return True
    low, high = int(frame.min()), int(frame.max())
    if high - low < 8:
        return False
    if high - low >= 1 << 18:
        return True  # wider than any scanner stores: looked at rather than guessed
    bright = frame > low + (high - low) // 8  # dark ties are background
    same = np.zeros(frame.shape, bool)
    same[:, :-1] = frame[:, :-1] == frame[:, 1:]
    same[:-1] |= frame[:-1] == frame[1:]
    return _stroke(frame, low, same & bright, FEWEST, 4.0) or _stroke(frame, low, frame > low + (high - low) // 2, FEWEST_ALONE, 6.0)


def _stroke(frame: NDArray[Any], low: int, among: NDArray[np.bool_], fewest: int, times: float) -> bool:
    """Whether among these pixels one value stands out: `fewest` pixels at least, `times` as many as nearly every other value has, and nothing solid."""
    found = frame[among]
    if found.size < fewest:
        return False
    counts = np.bincount(found.astype(np.int64) - low)
    best = int(counts.argmax())
    most = int(counts[best])
    rest = np.delete(counts, best)
    usual = float(np.percentile(rest[rest > 0], 95)) if (rest > 0).any() else 0.0
    return most >= fewest and most >= times * max(usual, 1.0 if fewest < FEWEST else 2.0) and _thin(frame == low + best)


def _thin(mask: NDArray[np.bool_]) -> bool:
    """Whether little is left when one pixel is taken off all around."""
    inner = mask[1:-1, 1:-1] & mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return bool(inner.sum() < 0.35 * mask.sum())


def _one(path: Path, picked: set[int] | None, key: PseudonymKey | None, find: Finder) -> PixelVerdict:
    """Look at the picked frames of one file, hide what is found, look again."""
    if picked is not None and not picked:
        return PixelVerdict(path, None, "", False)
    try:
        file = elements.read(path)
        frames = decode(file, path)
        strict = picked is None
        numbers = range(len(frames)) if picked is None else sorted(picked)
        boxes = {n: found for n in numbers if (found := find(_view(frames[n]), strict))}
        if not boxes:
            return PixelVerdict(path, None, "", False, True)
        frames = np.array(frames)
        for n, found in boxes.items():
            for top, left, bottom, right in found:
                frames[n, max(0, top - MARGIN) : bottom + MARGIN, max(0, left - MARGIN) : right + MARGIN] = frames[n].min()
            if find(_view(frames[n]), strict):
                return PixelVerdict(path, "writing_in_pixels", REFUSALS["writing_in_pixels"][0], False, True)
        _rewrite(path, file, frames, key)
    except (Refused, ValueError, RuntimeError, NotImplementedError, AttributeError, OSError, KeyError, TypeError, ImportError):
        return PixelVerdict(path, "pixels_unreadable", REFUSALS["pixels_unreadable"][0], False)
    return PixelVerdict(path, None, "Writing was found in the image and hidden.", True, True)


def _view(frame: NDArray[Any]) -> NDArray[np.uint8]:
    """A slice as the detector wants it: (rows, columns, 3) uint8, the full range of values."""
    data = frame.astype(np.float32)
    low, high = float(data.min()), float(data.max())
    grey = ((data - low) * (255.0 / max(high - low, 1e-6))).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2) if grey.ndim == 2 else np.ascontiguousarray(grey[..., :3])


def _rewrite(path: Path, file: File, frames: NDArray[Any], key: PseudonymKey | None) -> None:
    """Write the file again, uncompressed, with the new picture values and the statement that pixels were cleaned (113101)."""
    from deid import headers

    out = []
    for element in file.elements:
        if element.tag == PIXEL_DATA:
            element = Element(PIXEL_DATA, "OW", np.ascontiguousarray(frames).tobytes())
        elif element.tag == PLANAR:
            element = Element(PLANAR, "US", b"\0\0")
        elif element.tag == PHOTOMETRIC and file.fragments is not None and element.bytes.startswith(b"YBR"):
            element = Element(PHOTOMETRIC, "CS", b"RGB ")
        elif element.tag == METHOD_CODES and element.items is not None:
            element = Element(METHOD_CODES, "SQ", None, [*element.items, _cleaned_pixels()], element.undefined)
        elif element.tag == METHOD:
            lines = [line for line in values.texts(element, ("utf-8",)) if not line.startswith("seal ")]
            element = Element(METHOD, "LO", values.encode_text([*lines, "Writing in pixels hidden", *(["seal " + "0" * headers.SEAL_CHARS] if key else [])]))
        if element.tag != BURNED_IN:
            out.append(element)
    out.append(Element(BURNED_IN, "CS", b"NO"))
    out.sort(key=lambda e: e.tag)
    top = file.top()
    pieces = elements.body(out, None)
    if key:
        headers.seal(pieces, key)
    uid, sop = (values.text(top[tag]) for tag in (SOP_UID, SOP_CLASS))
    headers.write(path, [elements.head(elements.EXPLICIT, sop, uid, headers.IMPLEMENTATION_UID, headers.IMPLEMENTATION_NAME), *pieces])


def _cleaned_pixels() -> Item:
    return Item([Element(0x00080100, "SH", b"113101"), Element(0x00080102, "SH", b"DCM"), Element(0x00080104, "LO", b"Clean Pixel Data Option")])


def digest(frames: NDArray[Any]) -> str:
    """SHA-256 of picture values, to show that an image was not touched."""
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()


@lru_cache(maxsize=1)
def _engine() -> Any:
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)


def _rapid(image: NDArray[np.uint8], strict: bool) -> list[Box]:
    """Boxes of writing. The image is enlarged to twice its size, or to 512 pixels. strict: every box counts; else only those that read as two or more
    letters or digits."""
    import cv2

    scale = max(2.0, 512 / max(image.shape[:2]))
    large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    found, _ = _engine()(large, use_cls=False)
    boxes = []
    for corners, text, score in found or []:
        if not strict and (float(score) < 0.6 or sum(c.isalnum() for c in text) < 2):
            continue
        xs, ys = [p[0] / scale for p in corners], [p[1] / scale for p in corners]
        boxes.append((int(max(0, min(ys))), int(max(0, min(xs))), int(max(ys)) + 1, int(max(xs)) + 1))
    return boxes
