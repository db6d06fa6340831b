"""Invitations: sent, listed, taken back, and accepted by who gets one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.forms import SetPasswordForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from registry.access import inviting
from registry.accounts import factors, provider, sessions
from registry.accounts.models import Dataset, Site, User
from registry.portal.account.forms import Invite
from registry.portal.account.guard import led
from registry.portal.account.mailed import Mailed, MailedLink
from registry.portal.pages import Page
from registry.rules import Refusal

LINK = "myelin_invitation"


class InvitationsPage(Page):
    """Those one sent, and a form for another. For who gives roles."""

    step_up = ("POST",)

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._show(request, self._form(request))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = self._form(request, request.POST)
        if not form.is_valid():
            return self._show(request, form, 400)
        given = form.cleaned_data
        try:
            roles = [_promise(given)] if given["dataset"] or given["kind"] else []
            inviting.invite(sessions.signed_in(request), given["email"], given["country"], given["institution"], roles)
        except Refusal as error:
            form.add_error(None, f"{error.reason} {error.advice}")
            return self._show(request, form, 400)
        return self._show(request, self._form(request), sent=True)

    def _form(self, request: HttpRequest, data: Any = None) -> Invite:
        datasets, kinds = inviting.invitable(sessions.signed_in(request))
        if not kinds:
            raise PermissionDenied
        sites = [(one.code, one.name) for one in Site.objects.order_by("name")] if "contributor" in kinds else []
        return Invite(data, datasets=[(one.slug, one.name) for one in datasets], kinds=kinds, sites=sites)

    def _show(self, request: HttpRequest, form: Invite, status: int = 200, sent: bool = False) -> HttpResponse:
        told = {"form": form, "invitations": inviting.invitations(sessions.signed_in(request))[:200], "sent": sent}
        return render(request, "portal/account/invitations.html", told, status=status)


def _promise(given: dict[str, Any]) -> inviting.Promise:
    """The role that was chosen."""
    dataset = get_object_or_404(Dataset, slug=given["dataset"])
    site = get_object_or_404(Site, code=given["site"]) if given.get("site") else None
    return inviting.Promise(dataset, given["kind"], site)


class RevokeInvitationPage(Page):
    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        user = sessions.signed_in(request)
        try:
            inviting.revoke(user, get_object_or_404(inviting.invitations(user), pk=pk))
        except Refusal as error:
            return render(request, "portal/account/refused.html", {"error": error}, status=409)
        return redirect("portal:invitations")


class InvitationLinkPage(MailedLink):
    kept_as, leads_to = LINK, "portal:accept_invitation"


class AcceptPage(Mailed):
    """Opens the account with a password, or gives the roles to who has one already and is signed in."""

    def answer(self, request: HttpRequest, data: Any = None) -> HttpResponse:
        secret = request.session.get(LINK, "")
        try:
            invitation = inviting.found(secret)
            if request.user.is_authenticated:
                if factors.needed(request) == "code":
                    return led(request, reverse("portal:code"))  # a password alone takes no roles where there is more to show
                return self._signed_in(request, secret, data is not None)
            if inviting.account_of(invitation) is not None:
                return render(request, "portal/account/accept.html", {"known": True})
            form = SetPasswordForm(User(email=invitation.email, institution=invitation.institution), data)
            if not form.is_bound or not form.is_valid():
                told = {"form": form, "email": invitation.email, "provider": provider.name()}
                return render(request, "portal/account/accept.html", told, status=400 if form.is_bound else 200)
            inviting.accept_new(secret, form.cleaned_data["new_password1"])
        except Refusal as error:
            return render(request, "portal/account/refused.html", {"error": error}, status=409)
        request.session.flush()
        return render(request, "portal/account/accept.html", {"done": True})

    def _signed_in(self, request: HttpRequest, secret: str, wanted: bool) -> HttpResponse:
        if not wanted:
            return render(request, "portal/account/accept.html", {"mine": True})
        inviting.accept_signed_in(secret, sessions.signed_in(request))
        del request.session[LINK]
        return redirect("portal:account")
