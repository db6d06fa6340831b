"""What a browser's uploader does, as far as the wire can tell: bundles in path order, chunks of 8 MiB with their SHA-256, and going on after anything.

Its files are made, not read: the bytes at any place follow from the file's number, so that a hundred thousand of them and one of 5 GB need no disk.
`docs/reference/upload.md` is all it knows of the server.
"""

from __future__ import annotations

import base64
import hashlib
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests

from pipeline import bundle

MIB = 1 << 20
CHUNK, LARGE, BUNDLE, MANY = 8 * MIB, 8 * MIB, 16 * MIB, 100
BLOCK = random.Random(8).randbytes(MIB)
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Made:
    """A file that never was: its number, the numbers of its folders, and its size."""

    number: int
    folder: str
    size: int

    def read(self, at: int, size: int) -> bytes:
        """The bytes at a place. Each MiB of it begins with what nothing else has."""
        out, end = bytearray(), min(at + size, self.size)
        for n in range(at // MIB, -(-end // MIB)):
            block = b"%012d.%012d" % (self.number, n) + BLOCK[25:]
            out += block[max(at - n * MIB, 0) : min(end - n * MIB, MIB)]
        return bytes(out)

    def sha256(self) -> str:
        told = hashlib.sha256()
        for at in range(0, self.size, 16 * MIB):
            told.update(self.read(at, 16 * MIB))
        return told.hexdigest()


@dataclass
class Part:
    """One piece: a large file, or a bundle whose bytes are made whole. The hash of the whole grows with what is read, once."""

    files: Sequence[Made]
    data: bytes | None = None
    told: Any = field(default_factory=hashlib.sha256)
    hashed: int = 0

    @property
    def number(self) -> int:
        return self.files[0].number

    @property
    def length(self) -> int:
        return len(self.data) if self.data is not None else self.files[0].size

    def make(self) -> None:
        """A bundle's bytes, when its turn comes: a browser does not hold them all either."""
        if len(self.files) > 1 or self.files[0].size <= LARGE:
            parts = [bundle.header(file.number, file.size, file.folder) + file.read(0, file.size) + bytes(-file.size % 512) for file in self.files]
            self.data = b"".join(parts) + bundle.END

    def chunk(self, at: int) -> bytes:
        data = self.data[at : at + CHUNK] if self.data is not None else self.files[0].read(at, CHUNK)
        if at <= self.hashed < at + len(data):
            self.told.update(data[self.hashed - at :])
            self.hashed = at + len(data)
        return data

    def metadata(self) -> str:
        told: dict[str, Any] = {"number": self.number}
        if self.data is None:
            told |= {"kind": "file", "folder": self.files[0].folder}
        else:
            told |= {"kind": "bundle", "count": len(self.files), "sha256": hashlib.sha256(self.data).hexdigest()}
        return ",".join(f"{key} {base64.b64encode(str(value).encode()).decode()}" for key, value in told.items())


def parts(files: Sequence[Made]) -> Iterator[Part]:
    """The pieces of files in path order, as the reference says."""
    held: list[Made] = []
    size = len(bundle.END)
    for file in files:
        if file.size > LARGE:
            yield Part([file])
            continue
        more = 512 + file.size + -file.size % 512
        if held and (len(held) == MANY or size + more > BUNDLE):
            yield Part(held)
            held, size = [], len(bundle.END)
        held.append(file)
        size += more
    if held:
        yield Part(held)


@dataclass
class Sender:
    """One contributor's browser. `sent`: bytes of chunks that left; `acked`: those that were answered; `breaks`: requests that broke."""

    url: str
    token: str
    upload: str = ""
    sent: int = 0
    acked: int = 0
    breaks: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.own = threading.local()

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request on this thread's own line; a broken line and a server that is away are waited out. Raises TimeoutError."""
        if not hasattr(self.own, "session"):
            self.own.session = requests.Session()
        headers = {"Authorization": f"Bearer {self.token}", "Tus-Resumable": "1.0.0", **more.pop("headers", {})}
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            try:
                answer: requests.Response = self.own.session.request(method, self.url + path, headers=headers, timeout=60, **more)
            except requests.RequestException:
                with self.lock:
                    self.breaks += 1
                if method == "PATCH":
                    raise
                time.sleep(0.1)
                continue
            if answer.status_code not in (429, 503):
                return answer
            time.sleep(0.2)
        raise TimeoutError(path)

    def begin(self, dataset: str, site: str, files: Sequence[Made]) -> None:
        told = {"dataset": dataset, "site": site, "count": len(files), "bytes": sum(file.size for file in files)}
        answer = self.ask("POST", "/api/v1/uploads", json=told)
        assert answer.status_code == 201, answer.text
        self.upload = answer.json()["id"]

    def here(self) -> dict[int, dict[str, Any]]:
        """What the server has, by number: what is asked after the tab was closed."""
        found, path = {}, f"/api/v1/uploads/{self.upload}/tus?limit=1000"
        while path:
            page = self.ask("GET", path).json()
            found |= {row["number"]: row for row in page["results"]}
            path = (page["next"] or "").replace(self.url, "")
        return found

    def send_all(self, pieces: Iterator[Part], lines: int = 3) -> None:
        """Every piece that is not there yet, a few at once."""
        there = self.here()
        with ThreadPoolExecutor(lines) as pool:
            waiting = []
            for piece in pieces:
                waiting.append(pool.submit(self.send, piece, there.get(piece.number)))
                if len(waiting) >= 4 * lines:
                    waiting.pop(0).result()
            for one in waiting:
                one.result()

    def send(self, piece: Part, there: dict[str, Any] | None = None) -> None:
        """One piece, until the server says that it is done."""
        piece.make()
        known = hashlib.sha256(piece.data).hexdigest() if piece.data is not None else ""
        if there and there["state"] == "done" and there["length"] == piece.length and (not known or there["sha256"] == known):
            return
        headers = {"Upload-Length": str(piece.length), "Upload-Metadata": piece.metadata()}
        answer = self.ask("POST", f"/api/v1/uploads/{self.upload}/tus", headers=headers)
        assert answer.status_code in (200, 201), answer.text
        place, at, state = answer.headers["Location"], int(answer.headers["Upload-Offset"]), answer.headers["Myelin-State"]
        top = at
        while state == "open":
            try:
                at, state = self.patch(piece, place, at)
                top = max(top, at)
            except requests.RequestException:
                told = self.ask("HEAD", place)
                at, state = int(told.headers["Upload-Offset"]), told.headers["Myelin-State"]
                assert at >= top, "an acknowledged chunk is gone"
        assert state == "done", state
        piece.data = None

    def patch(self, piece: Part, place: str, at: int) -> tuple[int, str]:
        data = piece.chunk(at)
        headers = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(at), "Upload-Checksum": f"sha256 {digest(data)}"}
        if at + len(data) == piece.length and piece.data is None:
            while piece.hashed < piece.length:  # a beginning that was sent before this sender was born
                piece.chunk(piece.hashed)
            headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(piece.told.digest()).decode()}:"
        with self.lock:
            self.sent += len(data)
        answer = self.ask("PATCH", place, data=data, headers=headers)
        if answer.status_code in (409, 423, 460) and "Myelin-State" not in answer.headers:
            told = self.ask("HEAD", place)
            return int(told.headers["Upload-Offset"]), told.headers["Myelin-State"]
        assert answer.status_code == 204, (answer.status_code, answer.text)
        with self.lock:
            self.acked += len(data)
        return int(answer.headers["Upload-Offset"]), answer.headers["Myelin-State"]

    def complete(self, files: Sequence[Made]) -> requests.Response:
        return self.ask("POST", f"/api/v1/uploads/{self.upload}/complete", json={"count": len(files), "bytes": sum(file.size for file in files)})

    def state(self) -> dict[str, Any]:
        told: dict[str, Any] = self.ask("GET", f"/api/v1/uploads/{self.upload}").json()
        return told


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
