"""A package is one tar, sealed as a stream for one recipient: plaintext never lies on a disk outside the store.

`TarStream` is a reader: whoever reads from it gets the bytes of a POSIX (ustar) tar made on the fly from store files and from text in memory, with
fixed owner, mode and time, so the same parts give the same bytes. `seal` feeds it through age (X25519) into a file, hashing the ciphertext as it goes,
and publishes by fsync, rename, fsync of the folder. Sign and verify are Ed25519 over canonical JSON (sorted keys, no blanks, UTF-8).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyrage
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from registry.rules import Invalid

BLOCK = 512
CHUNK = 1 << 16


class Mismatch(Exception):
    """A store file is not what its row says it is (missing, or other bytes): the package is not built."""


@dataclass(frozen=True)
class Part:
    """One member of the tar: its path inside, and its bytes, in memory or in a store file with the size and SHA-256 it must have."""

    path: str
    data: bytes | None = None
    file: Path | None = None
    size: int = 0
    sha256: str = ""

    @property
    def bytes(self) -> int:
        return len(self.data) if self.data is not None else self.size

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest() if self.data is not None else self.sha256


class TarStream:
    """A readable tar of parts. `read(n)` raises Mismatch when a store file does not have the bytes promised."""

    def __init__(self, parts: Iterable[Part], heartbeat: Callable[[], None] | None = None) -> None:
        self._chunks = self._make(parts)
        self._rest = b""
        self._beat = heartbeat or (lambda: None)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, b"" at the end; any size is one pass over what the next member gives."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return b""
            self._rest = chunk
        size = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def _make(self, parts: Iterable[Part]) -> Iterator[bytes]:
        for part in parts:
            self._beat()
            yield _header(part)
            yield from _content(part)
            if part.bytes % BLOCK:
                yield b"\0" * (BLOCK - part.bytes % BLOCK)
        yield b"\0" * (2 * BLOCK)


def _header(part: Part) -> bytes:
    info = tarfile.TarInfo(part.path)
    info.size, info.mode, info.mtime, info.uid, info.gid, info.uname, info.gname = part.bytes, 0o644, 0, 0, 0, "", ""
    return info.tobuf(tarfile.PAX_FORMAT)


def _content(part: Part) -> Iterator[bytes]:
    if part.data is not None:
        yield part.data
        return
    assert part.file is not None
    digest, seen = hashlib.sha256(), 0
    try:
        with part.file.open("rb") as source:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                seen += len(chunk)
                if seen > part.size:
                    break
                yield chunk
    except FileNotFoundError:
        raise Mismatch("a store file is gone") from None
    if seen != part.size or digest.hexdigest() != part.sha256:
        raise Mismatch("a store file has other bytes than recorded")


class _Hashing:
    """A writer that hashes and counts what passes."""

    def __init__(self, out: BinaryIO) -> None:
        self.out, self.digest, self.bytes = out, hashlib.sha256(), 0

    def write(self, chunk: bytes) -> int:
        self.digest.update(chunk)
        self.bytes += len(chunk)
        return self.out.write(chunk)

    def flush(self) -> None:
        self.out.flush()


def recipient(text: str) -> pyrage.x25519.Recipient:
    """The age recipient written as `age1…`. Raises ValueError for anything else."""
    try:
        return pyrage.x25519.Recipient.from_str(text.strip())
    except Exception as error:
        raise ValueError("this is not an age X25519 recipient (age1…)") from error


def checked(key: str) -> str:
    """The key, if packages can be encrypted to it. Raises Invalid."""
    try:
        recipient(key)
    except ValueError:
        raise Invalid("recipient_key_invalid", "The recipient's key is no age X25519 recipient.", "Make one with age-keygen, or `myelin key`.") from None
    return key


def seal(parts: Iterable[Part], to: str, target: Path, heartbeat: Callable[[], None] | None = None) -> tuple[str, int]:
    """Write the tar of `parts`, encrypted to `to`, as `target`; return (SHA-256, bytes) of the ciphertext. Raises Mismatch, ValueError."""
    key, source = recipient(to), TarStream(parts, heartbeat)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.parent / f".tmp-{target.name}-{os.getpid()}"
    try:
        with temporary.open("xb") as out:
            sink = _Hashing(out)
            try:
                pyrage.encrypt_io(source, sink, [key])
            except pyrage.EncryptError as error:  # what the reader raised arrives wrapped
                raise Mismatch("the store changed under the package") from error
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)
    return sink.digest.hexdigest(), sink.bytes


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def canonical(value: Any) -> bytes:
    """The one byte form of a JSON value that is signed and hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def signing_key(path: Path) -> Ed25519PrivateKey:
    """The registry's signing key from its file (32 raw bytes, base64), made on first use with mode 0600; it appears whole or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        raw = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        draft = path.parent / f".tmp-{path.name}-{secrets.token_hex(8)}"
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(base64.b64encode(raw))
                out.flush()
                os.fsync(out.fileno())
            with suppress(FileExistsError):  # somebody else made it in the same moment: theirs is the key
                os.link(draft, path)
        finally:
            draft.unlink()
        sync_folder(path.parent)
    return Ed25519PrivateKey.from_private_bytes(base64.b64decode(path.read_bytes()))


def public_key(path: Path) -> str:
    """The public half, base64 of 32 bytes."""
    return base64.b64encode(signing_key(path).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def sign(value: Any, path: Path) -> str:
    """Base64 Ed25519 signature over the canonical JSON of `value`."""
    return base64.b64encode(signing_key(path).sign(canonical(value))).decode()


def verify(value: Any, signature: str, key: str) -> bool:
    """Whether `signature` is `key`'s over `value`."""
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key)).verify(base64.b64decode(signature), canonical(value))
    except (InvalidSignature, ValueError):
        return False
    return True
