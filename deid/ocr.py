"""Read writing in a picture: rapidocr-onnxruntime, whose models lie in its wheel.

The engine is made to leave no trace: one thread, telemetry (which onnxruntime has) off, nothing fetched, nothing written. It is
loaded at the first picture, and not at all in a run that has none to read.

Three manners. A capture or screen image is read for *lines*: whatever looks like a line of text counts, read or not. An anatomical picture is read for
*words*: two letters or digits at least, and surely enough, because hair-thin anatomy looks like a line of text now and then (how often:
tests/measure/pixel_rows.py). A cut-out that was picked because strokes are new there is read *closely*: a word of five signs counts even if badly read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Box = tuple[int, int, int, int]  # top, left, bottom, right; pixels, end excluded
Picture = NDArray[np.uint8]
WORDS, LINES, CLOSE = 0, 1, 2
Finder = Callable[[Picture, int], list[Box]]  # a picture and the manner -> boxes

# How sure the reader must be of a word of so many letters and digits: round heads are read as O, 0, 8, and curls as two letters, but seldom as three.
SURE = {2: 0.85, 3: 0.7}
SURE_OF_LONGER = 0.6
SURE_OF_CLOSE = 0.4  # of five signs or more; on the 480 cut-outs of the shared series, in which nothing is written, 0.25 at most was seen
ROUND = frozenset("0OoQDUC8B")  # of these alone a word must be longer, or surer
TALL = 36  # pixels
SIDE, LARGEST = 512, 2000  # pixels of the enlarged picture: at least, and at most what the engine takes as it is


def read(picture: Picture, manner: int) -> list[Box]:
    """Boxes of writing in (rows, columns, 3) uint8. It is enlarged to twice its size, or to 512 pixels. Raises ImportError without the engine."""
    import cv2

    longest = max(picture.shape[:2])
    scale = min(max(2.0, SIDE / longest), max(1.0, LARGEST / longest))
    large = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    tall = max(TALL, longest / 10) * scale
    return [_box(corners, scale) for corners in _lines(large, manner, tall)]


def _lines(large: Picture, manner: int, tall: float) -> list[Any]:
    """Corners of the lines that count; tall: pixels of a line so high that it may be a row of heads."""
    engine = _engine()
    if manner == LINES:
        found, _ = engine(large, use_cls=False, use_rec=False)
        return list(found) if found is not None else []
    found, _ = engine(large, use_cls=False)
    out = []
    for corners, text, sure in found or []:
        high = _height(corners) > tall
        if is_word(text, float(sure), high, manner == CLOSE) or (_upright(corners) and is_word(*_turned(large, corners), high)):
            out.append(corners)
    return out


def _upright(corners: Any) -> bool:
    """Whether the engine takes a line for upright, and reads it as if it ran upwards."""
    xs, ys = zip(*((float(x), float(y)) for x, y in corners), strict=True)
    return bool(max(ys) - min(ys) >= 1.5 * (max(xs) - min(xs)))


def _turned(large: Picture, corners: Any) -> tuple[str, float]:
    """An upright line read as if it ran down; fewer than three signs count for none."""
    engine = _engine()
    crop = engine.get_crop_img_list(large, [np.array(corners, np.float32)])[0]
    (text, sure, *_), *_ = engine.text_rec([np.ascontiguousarray(crop[::-1, ::-1])])[0]
    return (text, float(sure)) if sum(sign.isalnum() for sign in text) >= 3 else ("", 0.0)


def is_word(text: str, sure: float, tall: bool = False, close: bool = False) -> bool:
    """Whether what was read on an anatomical picture counts: two letters or digits at least, read surely enough for so few.

    tall: the line is higher than burned-in writing usually is. The rows of heads in a mosaic are read as 888888 or PPPD, so it must be plain writing.
    """
    signs = [sign for sign in text if sign.isalnum()]
    if tall and (sure < 0.9 or len(set(signs)) < 3):
        return False
    if ROUND.issuperset(signs):
        return len(signs) >= 3 and sure >= 0.85
    return (len(signs) >= 2 and sure >= SURE.get(len(signs), SURE_OF_LONGER)) or (close and len(signs) >= 5 and sure >= SURE_OF_CLOSE)


def _height(corners: Any) -> float:
    """The lesser side of the box around a line (a line may stand upright)."""
    xs, ys = zip(*((float(x), float(y)) for x, y in corners), strict=True)
    return float(min(max(xs) - min(xs), max(ys) - min(ys)))


def _box(corners: Iterable[Any], scale: float) -> Box:
    xs, ys = zip(*((float(x) / scale, float(y) / scale) for x, y in corners), strict=True)
    return int(max(0, min(ys))), int(max(0, min(xs))), int(max(ys)) + 1, int(max(xs)) + 1


@lru_cache(maxsize=1)
def _engine() -> Any:
    """The detector and reader, alone on one thread."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads; from then on it keeps no device id and sends nothing
    import onnxruntime
    from rapidocr_onnxruntime import RapidOCR

    onnxruntime.disable_telemetry_events()
    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1, det_limit_side_len=SIDE, text_score=0.0)  # what counts is decided here
