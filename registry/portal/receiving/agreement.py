"""The agreement: its present version, whole; what is other than in the version that was signed; and signing it."""

from __future__ import annotations

import difflib
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from registry.access import actions, holding, queries, signing
from registry.access.models import Request
from registry.accounts import queries as accounts
from registry.portal.receiving import story
from registry.portal.receiving.acting import ReceivingPage, on_form
from registry.portal.receiving.forms import SignForm
from registry.portal.receiving.requests import way_to
from registry.rules import Invalid

KEPT, GONE, NEW = "kept", "gone", "new"


class AgreementPage(ReceivingPage):
    """To read, and to sign after reading."""

    def get(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        return self._show(self.request_of(pk))

    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        held, form = self.request_of(pk), SignForm(request.POST)
        if not form.is_valid():
            return self._show(held, form, 400)
        try:
            entitlement = actions.sign_agreement(self.asker, held, form.cleaned_data["version"])
        except Invalid as error:
            on_form(form, error)
            return self._show(held, form, 422)
        told = _("You have signed, and you have access.") if entitlement else _("You have signed. Access begins once every member of the team has.")
        return self.done(told, reverse("portal:request", args=[pk]))

    def _show(self, held: Request, form: SignForm | None = None, status: int = 200) -> HttpResponse:
        asker, agreement = self.asker, accounts.current_agreement(held.dataset)
        before = queries.signature(asker, held)
        signed = before is not None and agreement is not None and before.agreement_id == agreement.pk
        told = {
            "held": held,
            "crumbs": way_to(held),
            "agreement": agreement,
            "before": before,
            "signed": signed,
            "changes": changes(before.agreement.text, agreement.text) if before and agreement and not signed else [],
            "binding": before is not None and before.agreement_version >= accounts.binding_version(held.dataset),
            "may": story.may(asker, held)["sign"] and asker.pk in holding.team_of(held) and agreement is not None,
            "key": signing.key_of(held, asker),
            "form": form or SignForm(initial={"version": agreement.version if agreement else 0}),
        }
        return render(self.request, "portal/receiving/agreement.html", told, status=status)


def changes(old: str, new: str) -> list[tuple[str, str]]:
    """The new text line by line with what went and what came: (kept, gone or new; line). Long stretches without a change are left in: it is a contract."""
    marks = {" ": KEPT, "-": GONE, "+": NEW}
    return [(marks[line[0]], line[2:]) for line in difflib.ndiff(old.splitlines(), new.splitlines()) if line[0] in marks]
