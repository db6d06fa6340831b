"""Who was asked to delete and has not said so is reminded after 7, 14 and 30 days; after 30 their access is suspended until they do."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from registry.access import actions as access
from registry.access import holding, machine
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
        waiting: dict[Any, list[Any]] = defaultdict(list)
        for key, user in late.values_list("pk", "user"):
            waiting[user].append(key)
        for keys in waiting.values():
            sent += _remind(keys, days, now)
    _hold(now)
    return sent


def _remind(keys: list[Any], days: int, now: datetime) -> int:
    with transaction.atomic():
        # As they are now: who answered a moment ago is left alone.
        still = Notice.objects.select_for_update(of=("self",)).filter(pk__in=keys, acknowledged_at=None, reminded_days__lt=days)
        notices = list(still.select_related("user", "package__entitlement", "package__release__dataset"))
        if not notices:
            return 0
        Notice.objects.filter(pk__in=[notice.pk for notice in notices]).update(reminded_days=days)
        mail.queue(notices[0].user, "notice_due" if days < REMIND_DAYS[-1] else "notice_overdue", "/notices")
        if days == REMIND_DAYS[-1]:
            for notice in notices:
                _suspend(notice, now)
    return 1


def _suspend(notice: Notice, now: datetime) -> None:
    """Nothing more is given under this request, until its notices are answered."""
    for request in Request.objects.filter(pk=notice.package.entitlement.request_id, state__in=machine.GIVES):  # as it is now: another notice may have done it
        access.suspend_request(SYSTEM, request, WHY)
    Notice.objects.filter(pk=notice.pk).update(suspended_at=now)
    audit.write(SYSTEM, "notice.overdue", f"notice:{notice.pk}", dataset=notice.package.release.dataset)


def _overdue() -> QuerySet[Notice]:
    return Notice.objects.filter(acknowledged_at=None, suspended_at__isnull=False)


def _hold(now: datetime) -> None:
    """What was suspended for another reason when a notice fell due, and was let go on since, is stopped for the notice."""
    loose = _overdue().filter(package__entitlement__request__state__in=machine.GIVES)
    for request in Request.objects.filter(pk__in=loose.values("package__entitlement__request")):
        access.suspend_request(SYSTEM, request, WHY)


def let_go_on(notice: Notice) -> None:
    """Once the last overdue notice of a request is answered, what was suspended for that alone gives again. The caller holds the transaction."""
    held = Request.objects.select_for_update(of=("self",)).select_related("dataset").get(pk=notice.package.entitlement.request_id)
    if held.state == "suspended" and held.reason == WHY and not _overdue().filter(package__entitlement__request=held).exists():
        holding.move(held, "resume")
        audit.write(SYSTEM, "request.resume", held, dataset=held.dataset)
