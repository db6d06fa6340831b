"""Another password by a link in a mail."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _

from registry.accounts import resetting
from registry.accounts.throttles import TooManyTries
from registry.portal.account.forms import Forgotten
from registry.portal.account.mailed import Mailed, MailedLink
from registry.portal.account.stepping import WAIT
from registry.portal.pages import Page
from registry.rules import Refusal

LINK = "myelin_reset"


class ForgottenPage(Page):
    """Asks for a link. The answer is the same for every address."""

    for_strangers = before_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "portal/account/forgotten.html", {"form": Forgotten()})

    def post(self, request: HttpRequest) -> HttpResponse:
        form = Forgotten(request.POST)
        status = 400
        if form.is_valid():
            try:
                resetting.ask(request, form.cleaned_data["email"])
                return render(request, "portal/account/forgotten.html", {"asked": True})
            except TooManyTries:
                form.add_error(None, WAIT)
                status = 429
        return render(request, "portal/account/forgotten.html", {"form": form}, status=status)


class ResetLinkPage(MailedLink):
    kept_as, leads_to = LINK, "portal:reset"


class ResetPage(Mailed):
    def answer(self, request: HttpRequest, data: Any = None) -> HttpResponse:
        secret = request.session.get(LINK, "")
        try:
            form = SetPasswordForm(resetting.owner(secret), data)
            if not form.is_bound or not form.is_valid():
                return render(request, "portal/account/reset.html", {"form": form}, status=400 if form.is_bound else 200)
            resetting.reset(secret, form.cleaned_data["new_password1"])
        except Refusal as error:
            return render(request, "portal/account/refused.html", {"error": error, "again": _("Ask for another link"), "to": "portal:forgotten"}, status=409)
        request.session.flush()
        return render(request, "portal/account/reset.html", {"done": True})
