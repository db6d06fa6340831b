"""Files become frames: four shapes of MR object, one answer.

One frame a file (classic), enhanced multi-frame (per-frame functional groups), the Siemens mosaic (tiles of one volume in one frame; slices step along
SliceNormalVector of the CSA header) and the UIH grid (a private item a tile). What frames of one volume must share is their `group`: echo time,
component (magnitude, phase, ...) and derived kind.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bidstree import headers
from bidstree.geometry import Frame

Dataset = Any  # pydicom.dataset.Dataset: pydicom ships no types

_RAS = np.array([-1.0, -1.0, 1.0])
_COMPONENTS = {"M": "mag", "MAGNITUDE": "mag", "P": "phase", "PHASE": "phase", "R": "real", "REAL": "real", "I": "imag", "IMAGINARY": "imag"}
_DERIVED_WORDS = ("ADC", "FA", "TRACEW", "TENSOR_B0", "EADC", "MINIP", "MIP", "MNIP", "SWI", "PHASEDIFF", "T1", "T2", "B0 MAP", "B0")


@dataclass
class Series:
    """What the headers of one folder say: its frames, and the files that are no readable image."""

    frames: list[Frame] = field(default_factory=list)
    unreadable: list[Path] = field(default_factory=list)
    short: list[Path] = field(default_factory=list)  # pixel data shorter than the header promises
    uids: set[str] = field(default_factory=set)  # SeriesInstanceUID of each
    references: set[str] = field(default_factory=set)  # FrameOfReferenceUID of each
    image_type: frozenset[str] = frozenset()
    modality: frozenset[str] = frozenset()


def read(folder: Path) -> Series:
    """Read the headers (not the pixels) of every file directly inside `folder`; what is not DICOM with an image in it is listed, never raised."""
    from pydicom import dcmread

    series = Series()
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            # A reader's warning about odd values is no reason to refuse a file, and none to stop where warnings are errors.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if not _add_plain(series, path):
                    _add(series, dcmread(path, defer_size=512), path)
        except Exception:  # noqa: BLE001  whatever a header does to the reader, the file is not an image we can place
            series.unreadable.append(path)
    return series


def _add_plain(series: Series, path: Path) -> bool:
    """Add a classic one-frame file by the quick reader; False where pydicom must look."""
    found = headers.head(path)
    if found is None:
        return False
    frame = _plain(found, path)
    series.frames.append(frame)
    series.short += [path] if found.short else []
    series.uids.add(found.text("SeriesInstanceUID"))
    series.references.add(found.text("FrameOfReferenceUID"))
    series.image_type |= {word.upper() for word in found.texts("ImageType")}
    series.modality |= {found.text("Modality")}
    return True


def _plain(found: headers.Head, path: Path) -> Frame:
    """The frame of a classic file; the same as `_classic`, from the quick reader."""
    words = found.texts("ImageType")
    ge = {0: "mag", 1: "phase", 2: "real", 3: "imag"}.get(found.whole("GEComponent", -1), "")
    group = (_number(found.text("EchoTime")), _component(words) or ge, _derived(words))
    plane = _plane({key: found.texts(key) for key in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")})
    number, rows, columns = _number(found.text("InstanceNumber")), found.whole("Rows"), found.whole("Columns")
    return Frame(path, 0, number, rows=rows, columns=columns, group=group, uid=found.text("SOPInstanceUID"), **plane)


def _add(series: Series, ds: Dataset, path: Path) -> None:
    """Add one file to the series; what raises on the way leaves the series as it was."""
    frames = list(_frames(ds, path))
    if not frames:
        series.unreadable.append(path)
        return
    short = _too_short(ds, path)
    image_type = {str(word).upper() for word in _listed(ds.get("ImageType"))}
    uid, reference, modality = (str(ds.get(key, "")) for key in ("SeriesInstanceUID", "FrameOfReferenceUID", "Modality"))
    series.frames += frames
    series.short += [path] if short else []
    series.uids.add(uid)
    series.references.add(reference)
    series.image_type |= image_type
    series.modality |= {modality}


def _listed(value: object) -> list[Any]:
    """A DICOM value as a list, whatever its multiplicity."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | bytes | int | float) or not isinstance(value, Sequence) else list(value)


def _too_short(ds: Dataset, path: Path) -> bool:
    """Whether uncompressed pixel data is shorter than Rows x Columns x samples x bits x frames."""
    if ds.file_meta.get("TransferSyntaxUID") is None or ds.file_meta.TransferSyntaxUID.is_compressed:
        return False
    expected = (
        int(ds.Rows) * int(ds.Columns) * int(ds.get("SamplesPerPixel", 1)) * int(ds.get("BitsAllocated", 16)) // 8 * int(ds.get("NumberOfFrames", 1) or 1)
    )
    return path.stat().st_size < expected or len(ds.PixelData) < expected


def _frames(ds: Dataset, path: Path) -> Iterator[Frame]:
    if not ds.get("Rows") or not ds.get("Columns") or not any(key in ds for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        return
    if "PerFrameFunctionalGroupsSequence" in ds:
        yield from _enhanced(ds, path)
    elif "MOSAIC" in _listed(ds.get("ImageType")) or _csa(ds).get("NumberOfImagesInMosaic"):
        yield from _mosaic(ds, path)
    elif (0x0065, 0x1051) in ds and ds.get("Manufacturer", "") == "UIH":
        yield from _grid(ds, path)
    else:
        yield _classic(ds, path)


def _plane(ds: Any) -> dict[str, Any]:
    """The keyword arguments of a Frame that the plane attributes give; the attributes may be missing (then position is None)."""
    spacing = [float(x) for x in _listed(ds.get("PixelSpacing"))] or [1.0, 1.0]
    cosines = [float(x) for x in _listed(ds.get("ImageOrientationPatient"))]
    position = [float(x) for x in _listed(ds.get("ImagePositionPatient"))]
    known = len(cosines) == 6 and len(position) == 3 and all(map(math.isfinite, [*cosines, *position]))
    right, down = (np.array(cosines[:3]) * _RAS, np.array(cosines[3:]) * _RAS) if len(cosines) == 6 else (np.array([-1.0, 0, 0]), np.array([0, -1.0, 0]))
    return {"position": np.array(position) * _RAS if known else None, "right": right, "down": down, "spacing": (spacing[0], spacing[1])}


def _component(words: Sequence[object], said: object = None) -> str:
    """Magnitude, phase, real or imaginary, from ComplexImageComponent or the third and later values of ImageType."""
    for word in [said, *words[2:]]:
        if str(word).upper() in _COMPONENTS:
            return _COMPONENTS[str(word).upper()]
    if any(str(word).upper().startswith(("PHASE", "P_")) for word in words[2:]):
        return "phase"
    return ""


def _derived(words: Sequence[object]) -> str:
    upper = [str(word).upper() for word in words]
    return "/".join(word for word in upper[2:] if word in _DERIVED_WORDS) if "DERIVED" in upper[:1] else ""


def _number(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return 0.0


def _classic(ds: Dataset, path: Path) -> Frame:
    words = _listed(ds.get("ImageType"))
    ge = ds.get((0x0043, 0x102F))
    component = _component(words) or ({0: "mag", 1: "phase", 2: "real", 3: "imag"}.get(int(_number(ge.value)), "") if ge is not None else "")
    group = (_number(ds.get("EchoTime", 0) or 0), component, _derived(words))
    number = _number(ds.get("InstanceNumber", 0) or 0)
    plane = _plane(ds)
    return Frame(path, 0, number, rows=int(ds.Rows), columns=int(ds.Columns), group=group, uid=str(ds.get("SOPInstanceUID", "")), **plane)


def _enhanced(ds: Dataset, path: Path) -> Iterator[Frame]:
    shared = ds.SharedFunctionalGroupsSequence[0] if ds.get("SharedFunctionalGroupsSequence") else {}
    for n, per in enumerate(ds.PerFrameFunctionalGroupsSequence):

        def item(name: str, per: Dataset = per) -> Dataset:
            found = per.get(name) or shared.get(name)
            return found[0] if found else {}

        from pydicom.dataset import Dataset as New

        plane = New()
        for source, keyword in (
            ("PlanePositionSequence", "ImagePositionPatient"),
            ("PlaneOrientationSequence", "ImageOrientationPatient"),
            ("PixelMeasuresSequence", "PixelSpacing"),
        ):
            value = item(source).get(keyword)
            if value is not None:
                setattr(plane, keyword, value)
        kind = item("MRImageFrameTypeSequence")
        words = _listed(kind.get("FrameType")) or _listed(ds.get("ImageType"))
        echo = _number(item("MREchoSequence").get("EffectiveEchoTime", 0) or 0)
        group = (echo, _component(words, kind.get("ComplexImageComponent")), _derived(words))
        number = _number(ds.get("InstanceNumber", 0) or 0) * 1e6 + n
        yield Frame(path, n, number, rows=int(ds.Rows), columns=int(ds.Columns), group=group, uid=f"{ds.get('SOPInstanceUID', '')}#{n}", **_plane(plane))


def _csa(ds: Dataset) -> dict[str, list[Any]]:
    """Name -> values of the Siemens CSA image header, empty where there is none or it cannot be read."""
    from nibabel.nicom import csareader

    element = ds.get((0x0029, 0x1010))
    if element is None or not isinstance(element.value, bytes) or len(element.value) < 80:
        return {}
    try:
        return {name: tag["items"] for name, tag in csareader.read(element.value)["tags"].items() if tag["items"]}
    except Exception:  # noqa: BLE001  a damaged blob is no header
        return {}


def _mosaic(ds: Dataset, path: Path) -> Iterator[Frame]:
    """Tiles of a Siemens mosaic. ImagePositionPatient is that of a frame as large as the mosaic, so the tile's own first pixel lies half the difference in."""
    csa = _csa(ds)
    private = ds.get((0x0019, 0x100A))
    count = int(_number((csa.get("NumberOfImagesInMosaic") or [private.value if private is not None else 0])[0]))
    if count < 1:
        raise ValueError("a mosaic that does not say how many slices it has")
    side = math.ceil(math.sqrt(count))
    rows, columns = int(ds.Rows) // side, int(ds.Columns) // side
    plane = _plane(ds)
    right, down, spacing = plane["right"], plane["down"], plane["spacing"]
    normal = np.cross(right, down)
    said = csa.get("SliceNormalVector")
    # Only the sign is taken from the vendor: with it reversed, tile 0 is the other end of the stack (the mirrored mosaics of other converters).
    if said and float(np.dot(np.array([float(x) for x in said]) * _RAS, normal)) < 0:
        normal = -normal
    step = _number(ds.get("SpacingBetweenSlices") or ds.get("SliceThickness") or 0)
    if plane["position"] is not None:
        plane["position"] = plane["position"] + right * spacing[1] * (int(ds.Columns) - columns) / 2 + down * spacing[0] * (int(ds.Rows) - rows) / 2
    words = _listed(ds.get("ImageType"))
    group = (_number(ds.get("EchoTime", 0) or 0), _component(words), _derived(words))
    number, uid = _number(ds.get("InstanceNumber", 0) or 0), str(ds.get("SOPInstanceUID", ""))
    for n in range(count):
        here = {**plane, "position": None if plane["position"] is None or not said else plane["position"] + normal * step * n}
        tile = (n // side * rows, n % side * columns)
        yield Frame(path, n, number, rows=rows, columns=columns, group=group, uid=f"{uid}#{n}", tile=tile, **here)


def _grid(ds: Dataset, path: Path) -> Iterator[Frame]:
    """Tiles of a UIH grid: (0065,1051) has an item a tile, with its own ImagePositionPatient."""
    items = ds[(0x0065, 0x1051)].value
    side = math.ceil(math.sqrt(len(items)))
    rows, columns = int(ds.Rows) // math.ceil(len(items) / side), int(ds.Columns) // side  # no empty rows of tiles, unlike Siemens
    words = _listed(ds.get("ImageType"))
    group = (_number(ds.get("EchoTime", 0) or 0), _component(words), _derived(words))
    number, uid = _number(ds.get("InstanceNumber", 0) or 0), str(ds.get("SOPInstanceUID", ""))
    for n, item in enumerate(items):
        plane = _plane(ds)
        position = [float(x) for x in _listed(item.get("ImagePositionPatient"))]
        plane["position"] = np.array(position) * _RAS if len(position) == 3 else None
        tile = (n // side * rows, n % side * columns)
        yield Frame(path, n, number, rows=rows, columns=columns, group=group, uid=f"{uid}#{n}", tile=tile, **plane)
