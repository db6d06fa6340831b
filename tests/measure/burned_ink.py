"""Writing to plant in pictures, drawn by seed: font (Pillow's scalable and bitmap fonts, OpenCV's Hershey fonts, DejaVu where the machine has it), size,
smoothed or not, tone, place, words; one in eight stands upright, one in eight has two lines, one in five has been through JPEG.

Only what a person could read is planted: strokes that differ from what lies under them by an eighth of the slice's range and by twice its local clutter.
What counts as hidden is judged without our reader: the picture values under the writing must be one value.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WORDS = (
    *("SMITH JOHN", "Doe, Jane", "12.03.1962", "MRN 88123", "Mueller^Hans", "ID 4471-002", "DOB 1954-11-30"),
    *("Kowalski A.", "St. Mary Hosp", "03/04/1962 M", "O'BRIEN P", "Li Wei 1971", "DR WEBER", "ACC 7788991"),
)
SIZES = (8, 9, 10, 11, 12, 14, 16, 20, 24, 32)
TONES = {"white": 1.0, "bright": 0.8, "grey": 0.55, "dim": 0.33, "black": 0.0}
DEJAVU = sorted(Path("/usr/share/fonts/truetype/dejavu").glob("DejaVuSans*.ttf"))
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)
Mask = NDArray[np.float64]


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
    form = dice.choice(["upright", "two lines"] + 6 * [""])
    cut = line(words, size, smooth, font, dice)
    if form == "upright":
        cut = np.rot90(cut, dice.choice([1, 3]))
    elif form:
        second = line(dice.choice(WORDS), size, smooth, font, dice)
        wide = max(cut.shape[1], second.shape[1])
        cut = np.vstack([np.pad(some, ((0, max(2, size // 3)), (0, wide - some.shape[1]))) for some in (cut, second)])[: -max(2, size // 3)]
    high, wide = shape[0] - cut.shape[0], shape[1] - cut.shape[1]
    if high < 0 or wide < 0:
        return None
    y, x = (dice.choice([0, high]), dice.choice([0, wide])) if dice.random() < 0.2 else (dice.randint(0, high), dice.randint(0, wide))
    mask = np.zeros(shape)
    mask[y : y + cut.shape[0], x : x + cut.shape[1]] = cut
    return Ink(mask, words, f"{font} {size if font != 'bitmap' else 11}{' smooth' if smooth else ''}{f', {form}' if form else ''}")


def line(words: str, size: int, smooth: bool, font: str, dice: random.Random) -> Mask:
    """One line of writing, cut out."""
    canvas = np.zeros((64, 900), np.uint8)
    if font == "hershey":
        cv2.putText(canvas, words, (4, 44), dice.choice(HERSHEY), max(size, 9) / 22, 255, 1, cv2.LINE_AA if smooth else cv2.LINE_8)
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
    return np.asarray(canvas[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] / 255.0)


def burned(picture: NDArray[Any], dice: random.Random, tries: int = 60) -> tuple[NDArray[Any], Ink, str] | None:
    """A slice with readable writing on it, as much of the writing as shows, and its tone; None where nothing readable fits."""
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
        shown = np.clip(np.round(out), low, most).astype(picture.dtype)
        seen = np.abs(shown.astype(float) - picture) >= 0.04 * (top - low)  # a sign as grey as what lies under it is nowhere to be read
        return shown, Ink(drawn.mask * seen, drawn.words, drawn.how), tone
    return None


def through_jpeg(picture: NDArray[Any]) -> NDArray[Any]:
    """As it looks after lossy compression to 8 bits at quality 80."""
    low, high = float(picture.min()), float(picture.max())
    packed = io.BytesIO()
    Image.fromarray(((picture - low) * (255 / max(high - low, 1))).astype(np.uint8)).save(packed, "JPEG", quality=80)
    return np.asarray(Image.open(packed)).astype(float) * (high - low) / 255 + low


def hidden(left: NDArray[Any], drawn: Ink) -> bool:
    """Whether the strokes lie in an area of one value, so that nothing can be read: nine tenths with all that touches them, and 99 of 100 themselves."""
    strokes_of = drawn.mask > 0.5
    values, counts = np.unique(left[strokes_of].reshape(int(strokes_of.sum()), -1)[:, 0], return_counts=True)
    plain = (left.reshape(*left.shape[:2], -1)[..., 0] == values[counts.argmax()]).astype(np.uint8)
    block = np.ones((3, 3), np.uint8)
    inside = cv2.erode(plain, block, borderValue=1)
    covered = cv2.dilate(inside, block) & plain
    return bool(inside[strokes_of].mean() >= 0.9 and covered[strokes_of].mean() >= 0.99)
