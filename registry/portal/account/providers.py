"""Signing in by a provider, linking it, and coming back from it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from registry.access import inviting
from registry.accounts import devices, factors, provider, sessions
from registry.portal.account.inviting import LINK
from registry.portal.account.pages import onward
from registry.portal.pages import Page
from registry.rules import Refusal


class Leaving(Page):
    """Sends the browser to the provider. Subclasses say why.

    Through a page of ours: a form's answer may lead to this registry alone (`form-action` of `registry.portal.headers`).
    """

    process = ""

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            url = provider.begin(request, self.process, request.POST.get("next", ""))
        except Refusal as error:
            return refused(request, error)
        answer = render(request, "portal/account/leaving.html", {"url": url, "provider": provider.name()})
        answer.headers["Refresh"] = f"0;url={url}"
        return answer


class ProviderPage(Leaving):
    """Sign in."""

    for_strangers = before_factor = True
    process = "sign_in"


class AcceptByProviderPage(Leaving):
    """Accept an invitation without a password."""

    for_strangers = before_factor = True
    process = "invitation"


class LinkPage(Leaving):
    """Link the provider with one's account."""

    step_up = True
    process = "link"


class UnlinkPage(Page):
    step_up = True

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            provider.unlink(sessions.signed_in(request))
        except Refusal as error:
            return refused(request, error, 409)
        return redirect("portal:sessions")


class BackPage(Page):
    """Where the provider sends the browser back to."""

    for_strangers = before_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        try:
            state, subject = provider.back(request)
            return getattr(self, f"_{state['process']}")(request, state, subject)  # type: ignore[no-any-return]
        except Refusal as error:
            return refused(request, error)

    def _sign_in(self, request: HttpRequest, state: dict[str, Any], subject: str) -> HttpResponse:
        user = provider.sign_in(request, subject)
        answer = onward(request, state["wanted"])
        if factors.complete(request):
            devices.remember(answer, user)
        return answer

    def _link(self, request: HttpRequest, state: dict[str, Any], subject: str) -> HttpResponse:
        """Only in the session, and for the account, that began it."""
        if not factors.complete(request) or str(request.user.pk) != state["user"]:
            raise provider.Refused("state_wrong", "This answer belongs to another account.")
        provider.link(sessions.signed_in(request), subject)
        return redirect("portal:sessions")

    def _invitation(self, request: HttpRequest, state: dict[str, Any], subject: str) -> HttpResponse:
        inviting.accept_new(request.session.get(LINK, ""), None, lambda user: provider.link(user, subject))
        request.session.pop(LINK, None)
        return self._sign_in(request, state, subject)


def refused(request: HttpRequest, error: Refusal, status: int = 403) -> HttpResponse:
    return render(request, "portal/account/refused.html", {"error": error, "again": "", "to": ""}, status=status)
