"""An upload travels in pieces: nothing is lost, doubled or half done, nothing that was not announced is taken, and every refusal has a twin that is allowed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from pipeline import bundle
from registry.audit.models import Line
from registry.intake import actions, arriving, quarantine, sending, wiping
from registry.intake.models import Piece, Upload, UploadFile
from registry.releases.own import _receipt as site_receipt
from registry.rules import Denied, Invalid
from registry.runs.models import Mail, Run

pytestmark = pytest.mark.django_db(databases="__all__")
TUS = {"HTTP_TUS_RESUMABLE": "1.0.0"}
STREAM = "application/offset+octet-stream"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def bundled(files: Sequence[tuple[int, str, bytes]]) -> bytes:
    """A bundle of (number, folder, bytes)."""
    return b"".join(bundle.header(n, len(data), folder) + data + bytes(-len(data) % 512) for n, folder, data in files) + bundle.END


@dataclass
class Sender:
    """A contributor's browser, as far as the wire can tell."""

    door: Any
    upload: str

    @property
    def base(self) -> str:
        return f"/uploads/{self.upload}/tus"

    def begin(self, length: int, status: int = 201, **told: Any) -> Any:
        metadata = ",".join(f"{key} {b64(str(value))}" for key, value in told.items())
        answer = self.door.raw("post", self.base, HTTP_UPLOAD_LENGTH=str(length), HTTP_UPLOAD_METADATA=metadata, **TUS)
        assert answer.status_code == status, (answer.status_code, answer.content)
        assert answer["Tus-Resumable"] == "1.0.0"
        return answer

    def patch(self, at: str, offset: int, data: bytes, status: int = 204, code: str = "", **headers: Any) -> Any:
        headers = {"HTTP_UPLOAD_OFFSET": str(offset), "HTTP_UPLOAD_CHECKSUM": f"sha256 {digest(data)}", "content_type": STREAM, **TUS, **headers}
        answer = self.door.raw("patch", at, data, **headers, **({} if data else {"CONTENT_TYPE": STREAM}))  # Django's client leaves it out of an empty one
        assert answer.status_code == status, (answer.status_code, answer.content)
        if code:
            assert answer.json()["code"] == code and answer.json()["advice"], answer.content
        return answer

    def head(self, at: str, status: int = 200) -> Any:
        answer = self.door.raw("head", at, **TUS)
        assert answer.status_code == status
        return answer

    def file(self, number: int, data: bytes, **told: Any) -> Any:
        at = self.begin(len(data), kind="file", number=number, **told)["Location"]
        return self.patch(at, 0, data, HTTP_REPR_DIGEST=f"sha-256=:{digest(data)}:")

    def bundle(self, files: Sequence[tuple[int, str, bytes]], status: int = 204, code: str = "", **told: Any) -> Any:
        data = bundled(files)
        at = self.begin(len(data), **{"kind": "bundle", "number": files[0][0], "count": len(files), "sha256": sha(data), **told})["Location"]
        return self.patch(at, 0, data, status, code)

    def complete(self, count: int, size: int, status: int = 202) -> Any:
        return self.door.post(f"/uploads/{self.upload}/complete", {"count": count, "bytes": size}, status)


@pytest.fixture
def sender(house: Any, door: Any) -> Sender:
    site = door(house.contributor)
    return Sender(site, site.post("/uploads", {"dataset": house.dataset.slug, "site": house.site.code}, 201)["id"])


def lying(sender: Sender) -> dict[str, bytes]:
    """What a carrier would find of the upload."""
    base = quarantine.folder(Upload.objects.get(pk=sender.upload).pk)
    return {path.relative_to(base).as_posix(): path.read_bytes() for path in sorted(base.rglob("*")) if path.is_file()}


# --- one file --------------------------------------------------------------------------------------------------------------------------------------


def test_a_file_in_chunks_goes_on_where_it_is(sender: Sender) -> None:
    data = os.urandom(3000)
    begun = sender.begin(3000, kind="file", number=7, folder="1.2", annotation="lesion")
    at = begun["Location"]
    assert begun["Upload-Offset"] == "0" and begun["Myelin-State"] == "open" and begun["Upload-Expires"].endswith("GMT")
    assert sender.patch(at, 0, data[:1000])["Upload-Offset"] == "1000"
    wrong = sender.patch(at, 0, data[:1000], 409, "offset_mismatch")
    assert wrong["Upload-Offset"] == "1000"
    assert sender.head(at)["Upload-Offset"] == "1000"
    again = sender.begin(3000, 200, kind="file", number=7, folder="1.2", annotation="lesion")
    assert (again["Location"], again["Upload-Offset"]) == (at, "1000")
    assert sender.patch(at, 1000, data[1000:])["Myelin-State"] == "open"  # its digest is not known yet
    sender.door.post(f"/uploads/{sender.upload}/complete", {"count": 1, "bytes": 3000}, 409, "upload_incomplete")
    ended = sender.patch(at, 3000, b"", HTTP_REPR_DIGEST=f"sha-256=:{digest(data)}:")
    assert (ended["Myelin-State"], ended["Upload-Offset"]) == ("done", "3000") and "Upload-Expires" not in ended
    assert sender.patch(at, 3000, b"", HTTP_REPR_DIGEST=f"sha-256=:{digest(data)}:")["Myelin-State"] == "done"
    sender.patch(at, 3000, b"", 409, "piece_done", HTTP_REPR_DIGEST=f"sha-256=:{digest(b'x')}:")
    row = UploadFile.objects.get(upload=sender.upload)
    assert (row.number, row.sha256, row.bytes, row.annotation) == (7, sha(data), 3000, "lesion")
    assert lying(sender) == {"d000001/d000002/f000000007": data}
    assert not list(quarantine.parts(row.upload_id).iterdir())
    assert sender.complete(1, 3000)["state"] == "received"
    sender.patch(at, 3000, b"", 409, "upload_closed")


def test_a_chunk_that_is_not_the_announced_one_leaves_nothing(sender: Sender) -> None:
    at = sender.begin(10, kind="file", number=1)["Location"]
    answer = sender.patch(at, 0, b"01234", 460, "checksum_mismatch", HTTP_UPLOAD_CHECKSUM=f"sha256 {digest(b'56789')}")
    assert "Upload-Offset" not in answer and sender.head(at)["Upload-Offset"] == "0"
    piece = Piece.objects.select_related("upload__dataset", "upload__site").get()
    with pytest.raises(Invalid, match="cut_short"):
        actions.add_chunk(piece.upload.contributor, piece, 0, io.BytesIO(b"01"), 5, sha(b"01234"))
    assert sender.head(at)["Upload-Offset"] == "0"
    assert sender.patch(at, 0, b"01234")["Upload-Offset"] == "5"
    assert not list(quarantine.parts(piece.upload_id).parent.parent.glob(".tmp-*"))


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"HTTP_TUS_RESUMABLE": "0.2.2"}, 412, "tus_version"),
        ({"HTTP_TUS_RESUMABLE": ""}, 412, "tus_version"),
        ({"content_type": "application/json"}, 415, "unsupported_media_type"),
        ({"HTTP_UPLOAD_OFFSET": "-1"}, 400, "bad_offset"),
        ({"HTTP_UPLOAD_OFFSET": ""}, 400, "bad_offset"),
        ({"HTTP_UPLOAD_CHECKSUM": ""}, 400, "bad_checksum"),
        ({"HTTP_UPLOAD_CHECKSUM": "md5 " + "A" * 22 + "=="}, 400, "bad_checksum"),
        ({"HTTP_REPR_DIGEST": "sha-256=:AAAA:"}, 400, "bad_digest_header"),
        ({"CONTENT_LENGTH": str((8 << 20) + 1)}, 413, "chunk_too_large"),
        ({"HTTP_UPLOAD_OFFSET": "6"}, 413, "chunk_too_large"),  # 6 + 5 > 10
        ({"HTTP_TRANSFER_ENCODING": "chunked"}, 411, "length_required"),
    ],
)
def test_headers_that_are_missing_or_wrong(headers: dict[str, str], status: int, code: str, sender: Sender) -> None:
    at = sender.begin(10, kind="file", number=1)["Location"]
    answer = sender.patch(at, 0, b"01234", status, code, **headers)
    assert (status != 412) or answer["Tus-Version"] == "1.0.0"
    sender.patch(at, 0, b"01234")


@pytest.mark.parametrize(
    ("length", "told", "status"),
    [
        (10, {"kind": "link", "number": 1}, 400),
        (10, {"kind": "file"}, 400),
        (10, {"kind": "file", "number": 1, "filename": "Doe^Jane.dcm"}, 400),
        (10, {"kind": "file", "number": 1, "folder": "../x"}, 400),
        (10, {"kind": "file", "number": 0}, 400),
        (10, {"kind": "file", "number": 1, "annotation": "hansen"}, 400),
        (10, {"kind": "file", "number": 1, "contrast": "hansen"}, 400),
        (10, {"kind": "bundle", "number": 1, "count": 1}, 400),  # without its digest
        (10, {"kind": "bundle", "number": 1, "count": 101, "sha256": "0" * 64}, 400),
        (10, {"kind": "bundle", "number": 1, "count": 1, "sha256": "0" * 64, "contrast": "FLAIR"}, 400),
        ((16 << 20) + 1, {"kind": "bundle", "number": 1, "count": 1, "sha256": "0" * 64}, 413),
        ((32 << 30) + 1, {"kind": "file", "number": 1}, 413),
    ],
)
def test_what_is_said_of_a_piece_is_held_to_its_words(length: int, told: dict[str, Any], status: int, sender: Sender) -> None:
    answer = sender.begin(length, status, **told)
    assert "Doe" not in answer.content.decode() and "hansen" not in answer.content.decode() and not Piece.objects.exists()


def test_a_28_gb_series_is_begun_like_any_other(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "free", lambda: 1 << 40)
    at = sender.begin(28 << 30, kind="file", number=1)["Location"]
    monkeypatch.undo()
    part = arriving.path(Piece.objects.get().upload_id, Piece.objects.get().pk)
    os.truncate(part, (28 << 30) - 5)  # a hole: nobody writes it
    assert sender.head(at)["Upload-Offset"] == str((28 << 30) - 5)
    monkeypatch.setattr(quarantine, "free", lambda: 1 << 40)
    assert sender.patch(at, (28 << 30) - 5, b"12345", HTTP_REPR_DIGEST=f"sha-256=:{digest(b'all')}:")["Myelin-State"] == "done"
    assert UploadFile.objects.get().bytes == 28 << 30 and Piece.objects.get().length == 28 << 30


def test_two_at_once_and_one_gets_it(sender: Sender) -> None:
    at = sender.begin(10, kind="file", number=1)["Location"]
    piece = Piece.objects.get()
    with arriving.held(piece.upload_id, piece.pk):
        sender.patch(at, 0, b"01234", 423, "piece_busy")
        assert sender.door.raw("delete", at, **TUS).status_code == 423
    sender.patch(at, 0, b"01234")
    assert sender.head(at)["Upload-Offset"] == "5"


def test_killed_between_the_move_and_the_row(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bytes are in their place, nothing says so yet: the next request says it, and nobody else can close the upload before."""
    data = b"0123456789"
    at = sender.begin(10, kind="file", number=1)["Location"]
    monkeypatch.setattr(sending, "_write_files", lambda *_: 1 / 0)
    sender.patch(at, 0, data, 500, HTTP_REPR_DIGEST=f"sha-256=:{digest(data)}:")
    monkeypatch.undo()
    assert lying(sender) == {"f000000001": data} and not UploadFile.objects.exists()
    sender.complete(1, 10, 409)
    told = sender.head(at)
    assert (told["Upload-Offset"], told["Myelin-State"]) == ("10", "open")
    assert sender.patch(at, 10, b"")["Myelin-State"] == "done"
    sender.complete(1, 10)


def test_what_the_disk_lost_is_asked_for_again(sender: Sender) -> None:
    sender.file(1, b"one")
    sender.bundle([(2, "", b"two"), (3, "1", b"three")])
    (quarantine.folder(Piece.objects.first().upload_id) / "d000001/f000000003").unlink()  # type: ignore[union-attr]
    refused = sender.complete(3, 11, 409)
    assert [error["field"] for error in refused["errors"]] == ["pieces.2"]
    missing = sender.door.get(f"{sender.base}?state=again")["results"]
    assert [(row["number"], row["code"]) for row in missing] == [(2, "lost")]
    sender.bundle([(2, "", b"two"), (3, "1", b"three")])
    sender.complete(3, 11)


# --- bundles ---------------------------------------------------------------------------------------------------------------------------------------


def test_a_bundle_is_files_as_if_they_came_one_by_one(sender: Sender) -> None:
    files = [(3, "1.2", b"three"), (5, "", b""), (12, "1", os.urandom(700))]
    assert sender.bundle(files)["Myelin-State"] == "done"
    assert lying(sender) == {"d000001/d000002/f000000003": b"three", "d000001/f000000012": files[2][2], "f000000005": b""}
    rows = {row.number: (row.sha256, row.bytes) for row in UploadFile.objects.all()}
    assert rows == {n: (sha(data), len(data)) for n, _, data in files}
    again = sender.begin(len(bundled(files)), 200, kind="bundle", number=3, count=3, sha256=sha(bundled(files)))
    assert again["Myelin-State"] == "done" and UploadFile.objects.count() == 3
    modes = {path.stat().st_mode & 0o777 for path in quarantine.folder(Piece.objects.get().upload_id).rglob("f*")}
    sender.file(20, b"alone")
    assert modes == {path.stat().st_mode & 0o777 for path in quarantine.folder(Piece.objects.first().upload_id).rglob("f000000020")}  # type: ignore[union-attr]


def test_any_tar_program_reads_a_bundle() -> None:
    files = [(3, "1.2", b"three"), (12, "", b"x" * 513)]
    with tarfile.open(fileobj=io.BytesIO(bundled(files))) as tar:
        told = [(member.name, member.size, member.mtime, member.mode, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    assert told == [("1.2/000000003", 5, 0, 0o600, b"three"), ("000000012", 513, 0, 0o600, b"x" * 513)]


def with_header(change: Any) -> bytes:
    """A bundle of one file whose header was changed, with a checksum that fits again."""
    data = bytearray(bundled([(1, "", b"one")]))
    change(data)
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    return bytes(data)


def python_tar(kind: bytes, **fields: Any) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        member = tarfile.TarInfo("000000001")
        member.type = kind
        for name, value in fields.items():
            setattr(member, name, value)
        tar.addfile(member, io.BytesIO(b"one"))
    return out.getvalue()


def put(at: int, text: bytes) -> Any:
    return lambda data: data.__setitem__(slice(at, at + len(text)), text)


BAD: dict[str, tuple[bytes, str]] = {
    "link": (with_header(put(156, b"2")), "bundle_damaged"),
    "hard link": (with_header(put(156, b"1")), "bundle_damaged"),
    "device": (with_header(put(156, b"3")), "bundle_damaged"),
    "sparse": (with_header(put(156, b"S")), "bundle_damaged"),
    "pax": (with_header(put(156, b"x")), "bundle_damaged"),
    "name": (with_header(put(0, b"../etc/pw")), "bundle_damaged"),
    "folder": (with_header(put(345, b"../..")), "bundle_damaged"),
    "mode": (with_header(put(100, b"0004755")), "bundle_damaged"),
    "time": (with_header(put(136, b"00000000001")), "bundle_damaged"),
    "base-256 size": (with_header(put(124, b"\x80" + bytes(10))), "bundle_damaged"),
    "huge size": (with_header(put(124, b"77777777777")), "bundle_damaged"),
    "owner": (with_header(put(265, b"jane")), "bundle_damaged"),
    "padding": (bundled([(1, "", b"one")])[:520] + b"x" + bundled([(1, "", b"one")])[521:], "bundle_damaged"),
    "trailing": (bundled([(1, "", b"one")]) + bytes(512), "bundle_damaged"),
    "no end": (bundled([(1, "", b"one")])[:-512], "bundle_damaged"),
    "cut": (bundled([(1, "", b"one")])[:700], "bundle_damaged"),
    "gnu sparse by pax": (python_tar(tarfile.REGTYPE, size=3, pax_headers={"GNU.sparse.major": "1", "path": "x" * 5000}), "bundle_damaged"),
    "symlink by python": (python_tar(tarfile.SYMTYPE, linkname="/etc/passwd"), "bundle_damaged"),
    "zeros": (bytes(4096), "bundle_damaged"),
    "noise": (bytes(range(256)) * 8, "bundle_damaged"),
    "another number": (bundled([(2, "", b"one")]), "bundle_order"),
    "descending": (bundled([(1, "", b"one"), (3, "", b"x"), (2, "", b"y")]), "bundle_order"),
    "doubled": (bundled([(1, "", b"one"), (1, "", b"y")]), "bundle_order"),
    "one more": (bundled([(1, "", b"one"), (2, "", b"y")]), "bundle_count"),
}


@pytest.mark.parametrize("kind", sorted(BAD))
def test_what_tar_can_do_and_a_bundle_may_not(kind: str, tmp_path: Path) -> None:
    """In this process, for speed; the next test goes the whole way."""
    data, code = BAD[kind]
    (tmp_path / "it").write_bytes(data)
    (tmp_path / "out").mkdir()
    item = {"path": str(tmp_path / "it"), "out": str(tmp_path / "out"), "sha256": sha(data), "number": 1, "count": 1}
    with pytest.raises(bundle.Refused) as refused:
        bundle.unbundle(item)
    assert refused.value.code == code


def test_a_refused_bundle_leaves_nothing_and_can_be_sent_again(sender: Sender) -> None:
    good = [(1, "", b"one"), (2, "", b"two")]
    bad = bundled(good)[:-1] + b"x"
    at = sender.begin(len(bad), kind="bundle", number=1, count=2, sha256=sha(bad))["Location"]
    sender.patch(at, 0, bad, 422, "bundle_damaged")
    assert sender.head(at)["Myelin-State"] == "again"
    sender.patch(at, 0, b"more", 409, "piece_again")
    assert not UploadFile.objects.exists() and lying(sender) == {} and not list(quarantine.folder(Piece.objects.get().upload_id).parent.glob(".tmp-*"))
    sender.bundle(good, 422, "digest_mismatch", sha256="0" * 64)
    row = sender.door.get(sender.base)["results"][0]
    assert (row["state"], row["code"], row["offset"]) == ("again", "digest_mismatch", 0)
    assert sender.bundle(good)["Myelin-State"] == "done" and Piece.objects.count() == 1


def test_a_child_that_dies_of_a_bundle_costs_that_bundle(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.intake import opening

    monkeypatch.setattr(opening, "LIMITS", opening.Limits(memory_mb=64, cpu_s=30, wall_s=60, file_mb=0))  # may not write a byte
    sender.bundle([(1, "", b"one")], 422, "bundle_unreadable")
    assert not UploadFile.objects.exists() and lying(sender) == {}
    monkeypatch.undo()
    assert sender.bundle([(1, "", b"one")])["Myelin-State"] == "done"


def test_a_bundle_made_anew_takes_the_place_of_the_old_one(sender: Sender) -> None:
    sender.bundle([(1, "", b"one"), (2, "1", b"two")])
    sender.bundle([(1, "2", b"other")])
    assert lying(sender) == {"d000002/f000000001": b"other"} and [row.number for row in UploadFile.objects.all()] == [1]


# --- both ends agree -------------------------------------------------------------------------------------------------------------------------------


def test_complete_is_said_when_the_carrier_saw_what_was_sent(sender: Sender, carried: Any) -> None:
    sender.file(1, b"not a scan, but all of it")
    sender.bundle([(2, "1", b"nor this"), (3, "1", b"{}")])
    sender.complete(3, 35)
    assert carried.really("sort") == 1
    told = sender.door.get(f"/uploads/{sender.upload}")
    assert told["state"] in ("sorted", "done") and told["files"]["pending"] == 0
    receipt = sender.door.get(f"/uploads/{sender.upload}/receipt")
    assert sorted(row["number"] for row in receipt["files"]) == [1, 2, 3] and receipt["pieces"] == [] and all(row["code"] for row in receipt["files"])


def test_a_file_whose_whole_is_not_what_its_sender_says_is_named_and_sent_again(sender: Sender, carried: Any) -> None:
    """Each chunk was right, and they were chunks of something else: the hash of the whole tells, and "complete" is never said."""
    data = b"0123456789"
    at = sender.begin(10, kind="file", number=4)["Location"]
    sender.patch(at, 0, data, HTTP_REPR_DIGEST=f"sha-256=:{digest(b'9876543210')}:")
    sender.bundle([(5, "", b"fine")])
    sender.complete(2, 14)
    assert carried.really("sort") == 1
    told = sender.door.get(f"/uploads/{sender.upload}")
    assert (told["state"], told["code"]) == ("receiving", "send_again")
    missing = sender.door.get(f"{sender.base}?state=again")["results"]
    assert [(row["number"], row["code"]) for row in missing] == [(4, "digest_mismatch")]
    assert Mail.objects.filter(subject__contains="sent again").count() == 1 and Line.objects.filter(act="upload.again").count() == 1
    assert sender.complete(2, 14, 409)["errors"][0]["field"] == "pieces.4"
    sender.file(4, data)
    sender.complete(2, 14)
    assert carried.really("sort") == 1 and Run.objects.filter(kind="sort").count() == 2
    assert sender.door.get(f"/uploads/{sender.upload}")["state"] in ("sorted", "done")
    assert sorted(row["number"] for row in sender.door.get(f"/uploads/{sender.upload}/receipt")["files"]) == [4, 5]


# --- room, secrecy, ends ---------------------------------------------------------------------------------------------------------------------------


def test_room_is_looked_for_before_the_first_byte(house: Any, door: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site, where = door(house.contributor), {"dataset": house.dataset.slug, "site": house.site.code}
    settings.MYELIN_MAX_UPLOAD_MB, settings.MYELIN_SITE_QUOTA_MB = 100, 150
    site.post("/uploads", {**where, "count": 1, "bytes": (100 << 20) + 1}, 413, "upload_too_large")
    first = site.post("/uploads", {**where, "count": 1, "bytes": 100 << 20}, 201)["id"]
    site.post("/uploads", {**where, "count": 1, "bytes": 60 << 20}, 413, "quota_exceeded")
    site.post("/uploads", {**where, "count": 1, "bytes": 50 << 20}, 201)
    settings.MYELIN_SITE_QUOTA_MB = 0
    monkeypatch.setattr(quarantine, "free", lambda: 170 << 20)  # 150 of it promised
    site.post("/uploads", {**where, "count": 1, "bytes": 21 << 20}, 507, "no_space")
    site.post("/uploads", {**where, "count": 1, "bytes": 20 << 20}, 201)
    Sender(site, first).begin((100 << 20) + 1, 413, kind="file", number=1)
    monkeypatch.setattr(quarantine, "free", lambda: 10)
    Sender(site, first).begin(11, 507, kind="file", number=1)
    at = Sender(site, first).begin(10, kind="file", number=1)["Location"]
    Sender(site, first).patch(at, 0, b"0123456789", 507, "no_space")
    monkeypatch.undo()
    Sender(site, first).patch(at, 0, b"0123456789")


def test_a_disk_that_fills_up_in_the_middle_keeps_what_was_there(sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    at = sender.begin(10, kind="file", number=1)["Location"]
    sender.patch(at, 0, b"01234")

    def full(source: Any, target: Any, _: int) -> None:
        target.write(source.read(2))
        target.flush()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(arriving.shutil, "copyfileobj", full)
    sender.patch(at, 5, b"56789", 507, "no_space")
    monkeypatch.undo()
    assert sender.head(at)["Upload-Offset"] == "5"
    sender.patch(at, 5, b"56789")


def test_plain_http_is_for_this_machine_alone(house: Any, sender: Sender, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    where = {"dataset": house.dataset.slug, "site": house.site.code}
    for far in ({"HTTP_HOST": "registry.hospital.example"}, {"REMOTE_ADDR": "192.0.2.7"}, {"HTTP_HOST": "[2001:db8::1]:8000"}):
        answer = sender.door.raw("post", "/uploads", where, **far)
        assert (answer.status_code, answer.json()["code"]) == (403, "insecure_transport")
        assert sender.door.raw("post", sender.base, HTTP_UPLOAD_LENGTH="3", **TUS, **far).json()["code"] == "insecure_transport"
        assert sender.door.raw("put", f"/uploads/{sender.upload}/files/1", b"x", **far).json()["code"] == "insecure_transport"
    for near in ({"HTTP_HOST": "localhost:8000"}, {"HTTP_HOST": "127.0.0.1"}, {"HTTP_HOST": "[::1]:8000"}):
        assert sender.door.raw("post", "/uploads", where, **near).status_code == 201
    assert sender.door.raw("post", "/uploads", where, HTTP_HOST="registry.hospital.example", secure=True).status_code == 201


def test_a_piece_that_is_given_up_is_gone_and_accounted_for(sender: Sender) -> None:
    at = sender.begin(10, kind="file", number=1)["Location"]
    sender.patch(at, 0, b"01234")
    done = sender.begin(3, kind="file", number=2, sha256=sha(b"two"))["Location"]
    sender.patch(done, 0, b"two")
    for place in (at, done):
        assert sender.door.raw("delete", place, **TUS).status_code == 204
        assert sender.head(place, 410) is not None
        assert sender.door.raw("delete", place, **TUS).json()["code"] == "piece_ended"
    assert lying(sender) == {} and not UploadFile.objects.exists() and Line.objects.filter(act="upload.piece_given_up").count() == 2
    receipt = sender.door.get(f"/uploads/{sender.upload}/receipt")
    assert [(row["number"], row["state"], row["code"]) for row in receipt["pieces"]] == [(1, "ended", "piece_given_up"), (2, "ended", "piece_given_up")]
    sender.file(1, b"once more")
    sender.complete(1, 9)


def test_what_nobody_goes_on_with_ends(sender: Sender) -> None:
    at = sender.begin(10, kind="file", number=1)["Location"]
    sender.patch(at, 0, b"01234")
    kept = sender.begin(10, kind="file", number=2)["Location"]
    piece = Piece.objects.get(number=1)
    old = time.time() - 8 * 86400
    os.utime(arriving.path(piece.upload_id, piece.pk), (old, old))
    assert wiping.tick()["pieces"] == 1 and wiping.tick()["pieces"] == 0
    assert sender.head(at, 410) is not None and sender.head(kept)["Upload-Offset"] == "0"
    assert not arriving.path(piece.upload_id, piece.pk).exists()
    told = sender.door.get(f"/uploads/{sender.upload}/receipt")["pieces"]
    assert [(row["number"], row["code"], bool(row["advice"])) for row in told] == [(1, "piece_expired", True), (2, "", False)]
    assert Line.objects.filter(act="upload.pieces_expired").count() == 1
    own = json.loads(site_receipt("site", piece.upload).data or b"")["pieces"]  # what a site takes home says it too
    assert [(row["number"], row["code"]) for row in own] == [(1, "piece_expired"), (2, "")]


def test_an_upload_that_is_dropped_leaves_nothing(sender: Sender) -> None:
    sender.bundle([(1, "", b"one")])
    sender.patch(sender.begin(10, kind="file", number=2)["Location"], 0, b"01234")
    assert sender.door.raw("delete", f"/uploads/{sender.upload}").status_code == 204
    wiping.tick()
    assert quarantine.held() == []
    receipt = sender.door.get(f"/uploads/{sender.upload}/receipt")
    assert [row["code"] for row in receipt["files"]] == ["dropped_by_sender"] and [row["code"] for row in receipt["pieces"]] == ["upload_over"]


def test_what_killed_requests_left_is_swept(sender: Sender) -> None:
    sender.begin(10, kind="file", number=1)
    upload = Upload.objects.get(pk=sender.upload)
    draft, stale = quarantine.draft(upload.pk), quarantine.parts(upload.pk) / ("0" * 32)
    young = quarantine.draft(upload.pk)
    for path in (draft, stale, young):
        path.write_bytes(b"identifiable")
    old = time.time() - 2 * 86400
    for path in (draft, stale):
        os.utime(path, (old, old))
    assert sending.sweep() == 2 and not draft.exists() and not stale.exists() and young.exists()
    Upload.objects.filter(pk=upload.pk).update(wiped_at=timezone.now())
    assert sending.sweep() == 1 and quarantine.held() == []


def test_originals_of_a_wipe_of_retention_are_accounted_for(sender: Sender) -> None:
    sender.bundle([(1, "", b"one")])
    Upload.objects.filter(pk=sender.upload).update(created_at=timezone.now() - timedelta(days=31))
    assert wiping.tick()["retention"] == 1
    assert [row["code"] for row in sender.door.get(f"/uploads/{sender.upload}/receipt")["files"]] == ["retention_over"]


# --- who may, and what is written down -------------------------------------------------------------------------------------------------------------


def test_another_site_sees_nothing_and_changes_nothing(house: Any, door: Any, sender: Sender) -> None:
    at = sender.begin(10, kind="file", number=1)["Location"]
    other = Sender(door(house.world.user("stranger")), sender.upload)
    other.begin(10, 404, kind="file", number=2)
    other.patch(at, 0, b"01234", 404)
    other.head(at, 404)
    steward = Sender(door(house.steward), sender.upload)
    assert steward.head(at)["Upload-Offset"] == "0"  # may follow it
    steward.patch(at, 0, b"01234", 403)
    steward.begin(10, 403, kind="file", number=2)
    assert sender.patch(at, 0, b"01234")["Upload-Offset"] == "5"


def test_a_browser_sends_with_its_cookie_and_its_token_against_forgery(house: Any, sender: Sender) -> None:
    at = sender.begin(10, kind="file", number=1)["Location"]
    client = Client(enforce_csrf_checks=True)
    client.force_login(house.contributor)
    headers = {"HTTP_UPLOAD_OFFSET": "0", "HTTP_UPLOAD_CHECKSUM": f"sha256 {digest(b'01234')}", **TUS}
    assert client.patch(at, b"01234", content_type=STREAM, **headers).json()["code"] == "csrf"
    token = client.get("/api/v1/session").json()["csrf"]
    assert client.patch(at, b"01234", content_type=STREAM, HTTP_X_CSRFTOKEN=token, **headers).status_code == 204


def test_sending_writes_no_line_for_each_piece_and_a_list_writes_one(sender: Sender) -> None:
    before = Line.objects.count()
    at = sender.begin(10, kind="file", number=1)["Location"]
    sender.patch(at, 0, b"01234")
    sender.head(at)
    sender.bundle([(2, "", b"two")])
    assert Line.objects.count() == before
    sender.door.get(sender.base)
    assert Line.objects.count() == before + 1


def test_what_the_server_can(sender: Sender) -> None:
    answer = sender.door.raw("options", sender.base)
    assert answer.status_code == 204 and answer["Tus-Version"] == "1.0.0" and answer["Tus-Checksum-Algorithm"] == "sha256"
    assert set(answer["Tus-Extension"].split(",")) == {"creation", "checksum", "termination", "expiration"} and answer["Tus-Max-Size"] == str(32 << 30)


def test_who_left_leaves_no_hash_behind(sender: Sender) -> None:
    from registry.intake import matching
    from registry.intake.models import Study

    sender.file(1, b"one")
    study = Study.objects.create(upload_id=sender.upload, study_code="x")
    UploadFile.objects.update(study=study)
    matching.left(study)
    assert Piece.objects.get().sha256 == "" and UploadFile.objects.get().sha256 == ""


def test_a_sender_that_says_two_things_sends_it_again(sender: Sender) -> None:
    at = sender.begin(3, kind="file", number=1, sha256=sha(b"one"))["Location"]
    sender.patch(at, 0, b"0ne", 422, "digest_mismatch", HTTP_REPR_DIGEST=f"sha-256=:{digest(b'0ne')}:")
    assert sender.head(at)["Myelin-State"] == "again"
    sender.file(1, b"one")


def test_an_act_by_somebody_whose_role_ended_is_refused(house: Any, sender: Sender) -> None:
    sender.begin(3, kind="file", number=1)
    piece = Piece.objects.select_related("upload__dataset", "upload__site").get()
    nobody = house.world.user("nobody")
    with pytest.raises(Denied, match="no_role"):
        actions.add_chunk(nobody, piece, 0, io.BytesIO(b"one"), 3, sha(b"one"))
    with pytest.raises(Invalid, match="checksum_mismatch"):
        actions.add_chunk(house.contributor, piece, 0, io.BytesIO(b"0ne"), 3, sha(b"one"))
    assert actions.add_chunk(house.contributor, piece, 0, io.BytesIO(b"one"), 3, sha(b"one")) == 3
