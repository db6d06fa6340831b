"""What every test may ask for: the shared real scans, and tools that a machine may lack (then the test says so and is skipped)."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
ARCHIVES = ("mri.tgz", "visit.tgz")

# What a test can need beyond Python -> (how it is found, the Debian package of .ci/run that brings it).
# "shared-data" is not a package: it is the folder that lies beside a developer's checkout.
NEEDS: dict[str, tuple[str, ...]] = {
    "postgresql": ("pg_ctl", "/usr/lib/postgresql/15/bin/pg_ctl"),
    "dicom3tools": ("dciodvfy",),
    "chromium": ("chromium",),
}


def found(need: str) -> bool:
    """Whether this machine has the tool."""
    if need == "shared-data":
        return (CACHE / "mri" / "dicom").is_dir() or shared_archives()
    return any(shutil.which(name) or Path(name).is_file() for name in NEEDS[need])


def shared_archives() -> bool:
    return all((ROOT.parent / "shared" / "data" / name).is_file() for name in ARCHIVES)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Files with a slow test come first: the last one to begin should not be the longest, with every other worker idle.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        for mark in item.iter_markers("needs"):
            for need in mark.args:
                if not found(need):
                    item.add_marker(pytest.mark.skip(reason=f"needs {need}"))


@pytest.fixture(scope="session")
def mri() -> Path:
    """The folder of the shared real scans (`dicom/`, `edge/`, `nifti/`, `ref/`), unpacked once into .cache/; skips where they are absent."""
    folder = CACHE / "mri"
    if not (folder / ".complete").exists():
        if not shared_archives():
            if (folder / "dicom").is_dir():
                return folder
            pytest.skip("needs shared-data")
        for name in ARCHIVES:
            with tarfile.open(ROOT.parent / "shared" / "data" / name) as archive:
                archive.extractall(CACHE, filter="data")
        (folder / ".complete").touch()
    return folder
