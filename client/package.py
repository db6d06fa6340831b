"""Receiving a package: fetch (going on where it stopped), prove, open, prove again.

The package is an age file (X25519) for one recipient. It is fetched into `PACKAGE.age.part` with Range and If-Range (RFC 9110 13.1.5), its SHA-256
must be what the registry announced, then it becomes `PACKAGE.age`. It is decrypted through a pipe into a temporary folder: a half-opened package
is never seen under its name. Last, the signed manifest must name exactly the files that lie there, with their hashes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from threading import Thread
from typing import Any

import pyrage
import requests
from urllib3.exceptions import HTTPError

from client.api import Registry, wait_for
from client.errors import Broken, Refused, Unreachable, Usage
from client.records import Package
from client.signature import canonical, signed
from client.upload import Progress, hash_file, quiet

CHUNK = 1 << 18
# What the manifest cannot name: itself and its signature.
ITSELF = frozenset({"MANIFEST.json", "MANIFEST.sig"})


@dataclass(frozen=True)
class Opened:
    """A package that was opened and proven: its folder, number of data files, and the manifest."""

    folder: Path
    files: int
    manifest: dict[str, Any]


def new_identity(path: Path) -> str:
    """Make an age identity file for this researcher (mode 0600) and return the public key to give away. Raises FileExistsError."""
    identity = pyrage.x25519.Identity.generate()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(f"# public key: {identity.to_public()}\n{identity}\n")
    return str(identity.to_public())


def read_identity(path: Path) -> Any:
    """The X25519 identity of an age key file. Raises Usage when there is none."""
    lines = [line.strip() for line in path.read_text().splitlines()] if path.is_file() else []
    keys = [line for line in lines if line.startswith("AGE-SECRET-KEY-1")]
    if not keys:
        raise Usage("no_identity_file", "There is no age identity in that file.", "Make one: myelin request --identity FILE makes it.")
    try:
        return pyrage.x25519.Identity.from_str(keys[0])
    except pyrage.IdentityError:
        raise Usage("no_identity_file", "The age identity in that file cannot be read.", "Use the file this key was made in.") from None


def wait_ready(registry: Registry, package: str, *, limit_s: float = 3600, seen: Callable[[Package], None] | None = None) -> Package:
    """Wait until the package is built. Raises Refused with the registry's reason when it is dead or failed."""
    found = wait_for(lambda: registry.package(package), lambda p: p.state != "building", limit_s=limit_s, seen=seen)
    if found.state != "ready":
        raise Refused(found.code or f"package_{found.state}", found.reason or f"The package is {found.state}.", "Ask for a new one.", 410)
    return found


def fetch(registry: Registry, package: Package, folder: Path, *, progress: Progress = quiet, attempts: int = 8) -> Path:
    """Download the encrypted package, resuming whatever lies there. Raises Refused (the policy said no, also half-way), Unreachable, Broken (hash)."""
    folder.mkdir(parents=True, exist_ok=True)
    whole, part = folder / f"{package.id}.age", folder / f"{package.id}.age.part"
    if whole.exists() and hash_file(whole)[0].hex() == package.sha256:
        return whole
    total, stuck = package.bytes or 0, 0
    while not part.exists() or part.stat().st_size < total:
        before = part.stat().st_size if part.exists() else 0
        with suppress(requests.exceptions.RequestException, HTTPError):
            stream_into(registry, package, part, total, progress)
        after = part.stat().st_size if part.exists() else 0
        stuck = stuck + 1 if after <= before else 0
        if stuck >= attempts:
            raise Unreachable("download_broke", "The download breaks off again and again.", "What arrived is kept: run it again to go on.")
        if stuck:
            registry.wire.sleep(registry.wire.wait(stuck, None))
    if part.stat().st_size != total or hash_file(part)[0].hex() != package.sha256:
        part.unlink()
        raise Broken("hash_differs", "The package arrived as other bytes than the registry announced.", "It was deleted: download it again.")
    part.replace(whole)
    return whole


def stream_into(registry: Registry, package: Package, part: Path, total: int, progress: Progress) -> None:
    """One stretch of the download, appended to `part` (or begun anew when the registry answers with the whole)."""
    start = part.stat().st_size if part.exists() else 0
    with registry.open_download(package.id, start, f'"{package.sha256}"') as response:
        resumed = response.status_code == 206
        if start and resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise Broken("wrong_range", "The registry answered with another stretch than asked.", "Tell its operators.")
        with part.open("ab" if resumed else "wb") as out:
            done = start if resumed else 0
            # read1 gives what is there: of a line that breaks nothing that arrived is lost.
            while chunk := response.raw.read1(CHUNK):
                out.write(chunk)
                done += len(chunk)
                progress("downloading", done, total)


def unpack(sealed: Path, identity: Any, out: Path) -> Path:
    """Decrypt and unpack into `out/NAME` (the tar's one folder). Raises Broken when it is not for this key, cut, or not a plain tar; Usage if NAME exists."""
    temporary = Path(mkdtemp(prefix=".opening-", dir=out))
    try:
        error = pour(sealed, identity, temporary)
        if error:
            raise Broken("not_opened", f"The package cannot be opened ({error}).", "Is this the identity whose public key the request named?")
        tops = list(temporary.iterdir())
        if len(tops) != 1 or not tops[0].is_dir():
            raise Broken("not_a_package", "The package does not hold one folder.", "Tell the registry's operators.")
        target = out / tops[0].name
        if target.exists():
            raise Usage("folder_exists", "A folder of that name lies there already.", "Choose another place, or verify what lies there.")
        tops[0].replace(target)
        return target
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def pour(sealed: Path, identity: Any, target: Path) -> str:
    """Decrypt through a pipe into a tar reader. Returns what went wrong, empty for nothing."""
    read_end, write_end = os.pipe()
    trouble: list[str] = []

    def decrypt() -> None:
        try:
            with sealed.open("rb") as source, os.fdopen(write_end, "wb") as sink:
                pyrage.decrypt_io(source, sink, [identity])
        except (pyrage.DecryptError, OSError, ValueError) as error:
            trouble.append(type(error).__name__)

    worker = Thread(target=decrypt, daemon=True)
    worker.start()
    try:
        with os.fdopen(read_end, "rb") as source, tarfile.open(fileobj=source, mode="r|") as archive:
            archive.extractall(target, filter="data")
            while source.read(CHUNK):
                pass  # the padding after the last member: age's authentication of the end comes with it
    except (tarfile.TarError, OSError) as error:
        trouble.append(type(error).__name__)
    worker.join()
    return trouble[0] if trouble else ""


def verify(folder: Path, key: str | None = None, progress: Progress = quiet) -> Opened:
    """Prove an opened package: signature of the manifest (by `key`, the registry's, when given), exactly the named files, each hash. Raises Broken."""
    try:
        manifest = json.loads((folder / "MANIFEST.json").read_bytes())
        signature = (folder / "MANIFEST.sig").read_text().strip()
        top = f"{manifest['dataset']}-{manifest['version']}/"  # paths in the manifest are those in the tar; the folder may have been renamed since
        named = {str(f["path"]).removeprefix(top): str(f["sha256"]) for f in manifest["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise Broken("no_manifest", "The folder holds no manifest of ours.", "Open the package again.") from None
    if key is not None and not signed(canonical(manifest), signature, key):
        raise Broken("signature_wrong", "The manifest was not signed by this registry.", "Do not use this data; tell the registry's operators.")
    lying = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    if extra := lying - set(named) - ITSELF:
        raise Broken("files_extra", f"{len(extra)} files lie there that the manifest does not name.", "Open the package again in a fresh folder.")
    for n, (path, sha256) in enumerate(sorted(named.items()), 1):
        if path not in lying or not same_bytes(folder / path, sha256):
            raise Broken("file_differs", f"File {n} of the manifest is missing or has other bytes.", "Open the package again in a fresh folder.")
        progress("verifying", n, len(named))
    return Opened(folder, len(named), manifest)


def same_bytes(path: Path, sha256: str) -> bool:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest() == sha256
