"""Acts of resumable sending (docs/reference/upload.md): begin a piece, add a chunk, give a piece up, and end what nobody went on with.

A piece becomes files in one transaction, under the upload's lock, so a file is part of the upload or it is not. Bytes come first, the row that
names them after: killed between the two, the next request finds the bytes and goes on. As with single files no line is written for each piece; the
upload's beginning, its end, and what was taken back of it are on record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from pipeline import bundle
from registry.access import policy
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.intake import arriving, opening, quarantine
from registry.intake.correcting import checked, known_visit, words
from registry.intake.models import Piece, Upload, UploadFile
from registry.intake.room import ADVICE, fits, receiving, taken
from registry.rules import Conflict, Invalid
from registry.runs import mail

SYSTEM = "system:worker"
CHUNK_BYTES, FILE_BYTES = 8 << 20, 32 << 30
STALE_S = 3600.0
ENDS = {
    "piece_given_up": ("Its sender gave it up.", "Nothing need be done."),
    "piece_expired": ("Nobody went on sending it, and what had arrived was destroyed.", "Send it in another upload."),
    "upload_over": ("The upload ended before it was whole.", "Send it in another upload."),
}
AGAIN = {
    "digest_mismatch": "What arrived does not have the SHA-256 that its sender gave.",
    "lost": "The registry's disk lost it.",
}


@dataclass(frozen=True)
class Told:
    """What a sender says of a piece before it comes."""

    number: int
    kind: str
    length: int
    count: int = 1
    sha256: str = ""
    folders: str = ""
    annotation: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)


def begin_piece(actor: User, upload: Upload, told: Told) -> tuple[Piece, bool]:
    """Begin a piece, or find the same one; return it and whether it is new. Another one of its number ends. Raises Denied, Invalid, Conflict."""
    policy.require_in(actor, "upload", upload.dataset, upload.site)
    receiving(upload)
    wanted = _wanted(upload, told)
    before = upload.pieces.filter(number=told.number).first()
    if before and _same(before, wanted):
        return _told_more(before, told.sha256), False
    fits(upload, told.length)
    made = Piece(upload=upload, number=told.number, **wanted)
    arriving.begin(upload.pk, made.pk)
    with transaction.atomic():
        receiving(Upload.objects.select_for_update().get(pk=upload.pk))
        before = upload.pieces.filter(number=told.number).first()
        if before and _same(before, wanted):
            made = before
        else:
            if before:
                _take_back(before)
                before.delete()
            made.save(force_insert=True)
    return made, made != before


def _wanted(upload: Upload, told: Told) -> dict[str, Any]:
    """The fields of a piece. Raises Invalid."""
    bundled = told.kind == Piece.Kind.BUNDLE
    most = bundle.BYTES if bundled else FILE_BYTES
    if told.length > most:
        raise Invalid("piece_too_large", "This is more than one piece may hold.", "Make it as docs/reference/upload.md says.")
    if bundled and not (1 <= told.count <= bundle.FILES and told.sha256 and not told.annotation and not any(told.said.values()) and not told.folders):
        raise Invalid("bad_metadata", "A bundle says its number, its count and its SHA-256, and nothing else.", "See docs/reference/upload.md.")
    if told.annotation and told.annotation not in words()["words"]:
        raise Invalid("unknown_annotation", "This is no word for what a mask shows.", "GET /annotations lists the words.")
    more = checked(told.said)
    known_visit(more, upload.dataset, upload.site)
    where = taken(lambda: quarantine.place(told.number, told.folders))
    plain = {"kind": told.kind, "length": told.length, "sha256": told.sha256, "count": told.count if bundled else 1}
    return plain | {"place": "" if bundled else where, "annotation": told.annotation, "said": more}


def _same(piece: Piece, wanted: Mapping[str, Any]) -> bool:
    """Whether this is the very piece, and still to be had. A digest that one of the two does not know yet is no difference."""
    if piece.state not in (Piece.State.OPEN, Piece.State.DONE):
        return False
    unlike = {name for name, value in wanted.items() if getattr(piece, name) != value}
    return not unlike or (unlike == {"sha256"} and "" in (piece.sha256, wanted["sha256"]))


def _told_more(piece: Piece, sha256: str) -> Piece:
    if sha256 and not piece.sha256:
        Piece.objects.filter(pk=piece.pk, sha256="").update(sha256=sha256)
        piece.sha256 = sha256
    return piece


def there(piece: Piece) -> int:
    """How much of a piece is here, by the disk. A piece that the disk lost is marked as to be sent again."""
    if piece.state == Piece.State.DONE:
        return piece.length
    if piece.state != Piece.State.OPEN:
        return 0
    found = arriving.length(piece.upload_id, piece.pk)
    if found is not None:
        return found
    if piece.place and arriving.landed(piece.upload_id, piece.place, piece.length):
        return piece.length  # moved to its place by a request that was killed before it could say so
    piece.refresh_from_db()
    if piece.state == Piece.State.OPEN:
        _mark(piece, Piece.State.AGAIN, "lost")
    return piece.length if piece.state == Piece.State.DONE else 0


def ends(piece: Piece) -> datetime | None:
    """When an open piece will end if nobody goes on with it."""
    at = arriving.touched(piece.upload_id, piece.pk) if piece.state == Piece.State.OPEN else None
    return at + timedelta(days=settings.MYELIN_PIECE_DAYS) if at else None


def add_chunk(actor: User, piece: Piece, offset: int, stream: BinaryIO, size: int, checksum: str, digest: str = "") -> int:
    """Add a chunk (or, with none, only the digest of the whole); return how much is there. With its last byte and its digest a piece becomes files.

    Raises Denied, Invalid, Conflict, and `arriving.Misplaced`, which knows the right offset.
    """
    upload = piece.upload
    policy.require_in(actor, "upload", upload.dataset, upload.site)
    receiving(upload)
    if piece.state == Piece.State.AGAIN:
        raise Conflict("piece_again", piece.reason, "Begin it again.")
    if piece.state == Piece.State.DONE:
        return _done_already(piece, offset, size, digest)
    if offset + size > piece.length:
        raise Invalid("chunk_too_large", "The chunk goes beyond the end of the piece.", "Ask how much is there.")
    have = _added(piece, offset, stream, size, checksum)
    if digest:
        _hold_to(piece, digest)
    if have == piece.length and piece.sha256:
        taken(lambda: finish(piece))
    return have


def _added(piece: Piece, offset: int, stream: BinaryIO, size: int, checksum: str) -> int:
    if size:
        return _placed(lambda: arriving.add(piece.upload_id, piece.pk, offset, stream, size, checksum))
    have = there(piece)
    if have != offset:
        raise arriving.Misplaced(have)
    return have


def _placed(act: Any) -> int:
    """As `taken`; but a chunk in the wrong place goes on as it is, for it knows the right one."""
    try:
        return int(act())
    except arriving.Misplaced:
        raise
    except quarantine.Refused as error:
        raise Invalid(error.code, error.reason, ADVICE.get(error.code, "Send the chunk again.")) from error


def _done_already(piece: Piece, offset: int, size: int, digest: str) -> int:
    if size or offset != piece.length:
        raise arriving.Misplaced(piece.length)
    if digest not in ("", piece.sha256):
        raise Conflict("piece_done", "This piece is whole already, with another digest.", "Begin it again if it shall be another.")
    return piece.length


def _hold_to(piece: Piece, digest: str) -> None:
    """The sender's word on the whole, kept. A sender that says two things sends something else than it began with."""
    if piece.sha256 and piece.sha256 != digest:
        _mark(piece, Piece.State.AGAIN, "digest_mismatch")
        arriving.forget(piece.upload_id, piece.pk)
        raise Invalid("digest_mismatch", "The digest is not the one that this piece was begun with.", "Begin it again.")
    Piece.objects.filter(pk=piece.pk, state=Piece.State.OPEN).update(sha256=digest)
    piece.sha256 = digest


def _mark(piece: Piece, state: str, code: str, reason: str = "") -> None:
    """Say that an open piece is to be sent again, or has ended."""
    known = ENDS.get(code, (AGAIN.get(code, reason), "Send it again."))
    piece.state, piece.code, piece.reason, piece.advice = state, code, reason or known[0], known[1]
    told = {name: getattr(piece, name) for name in ("state", "code", "reason", "advice")}
    Piece.objects.filter(pk=piece.pk, state=Piece.State.OPEN).update(**told)


# --- from a piece to files -------------------------------------------------------------------------------------------------------------------------


def finish(piece: Piece) -> None:
    """Make files of a piece that is whole. Raises quarantine.Refused, Conflict. Done twice, it does the same."""
    if piece.kind == Piece.Kind.FILE:
        return _finish_file(piece)
    with arriving.held(piece.upload_id, piece.pk), arriving.spread(piece.upload_id) as out:
        try:
            path = arriving.path(piece.upload_id, piece.pk)
            rows = opening.opened(path, out, piece.sha256, piece.number, piece.count)
            places = [(int(row["number"]), quarantine.place(int(row["number"]), str(row["folder"])), int(row["bytes"])) for row in rows]
        except quarantine.Refused as refused:
            _mark(piece, Piece.State.AGAIN, refused.code, refused.reason)
            arriving.forget(piece.upload_id, piece.pk)
            raise
        with transaction.atomic():
            _still_open(piece)
            arriving.take(piece.upload_id, piece.pk, out, places)
            _write_files(piece, [(n, where, str(row["sha256"]), size) for (n, where, size), row in zip(places, rows, strict=True)])
        arriving.forget(piece.upload_id, piece.pk)
    return None


def _finish_file(piece: Piece) -> None:
    with transaction.atomic():
        _still_open(piece)
        if not arriving.move(piece.upload_id, piece.pk, piece.place, piece.length):
            raise quarantine.Refused("piece_busy", "Another request writes this piece in this moment.")
        _write_files(piece, [(piece.number, piece.place, piece.sha256, piece.length)])


def _still_open(piece: Piece) -> None:
    """Lock the upload; raises Conflict unless it and the piece still are as they were."""
    receiving(Upload.objects.select_for_update().get(pk=piece.upload_id))
    if not Piece.objects.filter(pk=piece.pk, state=Piece.State.OPEN).exists():
        raise Conflict("piece_done", "This piece is not open any more.", "Ask how much is there.")


def _write_files(piece: Piece, rows: Iterable[tuple[int, str, str, int]]) -> None:
    """The rows (number, place, hash, size) of a piece's files, in one statement; the piece is done with them."""
    words_ = {"upload_id": piece.upload_id, "piece": piece, "annotation": piece.annotation, "said": piece.said}
    files = [UploadFile(number=number, place=where, sha256=sha256, bytes=size, **words_) for number, where, sha256, size in rows]
    fields = ["piece", "place", "sha256", "bytes", "annotation", "said"]
    UploadFile.objects.bulk_create(files, update_conflicts=True, unique_fields=["upload", "number"], update_fields=fields)
    Piece.objects.filter(pk=piece.pk).update(state=Piece.State.DONE, sha256=piece.sha256)
    piece.state = Piece.State.DONE


# --- back again ------------------------------------------------------------------------------------------------------------------------------------


def give_up_piece(actor: User, piece: Piece) -> None:
    """End a piece, and the files that came of it, while the upload is receiving. Raises Denied, Conflict, Invalid (`piece_busy`)."""
    upload = piece.upload
    policy.require_in(actor, "upload", upload.dataset, upload.site)
    receiving(upload)
    taken(lambda: _end(piece, "piece_given_up", actor))


def _end(piece: Piece, code: str, actor: User | None = None) -> None:
    """Destroy what there is of a piece that nobody writes just now, and say why it ended."""
    if arriving.length(piece.upload_id, piece.pk) is not None:
        with arriving.held(piece.upload_id, piece.pk):
            arriving.forget(piece.upload_id, piece.pk)
    with transaction.atomic():
        receiving(Upload.objects.select_for_update().get(pk=piece.upload_id))
        _take_back(piece)
        reason, advice = ENDS[code]
        Piece.objects.filter(pk=piece.pk).update(state=Piece.State.ENDED, code=code, reason=reason, advice=advice)
        if actor is not None:
            audit.write(actor, "upload.piece_given_up", f"upload:{piece.upload_id}", dataset=piece.upload.dataset, number=piece.number, files=piece.count)


def _take_back(piece: Piece) -> None:
    """Files of a piece are no part of the upload any more; their bytes go. The caller holds the upload's lock."""
    for where in piece.files.values_list("place", flat=True):
        quarantine.drop(piece.upload_id, where)
    piece.files.all().delete()
    arriving.forget(piece.upload_id, piece.pk)


def send_again(upload: Upload, pieces: Iterable[Any], code: str) -> int:
    """Open an upload once more, for these pieces to be sent again; return how many. The caller holds the transaction and the upload's lock."""
    chosen, count = sorted(set(pieces)), 0
    for start in range(0, len(chosen), 500):
        found = Piece.objects.filter(pk__in=chosen[start : start + 500], upload=upload)
        UploadFile.objects.filter(piece__in=found).delete()
        count += found.update(state=Piece.State.AGAIN, code=code, reason=AGAIN[code], advice="Send it again.")
    if count and upload.state != Upload.State.RECEIVING:
        upload.state, upload.code, upload.reason = Upload.State.RECEIVING, "send_again", "Some of it must be sent again, for it did not arrive as it was."
        upload.save(update_fields=["state", "code", "reason"])
        if upload.contributor is not None:
            mail.queue(upload.contributor, "upload_again", f"/uploads/{upload.pk}")
    return count


def lose(upload: Upload, places: Iterable[str]) -> None:
    """Forget files that the disk lost; the pieces that they came in are to be sent again."""
    missing, pieces = list(places), set()
    with transaction.atomic():
        for start in range(0, len(missing), 500):
            rows = upload.files.filter(place__in=missing[start : start + 500])
            pieces |= set(rows.exclude(piece=None).values_list("piece", flat=True))
            rows.delete()
        send_again(upload, pieces, "lost")


def unfinished(upload: Upload, most: int = 100) -> list[dict[str, str]]:
    """Pieces that an upload cannot be closed without, as fields of a refusal."""
    left = upload.pieces.filter(state__in=[Piece.State.OPEN, Piece.State.AGAIN]).order_by("number")[:most]
    return [{"field": f"pieces.{piece.number}", "reason": piece.reason or "It is not whole."} for piece in left]


# --- what is due -----------------------------------------------------------------------------------------------------------------------------------


def expire(now: datetime) -> int:
    """End pieces that nobody went on with; one line for each upload of theirs. Called by the tick, in the runner."""
    count = 0
    for upload in Upload.objects.filter(state=Upload.State.RECEIVING, pieces__state=Piece.State.OPEN).select_related("dataset").distinct():
        over = [piece for piece in upload.pieces.filter(state=Piece.State.OPEN) if (until := ends(piece)) and now >= until]
        ended = sum(_expired(piece) for piece in over)
        if ended:
            audit.write(SYSTEM, "upload.pieces_expired", f"upload:{upload.pk}", dataset=upload.dataset, pieces=ended)
        count += ended
    return count


def _expired(piece: Piece) -> bool:
    try:
        _end(piece, "piece_expired")
    except (quarantine.Refused, Conflict):
        return False  # somebody goes on with it in this moment
    return True


def close_pieces(upload: Upload) -> None:
    """Nothing more comes of pieces of an upload that was destroyed."""
    reason, advice = ENDS["upload_over"]
    told = {"state": Piece.State.ENDED, "code": "upload_over", "reason": reason, "advice": advice}
    upload.pieces.filter(state__in=[Piece.State.OPEN, Piece.State.AGAIN]).update(**told)


def sweep(now: datetime | None = None) -> int:
    """Destroy what killed requests left: drafts, files of pieces that are no more, and all of uploads that were wiped or never were; return how many."""
    now, gone = now or timezone.now(), quarantine.sweep()
    for id_ in quarantine.held():
        upload = Upload.objects.filter(pk=id_).first()
        if upload is None or upload.wiped_at:  # a request that was still writing when it was wiped; or one that this database never knew
            gone += quarantine.wipe(id_) if upload or quarantine.older(id_, timedelta(days=settings.MYELIN_RETENTION_DAYS)) else 0
            continue
        open_ = set(upload.pieces.filter(state=Piece.State.OPEN).values_list("pk", flat=True))
        for piece in set(arriving.known(id_)) - open_:
            at = arriving.touched(id_, piece)
            if at and (now - at).total_seconds() > STALE_S:
                arriving.forget(id_, piece)
                gone += 1
    return gone
