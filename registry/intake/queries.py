"""Reads of uploads and studies. They belong to those who work in the dataset: the site that handed in, and the stewards."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum

from registry.access import policy
from registry.accounts.models import User
from registry.intake.models import Correction, Piece, Study, Upload, UploadFile
from registry.rules import DATASET_ACTIONS
from registry.runs import spool
from registry.runs.models import Run


def _mine(asker: User | None, upload: str = "") -> Q:
    """Uploads of which the rule says `see_work`, as SQL: those of the asker's own site, or of a dataset they are steward of."""
    facts, allowed = policy.facts_of_asker(asker), Q(pk__in=[])
    for role in facts.roles if facts.active else ():
        if role.kind in DATASET_ACTIONS["see_work"]:
            site = {f"{upload}site": role.site} if role.site else {}
            allowed |= Q(**{f"{upload}dataset": role.dataset}, **site)
    return allowed


def uploads(asker: User | None) -> QuerySet[Upload]:
    """The uploads that the asker may follow."""
    return Upload.objects.filter(_mine(asker)).select_related("dataset", "site")


def studies(asker: User | None) -> QuerySet[Study]:
    """The studies that the asker may follow."""
    known = Study.objects.filter(_mine(asker, "upload__")).select_related("upload__dataset", "upload__site")
    return known.annotate(file_count=Count("files"))


def waiting(asker: Any) -> QuerySet[Study]:
    """The studies that wait for a person or a fact, of those that the asker may follow."""
    rows = Study.objects.filter(_mine(asker, "upload__"), state=Study.State.WAITING, wiped_at=None, upload__wiped_at=None)
    return rows.select_related("upload__dataset", "upload__site", "participant", "visit")


def files(asker: User | None) -> QuerySet[UploadFile]:
    """The files whose verdicts the asker may read."""
    return UploadFile.objects.filter(_mine(asker, "upload__"))


def pieces(asker: User | None) -> QuerySet[Piece]:
    """The pieces of uploads that the asker may follow."""
    return Piece.objects.filter(_mine(asker, "upload__")).select_related("upload__dataset", "upload__site")


def progress(upload: Upload) -> dict[str, Any] | None:
    """How far the carrier is with an upload that is being sorted, if it says so."""
    run = Run.objects.filter(pk=upload.run_id).first() if upload.state in (Upload.State.RECEIVED, Upload.State.SORTING) else None
    return (spool.progress(run.name) or None) if run else None


def corrections(asker: User | None) -> QuerySet[Correction]:
    """What was said about protocols, by the asker's own site or in a dataset they are steward of."""
    return Correction.objects.filter(_mine(asker)).select_related("dataset", "site")


def totals(upload: Upload) -> dict[str, Any]:
    """How many files and studies of an upload stand where."""
    verdicts = Counter(dict(upload.files.order_by().values_list("verdict").annotate(n=Count("pk"))))
    states = Counter(dict(upload.studies.order_by().values_list("state").annotate(n=Count("pk"))))
    received = upload.files.exclude(number=None).aggregate(n=Count("pk"), bytes=Sum("bytes"))
    words = ("pending", "kept", "refused", "waiting", "failed")
    return {
        "files": {"received": received["n"], **{word: verdicts[word] for word in words}},
        "bytes": received["bytes"] or 0,
        "studies": {word: states[word] for word in ("waiting", "ready", "processing", "recorded", "refused")},
    }
