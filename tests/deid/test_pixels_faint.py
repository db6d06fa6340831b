"""Writing that is faint, small, upright, or only partly read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image, ImageDraw, ImageFont

from deid import frames, hiding, newcomers, ocr, pixels, projections, strokes

SIDE = 192


def head(n: int) -> np.ndarray:
    """A slice of a smooth head with rough edges: on one slice in three the edge is rougher than faint writing."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE - 0.5
    body = (x**2 / 0.09 + y**2 / 0.12 < 1) * (500 + 120 * np.sin(14 * x + n / 9) * np.cos(11 * y - n / 7))
    dice = np.random.default_rng(n)
    body[90:96, 60:130:2] += 250 * (n % 3 == 0)
    return (body + dice.normal(60, 8, (SIDE, SIDE)).clip(0)).astype(np.uint16)


def write_on(picture: np.ndarray, text: str, at: tuple[int, int], size: int, value: int, turns: int = 0) -> np.ndarray:
    image = Image.new("L", (picture.shape[1], picture.shape[0]), 0)
    ImageDraw.Draw(image).text(at, text, fill=255, font=ImageFont.load_default(size))
    cover = np.rot90(np.asarray(image), turns) / 255.0
    return np.round(picture * (1 - cover) + value * cover).astype(picture.dtype)


def stored(mr, slices: list[np.ndarray], folder: Path) -> list[Path]:
    out = []
    for n, picture in enumerate(slices):
        data = mr(n=n + 1)
        data.Rows, data.Columns = picture.shape
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.{n + 1}"
        data.ImagePositionPatient, data.PixelData = [0, 0, n], picture.tobytes()
        data.save_as(folder / f"{n:03d}.dcm", enforce_file_format=True)
        out.append(folder / f"{n:03d}.dcm")
    return out


def seen(slices: list[np.ndarray]) -> tuple[list[int], list[newcomers.Newcomer]]:
    """What the comparison of slices picks, and what the comparison of places does."""
    small = [strokes.small(one, 0.0, 1000.0) for one in slices]
    scores, places, _ = projections.sweep(len(slices), small.__getitem__)
    return strokes.picked(scores), places


def test_faint_writing_in_a_dark_corner_is_found_by_its_place() -> None:
    clean = [head(n) for n in range(24)]
    assert not {one.n for one in seen(clean)[1]} & {10, 13}
    slices = list(clean)
    slices[13] = write_on(clean[13], "03/04/1962 M", (6, 176), 9, 230)
    picked, places = seen(slices)
    assert 13 not in picked
    (found,) = [one for one in places if one.n == 13]
    assert 172 <= found.row <= 192 and 0 <= found.column <= 80


def test_it_is_read_on_its_cut_out_and_hidden(mr, tmp_path: Path) -> None:
    """By a reader for which it is too small on any whole picture, projections included."""

    def near(picture: np.ndarray, strict: bool) -> list[ocr.Box]:
        return [] if picture.shape[:2] == (SIDE, SIDE) else ocr.read(picture, strict)

    slices = [head(n) for n in range(24)]
    slices[13] = write_on(slices[13], "03/04/1962 M", (6, 176), 9, 230)
    paths = stored(mr, slices, tmp_path)
    assert [one.path.name for one in pixels.check(paths, finder=near) if one.masked or one.code] == ["013.dcm"]
    left = pydicom.dcmread(paths[13]).pixel_array
    assert len(np.unique(left[179:186, 8:60])) == 1 and np.array_equal(left[:160], slices[13][:160])


def test_a_badly_read_word_counts_only_on_a_cut_out_picked_for_its_strokes() -> None:
    """The first is a name six pixels high; the others were read on cut-outs of real heads."""
    assert ocr.is_word("OOREN", 0.47, close=True) and not ocr.is_word("OOREN", 0.47)
    assert not any(ocr.is_word(text, sure, close=True) for text, sure in [("IMAP", 0.54), ("SAANO", 0.25), ("19.8", 0.52), ("00000", 0.6)])


@pytest.mark.parametrize(
    ("read", "stays"),
    [({(ocr.CLOSE, 3.0)}, False), ({(ocr.CLOSE, 3.0), (ocr.CLOSE, 4.0)}, True), ({(ocr.CLOSE, 3.0), (ocr.WORDS, 3.0)}, True), ({(ocr.CLOSE, 4.0)}, False)],
)
def test_what_is_read_badly_on_a_cut_out_must_be_read_twice(monkeypatch: pytest.MonkeyPatch, read: set[tuple[int, float]], stays: bool) -> None:
    """`kagdn` was read on a real head, once."""
    box = (1, 2, 9, 40)
    monkeypatch.setattr(ocr, "_boxes", lambda picture, manner, scale: [box] if (manner, scale) in read else [])
    assert ocr.read(np.zeros((104, 184, 3), np.uint8), ocr.CLOSE) == [box] * stays


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_a_line_is_read_level_and_upright_either_way(turns: int) -> None:
    picture = frames.view(write_on(head(1), "MRN 88123", (60, 8), 14, 900, turns))
    assert len(ocr.read(picture, False)) == 1
    assert not ocr.read(frames.view(np.rot90(head(1), turns)), False)


def test_an_upright_box_grows_and_is_covered_along_its_line() -> None:
    shown = np.zeros((200, 60), np.int16)
    shown[40:160:4, 20:30] = 100
    assert hiding.grown(shown, (80, 20, 120, 30)) == (40, 20, 157, 30)
    frame = np.ones((200, 60), np.uint8)
    hiding.cover(frame, (80, 20, 120, 30), np.asarray(0, np.uint8))
    assert not frame[75:125, 18:32].any() and frame[74, 25] and frame[100, 17]


def test_a_narrow_sign_of_a_level_line_grows_level() -> None:
    shown = np.zeros((60, 200), np.int16)
    shown[20:30, 40:160:4] = 100
    assert hiding.grown(shown, (20, 80, 30, 87)) == (20, 40, 30, 157)


def test_writing_on_the_second_slice_is_not_taken_for_that_of_the_first(mr, tmp_path: Path) -> None:
    """The first slice has one neighbour: what stands on that one is missing here, which is no writing."""
    slices = [head(n) for n in range(12)]
    slices[1] = write_on(slices[1], "ID 4471-002", (6, 174), 11, 700)
    assert [one.path.name for one in pixels.check(stored(mr, slices, tmp_path)) if one.masked or one.code] == ["001.dcm"]


def test_writing_is_not_taken_for_that_of_the_slice_beside_it_where_the_next_one_is_bright(mr, tmp_path: Path) -> None:
    """Between a bright slice and one with bright writing, the writing stands in the slice's novelty: as what is missing there."""
    slices = [head(n) for n in range(12)]
    slices[4] = slices[4] + np.uint16(500)
    slices[6] = write_on(slices[6], "DOB 1954-11-30", (40, 90), 14, 1100)
    new = strokes.novelty(*(strokes.small(one, 0.0, 1200.0) for one in slices[4:7]))
    assert ocr.read(frames.stretched(new.astype(np.float32)), ocr.WORDS), "the slice beside it looks written on"
    paths = stored(mr, slices, tmp_path)
    assert [one.path.name for one in pixels.check(paths) if one.masked or one.code] == ["006.dcm"]


def test_what_is_read_beside_the_hidden_box_is_hidden_too(mr, tmp_path: Path) -> None:
    picture = head(1)
    picture[20:30, 20:60] = picture[20:30, 66:74] = 900
    (path,) = stored(mr, [picture], tmp_path)

    def bright(view: np.ndarray, strict: bool) -> list[ocr.Box]:
        rows, columns = np.nonzero(view[..., 0] > 250)
        seen = view.shape[0] < SIDE and 40 <= rows.size <= 80
        return [(int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1)] if seen else []

    assert hiding.hide(path, frames.open_picture(path), {0: [(20, 20, 30, 60)]}, bright, lambda frame: False, None)
    left = pydicom.dcmread(path).pixel_array
    assert len(np.unique(left[20:30, 20:74])) <= 2 and left[20:30, 66:74].max() < 900
    assert np.array_equal(left[60:], picture[60:])


@pytest.mark.parametrize("strict", [False, True])
def test_what_stays_readable_close_by_refuses_an_ordinary_slice(mr, tmp_path: Path, strict: bool) -> None:
    """A capture is read strictly on the whole and not close by: on a patch of noise whatever looks like a line would count."""
    picture = head(1)
    picture[20:30, 20:60] = 900
    (path,) = stored(mr, [picture], tmp_path)
    before = path.read_bytes()

    def close(view: np.ndarray, strict: bool) -> list[ocr.Box]:
        return [] if view.shape[0] == SIDE else [(1, 1, 3, 3)]

    assert hiding.hide(path, frames.open_picture(path), {0: [(20, 20, 30, 60)]}, close, lambda frame: strict, None) is strict
    assert (path.read_bytes() == before) is not strict


def test_a_second_line_goes_with_the_first() -> None:
    shown = np.random.default_rng(1).integers(0, 30, (90, 200)).astype(np.int16)
    shown[40:48, 40:120:3] = 100
    alone = hiding.thickened(shown, (40, 40, 48, 118))
    assert alone == (40, 40, 48, 118)
    shown[50:58, 40:120:3] = 90
    assert hiding.thickened(shown, (40, 40, 48, 118)) == (40, 40, 64, 118)
    assert hiding.thickened(shown.T.copy(), (40, 40, 118, 48)) == (40, 40, 118, 48)


def test_two_lines_close_together_are_hidden_whole(mr, tmp_path: Path) -> None:
    slices = [head(n) for n in range(12)]
    slices[5] = write_on(write_on(slices[5], "12.03.1962", (50, 60), 8, 800), "ID 4471-002", (50, 68), 8, 800)
    paths = stored(mr, slices, tmp_path)
    assert [one.path.name for one in pixels.check(paths) if one.masked or one.code] == ["005.dcm"]
    left = pydicom.dcmread(paths[5]).pixel_array
    assert len(np.unique(left[61:76, 50:95])) == 1


@pytest.mark.parametrize(("words", "passes"), [([], True), ([(50, 50, 60, 90)], False)])
def test_a_huge_line_on_a_hidden_capture_counts_only_with_words(mr, tmp_path: Path, words: list[ocr.Box], passes: bool) -> None:
    picture = head(1)
    (path,) = stored(mr, [picture], tmp_path)

    def huge(view: np.ndarray, manner: int) -> list[ocr.Box]:
        return [(40, 40, 150, 160)] if manner == ocr.LINES else words

    assert hiding.hide(path, frames.open_picture(path), {0: [(20, 20, 30, 60)]}, huge, lambda frame: True, None) is passes
    if passes:
        assert np.array_equal(pydicom.dcmread(path).pixel_array[40:], picture[40:])
