"""May more bytes come in? Asked before the first of them: is the upload open, is it of a size that is taken, has its site room left, and the disk.

What a sender declares at the beginning is kept free for them, as long as they go on sending, so that two uploads that fit one by one do not both fail at
their end. What quarantine holds of a site ends with the dataset's retention, so a quota is a bound on what waits, not on what is shared.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db.models import Q, Sum
from django.utils import timezone

from registry.accounts.models import Site
from registry.intake import quarantine
from registry.intake.models import Piece, Upload
from registry.rules import Conflict, Invalid

T = TypeVar("T")
ADVICE = {
    "no_space": "Tell the operators; send it when there is room.",
    "checksum_mismatch": "Send the same chunk again.",
    "piece_busy": "Ask how much is there, and go on.",
    "offset_mismatch": "Go on where Upload-Offset of this answer says.",
}


def receiving(upload: Upload) -> None:
    """Raises Conflict unless the upload still takes files."""
    if upload.state != Upload.State.RECEIVING:
        raise Conflict("upload_closed", "This upload takes no more files.", "Begin another upload.")


def taken(act: Callable[[], T]) -> T:
    """What quarantine answers; its refusal as one of ours."""
    try:
        return act()
    except quarantine.Refused as error:
        raise Invalid(error.code, error.reason, ADVICE.get(error.code, "Send the file again.")) from error


def declared(site: Site, size: int) -> None:
    """Whether so much more of a site can come in. Raises Invalid: `upload_too_large`, `quota_exceeded`, `no_space`."""
    if size > settings.MYELIN_MAX_UPLOAD_MB << 20:
        raise Invalid("upload_too_large", "This is more than this registry takes in one upload.", "Hand it in as several uploads.")
    lying = _arrived(Q(wiped_at=None))
    quota = settings.MYELIN_SITE_QUOTA_MB << 20
    if quota and size + sum(max(have, said) for _, have, said in (row for row in lying if row[0] == site.pk)) > quota:
        raise Invalid("quota_exceeded", "Your site would have more waiting here than it may.", "Decide on what waits, or ask the operators for more room.")
    lately = timezone.now() - timedelta(days=settings.MYELIN_PIECE_DAYS)
    promised = sum(max(0, said - have) for _, have, said in _arrived(Q(state=Upload.State.RECEIVING, created_at__gt=lately)))
    if size + promised > quarantine.free():
        raise Invalid("no_space", "The registry's disk has no room for so much now.", ADVICE["no_space"])


def within(upload: Upload, total: int) -> None:
    """Whether a site has room for an upload of `total` bytes, where that is more than it declared. Raises Invalid: `quota_exceeded`."""
    quota, said = settings.MYELIN_SITE_QUOTA_MB << 20, int(upload.manifest.get("bytes", 0))
    if not quota or total <= said:
        return
    others = Upload.objects.filter(site=upload.site_id, wiped_at=None).exclude(pk=upload.pk)
    begun = dict(Piece.objects.filter(upload__in=others, state=Piece.State.OPEN).order_by().values_list("upload").annotate(Sum("length")))
    rows = _arrived(Q(pk__in=others), "pk")
    if total + sum(max(have + begun.get(pk, 0), told) for pk, have, told in rows) > quota:
        raise Invalid("quota_exceeded", "Your site would have more waiting here than it may.", "Decide on what waits, or ask the operators for more room.")


def _arrived(which: Q, name: str = "site") -> list[tuple[Any, int, int]]:
    """(its site or what `name` says, bytes that arrived, bytes that were declared while it is open) of each upload."""
    rows = Upload.objects.filter(which).annotate(have=Sum("files__bytes", filter=Q(files__number__isnull=False)))
    told = rows.values_list(name, "have", "state", "manifest")
    return [(site, have or 0, int(said.get("bytes", 0)) if state == Upload.State.RECEIVING else 0) for site, have, state, said in told]


def fits(upload: Upload, length: int) -> None:
    """Whether so much more can come into an upload. Raises Invalid: `upload_too_large`, `quota_exceeded`, `no_space`."""
    files = upload.files.exclude(number=None).aggregate(total=Sum("bytes"))["total"] or 0
    opened = upload.pieces.filter(state=Piece.State.OPEN).aggregate(total=Sum("length"))["total"] or 0
    if files + opened + length > settings.MYELIN_MAX_UPLOAD_MB << 20:
        raise Invalid("upload_too_large", "This upload would be larger than this registry takes at once.", "Close it and begin another.")
    within(upload, files + opened + length)
    if length > quarantine.free():
        raise Invalid("no_space", "The registry's disk is too full to take this.", ADVICE["no_space"])
