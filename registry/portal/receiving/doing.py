"""What is done to one request, each by a form of its page; a form that is wrong is shown again there, with what was typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from registry.access import actions, papers, queries
from registry.access.models import Member, Paper
from registry.portal.acting import found
from registry.portal.receiving.acting import ReceivingPage, on_form
from registry.portal.receiving.forms import AttestForm, KeyForm, MemberForm, PaperForm, ReportForm
from registry.portal.receiving.requests import OneRequest
from registry.releases import sealing
from registry.rules import Invalid


class OnRequest(OneRequest):
    """What is done to one request, by a form of its page."""

    def back(self, pk: UUID, told: Any) -> HttpResponse:
        return self.done(told, reverse("portal:request", args=[pk]))

    def with_form(self, pk: UUID, name: str, form: forms.Form, act: Callable[[dict[str, Any]], object], told: Any) -> HttpResponse:
        """Does `act` with what was typed, or shows the page again with what is wrong."""
        if not form.is_valid():
            return self.show(pk, 400, **{name: form})
        try:
            act(form.cleaned_data)
        except Invalid as error:
            on_form(form, error)
            return self.show(pk, 422, **{name: form})
        return self.back(pk, told)


class SubmitPage(OnRequest):
    """Hands it in."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        actions.submit_request(self.asker, self.request_of(pk))
        return self.back(pk, _("The request was handed in."))


class TakeBackPage(OnRequest):
    """Takes it back before anything was given."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        actions.withdraw_request(self.asker, self.request_of(pk))
        return self.back(pk, _("The request was taken back."))


class MembersPage(OnRequest):
    """Names somebody for the team."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held = self.request_of(pk)
        form = MemberForm(request.POST)
        told = _("They were named. They are of the team once they have said so here; you see it in the list of the team.")
        return self.with_form(pk, "member_form", form, lambda given: actions.invite_member(self.asker, held, given["email"], given["country"]), told)


class DropPage(ReceivingPage):
    """Takes a member off a team."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        member: Member = found(queries.members(self.asker), pk=pk)
        held = actions.drop_member(self.asker, member)
        return self.done(_("They are not of the team any more."), reverse("portal:request", args=[held.pk]))


class NamingPage(ReceivingPage):
    """The answer of who was named for a team, or of who named them and takes it back."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        naming = found(queries.namings(self.asker), pk=pk)
        answer = request.POST.get("answer", "")
        if answer == "join":
            actions.join_team(self.asker, naming)
            return self.done(_("You are of the team now."), reverse("portal:request", args=[naming.request_id]))
        if answer == "back":
            actions.take_naming_back(self.asker, naming)
            return self.done(_("It was taken back."), reverse("portal:request", args=[naming.request_id]))
        actions.decline(self.asker, naming)
        return self.done(_("You are not of this team."), reverse("portal:requests"))


class KeyPage(OnRequest):
    """Gives the public half of a key."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held = self.request_of(pk)
        form = KeyForm(request.POST)
        told = _("Your key is kept. Packages made from now on can be opened with its private half alone.")
        return self.with_form(pk, "key_form", form, lambda given: actions.set_recipient_key(self.asker, held, sealing.checked(given["recipient_key"])), told)


class ReportPage(OnRequest):
    """Says what was done, and asks for more time."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held = self.request_of(pk)
        told = _("The report was handed in. A steward decides on it.")
        return self.with_form(pk, "report_form", ReportForm(request.POST), lambda given: actions.report(self.asker, held, **given), told)


class ClosePage(OnRequest):
    """Ends what it gives."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        actions.close_request(self.asker, self.request_of(pk))
        return self.back(pk, _("The request gives nothing any more. Delete every copy, then say so here."))


class AttestPage(OnRequest):
    """Says that everything is deleted."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held = self.request_of(pk)
        told = _("The request is closed.")
        return self.with_form(pk, "attest_form", AttestForm(request.POST), lambda given: actions.attest_deletion(self.asker, held, given["statement"]), told)


class PaperPage(OnRequest):
    """The document of an ethics board: put there by the requester, given as a file to be saved to those who may see it."""

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held = self.request_of(pk)
        if request.POST.get("off"):
            actions.take_paper_off(self.asker, held)
            return self.back(pk, _("The document was taken off."))
        form = PaperForm(request.POST, request.FILES)
        return self.with_form(pk, "paper_form", form, lambda given: actions.attach_paper(self.asker, held, given["paper"].read()), _("The document is kept."))


class PaperBytesPage(ReceivingPage):
    """The bytes. What a PDF says is never trusted: the browser saves it and opens nothing."""

    gives = True

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        paper: Paper = found(queries.papers(self.asker), pk=pk)
        headers = {
            "Content-Disposition": f'attachment; filename="ethics-{paper.pk}.pdf"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        return HttpResponse(papers.read(paper), content_type="application/octet-stream", headers=headers)
