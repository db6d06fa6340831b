"""The frames of a folder: by quick readers where a file is of the usual kind, by pydicom where it is not (`bidstree.shapes`), with the same answer.

Headers only; pixels are read later, and only those of a sample. What is no readable image is listed, never raised.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from bidstree import enhanced, headers, shapes
from bidstree.geometry import Frame
from bidstree.shapes import Dataset


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
    flips: set[float] = field(default_factory=set)  # flip angles, in degrees


def read(folder: Path) -> Series:
    """Read the headers (not the pixels) of every file directly inside `folder`; what is not DICOM with an image in it is listed, never raised."""
    from pydicom import dcmread

    series = Series()
    for path in (folder / name for name in sorted(entry.name for entry in os.scandir(folder) if entry.is_file())):
        try:
            # A reader's warning about odd values is no reason to refuse a file, and none to stop where warnings are errors.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if not _add_plain(series, path) and not _add_enhanced(series, path):
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
    series.flips |= {shapes.as_number(one) for one in found.texts("FlipAngle")}
    return True


def _add_enhanced(series: Series, path: Path) -> bool:
    """Add an enhanced file by the quick reader; False where pydicom must look."""
    found = enhanced.read(path)
    if found is None:
        return False
    series.frames += _many(found, path)
    series.short += [path] if found.short else []
    series.uids.add(found.text("SeriesInstanceUID"))
    series.references.add(found.text("FrameOfReferenceUID"))
    series.image_type |= {word.upper() for word in found.top.get("ImageType", [])}
    series.modality |= {found.text("Modality")}
    series.flips |= {shapes.as_number(one) for n in range(len(found.frames)) for one in found.of(n, "FlipAngle")}
    return True


def _many(found: enhanced.Enhanced, path: Path) -> list[Frame]:
    """The frames of an enhanced file; the same as `_enhanced`, from the quick reader."""
    frames = []
    rows, columns = int(found.text("Rows")), int(found.text("Columns"))
    number, uid = shapes.as_number(found.text("InstanceNumber")) * 1e6, found.text("SOPInstanceUID")
    for n in range(len(found.frames)):
        words = found.of(n, "FrameType") or found.top.get("ImageType", [])
        said = next(iter(found.of(n, "ComplexImageComponent")), None)
        group = (shapes.as_number(next(iter(found.of(n, "EffectiveEchoTime")), "0")), shapes.component_of(words, said), shapes.derived_of(words))
        plane = shapes.placed(*(tuple(found.of(n, key)) for key in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")))
        setting = shapes.setting_of(next(iter(found.of(n, "RepetitionTime")), ""), next(iter(found.of(n, "InversionTimes")), ""), words)
        frames.append(Frame(path, n, number + n, rows=rows, columns=columns, group=group, uid=f"{uid}#{n}", setting=setting, **plane))
    return frames


def _plain(found: headers.Head, path: Path) -> Frame:
    """The frame of a classic file; the same as `_classic`, from the quick reader."""
    words = found.texts("ImageType")
    ge = {0: "mag", 1: "phase", 2: "real", 3: "imag"}.get(found.whole("GEComponent", -1), "")
    group = (shapes.as_number(found.text("EchoTime")), shapes.component_of(words) or ge, shapes.derived_of(words))
    plane = shapes.placed(*(tuple(found.texts(key)) for key in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient")))
    number, rows, columns = shapes.as_number(found.text("InstanceNumber")), found.whole("Rows"), found.whole("Columns")
    setting = shapes.setting_of(found.text("RepetitionTime"), found.text("InversionTime"), words, found.text("RectilinearPhaseEncodeReordering"))
    return Frame(path, 0, number, rows=rows, columns=columns, group=group, uid=found.text("SOPInstanceUID"), setting=setting, **plane)


def _add(series: Series, ds: Dataset, path: Path) -> None:
    """Add one file to the series; what raises on the way leaves the series as it was."""
    frames = list(shapes.frames_of(ds, path))
    if not frames:
        series.unreadable.append(path)
        return
    short = _too_short(ds, path)
    image_type = {str(word).upper() for word in shapes.as_list(ds.get("ImageType"))}
    uid, reference, modality = (str(ds.get(key, "")) for key in ("SeriesInstanceUID", "FrameOfReferenceUID", "Modality"))
    series.frames += frames
    series.short += [path] if short else []
    series.uids.add(uid)
    series.references.add(reference)
    series.image_type |= image_type
    series.modality |= {modality}
    series.flips |= _flips(ds)


def _flips(ds: Dataset) -> set[float]:
    """Flip angles of a file, wherever it says them."""
    found = [ds.get("FlipAngle")]
    groups = [*(ds.get("SharedFunctionalGroupsSequence") or []), *(ds.get("PerFrameFunctionalGroupsSequence") or [])]
    found += [(group.get("MRTimingAndRelatedParametersSequence") or [{}])[0].get("FlipAngle") for group in groups]
    return {shapes.as_number(one) for one in found if one not in (None, "")}


def _too_short(ds: Dataset, path: Path) -> bool:
    """Whether uncompressed pixel data is shorter than Rows x Columns x samples x bits x frames."""
    if ds.file_meta.get("TransferSyntaxUID") is None or ds.file_meta.TransferSyntaxUID.is_compressed:
        return False
    expected = (
        int(ds.Rows) * int(ds.Columns) * int(ds.get("SamplesPerPixel", 1)) * int(ds.get("BitsAllocated", 16)) // 8 * int(ds.get("NumberOfFrames", 1) or 1)
    )
    return path.stat().st_size < expected or len(ds.PixelData) < expected
