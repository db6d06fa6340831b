"""Find writing in the pictures of one series; hide it, or refuse.

Writing that a machine or a person burned into a picture is looked for where it is likely, and cheaply everywhere:

- captures, screen images and what says BurnedInAnnotation = YES are read frame by frame, every line-like thing counts; derived and coloured images are
  read frame by frame for words;
- of ordinary slices each passes the cheap test (`deid.strokes`), which costs half a millisecond and compares it with its neighbours. What it picks is read,
  with the first, the middle, the last and every sixteenth slice, and the two projections of each stretch of slices (`deid.projections`). Where only one place
  of a slice stands out (`deid.newcomers`), a cut-out around it is read.

Where one slice has writing, the same place is read on all others. What was found is set to one value and looked for again, on the whole and close by; if
anything is still read there, the image is refused. Without the reader (`deid.ocr`) nothing that would have to be read is passed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from deid import hiding, newcomers, ocr, projections, strokes
from deid.errors import REFUSALS, Refused
from deid.frames import UNDECODABLE, stretched
from deid.ocr import Box, Finder
from deid.pseudonyms import PseudonymKey
from deid.shelf import Group, Shelf

__all__ = ["Box", "Finder", "PixelVerdict", "check"]

Found = dict[Path, dict[int, list[Box]]]


@dataclass(frozen=True, slots=True)
class PixelVerdict:
    """What came of one file. code: None when it may go on, else a refusal code. masked: writing was found and hidden. looked: a frame of it was read.

    covered: the cheap test ran on every frame of it (or every frame was read), and what was picked was read: only then may it say so.
    """

    path: Path
    code: str | None
    reason: str
    masked: bool
    looked: bool = False
    covered: bool = False


@dataclass(slots=True)
class _Search:
    """The state of one search: what was read (and what on the picture as it is), what was found, what cannot be judged."""

    shelf: Shelf
    find: Finder
    found: Found = field(default_factory=lambda: defaultdict(dict))
    looked: dict[tuple[Path, int], bool] = field(default_factory=dict)
    plain: dict[tuple[Path, int], list[Box]] = field(default_factory=dict)
    codes: dict[Path, str] = field(default_factory=dict)

    def read(self, path: Path, frame: int, strict: bool = False) -> list[Box]:
        """Boxes of writing on one frame, read once."""
        if (path, frame) not in self.looked:
            self.looked[path, frame] = strict
            self.plain[path, frame] = self.find(self.shelf.view(path, frame), strict)
            self.note(path, frame, self.plain[path, frame])
        return self.found[path].get(frame, [])

    def note(self, path: Path, frame: int, boxes: Iterable[Box]) -> None:
        """Remember writing."""
        for box in boxes:
            known = self.found[path].setdefault(frame, [])
            if box not in known:
                known.append(box)


def check(paths: Sequence[Path], *, key: PseudonymKey | None = None, finder: Finder | None = None) -> list[PixelVerdict]:
    """Look for writing in the (already cleaned) images of one series; files in which some was found are re-written in place with it hidden.

    key: renews the seal of re-written files (without it they carry none), and lets files that passed say so: 113101 and BurnedInAnnotation NO, where
    `headers.clean_file` has not written them already. finder: picture (rows, columns, 3) uint8 and the manner (`ocr.WORDS`, LINES, CLOSE) -> boxes; the
    default is the bundled reader. One verdict per path, in order.
    """
    search = _Search(Shelf(), finder or ocr.read)
    for path in paths:
        try:
            search.shelf.add(path)
        except (Refused, *UNDECODABLE):
            search.codes[path] = "pixels_unreadable"
    for path, whole in search.shelf.whole.items():
        _guarded(search, [path], partial(_whole, search, path, whole.count, whole.strict))
    for group in search.shelf.settle():
        _guarded(search, _files(search, group), partial(_group, search, group))
    return [_verdict(search, path, key) for path in paths]


def _files(search: _Search, group: Group) -> list[Path]:
    return list(dict.fromkeys(search.shelf.paths[number] for _, number, _ in group.slices))


def _guarded(search: _Search, paths: list[Path], work: Callable[[], None]) -> None:
    """Do one piece of the search; what breaks it refuses the files it is about."""
    try:
        work()
    except ImportError:
        search.codes.update(dict.fromkeys(paths, "no_text_reader"))
    except (Refused, *UNDECODABLE):
        search.codes.update(dict.fromkeys(paths, "pixels_unreadable"))


def _whole(search: _Search, path: Path, count: int, strict: bool) -> None:
    for frame in range(count):
        if search.read(path, frame, strict):
            grey = search.shelf.view(path, frame).max(axis=2).astype(np.int16)
            _grow(search, path, frame, np.maximum(strokes.ridge(grey), strokes.ridge(-grey)))


def _group(search: _Search, group: Group) -> None:
    """Cheap test, sample and projections of one group; then the same places on all its slices."""
    shelf, count = search.shelf, len(group.slices)

    def get(n: int) -> strokes.Small:
        return shelf.small(group, n)

    scores, places, stretches = projections.sweep(count, get)
    picked = strokes.picked(scores)
    for n in sorted({*picked, *strokes.sampled(count)}):
        _slice(search, group, n, get if n in picked else None)
    for one in places:
        _newcomer(search, group, one, get)
    for stretch in stretches if count > 1 else []:
        _stretch(search, group, stretch, get)
    _echoes(search, group)
    _same_places(search, group)
    for n in range(count):
        path, frame = shelf.where(group, n)
        if not search.found[path].get(frame):
            continue
        if count == 1:
            this = get(n)
            _grow(search, path, frame, np.maximum(strokes.ridge(this), strokes.ridge(-this)))
        else:
            _more(search, group, n, get)


def _more(search: _Search, group: Group, n: int, get: projections.Get) -> None:
    """A slice on which something was read is read again as novelty and closely around each box, for other lines; then all is lengthened and thickened."""
    path, frame = search.shelf.where(group, n)
    this, new = get(n), projections.new_of(n, len(group.slices), get)
    search.note(path, frame, search.find(stretched(new.astype(np.float32)), False))
    for top, left, bottom, right in list(search.found[path][frame]):
        at = newcomers.Newcomer(n, (top + bottom) // 2, (left + right) // 2)
        search.note(path, frame, newcomers.read(at, this, new, search.find))
    _grow(search, path, frame, new)
    search.found[path][frame] = hiding.joined([hiding.thickened(new, box) for box in search.found[path][frame]])


def _grow(search: _Search, path: Path, frame: int, shown: strokes.Small) -> None:
    """Lengthen what was found on one frame to whole lines."""
    search.found[path][frame] = hiding.joined([hiding.grown(shown, box) for box in search.found[path][frame]])


def _slice(search: _Search, group: Group, n: int, get: projections.Get | None) -> None:
    """Read one slice, and where the cheap test picked it and nothing was read, what is new on it."""
    path, frame = search.shelf.where(group, n)
    if not search.read(path, frame) and get is not None and len(group.slices) > 1:
        new = projections.new_of(n, len(group.slices), get)
        search.note(path, frame, search.find(stretched(new.astype(np.float32)), False))


def _newcomer(search: _Search, group: Group, at: newcomers.Newcomer, get: projections.Get) -> None:
    """Read the cut-out around a place where the cheap test saw something new, unless something was read there already."""
    path, frame = search.shelf.where(group, at.n)
    if not any(top <= at.row < bottom and left <= at.column < right for top, left, bottom, right in search.found[path].get(frame, [])):
        boxes = newcomers.read(at, get(at.n), projections.new_of(at.n, len(group.slices), get), search.find)
        if boxes:
            search.read(path, frame)
            search.note(path, frame, boxes)


def _stretch(search: _Search, group: Group, stretch: projections.Stretch, get: projections.Get) -> None:
    """Read both projections of a stretch; what is read there belongs to a slice, else all slices of the stretch are read."""
    count = len(group.slices)
    for box in search.find(stretched(stretch.new.astype(np.float32)), False):
        n = projections.owner(stretch, box, count, get)
        if n is not None:
            path, frame = search.shelf.where(group, n)
            if not _covered(box, search.read(path, frame)):
                search.note(path, frame, [box])
        else:
            _all(search, group, stretch, box)
    for box in search.find(stretched(stretch.bright.astype(np.float32)), False):
        _all(search, group, stretch, box)


def _all(search: _Search, group: Group, stretch: projections.Stretch, box: Box) -> None:
    """Read every slice of a stretch, unless what its projection shows in the box is already found on one of them."""
    places = [search.shelf.where(group, n) for n in range(stretch.start, stretch.stop)]
    if not any(_covered(box, search.found[path].get(frame, [])) for path, frame in places):
        for path, frame in places:
            search.read(path, frame)


def _covered(box: Box, others: Iterable[Box]) -> bool:
    """Whether at least half of the box lies within one of the others."""
    top, left, bottom, right = box
    area = max(1, (bottom - top) * (right - left))
    return any(max(0, min(bottom, b) - max(top, t)) * max(0, min(right, r) - max(left, le)) >= area / 2 for t, le, b, r in others)


def _echoes(search: _Search, group: Group) -> None:
    """Forget what is not on a slice but on its neighbour: bright writing on one slice shows in the novelty of the next as what is missing there.

    That is so where the neighbour's picture can be read at that place, and the slice's own cannot, neither the whole nor the cut-out.
    """
    places = [search.shelf.where(group, n) for n in range(len(group.slices))]
    for n, (path, frame) in enumerate(places):
        for box in list(search.found[path].get(frame, [])):
            around = [(other, at) for other, at in places[max(0, n - 1) : n + 2] if (other, at) != (path, frame)]
            twins = [place for place in around if _covered(box, search.found[place[0]].get(place[1], []))]
            if not twins or _covered(box, search.plain.get((path, frame), [])) or _reads(search, (path, frame), box):
                continue
            if any(_reads(search, place, box) for place in twins):
                search.found[path][frame].remove(box)


def _reads(search: _Search, place: tuple[Path, int], box: Box) -> bool:
    return bool(hiding.at_place(search.shelf.view(*place), box, search.find))


def _same_places(search: _Search, group: Group) -> None:
    """Where one slice has writing, read the same place on all slices of the group, many cut-outs to a sheet."""
    places = [search.shelf.where(group, n) for n in range(len(group.slices))]
    done: list[Box] = []
    for _ in range(3):
        boxes: list[Box] = []
        for path, frame in places:
            for box in search.found[path].get(frame, []):
                if not _covered(box, [*done, *boxes]):
                    boxes.append(box)
        if not boxes:
            return
        done += boxes
        for box in boxes[:16]:
            others = [place for place in places if not _covered(box, search.found[place[0]].get(place[1], []))]
            for path, frame in hiding.on_sheets(others, box, search.shelf.view, search.find):
                if not _covered(box, search.read(path, frame)):
                    search.note(path, frame, hiding.at_place(search.shelf.view(path, frame), box, search.find))


def _verdict(search: _Search, path: Path, key: PseudonymKey | None) -> PixelVerdict:
    """Hide what was found in one file, look again, and write it."""
    looked = {frame: strict for (at, frame), strict in search.looked.items() if at == path}
    code, boxes = search.codes.get(path), {frame: some for frame, some in search.found[path].items() if some}
    if code is None and boxes:
        try:
            if hiding.hide(path, search.shelf.picture(path), boxes, search.find, lambda frame: looked.get(frame, False), key):
                return PixelVerdict(path, None, "Writing was found in the image and hidden.", True, True, True)
            code = "writing_in_pixels"
        except (Refused, *UNDECODABLE):
            code = "pixels_unreadable"
    if code is not None:
        return PixelVerdict(path, code, REFUSALS[code][0], False, bool(looked))
    if key is not None and not search.shelf.claims[path]:
        hiding.write(path, None, "", key)
    return PixelVerdict(path, None, "", False, bool(looked), True)
