"""The real series of the shared data, each converted once for all tests of this room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bidstree import convert
from bidstree.convert import Conversion
from tests.bidstree.known import folders


@pytest.fixture(scope="session")
def converted(mri: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Conversion]:
    """Path under dicom/ -> conversion (without the second opinion, which has tests of its own), for every folder with an image in it."""
    out = tmp_path_factory.mktemp("converted")
    result: dict[str, Conversion] = {}
    for n, folder in enumerate(folders(mri / "dicom")):
        done = convert.series(folder, out / str(n), ask_second=False)
        if done.code != "no_image":
            result[folder.relative_to(mri / "dicom").as_posix()] = done
    return result


@pytest.fixture
def series(tmp_path: Path, mri: Path) -> Iterator[Path]:
    """A copy of a whole, plain series (Hitachi spin echo, 4 slices) that a test may spoil."""
    import shutil

    folder = tmp_path / "series"
    shutil.copytree(mri / "dicom/d2n_hitachi_hyperfine/hitachi/anatomical/001", folder)
    yield folder
