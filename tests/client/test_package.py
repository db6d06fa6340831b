"""A package arrives whole or not at all, opens only for its recipient, and is proven byte by byte."""

from __future__ import annotations

import hashlib
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from client import package
from client.api import Registry
from client.errors import Broken, Refused, Unreachable, Usage
from client.records import Package
from client.signature import canonical, signed

SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FILES = {
    "TERMS.txt": b"be good",
    "dataset_description.json": b"{}",
    "sub-x/anat/sub-x_T1w.nii.gz": random.Random(1).randbytes(700_000),
    "sub-x/anat/sub-x_T1w.json": b"{}",
}


def tar(files: dict[str, bytes], base64: Callable[[bytes], str], **change: Any) -> bytes:
    rows = [{"path": f"ms-1.0.0/{p}", "sha256": hashlib.sha256(d).hexdigest(), "bytes": len(d)} for p, d in FILES.items()]
    manifest = {"package": "p1", "dataset": "ms", "version": "1.0.0", "files": rows, **change}
    whole = {
        **files,
        "MANIFEST.json": json.dumps(manifest).encode(),
        "MANIFEST.sig": base64(SIGNER.sign(canonical(manifest))).encode(),
        "TERMS.txt": b"be good",
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for path, data in whole.items():
            info = tarfile.TarInfo(f"ms-1.0.0/{path}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def key(base64: Callable[[bytes], str]) -> str:
    return base64(SIGNER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))


@pytest.fixture
def mine(tmp_path: Path) -> Any:
    package.new_identity(tmp_path / "key.txt")
    return package.read_identity(tmp_path / "key.txt")


@pytest.fixture
def offered(little: Any, mine: Any, base64: Callable[[bytes], str]) -> Package:
    little.package = pyrage.encrypt(tar(FILES, base64), [mine.to_public()])
    return Package("p1", "e1", "r1", "ready", sha256=hashlib.sha256(little.package).hexdigest(), bytes=len(little.package))


def test_a_download_that_breaks_off_twice_is_finished_without_starting_anew(
    little: Any, registry: Registry, offered: Package, mine: Any, key: str, tmp_path: Path
) -> None:
    little.cut_after = [300_000, 200_000]
    sealed = package.fetch(registry, offered, tmp_path / "in")
    assert sealed.read_bytes() == little.package
    asked = [h.get("Range") for h in little.headers_seen]
    assert asked == [None, "bytes=300000-", "bytes=500000-"]
    opened = package.verify(package.unpack(sealed, mine, tmp_path), key)
    assert opened.files == 4
    assert (opened.folder / "sub-x/anat/sub-x_T1w.nii.gz").read_bytes() == FILES["sub-x/anat/sub-x_T1w.nii.gz"]
    assert not list(tmp_path.glob(".opening-*"))
    # A second run finds it whole and asks for nothing.
    little.seen.clear()
    package.fetch(registry, offered, tmp_path / "in")
    assert little.seen == []


def test_a_leftover_of_other_bytes_is_not_mixed_in(little: Any, registry: Registry, offered: Package, tmp_path: Path) -> None:
    part = tmp_path / "p1.age.part"
    part.write_bytes(b"x" * 1000)
    with pytest.raises(Broken) as no:
        package.fetch(registry, offered, tmp_path)
    assert no.value.code == "hash_differs"
    assert not part.exists()
    assert package.fetch(registry, offered, tmp_path).read_bytes() == little.package


def test_a_withdrawal_half_way_ends_the_download_with_the_reason(little: Any, registry: Registry, offered: Package, tmp_path: Path) -> None:
    little.cut_after = [100_000]

    def die(what: str, done: int, total: int) -> None:
        little.dead = True

    with pytest.raises(Refused) as no:
        package.fetch(registry, offered, tmp_path, progress=die)
    assert no.value.code == "package_dead"
    assert not (tmp_path / "p1.age").exists()


def test_a_line_that_always_breaks_is_given_up_and_what_arrived_is_kept(little: Any, registry: Registry, offered: Package, tmp_path: Path) -> None:
    little.cut_after = [5000] + [0] * 50
    with pytest.raises(Unreachable):
        package.fetch(registry, offered, tmp_path, attempts=3)
    assert (tmp_path / "p1.age.part").stat().st_size == 5000


def test_another_persons_identity_does_not_open_it(registry: Registry, offered: Package, tmp_path: Path) -> None:
    sealed = package.fetch(registry, offered, tmp_path)
    with pytest.raises(Broken) as no:
        package.unpack(sealed, pyrage.x25519.Identity.generate(), tmp_path)
    assert no.value.code == "not_opened"
    assert not (tmp_path / "ms-1.0.0").exists()


@pytest.mark.parametrize("lost", [1, 20_000, 699_000])
def test_a_cut_package_is_not_opened_half(registry: Registry, offered: Package, mine: Any, tmp_path: Path, lost: int) -> None:
    sealed = package.fetch(registry, offered, tmp_path)
    sealed.write_bytes(sealed.read_bytes()[:-lost])
    with pytest.raises(Broken):
        package.unpack(sealed, mine, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["key.txt", "p1.age"]


def test_a_tar_that_climbs_out_is_refused(mine: Any, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("../escaped")
        info.size = 1
        archive.addfile(info, io.BytesIO(b"x"))
    (tmp_path / "bad.age").write_bytes(pyrage.encrypt(out.getvalue(), [mine.to_public()]))
    (tmp_path / "out").mkdir()
    with pytest.raises(Broken):
        package.unpack(tmp_path / "bad.age", mine, tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


@pytest.fixture
def opened(registry: Registry, offered: Package, mine: Any, tmp_path: Path) -> Path:
    return package.unpack(package.fetch(registry, offered, tmp_path), mine, tmp_path)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda f: (f / "dataset_description.json").write_bytes(b"[]"), "file_differs"),
        (lambda f: (f / "dataset_description.json").unlink(), "file_differs"),
        (lambda f: (f / "sub-x" / "more.nii.gz").write_bytes(b"x"), "files_extra"),
        (lambda f: (f / "MANIFEST.json").write_text((f / "MANIFEST.json").read_text().replace('"p1"', '"p2"')), "signature_wrong"),
        (lambda f: (f / "MANIFEST.sig").write_text("AAAA"), "signature_wrong"),
        (lambda f: (f / "MANIFEST.json").unlink(), "no_manifest"),
    ],
)
def test_tampering_is_found(opened: Path, key: str, change: Callable[[Path], Any], code: str) -> None:
    assert package.verify(opened, key).files == 4
    change(opened)
    with pytest.raises(Broken) as no:
        package.verify(opened, key)
    assert no.value.code == code


def test_an_opened_package_is_not_overwritten(opened: Path, offered: Package, mine: Any, tmp_path: Path) -> None:
    with pytest.raises(Usage):
        package.unpack(tmp_path / "p1.age", mine, tmp_path)


def test_identity_files_are_private_and_never_replaced(tmp_path: Path) -> None:
    public = package.new_identity(tmp_path / "k")
    assert (tmp_path / "k").stat().st_mode & 0o777 == 0o600
    assert str(package.read_identity(tmp_path / "k").to_public()) == public
    with pytest.raises(FileExistsError):
        package.new_identity(tmp_path / "k")
    (tmp_path / "other").write_text("nothing")
    with pytest.raises(Usage):
        package.read_identity(tmp_path / "other")


def test_our_ed25519_agrees_with_openssls(base64: Callable[[bytes], str]) -> None:
    rng = random.Random(7)
    for _ in range(25):
        private = Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
        public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        message = rng.randbytes(rng.randrange(200))
        signature = private.sign(message)
        assert signed(message, base64(signature), base64(public))
        assert not signed(message + b"x", base64(signature), base64(public))
        spoiled = bytearray(signature)
        spoiled[rng.randrange(64)] ^= 1 << rng.randrange(8)
        assert not signed(message, base64(bytes(spoiled)), base64(public))


def test_our_ed25519_knows_the_standards_example_and_refuses_a_malleable_twin(base64: Callable[[bytes], str]) -> None:
    """RFC 8032 7.1, test 2; and S + L, which signs the same if S is not checked against the group order."""
    public = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert signed(b"\x72", base64(signature), base64(public))
    order = 2**252 + 27742317777372353535851937790883648493
    twin = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not signed(b"\x72", base64(twin), base64(public))
    assert not signed(b"\x72", "not base64!", base64(public))
