"""A zip is opened in a child only; what it says of itself is not believed, and none of its names becomes a name on our disk.

Checked before a byte is unpacked: how many members it claims, whether members lie over one another (the bombs that reuse one kernel), links,
devices, passwords, names that point outside. While unpacking every byte is counted: against what the member claimed, against how much a scan can be
packed, and against the room on the disk. A bad member is refused on its own and the good ones are kept.

An item of `unpack`: {"path": the zip, "out": a folder, "first": number of its first member, "wanted": numbers or null}.
Its value: [{"name", "code", "sha256", "bytes", "file"}], one row per member in order of name; `file` is null where nothing was unpacked.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.codes import Refused

__all__ = ["looks_like_archive", "unpack"]

MEMBERS = 200_000
# All-zero voxels pack 1000 to 1 and are lawful in one slice; hundreds of MiB of them are not.
MEMBER_CAP, TOTAL_CAP, RATIO = 256 * 2**20, 2**30, 100
ROOM_LEFT = 2**30
CHUNK = 2**20
LOCAL_HEADER = 30
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
OTHER_KINDS = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\xfd7zXZ\x00", b"BZh")
DRIVE = re.compile(r"^[A-Za-z]:")


def looks_like_archive(head: bytes) -> bool:
    """Whether the first bytes of a file (262 or more, where there are so many) are those of a zip. Raises Refused for other kinds of archives."""
    if head.startswith(OTHER_KINDS) or head[257:262] == b"ustar":
        raise Refused("archive_kind")
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def unpack(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Unpack one zip into numbered files; see the module. Raises Refused when the whole of it is refused."""
    out, first, wanted = Path(item["out"]), int(item["first"]), item["wanted"]
    chosen = None if wanted is None else set(wanted)
    try:
        with zipfile.ZipFile(item["path"]) as archive:
            members = listed(archive)
            budget = Budget(out, sum(one.compress_size for one in members))
            return [member(archive, one, out / str(first + n), budget, chosen is None or first + n in chosen) for n, one in enumerate(members)]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError):
        raise Refused("archive_damaged") from None


def listed(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members (folders left out) by name. Raises Refused when there are too many, or when they lie over one another."""
    members = [one for one in archive.infolist() if not one.is_dir()]
    if len(members) > MEMBERS:
        raise Refused("archive_too_many")
    spans = sorted((one.header_offset, one.header_offset + LOCAL_HEADER + one.compress_size) for one in members)
    if any(end > start for (_, end), (start, _) in itertools.pairwise(spans)):
        raise Refused("archive_overlap")
    return sorted(members, key=lambda one: (one.filename.encode("utf-8", "surrogatepass"), one.header_offset))


class Budget:
    """How much may still be unpacked into a folder: bounded by what the archive weighs (`packed` bytes) and by the room on the disk."""

    def __init__(self, out: Path, packed: int) -> None:
        self.left = max(TOTAL_CAP, RATIO * packed)
        self.room = shutil.disk_usage(out).free - ROOM_LEFT

    def spend(self, amount: int) -> None:
        """Count bytes just unpacked. Raises Refused when they are more than may be."""
        self.left -= amount
        self.room -= amount
        if self.left < 0:
            raise Refused("archive_bomb")
        if self.room < 0:
            raise Refused("archive_too_large")


def member(archive: zipfile.ZipFile, one: zipfile.ZipInfo, target: Path, budget: Budget, wanted: bool) -> dict[str, Any]:
    """Unpack one member to `target` (if it is wanted), or say with which code it is refused."""
    row: dict[str, Any] = {"name": one.filename, "code": "", "sha256": "", "bytes": 0, "file": None}
    try:
        refuse(one)
        if wanted:
            row["sha256"], row["bytes"] = copy(archive, one, target, budget)
            row["file"] = str(target)
    except Refused as refusal:
        row["code"] = refusal.code
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError):
        row["code"] = "archive_damaged"
    if row["code"]:
        target.unlink(missing_ok=True)
    return row


def refuse(one: zipfile.ZipInfo) -> None:
    """Raise Refused for a member that is not to be unpacked at all."""
    parts: Sequence[str] = one.filename.replace("\\", "/").split("/")
    kind = stat.S_IFMT(one.external_attr >> 16)
    if stat.S_ISLNK(one.external_attr >> 16):
        raise Refused("archive_link")
    if kind and not stat.S_ISREG(kind):
        raise Refused("archive_special")
    if ".." in parts or not parts[0] or DRIVE.match(parts[0]):
        raise Refused("archive_traversal")
    if any(ord(letter) < 32 for letter in one.filename):
        raise Refused("archive_path")
    if one.flag_bits & 0x1:
        raise Refused("archive_encrypted")
    if one.compress_type not in METHODS:
        raise Refused("archive_method")
    if one.file_size > MEMBER_CAP and one.file_size > RATIO * one.compress_size:
        raise Refused("archive_bomb")


def copy(archive: zipfile.ZipFile, one: zipfile.ZipInfo, target: Path, budget: Budget) -> tuple[str, int]:
    """Unpack, counting and hashing; (SHA-256, bytes). Raises Refused for a member that is not what it claims."""
    told, seen = hashlib.sha256(), 0
    with archive.open(one) as source, target.open("xb") as file:
        while chunk := source.read(CHUNK):
            seen += len(chunk)
            if seen > one.file_size:
                raise Refused("archive_size_lies")
            budget.spend(len(chunk))
            told.update(chunk)
            file.write(chunk)
    if seen != one.file_size:
        raise Refused("archive_size_lies")
    return told.hexdigest(), seen
