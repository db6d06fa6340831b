"""The rows of `make show-headers` about writing in pixels: hidden in captures, found on one slice of a series, and not seen where there is none.

Writing is drawn by seed: font (Pillow's scalable and bitmap fonts, OpenCV's Hershey fonts, DejaVu where the machine has it), size, smoothed or not, tone,
place, words. Only what a person could read is planted: strokes that differ from what lies under them by an eighth of the slice's range and by twice its
local clutter. What counts as hidden is judged without our reader: the picture values in the writing's box must be one value.
"""

from __future__ import annotations

import io
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
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid
from table import ROOT, Result

from deid import frames, pixels, projections, shelf, strokes
from deid.errors import Refused
from deid.frames import UNDECODABLE

DICOM = ROOT / ".cache" / "mri" / "dicom"
SEED = 2026
WORDS = (
    *("SMITH JOHN", "Doe, Jane", "12.03.1962", "MRN 88123", "Mueller^Hans", "ID 4471-002", "DOB 1954-11-30"),
    *("Kowalski A.", "St. Mary Hosp", "03/04/1962 M", "O'BRIEN P", "Li Wei 1971", "DR WEBER", "ACC 7788991"),
)
SIZES = (8, 9, 10, 11, 12, 14, 16, 20, 24)
TONES = {"white": 1.0, "bright": 0.8, "grey": 0.55, "dim": 0.33, "black": 0.0}
DEJAVU = sorted(Path("/usr/share/fonts/truetype/dejavu").glob("DejaVuSans*.ttf"))
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)
SIDE, RAW = 256, np.uint16
Mask = NDArray[np.float64]


# --- drawing -----------------------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ink:
    """Writing on its own: coverage 0..1 of each pixel, and how it was made."""

    mask: Mask
    words: str
    how: str

    @property
    def box(self) -> tuple[slice, slice]:
        rows, columns = np.nonzero(self.mask > 0.3)
        return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def ink(shape: tuple[int, int], dice: random.Random, words: str = "") -> Ink | None:
    """Writing that fits into a picture, somewhere on it (one time in five at its edge)."""
    words, size, smooth, font = words or dice.choice(WORDS), dice.choice(SIZES), dice.random() < 0.6, dice.choice(["plain", "bitmap", "dejavu", "hershey"])
    canvas = np.zeros((48, 640), np.uint8)
    if font == "hershey":
        cv2.putText(canvas, words, (4, 34), dice.choice(HERSHEY), max(size, 9) / 22, 255, 1, cv2.LINE_AA if smooth else cv2.LINE_8)
    else:
        face: Any = ImageFont.load_default(size)
        if font == "bitmap":
            face = ImageFont.load_default_imagefont()
        elif font == "dejavu" and DEJAVU:
            face = ImageFont.truetype(str(dice.choice(DEJAVU)), size)
        picture = Image.fromarray(canvas)
        pen = ImageDraw.Draw(picture)
        pen.fontmode = "L" if smooth else "1"
        pen.text((4, 4), words, fill=255, font=face)
        canvas = np.asarray(picture)
    rows, columns = np.nonzero(canvas > 60)
    cut = canvas[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] / 255.0
    high, wide = shape[0] - cut.shape[0], shape[1] - cut.shape[1]
    if high < 0 or wide < 0:
        return None
    y, x = (dice.choice([0, high]), dice.choice([0, wide])) if dice.random() < 0.2 else (dice.randint(0, high), dice.randint(0, wide))
    mask = np.zeros(shape)
    mask[y : y + cut.shape[0], x : x + cut.shape[1]] = cut
    return Ink(mask, words, f"{font} {size if font != 'bitmap' else 11}{' smooth' if smooth else ''}")


def burned(picture: NDArray[Any], dice: random.Random, tries: int = 60) -> tuple[NDArray[Any], Ink, str] | None:
    """A slice with readable writing on it, the writing, and its tone; None where nothing readable fits."""
    low, most, top = float(picture.min()), float(picture.max()), float(np.percentile(picture, 99.8))
    for _ in range(tries):
        drawn, tone = ink((picture.shape[0], picture.shape[1]), dice), dice.choice(list(TONES))
        if drawn is None:
            continue
        value = most if tone == "white" else low + TONES[tone] * (top - low)
        strokes_of = drawn.mask > 0.6
        if strokes_of.sum() < 12:
            continue
        contrast = abs(float(np.mean(value - picture[strokes_of].astype(float))))
        if contrast < max(0.12 * (top - low), 2.0 * float(picture[drawn.box].astype(float).std())):
            continue
        out = picture * (1 - drawn.mask) + value * drawn.mask
        if dice.random() < 0.2:
            out, tone = through_jpeg(out), f"{tone}, jpeg"
        return np.clip(np.round(out), low, most).astype(picture.dtype), drawn, tone
    return None


def through_jpeg(picture: NDArray[Any]) -> NDArray[Any]:
    """As it looks after lossy compression to 8 bits at quality 80."""
    low, high = float(picture.min()), float(picture.max())
    packed = io.BytesIO()
    Image.fromarray(((picture - low) * (255 / max(high - low, 1))).astype(np.uint8)).save(packed, "JPEG", quality=80)
    return np.asarray(Image.open(packed)).astype(float) * (high - low) / 255 + low


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


def planted_slice(depth: str) -> Result:
    """Writing on one random slice of a real 3D series of 170 slices: found and hidden, and no other slice touched."""
    trials = {"quick": 5, "usual": 20, "full": 100}[depth]
    dice, source = random.Random(SEED), series("philips_t1w_3d_face")
    found, spoilt, missed = 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory(prefix="myelin-slices-") as folder:
        for n in range(trials):
            here = Path(folder, str(n))
            here.mkdir()
            paths = [Path(shutil.copy(path, here / f"{k:04d}.dcm")) for k, path in enumerate(source)]
            hit, others, how = planted(paths, dice)
            found, spoilt = found + hit, spoilt + others
            missed[how] += not hit
            shutil.rmtree(here)
    figure = f"found {found} of {trials} on one of {len(source)} slices (8 to 24 pixels, five tones, four kinds of font); {spoilt} other slices changed"
    if found < trials:
        figure += f"; missed: {'; '.join(how for how in missed if missed[how])}"
    return Result(figure, met=found == trials and spoilt == 0, sample=depth != "full")


def planted(paths: list[Path], dice: random.Random) -> tuple[bool, int, str]:
    """Plant, check, look: whether the writing is gone (or its file refused), how many other files changed or were refused, and what it was."""
    while True:
        path = dice.choice(paths)
        data = pydicom.dcmread(path)
        if (done := burned(data.pixel_array, dice)) is not None:
            break
    picture, drawn, tone = done
    data.PixelData = picture.tobytes()
    data.save_as(path)
    before = {p: p.read_bytes() for p in paths}
    verdicts = {one.path: one for one in pixels.check(paths)}
    left = pydicom.dcmread(path).pixel_array
    gone = verdicts[path].code is not None or hidden(left, drawn)
    others = sum(p.read_bytes() != before[p] or verdicts[p].code is not None for p in paths if p != path)
    return gone, others, f"{drawn.how}, {tone}"


def hidden(left: NDArray[Any], drawn: Ink) -> bool:
    """Whether nine tenths of the strokes lie in an area of one value, so that nothing can be read."""
    strokes_of = drawn.mask > 0.5
    values, counts = np.unique(left[strokes_of].reshape(int(strokes_of.sum()), -1)[:, 0], return_counts=True)
    value = values[counts.argmax()]
    plain = left.reshape(*left.shape[:2], -1)[..., 0] == value
    filled = cv2.erode(plain.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1) > 0
    return bool((filled & strokes_of).sum() >= 0.9 * strokes_of.sum())


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


def false_alarms(depth: str) -> Result:
    """Slices of the shared series without writing: picked by the cheap test, read as writing, masked."""
    cases = sorted(path.name for path in DICOM.iterdir() if path.is_dir())
    chosen = cases if depth == "full" else random.Random(SEED).sample(cases, 3 if depth == "quick" else 9)
    count, picks, seen_as, masked = Counter[bool](), Counter[bool](), Counter[str](), 0
    with tempfile.TemporaryDirectory(prefix="myelin-clean-") as folder:
        for case in chosen:
            half = bool(cases.index(case) % 2)  # the thresholds were set on cases of even number
            for paths in copies(case, Path(folder, case)):
                slices, tested = tested_alone(paths)
                count[half], picks[half] = count[half] + slices, picks[half] + tested
                for one in pixels.check(paths):
                    if one.code or one.masked:
                        masked, seen_as[case] = masked + 1, seen_as[case] + 1
            shutil.rmtree(Path(folder, case))
    judged, trained = (f"{picks[half]} of {count[half]} ({100 * picks[half] / max(1, count[half]):.1f} %)" for half in (True, False))
    figure = f"picked by the cheap test: {judged} of the half it is judged on, {trained} of the half it was set on; "
    figure += f"masked or refused: {masked} of {count.total()}"
    return Result(figure + (f" ({dict(seen_as)})" if seen_as else ""), met=masked == 0, sample=depth != "full")


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


def tested_alone(paths: list[Path]) -> tuple[int, int]:
    """(slices, those the cheap test alone picks) of one series."""
    kept = shelf.Shelf()
    for path in paths:
        try:
            kept.add(path)
        except (Refused, *UNDECODABLE):
            continue
    total, picks = sum(one.count for one in kept.whole.values()), 0
    for group in kept.settle():
        scores, _ = projections.sweep(len(group.slices), lambda n, group=group: kept.small(group, n))
        total, picks = total + len(group.slices), picks + len(strokes.picked(scores))
    return total, picks


__all__ = ["burned_in", "false_alarms", "planted_slice"]
