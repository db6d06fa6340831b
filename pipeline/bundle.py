"""A bundle of small files is a tar in its strictest form: read in a child only, and nothing that tar can say is believed.

Of a header, number, size and folder are taken, the header that they make is made anew, and all 512 bytes must be equal: so a link, a device, a sparse
file, a pax record, another mode or a lying checksum is refused without being understood. Numbers ascend, nothing follows the end. What it holds is written
under its number into a folder of the child's own; the caller takes all of it or none. `docs/reference/upload.md` says how one is made.

An item of `unbundle`: {"path", "out": an empty folder, "sha256": of the whole, "number": of its first file, "count": how many}.
Its value: [{"number", "folder", "sha256", "bytes"}], ascending.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.codes import Refused

__all__ = ["BYTES", "END", "FILES", "header", "unbundle"]

FILES, BYTES = 100, 16 << 20
BLOCK = 512
END = bytes(2 * BLOCK)
NUMBER = re.compile(rb"[0-9]{9}")
SIZE = re.compile(rb"[0-7]{11}")
FOLDER = re.compile(rb"([0-9]{1,6}(\.[0-9]{1,6}){0,11})?")


def header(number: int, size: int, folder: str = "") -> bytes:
    """The one header that a file of this number, size and folder may have."""
    head = bytearray(BLOCK)
    for at, text in (
        (0, b"%09d" % number), (100, b"0000600"), (108, b"0000000"), (116, b"0000000"), (124, b"%011o" % size), (136, b"00000000000"),
        (148, b"        "), (156, b"0"), (257, b"ustar\x0000"), (345, folder.encode("ascii")),
    ):  # fmt: skip
        head[at : at + len(text)] = text
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def unbundle(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the files of one bundle into `out`, and say what they are; see the module. Raises Refused: then nothing of it counts."""
    path, out = Path(item["path"]), Path(item["out"])
    if path.stat().st_size > BYTES:
        raise Refused("bundle_count")
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != item["sha256"]:
        raise Refused("digest_mismatch")
    found = list(members(data))
    numbers = [number for number, *_ in found]
    if numbers != sorted(set(numbers)) or numbers[:1] != [item["number"]]:
        raise Refused("bundle_order")
    if len(found) != item["count"] or len(found) > FILES:
        raise Refused("bundle_count")
    return [written(out, number, folder, data[start : start + size]) for number, folder, start, size in found]


def members(data: bytes) -> Iterator[tuple[int, str, int, int]]:
    """(number, folder, where its bytes begin, how many) of each file. Raises Refused for whatever is not exactly as it must be."""
    at = 0
    while data[at : at + BLOCK] != bytes(BLOCK):
        head = data[at : at + BLOCK]
        number, size, folder = head[:9], head[124:135], head[345:500].rstrip(b"\0")
        if len(head) < BLOCK or not (NUMBER.fullmatch(number) and SIZE.fullmatch(size) and FOLDER.fullmatch(folder)):
            raise Refused("bundle_damaged")
        bytes_ = int(size, 8)
        if head != header(int(number), bytes_, folder.decode()):
            raise Refused("bundle_damaged")
        start, end = at + BLOCK, at + BLOCK + bytes_
        at = end + -bytes_ % BLOCK
        if at > len(data) or any(data[end:at]):
            raise Refused("bundle_damaged")
        yield int(number), folder.decode(), start, bytes_
    if data[at:] != END:
        raise Refused("bundle_damaged")


def written(out: Path, number: int, folder: str, data: bytes) -> dict[str, Any]:
    """One file under its number, and its row."""
    with (out / f"{number:09d}").open("xb") as file:
        file.write(data)
    return {"number": number, "folder": folder, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
