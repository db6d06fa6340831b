"""The page of notices: what one was told to delete, the most urgent first, with the word that it was done; and what else is due."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from registry.access import queries as access
from registry.portal.acting import found
from registry.portal.receiving.acting import ReceivingPage
from registry.portal.receiving.forms import AcknowledgeForm
from registry.releases import actions, attesting, queries
from registry.releases.models import Notice

SHOWN = 200


class Notices(ReceivingPage):
    """Unanswered notices, overdue ones first; renewals and signatures that are due; and for a steward, who has not answered."""

    def show(self, status: int = 200, wrong: tuple[UUID, AcknowledgeForm] | None = None) -> HttpResponse:
        mine = list(queries.notices(self.asker).filter(user=self.asker))
        waiting = sorted((one for one in mine if one.acknowledged_at is None), key=lambda one: one.created_at)
        due = access.entitlements(self.asker).filter(user=self.asker, revoked_at=None)
        shown = {
            "waiting": [told(one, wrong) for one in waiting],
            "answered": [one for one in mine if one.acknowledged_at is not None][-SHOWN:],
            "renewals": [one for one in due.filter(request__state="renewal_due") if one.request.requester_id == self.asker.pk],
            "unsigned": due.filter(resign_by__isnull=False),
            "others": queries.notices(self.asker).exclude(user=self.asker).filter(acknowledged_at=None).select_related("user")[:SHOWN],
        }
        answer = render(self.request, "portal/receiving/notices.html", shown, status=status)
        answer.shows = True  # type: ignore[attr-defined]  # `registry.api.recording`
        return answer


class NoticesPage(Notices):
    """All of them."""

    gives = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.show()


class AcknowledgePage(Notices):
    """The word that what a notice names is deleted."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        notice: Notice = found(queries.notices(self.asker), pk=pk)
        form = AcknowledgeForm(request.POST, prefix=notice.pk.hex)
        if not form.is_valid():
            return self.show(400, (notice.pk, form))
        actions.acknowledge(self.asker, notice, form.cleaned_data["statement"])
        return self.done(_("Thank you. Your word is kept with the notice."), reverse("portal:notices"))


def told(notice: Notice, wrong: tuple[UUID, AcknowledgeForm] | None = None) -> dict[str, Any]:
    """A notice with the day by which it must be answered, and its form."""
    mine = wrong is not None and wrong[0] == notice.pk
    by = notice.created_at + timedelta(days=attesting.REMIND_DAYS[-1])
    return {
        "notice": notice,
        "files": notice.files[:SHOWN],
        "more": max(0, len(notice.files) - SHOWN),
        "by": by,
        "overdue": by <= timezone.now(),
        "form": wrong[1] if wrong and mine else AcknowledgeForm(prefix=notice.pk.hex),
    }
