"""The queue, and the acts on what stands in it: images one by one and many at once, mail that came back, releases that failed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from registry.access import letters
from registry.access import queries as access
from registry.intake import actions as intake
from registry.portal.looking.answers import Shown
from registry.portal.looking.pages import image_or_404
from registry.releases import actions as releases
from registry.releases import queries as released
from registry.releases import waiting
from registry.rules import Invalid

KINDS = {
    "image": _("images"), "doubt": _("images in doubt"), "returned": _("images that went back to their site"), "study": _("studies that wait"),
    "request": _("requests"), "report": _("reports, for more time"), "second": _("acts that wait for a second person"),
    "agreed": _("acts that a second person agreed to"), "mail": _("mail that could not be delivered"), "release": _("releases that failed"),
}  # fmt: skip


class QueuePage(Shown):
    """Everything that needs a person, the oldest first."""

    def get(self, request: HttpRequest) -> HttpResponse:
        kind = request.GET.get("kind", "")
        kind = kind if kind in KINDS else ""
        page, counts = waiting.page(self.asker, kind, _cursor(request.GET.get("after", ""))), waiting.counts(self.asker)
        more = {"kind": kind, "after": f"{page.more[0].isoformat()}~{page.more[1]}"} if page.more else {}
        shown = {
            "rows": page.rows,
            "kinds": [(name, words, counts[name]) for name, words in KINDS.items() if counts.get(name)],
            "kind": kind,
            "all": sum(counts.values()),
            "more": urlencode({name: value for name, value in more.items() if value}),
            "later": "after" in request.GET,
        }
        answer = render(request, "portal/deciding/queue.html", shown)
        answer.about = {row.dataset.pk for row in page.rows if row.dataset}  # type: ignore[attr-defined]
        return answer


def _cursor(text: str) -> waiting.Cursor | None:
    at, _sep, pk = text.partition("~")
    try:
        return datetime.fromisoformat(at), UUID(pk)
    except ValueError:
        return None


def to_queue(request: HttpRequest) -> HttpResponse:
    """Back to the list, where the person was in it."""
    kind = request.POST.get("kind", "")
    return redirect(f"{reverse('portal:queue')}{f'?kind={kind}' if kind in KINDS else ''}")


class DecideImagePage(Shown):
    """One decision of a steward on one image."""

    step_up = ("POST",)

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        image, reason = image_or_404(self.asker, pk), request.POST.get("reason", "").strip()[:2000]
        acts: dict[str, tuple[Callable[..., Any], Any]] = {
            "accept": (intake.accept_image, _("The image was accepted.")),
            "refuse": (intake.refuse_image, _("The image was refused; its site reads the reason.")),
            "return": (intake.return_image, _("The image went back to its site, which is told.")),
        }
        act, said = acts.get(request.POST.get("act", ""), (None, None))
        if act is None:
            raise Invalid("unknown_act", "This is nothing that can be done to an image.", "Use the buttons of the page.")
        act(self.asker, image, reason)
        messages.success(request, said)
        return to_queue(request) if request.POST.get("to") == "queue" else redirect("portal:image", pk)


class AnswerImagePage(Shown):
    """A site answers what a steward asked about an image."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        intake.answer_image(self.asker, image_or_404(self.asker, pk), request.POST.get("reason", "")[:2000])
        messages.success(request, _("Your answer is with the stewards."))
        return redirect("portal:image", pk)


class MailPage(Shown):
    """Mail that could not be delivered is tried again, or put aside."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        letter = get_object_or_404(access.dead_mails(self.asker), pk=pk)
        if request.POST.get("act") == "aside":
            letters.put_aside(self.asker, letter)
            messages.success(request, _("The mail is off the list."))
        else:
            letters.send_again(self.asker, letter)
            messages.success(request, _("The mail is tried again within a minute."))
        return to_queue(request)


class ReleasePage(Shown):
    """A frozen release whose validation came to nothing is validated again."""

    step_up = ("POST",)

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        releases.validate(self.asker, get_object_or_404(released.releases(self.asker), pk=pk))
        messages.success(request, _("The release is being validated again."))
        return to_queue(request)
