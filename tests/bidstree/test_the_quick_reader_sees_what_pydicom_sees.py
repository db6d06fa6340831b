"""Two readers of plane attributes, one answer: on every real and every odd file."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pydicom
import pytest

from bidstree import enhanced, frames, headers


def folders(root: Path) -> list[Path]:
    return sorted(path for kind in ("dicom", "edge") for path in (root / kind).rglob("*") if path.is_dir() and any(one.is_file() for one in path.iterdir()))


def test_both_readers_agree_on_every_file(mri: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [frames.read(folder) for folder in folders(mri)]
    used = sum(headers.head(path) is not None for folder in folders(mri) for path in folder.iterdir() if path.is_file())
    assert used > 2000
    assert sum(enhanced.read(path) is not None for folder in folders(mri) for path in folder.iterdir() if path.is_file()) >= 10
    monkeypatch.setattr(headers, "head", lambda path: None)
    monkeypatch.setattr(enhanced, "read", lambda path: None)
    for folder, a in zip(folders(mri), quick, strict=True):
        b = frames.read(folder)
        for name in ("unreadable", "short", "uids", "references", "image_type", "modality", "flips"):
            assert getattr(a, name) == getattr(b, name), folder
        for x, y in zip(a.frames, b.frames, strict=True):
            for name in ("file", "index", "number", "group", "uid", "rows", "columns", "spacing"):
                assert getattr(x, name) == getattr(y, name), folder
            assert np.array_equal(x.position, y.position) and np.array_equal(x.right, y.right) and np.array_equal(x.down, y.down)


def test_both_give_the_same_pixels(mri: Path) -> None:
    quick = 0
    for folder in folders(mri):
        path = sorted(one for one in folder.iterdir() if one.is_file())[-1]
        values = headers.pixels(path)
        if values is not None:
            quick += 1
            assert np.array_equal(values, pydicom.dcmread(path).pixel_array)
    assert quick >= 12


def test_no_mutation_of_a_file_makes_the_quick_reader_raise(mri: Path, tmp_path: Path) -> None:
    chance = random.Random(5)
    target = tmp_path / "x.dcm"
    cases = ("d2n_hitachi_hyperfine/hitachi/anatomical/001", "d2n_ge/ge/anatomical/001_implicit", "philips_dwi/601_WIP_dti_ax")
    for case in (*cases, "d2n_hitachi_hyperfine/hyperfine/anatomical/001"):
        first = next(path for path in sorted((mri / "dicom" / case).iterdir()) if path.is_file())
        original = first.read_bytes()
        assert (headers.head(first) or enhanced.read(first)) is not None
        for _ in range(300 if case in cases else 150):
            blob = bytearray(original)
            for _ in range(chance.randint(1, 8)):
                blob[chance.randrange(132, min(len(blob), 6000))] = chance.randrange(256)
            target.write_bytes(bytes(blob[: chance.randint(200, len(blob))]))
            headers.pixels(target)
            frames.read(tmp_path)
