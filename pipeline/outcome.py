"""What came of each file: every one exactly once, by number and hash, with a verdict; and the images, products and versions beside.

`outcome.schema.json` (beside this file; a copy in docs/reference/) says what an outcome holds. Nothing of it depends on the time of day, on
the machine or on the order in which children answered, so that the same input gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.codes import Verdict, kept
from pipeline.order import schema
from pipeline.workspace import write_json

__all__ = ["BadOutcome", "FileRow", "Outcome", "products", "versions"]

TOOLS = ("pydicom", "numpy", "scipy", "nibabel", "torch", "dcm2niix", "dicom2nifti", "python-gdcm", "pydeface", "rapidocr-onnxruntime")


class BadOutcome(ValueError):
    """An outcome does not keep to the schema, or does not account for every file once."""


@dataclass
class FileRow:
    """One input file: number, SHA-256 of its bytes ("" where they could not be had), size in bytes, verdict, and what was made of it."""

    n: int
    sha256: str
    bytes: int
    verdict: Verdict = field(default_factory=kept)
    product: str | None = None
    where: str = ""

    def as_json(self) -> dict[str, Any]:
        row = {"n": self.n, "sha256": self.sha256, "bytes": self.bytes, "product": self.product} | self.verdict.as_json()
        return row | ({"where": self.where} if self.where else {})


@dataclass
class Outcome:
    """The answer to one order. `pieces`: folders to assemble a dataset from, `sessions`: rows of its sessions tables; neither is part of the JSON."""

    run: str
    attempt: int
    kind: str
    files: list[FileRow] = field(default_factory=list)
    studies: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    products: list[dict[str, Any]] = field(default_factory=list)
    failure: Verdict | None = None
    pieces: list[Path] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The outcome as JSON: files by number, studies by code, images and products by path."""
        value: dict[str, Any] = {"schema": 1, "run": self.run, "attempt": self.attempt, "kind": self.kind, "versions": versions()}
        value["status"] = "failed" if self.failure else "done"
        if self.failure:
            value |= {name: text for name, text in self.failure.as_json().items() if name != "verdict"}
        value["files"] = [row.as_json() for row in sorted(self.files, key=lambda row: row.n)]
        value["studies"] = sorted(self.studies, key=lambda row: str(row["study"]))
        value["images"] = sorted(self.images, key=lambda row: (row["bids"] is None, str(row["bids"]), row["files"]))
        value["products"] = sorted(self.products, key=lambda row: str(row["path"]))
        return value

    def write(self, path: Path) -> None:
        """Check the outcome and write it whole. Raises BadOutcome."""
        value = self.as_json()
        check(value)
        write_json(path, value)


def check(value: Any) -> None:
    """Raise BadOutcome unless the value keeps to the schema and numbers every file once. The message names the place, never what stands there."""
    for error in schema("outcome").iter_errors(value):
        raise BadOutcome("/".join(str(part) for part in error.absolute_path) or "its top level")
    numbers = [row["n"] for row in value["files"]]
    if len(set(numbers)) != len(numbers):
        raise BadOutcome("files: a number stands twice")


def read(path: Path) -> Any:
    """The checked JSON of an outcome. Raises BadOutcome; whoever did not write it treats it as untrusted."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, RecursionError, ValueError):
        raise BadOutcome("its encoding") from None
    check(value)
    return value


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def products(folder: Path, names: Iterable[Path]) -> list[dict[str, Any]]:
    """Path (relative to `folder`), SHA-256 and size of each file."""
    return [{"path": name.relative_to(folder).as_posix(), "sha256": digest(name), "bytes": name.stat().st_size} for name in sorted(names)]


@cache
def versions() -> dict[str, str]:
    """What made the outcome: ours, Python's, and of every tool that touches a voxel or a header."""
    found = {"python": platform.python_version(), "myelin": ours()}
    for name in TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def ours() -> str:
    """The version of Myelin: of the installed distribution, or, in a checkout, as pyproject.toml says it."""
    try:
        return metadata.version("myelin")
    except metadata.PackageNotFoundError:
        import tomllib

        text = Path(__file__).resolve().parent.parent.joinpath("pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
