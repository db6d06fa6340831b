"""The rows of `make show-headers` about writing in pixels: hidden in captures, found on one slice of a series, and not seen where there is none.

Each trial of the second row goes the whole way (`pixels.check` on files); only, the reader answers a picture that it has read before from memory, for all but
one of the slices are the same every time.
"""

from __future__ import annotations

import hashlib
import random
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
from burned_ink import Ink, burned, hidden, ink
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid
from table import ROOT, Result

from deid import frames, ocr, pixels, projections, shelf, strokes
from deid.errors import Refused
from deid.frames import UNDECODABLE

DICOM = ROOT / ".cache" / "mri" / "dicom"
SEED = 2026
SIDE = 256


# --- one slice of a series -----------------------------------------------------------------------------------------------------------------------------


def series(case: str) -> list[Path]:
    """The files of the largest series of a shared case."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((DICOM / case).rglob("*")):
        if path.is_file():
            try:
                found[str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)].append(path)
            except Exception:
                continue
    return max(found.values(), key=len)


class Remembered:
    """The reader, with its answers by digest of the picture."""

    def __init__(self) -> None:
        self.answers: dict[bytes, list[ocr.Box]] = {}

    def __call__(self, picture: NDArray[np.uint8], manner: int) -> list[ocr.Box]:
        asked = hashlib.blake2b(repr((picture.shape, manner)).encode() + picture.tobytes()).digest()
        if asked not in self.answers:
            self.answers[asked] = ocr.read(picture, manner)
        return list(self.answers[asked])


def planted_slice(depth: str) -> Result:
    """Writing on one random slice of a real 3D series of 170 slices: found and hidden, and no other slice touched."""
    trials = {"quick": 5, "usual": 20, "full": 100}[depth]
    reader, source = Remembered(), series("philips_t1w_3d_face")
    found, refused, spoilt, missed = 0, 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory(prefix="myelin-slices-") as folder:
        for n in range(trials):
            here = Path(folder, str(n))
            here.mkdir()
            paths = [Path(shutil.copy(path, here / f"{k:04d}.dcm")) for k, path in enumerate(source)]
            hit, code, others, how = planted(paths, random.Random(f"{SEED}-{n}"), reader)
            found, refused, spoilt = found + hit, refused + bool(code), spoilt + others
            missed[how] += not hit
            shutil.rmtree(here)
    figure = f"found {found} of {trials} on one of {len(source)} slices (8 to 32 pixels, five tones, four kinds of font; level, upright or two lines), "
    figure += f"{found - refused} hidden, {refused} refused; {spoilt} other slices changed"
    if found < trials:
        figure += f"; missed: {'; '.join(how for how in missed if missed[how])}"
    return Result(figure, met=found == trials and spoilt == 0, sample=depth != "full")


def planted(paths: list[Path], dice: random.Random, reader: ocr.Finder) -> tuple[bool, str | None, int, str]:
    """Plant, check, look: whether the writing is gone (or its file refused, with which code), how many other files changed or were refused, what it was."""
    while True:
        path = dice.choice(paths)
        data = pydicom.dcmread(path)
        if (done := burned(data.pixel_array, dice)) is not None:
            break
    picture, drawn, tone = done
    data.PixelData = picture.tobytes()
    data.save_as(path)
    before = {p: p.read_bytes() for p in paths}
    verdicts = {one.path: one for one in pixels.check(paths, finder=reader)}
    left = pydicom.dcmread(path).pixel_array
    code = verdicts[path].code
    others = sum(p.read_bytes() != before[p] or verdicts[p].code is not None for p in paths if p != path)
    return code is not None or hidden(left, drawn), code, others, f"{drawn.how}, {tone}"


# --- captures ------------------------------------------------------------------------------------------------------------------------------------------


def capture(picture: NDArray[Any], **more: Any) -> FileDataset:
    """A secondary capture, or what `more` makes of it."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = more.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.7")
    meta.MediaStorageSOPInstanceUID, meta.TransferSyntaxUID = generate_uid(), ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID, data.Modality, data.ImageType = generate_uid(), generate_uid(), "MR", ["DERIVED", "SECONDARY"]
    colour = picture.ndim == 3 and picture.shape[-1] == 3
    frames_of = picture.shape[0] if picture.ndim == 4 or (picture.ndim == 3 and not colour) else 1
    data.Rows, data.Columns = picture.shape[-3:-1] if colour else picture.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if colour else (1, "MONOCHROME2")
    if colour:
        data.PlanarConfiguration = 0
    if frames_of > 1:
        data.NumberOfFrames = frames_of
    data.BitsAllocated = data.BitsStored = picture.dtype.itemsize * 8
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(picture.dtype.kind == "i")
    data.PixelData = picture.tobytes()
    for keyword, value in more.items():
        setattr(data, keyword, value)
    return data


def backdrop(dice: random.Random) -> NDArray[np.float64]:
    """A smooth grey picture with a bright body in it, 0..1: no anatomy of anyone."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    body = ((x - 0.5) ** 2 / 0.12 + (y - 0.5) ** 2 / 0.16 < 1) * (0.35 + 0.1 * np.sin(9 * x + dice.random()) * np.cos(7 * y))
    noise = np.random.default_rng(dice.randrange(1 << 30)).normal(0, 0.015, (SIDE, SIDE))
    return np.clip(cv2.GaussianBlur(body, (7, 7), 2) + noise, 0, 0.6)


def kinds(dice: random.Random) -> Iterator[tuple[str, FileDataset, list[Ink]]]:
    """One of each kind of hidden writing."""
    grey = [backdrop(dice) for _ in range(3)]
    drawn = [one for _ in range(40) if (one := ink((SIDE, SIDE), dice)) is not None][:3]
    written = [g * (1 - i.mask) + 0.95 * i.mask for g, i in zip(grey, drawn, strict=True)]
    first, one = written[0], drawn[:1]
    byte, wide = (first * 255).astype(np.uint8), (first * 4000).astype(np.uint16)
    yield "capture, 8 bit", capture(byte), one
    yield "capture, 16 bit", capture(wide), one
    yield "capture, signed", capture((first * 4000 - 1000).astype(np.int16)), one
    yield "capture, 32 bit", capture((first * 4e6).astype(np.uint32)), one
    yield "capture, inverted", capture(255 - byte, PhotometricInterpretation="MONOCHROME1"), one
    yield "capture, three frames", capture((np.stack(written) * 255).astype(np.uint8)), drawn
    rgb = np.repeat(byte[..., None], 3, axis=2)
    rgb[one[0].mask > 0.5] = dice.choice([(255, 255, 0), (0, 255, 0), (255, 255, 255), (255, 160, 0)])
    yield "capture, RGB", capture(rgb), one
    yield "capture, RGB by planes", capture(rgb, PlanarConfiguration=1, PixelData=np.moveaxis(rgb, -1, 0).tobytes()), one
    ybr = np.stack([byte, np.full_like(byte, 128), np.full_like(byte, 128)], axis=-1)
    yield "capture, YBR", capture(ybr, PhotometricInterpretation="YBR_FULL"), one
    yield "capture, palette", palette(byte), one
    for name, syntax in (("RLE", RLELossless), ("JPEG 2000", JPEG2000Lossless)):
        packed = capture(byte)
        packed.compress(syntax, generate_instance_uid=False)
        yield f"capture, {name}", packed, one
    mr = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4"}
    yield "screen image of an MR series", capture(wide, ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"], **mr), one
    yield "says it carries writing", capture(wide, ImageType=["ORIGINAL", "PRIMARY"], BurnedInAnnotation="YES", **mr), one
    yield "derived image", capture(wide, ImageType=["DERIVED", "PRIMARY"], **mr), one
    yield "lone ordinary slice", capture(wide, ImageType=["ORIGINAL", "PRIMARY"], **mr), one


def palette(byte: NDArray[np.uint8]) -> FileDataset:
    """Indices that mean nothing until the table is applied: the table is shuffled."""
    order = np.random.default_rng(SEED).permutation(256)
    table = np.zeros(256, np.uint16)
    table[order] = np.arange(256, dtype=np.uint16) << 8
    data = capture(order[byte].astype(np.uint8), PhotometricInterpretation="PALETTE COLOR")
    for colour in ("Red", "Green", "Blue"):
        data.add_new(pydicom.datadict.tag_for_keyword(f"{colour}PaletteColorLookupTableDescriptor"), "US", [256, 0, 16])
        data.add_new(pydicom.datadict.tag_for_keyword(f"{colour}PaletteColorLookupTableData"), "OW", table.tobytes())
    return data


def burned_in(depth: str) -> Result:
    """Writing in captures, screen images, derived images and lone slices, of every pixel form we take: hidden."""
    dice, rounds = random.Random(SEED), {"quick": 1, "usual": 4, "full": 20}[depth]
    total, gone, failed, names = 0, 0, Counter[str](), set[str]()
    with tempfile.TemporaryDirectory(prefix="myelin-captures-") as folder:
        for n in range(rounds):
            for name, data, drawn in kinds(dice):
                path = Path(folder, f"{n}-{total}.dcm")
                data.save_as(path, enforce_file_format=True)
                (verdict,) = pixels.check([path])
                total, names = total + 1, names | {name}
                if verdict.code is None and all(hidden(picture, one) for picture, one in zip(seen(path), drawn, strict=False)):
                    gone += 1
                else:
                    failed[f"{name} ({verdict.code or 'not hidden'}; {drawn[0].how})"] += 1
    figure = f"hidden {gone} of {total} in {len(names)} kinds of image" + (f"; not: {'; '.join(failed)}" if failed else "")
    return Result(figure, met=gone == total, sample=depth != "full")


def seen(path: Path) -> list[NDArray[Any]]:
    """The frames of a file as stored."""
    return list(frames.open_picture(path).frames)


# --- where there is none -------------------------------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Counts over slices: all, those the cheap test has read whole, those of which a cut-out is read, and files masked or refused."""

    slices: int = 0
    whole: int = 0
    cut: int = 0
    spoilt: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.slices + other.slices, self.whole + other.whole, self.cut + other.cut, self.spoilt + other.spoilt)

    def __str__(self) -> str:
        shares = [f"{100 * part / max(1, self.slices):.1f} %" for part in (self.whole, self.cut)]
        return f"read whole {self.whole} ({shares[0]}), a cut-out read {self.cut} ({shares[1]}) of {self.slices}"


def false_alarms(depth: str) -> Result:
    """Slices of the shared series without writing: picked by the cheap test, read as writing, masked."""
    cases = sorted(path.name for path in DICOM.iterdir() if path.is_dir())
    chosen = cases if depth == "full" else random.Random(SEED).sample(cases, 3 if depth == "quick" else 9)
    tallies: dict[str, Tally] = {}
    with tempfile.TemporaryDirectory(prefix="myelin-clean-") as folder:
        for case in chosen:
            tallies[case] = sum((alarms(paths) for paths in copies(case, Path(folder, case))), Tally())
            shutil.rmtree(Path(folder, case))
    # The thresholds of `strokes` were set on cases of even number.
    judged, trained = (sum((tallies[case] for case in chosen if cases.index(case) % 2 == half), Tally()) for half in (1, 0))
    total = judged + trained
    figure = f"picked by the cheap test: {judged} of the half it is judged on; {trained} of the half it was set on; "
    figure += f"masked or refused: {total.spoilt} of {total.slices}"
    by_case = "; ".join(f"{case} {one.whole}+{one.cut} of {one.slices}{f', {one.spoilt} spoilt' if one.spoilt else ''}" for case, one in tallies.items())
    return Result(f"{figure} ({by_case})", met=total.spoilt == 0, sample=depth != "full")


def alarms(paths: list[Path]) -> Tally:
    """What the cheap test alone picks of one series, and what comes of the whole check."""
    tally = tested_alone(paths)
    tally.spoilt = sum(bool(one.code) or one.masked for one in pixels.check(paths))
    return tally


def copies(case: str, folder: Path) -> Iterator[list[Path]]:
    """The series of a case, as copies that may be written to."""
    found: dict[str, list[Path]] = defaultdict(list)
    for n, path in enumerate(sorted(p for p in (DICOM / case).rglob("*") if p.is_file())):
        try:
            uid = str(pydicom.dcmread(path, stop_before_pixels=True).SeriesInstanceUID)
        except Exception:
            continue
        folder.mkdir(exist_ok=True)
        found[uid].append(Path(shutil.copy(path, folder / f"{n:05d}.dcm")))
    yield from found.values()


def tested_alone(paths: list[Path]) -> Tally:
    """What the cheap test alone picks of one series."""
    kept = shelf.Shelf()
    for path in paths:
        try:
            kept.add(path)
        except (Refused, *UNDECODABLE):
            continue
    tally = Tally(sum(one.count for one in kept.whole.values()))
    for group in kept.settle():
        scores, places, _ = projections.sweep(len(group.slices), lambda n, group=group: kept.small(group, n))
        whole = set(strokes.picked(scores))
        tally += Tally(len(group.slices), len(whole), len({one.n for one in places} - whole))
    return tally


__all__ = ["burned_in", "false_alarms", "planted_slice"]
