"""A site's own data, as it stands now: the accepted images of its people who take part, their tables, and a receipt for every upload, as one tar.

It goes to who hands in for the site, and holds nobody of another site. Each file is asked for anew: somebody who leaves meanwhile ends the download.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from registry.access import policy
from registry.accounts.models import Dataset, Site, User
from registry.audit import actions as audit
from registry.imaging import store
from registry.imaging.models import StoredFile
from registry.intake.models import Piece, Study, Upload, UploadFile
from registry.releases import exporting
from registry.releases.sealing import CHUNK, Part, TarStream
from registry.rules import Denied
from registry.subjects.models import Participant

FILE = ("number", "n", "sha256", "bytes", "verdict", "code", "reason", "advice", "product")
PIECE = ("number", "kind", "count", "length", "state", "code", "reason", "advice")
STUDY = ("study_code", "state", "code", "reason", "advice")

LEFT = "participant_withdrawn"


def download(actor: User, dataset: Dataset, site: Site) -> Iterator[bytes]:
    """The tar, piece by piece. Raises Denied before its first byte, and in the middle when somebody in it left."""
    policy.require_in(actor, "register", dataset, site)
    people = list(Participant.objects.filter(dataset=dataset, site=site, state="active").select_related("dataset").order_by("label"))
    root = f"{dataset.slug}-{site.code}"
    tables = [entry.part(root) for entry in exporting.tables(dataset, people)]
    receipts = [_receipt(root, upload) for upload in Upload.objects.filter(dataset=dataset, site=site)]
    with transaction.atomic():
        audit.write(actor, "site.download", f"dataset:{dataset.slug}", dataset=dataset, site=site.code, participants=len(people), uploads=len(receipts))
    return _pieces(TarStream(_parts(root, people, [*tables, *receipts])))


def _pieces(stream: TarStream) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _parts(root: str, people: list[Participant], first: list[Part]) -> Iterator[Part]:
    """Tables and receipts, then each person's images, if they still take part."""
    yield from first
    for person in people:
        files = StoredFile.objects.filter(image__visit__participant=person, image__state="accepted").order_by("path")
        for file in list(files):
            if not Participant.objects.filter(pk=person.pk, state="active").exists():
                raise Denied("participant_withdrawn", "Somebody in this download has left. Ask for it again.")
            yield Part(f"{root}/{file.path}", file=store.path(person, file.sha256), size=file.bytes, sha256=file.sha256)


def _receipt(root: str, upload: Upload) -> Part:
    """What became of each file and study of one upload, but for those of people who left."""
    told: dict[str, Any] = {"upload": str(upload.pk), "received": upload.created_at.isoformat(), "state": upload.state}
    told["studies"] = list(Study.objects.filter(upload=upload).exclude(code=LEFT).order_by("study_code").values(*STUDY))
    told["files"] = list(UploadFile.objects.filter(upload=upload).exclude(study__code=LEFT).order_by("n", "number").values(*FILE))
    told["pieces"] = list(Piece.objects.filter(upload=upload).exclude(state=Piece.State.DONE).order_by("number").values(*PIECE))
    return Part(f"{root}/receipts/{upload.pk}.json", data=(json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
