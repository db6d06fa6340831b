"""The document of an ethics board that goes with a request: a PDF of at most 10 MiB, for the request's team and those who decide on it.

What it says is never trusted: nobody opens it here, and it is given back as a file to be saved. Its name is not kept, for a name can identify. The bytes lie in
the zone `papers`, written whole before the row that names them is committed; bytes that no row names are swept by the tick after a day.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from registry.access import holding
from registry.access.models import Paper, Request
from registry.accounts.models import User
from registry.audit import actions as audit
from registry.rules import Conflict, Invalid

MOST_BYTES = 10 * 1024 * 1024
BEGINS = b"%PDF-"
A_DAY_S = 86_400


def place(paper: UUID) -> Path:
    """Where the bytes of a document lie."""
    return Path(settings.MYELIN_ZONES["papers"]) / f"{paper.hex}.pdf"


def attach_paper(actor: User, request: Request, data: bytes) -> Paper:
    """Puts a document to a request that was not handed in, or came back, in the place of an older one. Raises Denied, Invalid, Conflict."""
    if len(data) > MOST_BYTES:
        raise Invalid("paper_too_large", "The document has more than 10 MiB.", "Send a smaller PDF.")
    if not data.startswith(BEGINS):
        raise Invalid("paper_no_pdf", "The document is no PDF.", "Save it as PDF, and send that.")
    with transaction.atomic():
        held = holding.held(actor, request, "change")
        _replace(held)
        paper = Paper(request=held, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), added_by=actor)
        _write(place(paper.pk), data)
        paper.save()
        audit.write(actor, "request.paper", held, dataset=held.dataset, sha256=paper.sha256, bytes=paper.bytes)
    return paper


def take_paper_off(actor: User, request: Request) -> None:
    """Takes the document off a request that was not handed in, or came back. Raises Denied, Conflict (also where there is none)."""
    with transaction.atomic():
        held = holding.held(actor, request, "change")
        if not _replace(held):
            raise Conflict("no_paper", "This request has no document.", "Nothing is to be done.")
        audit.write(actor, "request.paper_off", held, dataset=held.dataset)


def read(paper: Paper) -> bytes:
    """The bytes, proven by their hash. Raises FileNotFoundError, ValueError when they are not what was put there."""
    data = place(paper.pk).read_bytes()
    if hashlib.sha256(data).hexdigest() != paper.sha256:
        raise ValueError("a document is not what was put there")
    return data


def sweep() -> int:
    """Deletes bytes that no living row names, of replaced documents at once and of interrupted writes after a day; part of the tick."""
    zone, count = Path(settings.MYELIN_ZONES["papers"]), 0
    alive = {place(pk).name for pk in Paper.objects.filter(replaced_at=None).values_list("pk", flat=True)}
    dead = {place(pk).name for pk in Paper.objects.filter(replaced_at__isnull=False).values_list("pk", flat=True)}
    for file in zone.iterdir() if zone.exists() else []:
        if file.name not in alive and (file.name in dead or time.time() - file.stat().st_mtime > A_DAY_S):
            file.unlink(missing_ok=True)
            count += 1
    return count


def _replace(request: Request) -> bool:
    """Ends the present document, row first and file second; whether there was one."""
    old = list(Paper.objects.filter(request=request, replaced_at=None).values_list("pk", flat=True))
    Paper.objects.filter(pk__in=old).update(replaced_at=timezone.now())
    transaction.on_commit(lambda: [place(pk).unlink(missing_ok=True) for pk in old])
    return bool(old)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: temporary name, fsync, rename, fsync of the folder."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".tmp-{path.name}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
