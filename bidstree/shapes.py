"""Four shapes of MR object, one answer: where each frame of a file that pydicom has read lies, and what it must not be mixed with.

One frame a file (classic), enhanced multi-frame (per-frame functional groups), the Siemens mosaic (tiles of one volume in one frame; slices step along
SliceNormalVector of the CSA header) and the UIH grid (a private item a tile). What frames of one volume must share is their `group`: echo time,
component (magnitude, phase, ...) and derived kind.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bidstree.geometry import Frame

Dataset = Any  # pydicom.dataset.Dataset: pydicom ships no types

_RAS = np.array([-1.0, -1.0, 1.0])
_COMPONENTS = {"M": "mag", "MAGNITUDE": "mag", "P": "phase", "PHASE": "phase", "R": "real", "REAL": "real", "I": "imag", "IMAGINARY": "imag"}
_DERIVED_WORDS = ("ADC", "FA", "TRACEW", "TENSOR_B0", "EADC", "MINIP", "MIP", "MNIP", "SWI", "PHASEDIFF", "T1", "T2", "B0 MAP", "B0")


def as_list(value: object) -> list[Any]:
    """A DICOM value as a list, whatever its multiplicity."""
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | bytes | int | float) or not isinstance(value, Sequence) else list(value)


def frames_of(ds: Dataset, path: Path) -> Iterator[Frame]:
    """The frames of one object, by its shape; none where it holds no image. Raises whatever a broken header makes pydicom raise."""
    if not ds.get("Rows") or not ds.get("Columns") or not any(key in ds for key in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        return
    if "PerFrameFunctionalGroupsSequence" in ds:
        yield from _enhanced(ds, path)
    elif "MOSAIC" in as_list(ds.get("ImageType")) or _csa(ds).get("NumberOfImagesInMosaic"):
        yield from _mosaic(ds, path)
    elif (0x0065, 0x1051) in ds and ds.get("Manufacturer", "") == "UIH":
        yield from _grid(ds, path)
    else:
        yield _classic(ds, path)


def placed(spacing: tuple[str, ...], cosines: tuple[str, ...], position: tuple[str, ...]) -> dict[str, Any]:
    """The same as `_plane` from text; spacing and cosines, which most frames share, are turned into numbers once."""
    plane = dict(_directions(spacing, cosines))
    where = [float(x) for x in position]
    known = plane.pop("known") and len(where) == 3 and all(map(math.isfinite, where))
    return {**plane, "position": np.array(where) * _RAS if known else None}


@functools.lru_cache(maxsize=256)
def _directions(spacing: tuple[str, ...], cosines: tuple[str, ...]) -> dict[str, Any]:
    plane = plane_of({"PixelSpacing": spacing, "ImageOrientationPatient": cosines, "ImagePositionPatient": (0, 0, 0)})
    return {**plane, "known": plane["position"] is not None}


def plane_of(ds: Any) -> dict[str, Any]:
    """The keyword arguments of a Frame that the plane attributes give; the attributes may be missing (then position is None)."""
    spacing = [float(x) for x in as_list(ds.get("PixelSpacing"))] or [1.0, 1.0]
    cosines = [float(x) for x in as_list(ds.get("ImageOrientationPatient"))]
    position = [float(x) for x in as_list(ds.get("ImagePositionPatient"))]
    known = len(cosines) == 6 and len(position) == 3 and all(map(math.isfinite, [*cosines, *position]))
    right, down = (np.array(cosines[:3]) * _RAS, np.array(cosines[3:]) * _RAS) if len(cosines) == 6 else (np.array([-1.0, 0, 0]), np.array([0, -1.0, 0]))
    return {"position": np.array(position) * _RAS if known else None, "right": right, "down": down, "spacing": (spacing[0], spacing[1])}


def component_of(words: Sequence[object], said: object = None) -> str:
    """Magnitude, phase, real or imaginary, from ComplexImageComponent or the third and later values of ImageType."""
    for word in [said, *words[2:]]:
        if str(word).upper() in _COMPONENTS:
            return _COMPONENTS[str(word).upper()]
    if any(str(word).upper().startswith(("PHASE", "P_")) for word in words[2:]):
        return "phase"
    return ""


def derived_of(words: Sequence[object]) -> str:
    """The kinds of derived map that the image type names, joined by `/`; empty for what the scanner measured."""
    upper = [str(word).upper() for word in words]
    return "/".join(word for word in upper[2:] if word in _DERIVED_WORDS) if "DERIVED" in upper[:1] else ""


def as_number(value: object) -> float:
    """A DICOM number; 0 where it is none."""
    try:
        return float(str(value))
    except ValueError:
        return 0.0


Setting = tuple[float, float, int, int]
# What a Dixon reconstruction made of the echoes: words of ImageType (Siemens, Philips, GE) by kind.
DIXON: dict[str, frozenset[str]] = {
    "water": frozenset({"W", "WATER"}),
    "fat": frozenset({"F", "FAT"}),
    "inphase": frozenset({"IP", "IN_PHASE", "IN PHASE"}),
    "outphase": frozenset({"OP", "OPP_PHASE", "OUT_PHASE", "OPPOSED_PHASE", "OUT OF PHASE"}),
}


def setting_of(repetition: object, inversion: object, words: Sequence[object], reordering: object = "", sign: int = 0) -> Setting:
    """A `Frame.setting`. `words`: its ImageType; `reordering`: GE says of images of one protocol which had the phase-encoding direction turned round."""
    told = str(reordering or "").upper()
    turned = -1 if told == "REVERSE_LINEAR" else 1 if told == "LINEAR" else 0
    return as_number(repetition or 0), as_number(inversion or 0), sign or turned, dixon_of(words)


def dixon_of(words: Sequence[object]) -> int:
    """Place (from 1) of the Dixon kind that an ImageType names from its third value on; 0 for none."""
    upper = {str(word).upper() for word in list(words)[2:]}
    return next((n for n, kinds in enumerate(DIXON.values(), 1) if kinds & upper), 0)


def _setting(ds: Dataset, sign: int = 0) -> Setting:
    words = as_list(ds.get("ImageType"))
    return setting_of(ds.get("RepetitionTime"), ds.get("InversionTime"), words, ds.get("RectilinearPhaseEncodeReordering"), sign)


def _classic(ds: Dataset, path: Path) -> Frame:
    words = as_list(ds.get("ImageType"))
    ge = ds.get((0x0043, 0x102F))
    component = component_of(words) or ({0: "mag", 1: "phase", 2: "real", 3: "imag"}.get(int(as_number(ge.value)), "") if ge is not None else "")
    group = (as_number(ds.get("EchoTime", 0) or 0), component, derived_of(words))
    number = as_number(ds.get("InstanceNumber", 0) or 0)
    plane = plane_of(ds)
    uid = str(ds.get("SOPInstanceUID", ""))
    return Frame(path, 0, number, rows=int(ds.Rows), columns=int(ds.Columns), group=group, uid=uid, setting=_setting(ds), **plane)


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
        words = as_list(kind.get("FrameType")) or as_list(ds.get("ImageType"))
        echo = as_number(item("MREchoSequence").get("EffectiveEchoTime", 0) or 0)
        group = (echo, component_of(words, kind.get("ComplexImageComponent")), derived_of(words))
        number, uid = as_number(ds.get("InstanceNumber", 0) or 0) * 1e6 + n, f"{ds.get('SOPInstanceUID', '')}#{n}"
        times = as_list(item("MRModifierSequence").get("InversionTimes"))
        setting = setting_of(item("MRTimingAndRelatedParametersSequence").get("RepetitionTime"), next(iter(times), 0), words)
        yield Frame(path, n, number, rows=int(ds.Rows), columns=int(ds.Columns), group=group, uid=uid, setting=setting, **plane_of(plane))


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
    count = int(as_number((csa.get("NumberOfImagesInMosaic") or [private.value if private is not None else 0])[0]))
    if count < 1:
        raise ValueError("a mosaic that does not say how many slices it has")
    side = math.ceil(math.sqrt(count))
    rows, columns = int(ds.Rows) // side, int(ds.Columns) // side
    plane = plane_of(ds)
    right, down, spacing = plane["right"], plane["down"], plane["spacing"]
    normal = np.cross(right, down)
    said = csa.get("SliceNormalVector")
    # Only the sign is taken from the vendor: with it reversed, tile 0 is the other end of the stack (the mirrored mosaics of other converters).
    if said and float(np.dot(np.array([float(x) for x in said]) * _RAS, normal)) < 0:
        normal = -normal
    step = as_number(ds.get("SpacingBetweenSlices") or ds.get("SliceThickness") or 0)
    if plane["position"] is not None:
        plane["position"] = plane["position"] + right * spacing[1] * (int(ds.Columns) - columns) / 2 + down * spacing[0] * (int(ds.Rows) - rows) / 2
    words = as_list(ds.get("ImageType"))
    group = (as_number(ds.get("EchoTime", 0) or 0), component_of(words), derived_of(words))
    number, uid = as_number(ds.get("InstanceNumber", 0) or 0), str(ds.get("SOPInstanceUID", ""))
    positive = next((str(value) for value in csa.get("PhaseEncodingDirectionPositive") or []), "")
    setting = _setting(ds, {"1": 1, "0": -1}.get(positive, 0))
    for n in range(count):
        here = {**plane, "position": None if plane["position"] is None or not said else plane["position"] + normal * step * n}
        tile = (n // side * rows, n % side * columns)
        yield Frame(path, n, number, rows=rows, columns=columns, group=group, uid=f"{uid}#{n}", tile=tile, setting=setting, **here)


def _grid(ds: Dataset, path: Path) -> Iterator[Frame]:
    """Tiles of a UIH grid: (0065,1051) has an item a tile, with its own ImagePositionPatient."""
    items = ds[(0x0065, 0x1051)].value
    side = math.ceil(math.sqrt(len(items)))
    rows, columns = int(ds.Rows) // math.ceil(len(items) / side), int(ds.Columns) // side  # no empty rows of tiles, unlike Siemens
    words = as_list(ds.get("ImageType"))
    group = (as_number(ds.get("EchoTime", 0) or 0), component_of(words), derived_of(words))
    number, uid = as_number(ds.get("InstanceNumber", 0) or 0), str(ds.get("SOPInstanceUID", ""))
    for n, item in enumerate(items):
        plane = plane_of(ds)
        position = [float(x) for x in as_list(item.get("ImagePositionPatient"))]
        plane["position"] = np.array(position) * _RAS if len(position) == 3 else None
        tile = (n // side * rows, n % side * columns)
        yield Frame(path, n, number, rows=rows, columns=columns, group=group, uid=f"{uid}#{n}", tile=tile, setting=_setting(ds), **plane)
