"""Reading what the carrier answers, as the untrusted input it is: the carrier handled a stranger's bytes.

Checked: size, JSON, schema (`pipeline/outcome.schema.json`), that it answers this order, that every file stands there once, that every product's path
stays inside `bids/`, is a regular file there, and has the size and the SHA-256 that the outcome says, that every image names products that exist and
every picture lies in `review/`, and that nothing lies there that is not accounted for.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path
from typing import Any

from pipeline import outcome as pipeline_outcome
from registry.rules import Refusal

MAX_BYTES = 256 * 1024 * 1024
MAX_FILES = 1_000_000
MAX_TEXT = 2000
PLACE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$")


class BadOutcome(Refusal):
    """The carrier's answer is not what an answer must be. `where` is a place in it, never a value."""

    def __init__(self, where: str) -> None:
        super().__init__("bad_outcome", f"The pipeline's answer is not as it must be: {where}.", "Tell those who run this registry.")


def read(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """The checked outcome of this order. Raises BadOutcome."""
    path = folder / "outcome.json"
    info = os.lstat(path) if path.exists() else None
    if info is None or not stat.S_ISREG(info.st_mode) or info.st_size > MAX_BYTES:
        raise BadOutcome("outcome.json is missing, too large, or no file")
    try:
        value: dict[str, Any] = pipeline_outcome.read(path)
    except pipeline_outcome.BadOutcome as wrong:
        raise BadOutcome(f"at {str(wrong)[:200]}") from None
    check(value, folder, order)
    return value


def check(value: dict[str, Any], folder: Path, order: dict[str, Any]) -> None:
    """What the schema cannot say. Raises BadOutcome."""
    if (value["run"], value["attempt"], value["kind"]) != (order["run"], order["attempt"], order["kind"]):
        raise BadOutcome("it answers another order")
    numbers = {row["n"] for row in value["files"]}
    if len(numbers) > MAX_FILES:
        raise BadOutcome("it has too many files")
    if order["kind"] == "study" and value["status"] == "done":
        asked = {row["n"]: row["sha256"] for row in order["files"]}
        if {row["n"]: row["sha256"] for row in value["files"]} != asked:
            raise BadOutcome("its files are not those of the order")
    for part in ("studies", "images"):
        if any(set(row["files"]) - numbers for row in value[part]):
            raise BadOutcome(f"{part} name files that are not there")
    if any(len(row.get(key) or "") > MAX_TEXT for row in [*value["files"], *value["studies"]] for key in ("reason", "advice")):
        raise BadOutcome("a text is too long")
    _products(value, folder)
    _pictures(value, folder)


def inside(root: Path, relative: str) -> Path:
    """The path below `root`, made of harmless names only. Raises BadOutcome."""
    parts = relative.split("/")
    if not parts or len(parts) > 12 or not all(PLACE.match(part) for part in parts):
        raise BadOutcome("a path is not a plain relative path")
    return root.joinpath(*parts)


def _products(value: dict[str, Any], folder: Path) -> None:
    listed = {}
    for product in value["products"]:
        path = inside(folder / "bids", product["path"])
        if product["path"] in listed:
            raise BadOutcome("a product stands twice")
        listed[product["path"]] = path
        _same_bytes(path, product)
    if any(set(image["products"]) - listed.keys() for image in value["images"]):
        raise BadOutcome("images name products that are not there")
    if _regular_files(folder / "bids") != set(listed):
        raise BadOutcome("files lie in bids/ that are not accounted for")


def _same_bytes(path: Path, product: dict[str, Any]) -> None:
    """The file is regular, reached through no link, and is what the outcome says. Raises BadOutcome."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        raise BadOutcome("a product is missing or is a link") from None
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size != product["bytes"]:
            raise BadOutcome("a product has another size")
        if hashlib.file_digest(file, "sha256").hexdigest() != product["sha256"]:
            raise BadOutcome("a product has another hash")


def _pictures(value: dict[str, Any], folder: Path) -> None:
    named = [name for image in value["images"] for name in image["review"]]
    for name in named:
        inside(folder / "review", name)
    if len(named) != len(set(named)) or _regular_files(folder / "review") != set(named):
        raise BadOutcome("pictures are not accounted for")


def _regular_files(root: Path) -> set[str]:
    """Relative paths of all files below a folder. Raises BadOutcome when anything there is neither file nor folder."""
    found: set[str] = set()
    if root.is_symlink():
        raise BadOutcome("a folder is a link")
    for here, folders, files in os.walk(root, followlinks=False):
        for name in [*folders, *files]:
            mode = os.lstat(os.path.join(here, name)).st_mode  # noqa: PTH118
            if stat.S_ISREG(mode):
                found.add(Path(here, name).relative_to(root).as_posix())
            elif not stat.S_ISDIR(mode):
                raise BadOutcome("something lies there that is no file")
    return found
