"""Hide writing: the picture values inside a box become one value, the file is written again, and says so.

Hiding is proven, not assumed: the hidden picture is read again, what is still read is hidden too, and after three rounds anything left means that the
file is not written. A compressed file comes out uncompressed: compressing again would blur what was not touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deid import elements, headers
from deid.frames import Picture, view
from deid.ocr import LINES, WORDS, Box, Finder
from deid.pseudonyms import PseudonymKey
from deid.strokes import Small

MARGIN = 2
ROUNDS = 3
STROKE = 0.25  # of the strongest strokes in a box: what is as strong beside it belongs to the line
MORE = 2  # lines that may stand above and below
SHEET, GAP = 512, 8  # pixels of a sheet of cut-outs, and between them


def hide(path: Path, picture: Picture, boxes: dict[int, list[Box]], find: Finder, strict: Callable[[int], bool], key: PseudonymKey | None) -> bool:
    """Hide the boxes of each frame and write the file in place; False (and nothing written) where writing is still read after three rounds.

    strict: whether a frame (by number) is read strictly. Others are looked at twice: whole, and closely around what was hidden.
    """
    frames = np.array(picture.frames)
    for n, found in boxes.items():
        left = list(found)
        for _ in range(ROUNDS):
            for box in left:
                cover(frames[n], box, fill(frames[n], picture))
            left = _rest(view(frames[n], picture.colour, picture.palette), strict(n), find)
            if not left and not strict(n):
                left = [rest for box in found for rest in _beside(frames[n], box, picture, find)]
            if not left:
                break
        if left:
            return False
    write(path, frames, picture.colour, key)
    return True


def _rest(seen: NDArray[np.uint8], strict: bool, find: Finder) -> list[Box]:
    """What is still read on a whole picture. The corners of hidden boxes and the outline of a body together look like one huge line to a reader that is asked
    for lines: what is a quarter of the picture high and wide counts only if words are read as well.
    """
    found = find(seen, LINES if strict else WORDS)
    huge = max(seen.shape[:2]) / 4
    lines = [box for box in found if not strict or min(box[2] - box[0], box[3] - box[1]) <= huge]
    return lines if len(lines) == len(found) else lines + find(seen, WORDS)


def _beside(frame: NDArray[Any], box: Box, picture: Picture, find: Finder) -> list[Box]:
    """What is read on the surroundings of a hidden box alone, three lines to every side, with their own range of greys: a rest too small for the whole."""
    line = 3 * max(4, min(box[2] - box[0], box[3] - box[1]))
    top, left, bottom, right = max(0, box[0] - line), max(0, box[1] - line), box[2] + line, box[3] + line
    cut = view(frame[top:bottom, left:right], picture.colour, picture.palette)
    return [(t + top, le + left, b + top, r + left) for t, le, b, r in find(np.ascontiguousarray(cut), False)]


def fill(frame: NDArray[Any], picture: Picture) -> NDArray[Any]:
    """The value that hides: the frame's least; of a palette its darkest entry; of YBR black."""
    if picture.palette is not None:
        return np.asarray(int(picture.palette.sum(axis=1, dtype=np.int64).argmin()), frame.dtype)
    if picture.colour.startswith("YBR") and frame.ndim == 3:
        return np.array([0, 128, 128], frame.dtype)
    return np.asarray(frame.min())


def cover(frame: NDArray[Any], box: Box, value: NDArray[Any]) -> None:
    """Set a box and a margin around it (half a line at its ends, two pixels or more above and below) to one value, in place."""
    top, left, bottom, right = box
    if upright(box):
        cover(np.swapaxes(frame, 0, 1), (left, top, right, bottom), value)
        return
    aside, above = max(MARGIN, (bottom - top) // 2), max(MARGIN, (bottom - top) // 6)
    frame[max(0, top - above) : bottom + above, max(0, left - aside) : right + aside] = value


def upright(box: Box) -> bool:
    """Whether a line surely runs upwards or down: what is a little higher than wide may be one sign of a level line."""
    return box[2] - box[0] > 3 * (box[3] - box[1])


def grown(shown: Small, box: Box) -> Box:
    """The box, made longer to either side as long as its line goes on: readers often stop at a sign they do not know, or leave a short word out.

    shown: where strokes show (`strokes.novelty` or `strokes.ridge`). A gap of two and a half line heights ends the line, ten heights end it in any case.
    """
    top, left, bottom, right = box[0], box[1], min(box[2], shown.shape[0]), min(box[3], shown.shape[1])
    if bottom - top > right - left:  # an upright line, or a narrow sign of a level one
        _, above, _, below = _longer(shown.T, (left, top, right, bottom))
        if upright(box):
            return above, left, below, right
        _, left, _, right = _longer(shown, (top, left, bottom, right))
        return above, left, below, right
    return _longer(shown, (top, left, bottom, right))


def _longer(shown: Small, box: Box) -> Box:
    """A level line, to either side."""
    top, left, bottom, right = box
    area = shown[top:bottom, left:right]
    if not area.size or (most := float(np.percentile(area, 97))) <= 0:
        return box
    inked = np.asarray((shown[top:bottom] > STROKE * most).any(axis=0))
    high = max(4, bottom - top)
    ends = []
    for columns in (inked[right : right + 10 * high], inked[max(0, left - 10 * high) : left][::-1]):
        reach = 0
        for column in np.flatnonzero(columns):
            if column - reach > 2.5 * high:
                break
            reach = int(column) + 1
        ends.append(reach)
    return top, left - ends[1], bottom, right + ends[0]


def thickened(shown: Small, box: Box) -> Box:
    """The box of a level line, made higher by up to two lines above and below, where strokes as strong as its own stand in a quarter of the columns there: a
    second line, or the part of this one that the reader's box cuts off.

    shown: `strokes.novelty`, in which anatomy shows little.
    """
    top, left, bottom, right = box[0], max(0, box[1]), min(box[2], shown.shape[0]), min(box[3], shown.shape[1])
    area, line = shown[top:bottom, left:right], max(6, bottom - top)
    if not area.size or bottom - top > right - left or (most := float(np.percentile(area, 97))) <= 0:
        return box
    for _ in range(MORE):
        above, below = shown[max(0, top - line) : top, left:right], shown[bottom : bottom + line, left:right]
        top -= min(top, line) * _written(above, most)
        bottom += len(below) * _written(below, most)
    return top, left, bottom, right


def _written(band: Small, most: float) -> bool:
    return bool(len(band) > 1 and (band > most / 2).any(axis=0).mean() > 0.25)


def joined(boxes: Sequence[Box]) -> list[Box]:
    """Boxes of one line as one: those that overlap in height by half, with less than three heights between them. Upright ones stay as they are."""
    out: list[Box] = []
    for top, left, bottom, right in sorted(boxes, key=lambda box: box[1]):
        for n, (t, le, b, r) in enumerate(out):
            high = min(bottom - top, b - t)
            level = not upright((top, left, bottom, right)) and not upright((t, le, b, r))
            if level and min(bottom, b) - max(top, t) >= high / 2 and left - r < 3 * high:
                out[n] = min(top, t), le, max(bottom, b), max(right, r)
                break
        else:
            out.append((top, left, bottom, right))
    return out


def on_sheets(places: Sequence[tuple[Path, int]], box: Box, look: Callable[[Path, int], NDArray[np.uint8]], find: Finder) -> Iterator[tuple[Path, int]]:
    """Read one place of many slices at once: cut-outs side by side on sheets. Gives the slices on whose cut-outs something is read."""
    if not places:
        return
    top, left, bottom, right = _around(box, look(*places[0]))
    high, wide = bottom - top + GAP, right - left + GAP
    across, down = max(1, SHEET // wide), max(1, SHEET // high)
    for start in range(0, len(places), across * down):
        some = places[start : start + across * down]
        sheet = np.zeros((-(-len(some) // across) * high, min(across, len(some)) * wide, 3), np.uint8)
        for n, place in enumerate(some):
            y, x = n // across * high, n % across * wide
            sheet[y : y + high - GAP, x : x + wide - GAP] = look(*place)[top:bottom, left:right]
        hits = {(t + b) // 2 // high * across + (le + r) // 2 // wide for t, le, b, r in find(sheet, False)}
        yield from (some[n] for n in sorted(hits) if n < len(some))


def at_place(picture: NDArray[np.uint8], box: Box, find: Finder) -> list[Box]:
    """What is read on the cut-out alone: a sheet shows anatomy out of its context, and a second look is needed."""
    top, left, bottom, right = _around(box, picture)
    return [(t + top, le + left, b + top, r + left) for t, le, b, r in find(np.ascontiguousarray(picture[top:bottom, left:right]), False)]


def _around(box: Box, picture: NDArray[np.uint8]) -> Box:
    return max(0, box[0] - GAP), max(0, box[1] - GAP), min(box[2] + GAP, picture.shape[0]), min(box[3] + GAP, picture.shape[1])


def write(path: Path, frames: NDArray[Any] | None, colour: str, key: PseudonymKey | None) -> None:
    """Write the file again with the statement that its pixels are clean (PS3.15 E.3.1); frames: new picture values, None for those it has."""
    file = elements.read(path)
    pixels = None if frames is None else np.ascontiguousarray(frames).tobytes()
    headers.write(path, headers.with_pixels_cleaned(file, key, pixels=pixels, photometric="" if frames is None else colour))
