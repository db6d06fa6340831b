"""Who was asked to delete and has not said so is reminded after 7, 14 and 30 days; after 30 their access is suspended until they do."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from registry.access import actions as access
from registry.access import machine
from registry.access.models import Request
from registry.audit import actions as audit
from registry.releases.models import Notice
from registry.runs import mail

SYSTEM = "system:worker"
REMIND_DAYS = (7, 14, 30)
WHY = "A notice to delete files has been waiting for an answer for 30 days."


def tick(now: datetime | None = None) -> int:
    """Send what reminders are due, one mail for each person and day however many notices wait; return how many. Idempotent."""
    now, sent = now or timezone.now(), 0
    for days in REMIND_DAYS:
        late = Notice.objects.filter(acknowledged_at=None, created_at__lte=now - timedelta(days=days), reminded_days__lt=days)
        waiting: dict[Any, list[Notice]] = defaultdict(list)
        for notice in late.select_related("user", "package__entitlement", "package__release__dataset"):
            waiting[notice.user_id].append(notice)
        for notices in waiting.values():
            sent += _remind(notices, days, now)
    return sent


def _remind(notices: list[Notice], days: int, now: datetime) -> int:
    with transaction.atomic():
        keys = [notice.pk for notice in notices]
        if not Notice.objects.filter(pk__in=keys, acknowledged_at=None, reminded_days__lt=days).update(reminded_days=days):
            return 0
        mail.queue(notices[0].user, "notice_due" if days < REMIND_DAYS[-1] else "notice_overdue", "/notices")
        if days == REMIND_DAYS[-1]:
            for notice in notices:
                _suspend(notice, now)
    return 1


def _suspend(notice: Notice, now: datetime) -> None:
    """Nothing more is given under this request, until a steward lets it go on."""
    for request in Request.objects.filter(pk=notice.package.entitlement.request_id, state__in=machine.GIVES):  # as it is now: another notice may have done it
        access.suspend_request(SYSTEM, request, WHY)
    Notice.objects.filter(pk=notice.pk).update(suspended_at=now)
    audit.write(SYSTEM, "notice.overdue", f"notice:{notice.pk}", dataset=notice.package.release.dataset)
