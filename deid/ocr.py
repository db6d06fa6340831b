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
SURE_OF_CLOSE = 0.4  # of five signs or more, at two enlargements; on 480 cut-outs without writing one was so sure at the first (0.44), none at the second
ROUND = frozenset("0OoQDUC8B")  # of these alone a word must be longer, or surer
TALL = 36  # pixels
SIDE, SMALL, LARGEST = 512, 384, 2000  # pixels of the enlarged picture: of captures at least; of small pictures at most; of all at most
TWICE, THRICE, FOURFOLD = 2.0, 3.0, 4.0
STEP = 32  # pixels: what the sides of a picture for the detector are multiples of
FRUGAL = 1 << 20  # numbers of a picture so large that its memory is given back (600 x 600 pixels)


def read(picture: Picture, manner: int) -> list[Box]:
    """Boxes of writing in (rows, columns, 3) uint8. Raises ImportError without the engine.

    What was read badly on a cut-out counts only if something is read there at another enlargement too.
    """
    scale = _scale(picture.shape[0], picture.shape[1], manner)
    boxes = _boxes(picture, manner, scale)
    if manner == CLOSE and boxes and not _boxes(picture, WORDS, scale) and not _boxes(picture, CLOSE, FOURFOLD):
        return []
    return boxes


def _boxes(picture: Picture, manner: int, scale: float) -> list[Box]:
    """What is read at one enlargement."""
    import cv2

    rows, columns = picture.shape[:2]
    high, wide = (max(1, round(side * scale / STEP)) * STEP for side in (rows, columns))
    large = cv2.resize(picture, (wide, high), interpolation=cv2.INTER_CUBIC)
    tall = max(TALL, max(rows, columns) / 10) * scale
    return [_box(corners, wide / columns, high / rows) for corners in _lines(large, manner, tall)]


def _scale(rows: int, columns: int, manner: int) -> float:
    """How much a picture is enlarged: a capture so that its shorter side has 512 pixels, twice at least; another twice, or up to thrice while it stays below
    384 pixels; a cut-out thrice. What reading costs grows with the pixels of the enlarged picture, and signs of 8 pixels are high enough when enlarged twice.
    """
    least, longest = min(rows, columns), max(rows, columns)
    wanted = {LINES: max(TWICE, SIDE / least), CLOSE: THRICE}.get(manner, min(THRICE, max(TWICE, SMALL / longest)))
    return min(wanted, LARGEST / longest)


def _lines(large: Picture, manner: int, tall: float) -> list[Any]:
    """Corners of the lines that count; tall: pixels of a line so high that it may be a row of heads."""
    engine = _engine()
    found = _detected(large)
    if manner == LINES or not found:
        return found
    out = []
    texts, _ = engine.text_rec(engine.get_crop_img_list(large, found))
    for corners, (text, sure, *_) in zip(found, texts, strict=True):
        high = _height(corners) > tall
        if is_word(text, float(sure), high, manner == CLOSE) or (_upright(corners) and is_word(*_turned(large, corners), high)):
            out.append(corners)
    return out


def _detected(large: Picture) -> list[Any]:
    """Corners of whatever looks like a line, from above to below. The sides of the picture are multiples of 32, as the detector wants them."""
    finder = _engine().text_det
    grey = bool((large[..., 0] == large[..., 1]).all() and (large[..., 0] == large[..., 2]).all())
    values = (large[..., :1] if grey else large).transpose(2, 0, 1).astype(np.float32) * np.float32(1 / 127.5) - np.float32(1)
    maps = finder.infer(np.broadcast_to(values, (1, 3, *values.shape[1:])))[0]
    boxes, _ = finder.postprocess_op(maps, large.shape[:2])
    boxes = finder.filter_tag_det_res(boxes, large.shape[:2])
    return list(_engine().sorted_boxes(boxes)) if len(boxes) else []


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


def _box(corners: Iterable[Any], across: float, down: float) -> Box:
    xs, ys = zip(*((float(x) / across, float(y) / down) for x, y in corners), strict=True)
    return int(max(0, min(ys))), int(max(0, min(xs))), int(max(ys)) + 1, int(max(xs)) + 1


@lru_cache(maxsize=1)
def _engine() -> Any:
    """The detector and reader, alone on one thread."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read when the library loads; from then on it keeps no device id and sends nothing
    import onnxruntime
    from rapidocr_onnxruntime import RapidOCR
    from rapidocr_onnxruntime.utils.infer_engine import OrtInferSession

    onnxruntime.disable_telemetry_events()
    theirs = OrtInferSession._init_sess_opts

    def ours(config: dict[str, Any]) -> Any:
        options = theirs(config)
        options.enable_cpu_mem_arena = True
        return options

    OrtInferSession._init_sess_opts = staticmethod(ours)
    try:
        engine = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
    finally:
        OrtInferSession._init_sess_opts = staticmethod(theirs)
    engine.text_det.infer, engine.text_rec.session = _Kept(engine.text_det.infer.session), _Kept(engine.text_rec.session.session)
    # The reader takes lines 48 pixels high, the short ones filled up to 128 pixels (not 320: it would cost twice as much and reads no better), one by one: what
    # is read of a line does not depend on what else is on the picture, and several at a time cost more than one after the other.
    engine.text_rec.rec_image_shape, engine.text_rec.rec_batch_num = [3, 48, 128], 1
    return engine


class _Kept:
    """A session that keeps its memory from picture to picture (asking the system for it anew takes a quarter of the time), but gives back what a large picture
    took.
    """

    def __init__(self, session: Any) -> None:
        self.session, self.name = session, session.get_inputs()[0].name

    def __call__(self, numbers: NDArray[np.float32]) -> Any:
        import onnxruntime

        options = onnxruntime.RunOptions()
        if numbers.size > FRUGAL:
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return self.session.run(None, {self.name: numbers}, options)
