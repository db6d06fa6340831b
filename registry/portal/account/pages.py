"""Pages of who one is: the code at sign-in, stepping up, the second factor, one's sessions."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _

from registry.accounts import devices, factors, provider, sealed, sessions, signing
from registry.accounts.models import User
from registry.accounts.throttles import TooManyTries
from registry.portal.account import stepping
from registry.portal.account.forms import Code, SetUp, StepUp, password_field
from registry.portal.pages import Page
from registry.rules import Conflict

PENDING = "myelin_factor_pending"
WRONG = _("This code does not fit. Each code works once: wait for the next one.")


def onward(request: HttpRequest, wanted: str) -> HttpResponseRedirect:
    """To the page that was wanted, where it is one of ours."""
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return HttpResponseRedirect(wanted if safe and wanted else reverse("portal:start"))


class CodePage(Page):
    """The second half of signing in."""

    before_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        if factors.needed(request) != "code":
            return onward(request, request.GET.get("next", ""))
        return self._show(request, Code(), request.GET.get("next", ""))

    def post(self, request: HttpRequest) -> HttpResponse:
        form, wanted = Code(request.POST), request.POST.get("next", "")
        if factors.needed(request) != "code":
            return onward(request, wanted)
        if not form.is_valid():
            return self._show(request, form, wanted, 400)
        try:
            if not factors.give(request, form.cleaned_data["code"]):
                form.add_error("code", WRONG)
                return self._show(request, form, wanted, 403)
        except TooManyTries as error:
            form.add_error("code", stepping.WAIT)
            held = self._show(request, form, wanted, 429)
            held.headers["Retry-After"] = str(error.wait_s)
            return held
        answer = onward(request, wanted)
        devices.remember(answer, sessions.signed_in(request))
        return answer

    def _show(self, request: HttpRequest, form: Code, wanted: str, status: int = 200) -> HttpResponse:
        return render(request, "portal/account/code.html", {"form": form, "next": wanted}, status=status)


class ConfirmPage(Page):
    """Stepping up on a page of its own, for parts of pages and for the API."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return stepping.page(request, StepUp(prefix="step_up"), 200, "get", self._here(request.GET.get("next", "")))

    def post(self, request: HttpRequest) -> HttpResponse:
        form = StepUp(request.POST, prefix="step_up")
        refused = stepping.tried(request, form)
        if refused is None:
            return onward(request, request.GET.get("next", ""))
        return stepping.page(request, form, refused, "get", request.get_full_path())

    def _here(self, wanted: str) -> str:
        return f"{reverse('portal:confirm')}?{urlencode({'next': wanted})}" if wanted else reverse("portal:confirm")


class FactorPage(Page):
    """Sets up an authenticator where there is none; otherwise says what there is. Recovery codes are shown in the answer to their making, and never again."""

    before_factor = True
    another = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if request.user.is_authenticated and factors.needed(request) == "code":
            return redirect("portal:code")  # who has a second factor gives it before it is changed
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        user = sessions.signed_in(request)
        if factors.enrolled(user) and not self.another:
            told = {"left": factors.codes_left(user), "required": factors.required(user)}
            return render(request, "portal/account/factor.html", told)
        return self._show(request, user, self._form(request, user), request.GET.get("next", ""))

    def post(self, request: HttpRequest) -> HttpResponse:
        user, wanted = sessions.signed_in(request), request.POST.get("next", "")
        if factors.enrolled(user) and not self.another:
            return redirect("portal:factor")
        form, secret = self._form(request, user, request.POST), request.session.get(PENDING, "")
        if not secret or not form.is_valid():
            return self._show(request, user, form, wanted, 400)
        try:
            if "password" in form.fields and signing.known(request, user.email, form.cleaned_data["password"]) != user:
                form.add_error("password", _("This is not your password."))
                return self._show(request, user, form, wanted, 403)
            codes = factors.set_up(request, sealed.unseal(secret, user.pk), form.cleaned_data["code"], self.another)
        except TooManyTries:
            form.add_error(None, stepping.WAIT)
            return self._show(request, user, form, wanted, 429)
        except Conflict as error:
            form.add_error("code", f"{error.reason} {error.advice}")
            return self._show(request, user, form, wanted, 400)
        del request.session[PENDING]
        answer = _codes(request, codes, wanted)
        devices.remember(answer, user)
        return answer

    def _form(self, request: HttpRequest, user: User, data: Any = None) -> SetUp:
        """Who has signed in a moment ago, or has just stepped up, is not asked for the password again."""
        form = SetUp(data)
        if not self.another and not sessions.young(request):
            form.fields["password"] = password_field()
        return form

    def _show(self, request: HttpRequest, user: User, form: SetUp, wanted: str, status: int = 200) -> HttpResponse:
        if PENDING not in request.session:
            request.session[PENDING] = sealed.seal(factors.fresh_secret(), user.pk)
        secret = sealed.unseal(request.session[PENDING], user.pk)
        url, svg = factors.pictured(user, secret)
        told = {"form": form, "next": wanted, "picture": base64.b64encode(svg.encode()).decode(), "url": url, "another": self.another}
        told["secret"] = " ".join(secret[n : n + 4] for n in range(0, len(secret), 4))
        told["stuck"] = "password" in form.fields and not user.has_usable_password()
        return render(request, "portal/account/set_up.html", told | {"required": factors.required(user)}, status=status)


class AnotherFactorPage(FactorPage):
    """Another authenticator; the old one and its recovery codes end."""

    before_factor = False
    step_up = True
    another = True


class CodesPage(Page):
    """Other recovery codes."""

    step_up = True

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            return _codes(request, factors.new_codes(request), "")
        except Conflict:
            return redirect("portal:factor")


class RemoveFactorPage(Page):
    step_up = True

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            factors.remove(request)
        except Conflict as error:
            return render(request, "portal/account/refused.html", {"error": error}, status=409)
        return redirect("portal:factor")


class SessionsPage(Page):
    """One's own sessions, and the end of all but this one."""

    def get(self, request: HttpRequest) -> HttpResponse:
        user = sessions.signed_in(request)
        told = {"sessions": sessions.living(user), "mine": request.session.get(sessions.MINE), "provider": provider.name(), "linked": provider.linked(user)}
        return render(request, "portal/account/sessions.html", told)

    def post(self, request: HttpRequest) -> HttpResponse:
        sessions.end_others(request)
        return redirect("portal:sessions")


def _codes(request: HttpRequest, codes: list[str], wanted: str) -> HttpResponse:
    onwards = onward(request, wanted)["Location"]
    return render(request, "portal/account/codes.html", {"codes": codes, "onward": onwards})
