"""Frames: the pictures inside DICOM files, decoded, each knowing to which group of slices it belongs and where in it.

A slice can only be compared with its neighbours when one knows who they are. A group is what was imaged alike: rows, columns, samples and ImageType. In it
slices are ordered by their place along the normal of the image plane (PS3.3 C.7.6.2.1.1), then by InstanceNumber, then by frame, so that the same place at
another time is the nearest neighbour of all. Every frame of a multi-frame object is a slice.

Native pixels are read here. Compressed ones, and colour that is not RGB, go through pydicom's plug-ins, the strict ones first: gdcm is quick but may take the
whole process with it on hostile bytes, so it is asked last, and callers outside a child process of their own must not come here with untrusted files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import glance, objects, values
from deid.elements import PIXEL_DATA, Element, File
from deid.identity import SOP_CLASS

Frames = NDArray[Any]
Key = tuple[int, int, int, tuple[str, ...]]
Place = tuple[float, int, int]

IMAGE_TYPE, INSTANCE, POSITION, ORIENTATION = 0x00080008, 0x00200013, 0x00200032, 0x00200037
PER_FRAME, SHARED, PLANE_POSITION, PLANE_ORIENTATION = 0x52009230, 0x52009229, 0x00209113, 0x00209116
BURNED_IN, SIGNED, PHOTOMETRIC, PLANAR = 0x00280301, 0x00280103, 0x00280004, 0x00280006
PALETTE = (0x00281201, 0x00281202, 0x00281203)
PALETTE_SIZE = 0x00281101
SCREEN = frozenset(["SCREEN", "SAVE", "SCREENSAVE", "PASTED", "GRAPHICS", "POSDISP", "REFORMATTED", "TEXT", "CAPTURE"])
DERIVED = frozenset(["DERIVED", "SECONDARY"])
METHOD_CODES = 0x00120064
WANTED = frozenset(
    {IMAGE_TYPE, INSTANCE, POSITION, ORIENTATION, BURNED_IN, SIGNED, PHOTOMETRIC, PLANAR, *PALETTE, PALETTE_SIZE, PALETTE_SIZE + 1, PALETTE_SIZE + 2}
    | {SOP_CLASS, METHOD_CODES, objects.ROWS, objects.COLUMNS, objects.SAMPLES, objects.FRAMES, objects.ALLOCATED}
)
PLUGINS = ("pydicom", "pylibjpeg", "pyjpegls", "pillow", "gdcm")  # the strict first
UNDECODABLE = (ValueError, RuntimeError, NotImplementedError, AttributeError, OSError, KeyError, IndexError, TypeError, ImportError, OverflowError, MemoryError)


@dataclass(frozen=True, slots=True)
class Picture:
    """One file's frames (frames, rows, columns[, 3]) as stored values, and what is needed to look at them and to compare them.

    captured: a screen or secondary capture, or one that says it carries writing. derived: ImageType says DERIVED or SECONDARY. claims: it says that its
    pixels are clean.
    colour: PhotometricInterpretation of `frames` as decoded. places: order of each frame in its group. palette: (entries, 3) uint8 or None.
    """

    path: Path
    frames: Frames
    key: Key
    places: tuple[Place, ...]
    colour: str
    captured: bool
    derived: bool
    claims: bool = False
    palette: NDArray[np.uint8] | None = None


def open_picture(path: Path) -> Picture:
    """Decode one file. Raises errors.Refused, or one of UNDECODABLE."""
    file = glance.read(path, WANTED)
    top = file.top()
    frames, colour = decode(file, path)
    kinds = _words(top, IMAGE_TYPE)
    rows, columns = frames.shape[1:3]
    key = (rows, columns, frames.shape[3] if frames.ndim == 4 else 1, kinds)
    palette = _palette(top) if colour == "PALETTE COLOR" else None
    return Picture(path, frames, key, _places(top, len(frames)), colour, is_captured(file), bool(DERIVED & set(kinds)), _claims(top), palette)


def is_captured(file: File) -> bool:
    """Whether every frame has to be read: captures, screen images, and those that say they carry writing."""
    top = file.top()
    kinds = {part for word in _words(top, IMAGE_TYPE) for part in word.replace(" ", "_").split("_")}
    return bool(set(_words(top, SOP_CLASS)) & objects.CAPTURE or "YES" in _words(top, BURNED_IN) or kinds & SCREEN)


def _claims(top: dict[int, Element]) -> bool:
    """Whether the file says that it holds no writing: BurnedInAnnotation NO and 113101, Clean Pixel Data Option."""
    codes = top.get(METHOD_CODES)
    if _words(top, BURNED_IN) != ("NO",) or codes is None:
        return False
    return b"113101" in codes.bytes or any(b"113101" in element.bytes for item in codes.items or () for element in item.elements)


def _words(top: dict[int, Element], tag: int) -> tuple[str, ...]:
    element = top.get(tag)
    return tuple(part.upper() for part in values.texts(element)) if element is not None and element.items is None else ()


# --- pixels ------------------------------------------------------------------------------------------------------------------------------------------


def decode(file: File, path: Path) -> tuple[Frames, str]:
    """Stored values as (frames, rows, columns[, 3]) and the PhotometricInterpretation they now have."""
    top = file.top()
    rows, columns = int(values.number(top.get(objects.ROWS))), int(values.number(top.get(objects.COLUMNS)))
    samples = max(1, int(values.number(top.get(objects.SAMPLES), 1)))
    bits = int(values.number(top.get(objects.ALLOCATED)))
    colour = (_words(top, PHOTOMETRIC) or ("MONOCHROME2",))[0]
    shape = (-1, rows, columns, *((samples,) if samples > 1 else ()))
    if file.fragments is not None or bits not in (8, 16, 32) or colour == "YBR_FULL_422":
        data = _plugged(path)
        return data.reshape(shape), "RGB" if colour.startswith("YBR") else colour
    kind = "i" if int(values.number(top.get(SIGNED))) == 1 else "u"
    count = objects.expected_bytes(top) * 8 // bits
    flat = np.frombuffer(top[PIXEL_DATA].value or b"", dtype=f"<{kind}{bits // 8}", count=count)
    if samples > 1 and int(values.number(top.get(PLANAR))) == 1:
        return np.moveaxis(flat.reshape(-1, samples, rows, columns), 1, -1), colour
    return flat.reshape(shape), colour


def _plugged(path: Path) -> Frames:
    """What pydicom and its plug-ins make of the pixels, colours as RGB."""
    import pydicom
    from pydicom.pixels import get_decoder

    data = pydicom.dcmread(path)
    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return np.asarray(data.pixel_array)
    there = get_decoder(syntax).available_plugins
    trouble: Exception = NotImplementedError("no decoder")
    for name in [name for name in PLUGINS if name in there]:
        try:
            return np.asarray(get_decoder(syntax).as_array(data, decoding_plugin=name)[0])
        except UNDECODABLE as error:
            trouble = error
    raise trouble


def _palette(top: dict[int, Element]) -> NDArray[np.uint8] | None:
    """The colour tables as (entries, 3) uint8 (PS3.3 C.7.6.3.1.5 and .6); None where they are missing or segmented."""
    tables = []
    for n, tag in enumerate(PALETTE):
        size = _numbers(top.get(PALETTE_SIZE + n))
        if tag not in top or len(size) < 3:
            return None
        entries, bits = int(size[0]) or 65536, int(size[2])
        raw = top[tag].bytes
        wide = len(raw) >= 2 * entries
        table = np.frombuffer(raw, "<u2" if wide else "u1", count=min(entries, len(raw) // (2 if wide else 1)))
        tables.append((table >> (bits - 8 if wide and bits > 8 else 0)).astype(np.uint8))
    if len({len(table) for table in tables}) != 1 or not len(tables[0]):
        return None
    return np.stack(tables, axis=-1)


def view(frame: Frames, colour: str = "MONOCHROME2", palette: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """A frame as a person would see it: (rows, columns, 3) uint8, the full range of values; `palette` applied, YBR_FULL as RGB (PS3.3 C.7.6.3.1.2)."""
    if palette is not None:
        return palette[np.clip(frame.astype(np.int64), 0, len(palette) - 1)]
    data = np.nan_to_num(frame.astype(np.float32))
    if frame.ndim == 3 and colour.startswith("YBR") and frame.dtype == np.uint8:
        y, cb, cr = data[..., 0], data[..., 1] - 128, data[..., 2] - 128
        data = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return stretched(data)


def stretched(data: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The full range of values as 0..255: (rows, columns, 3) uint8."""
    low, high = float(data.min()), float(data.max())
    grey = ((data - low) * (255.0 / max(high - low, 1e-6))).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2) if grey.ndim == 2 else np.ascontiguousarray(grey[..., :3])


# --- order -------------------------------------------------------------------------------------------------------------------------------------------


def _places(top: dict[int, Element], count: int) -> tuple[Place, ...]:
    """(millimetres along the normal, InstanceNumber, frame) of each frame; 0 where the file does not say."""
    instance = int(values.number(top.get(INSTANCE)))
    if PER_FRAME not in top:
        return tuple((_along(_numbers(top.get(POSITION)), _numbers(top.get(ORIENTATION))), instance, n) for n in range(count))
    shared = _inside(top.get(SHARED), 0, PLANE_ORIENTATION, ORIENTATION)
    out = []
    for n in range(count):
        axes = _inside(top.get(PER_FRAME), n, PLANE_ORIENTATION, ORIENTATION) or shared
        out.append((_along(_inside(top.get(PER_FRAME), n, PLANE_POSITION, POSITION), axes), instance, n))
    return tuple(out)


def _inside(groups: Element | None, n: int, sequence: int, tag: int) -> list[float]:
    """The numbers of `tag` in the first item of `sequence` in item n of the functional groups."""
    items = groups.items if groups is not None else None
    if not items or n >= len(items):
        return []
    macro = next((e for e in items[n].elements if e.tag == sequence), None)
    return _numbers(next((e for e in macro.items[0].elements if e.tag == tag), None)) if macro is not None and macro.items else []


def _numbers(element: Element | None) -> list[float]:
    try:
        return list(values.numbers(element) or []) if element is not None and element.items is None else []
    except (ValueError, OverflowError):
        return []


def _along(position: Sequence[float], axes: Sequence[float]) -> float:
    if len(position) != 3 or len(axes) != 6:
        return 0.0
    (a, b, c), (d, e, f), (x, y, z) = axes[:3], axes[3:], position
    along = (b * f - c * e) * x + (c * d - a * f) * y + (a * e - b * d) * z
    return round(along, 2) if abs(along) < 1e9 else 0.0
