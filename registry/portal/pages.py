"""The pages: start, sign in and out, one's account. They ask the acts that the API asks, and show what those answer."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth import logout
from django.contrib.auth.views import PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext_lazy as _
from django.views import View

from registry.access import actions
from registry.accounts import devices, factors, provider, queries, sessions, signing, stepup
from registry.accounts.models import Token
from registry.portal.account import stepping
from registry.portal.forms import NewToken, SignIn
from registry.rules import Invalid

NO_FIT = _("Address and password do not fit.")


class Page(View):
    """A page that gives nothing of anybody; who is not signed in is shown the sign-in in its place, with 401.

    `step_up`: True, or the methods, for which one says who one is once more, in the page's place; afterwards the page goes on with all that was typed.
    `before_factor`: it answers before a second factor that the account needs (`registry.portal.account.guard`).
    """

    gives = False
    for_strangers = False
    step_up: bool | tuple[str, ...] = False
    before_factor = False

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        if not self.for_strangers and not request.user.is_authenticated:
            return _sign_in(request, SignIn(), 401, request.get_full_path() if request.method == "GET" else "")
        if self.step_up is True or (self.step_up and request.method in self.step_up):
            asked = stepping.asks(request)
            if asked is not None:
                return asked
        answer = super().dispatch(request, *args, **kwargs)
        answer.headers["Cache-Control"] = "no-store"
        return answer


class StartPage(Page):
    for_strangers = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return render(request, "portal/start.html")


class SignInPage(Page):
    for_strangers = before_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return _sign_in(request, SignIn(), 200, request.GET.get("next", ""))

    def post(self, request: HttpRequest) -> HttpResponse:
        form, wanted = SignIn(request.POST), request.POST.get("next", "")
        if not form.is_valid():
            return _sign_in(request, form, 400, wanted)
        try:
            user = signing.sign_in(request, form.cleaned_data["email"], form.cleaned_data["password"])
        except signing.TooManyTries as error:
            form.add_error(None, stepping.WAIT)
            held = _sign_in(request, form, 429, wanted)
            held.headers["Retry-After"] = str(error.wait_s)
            return held
        if user is None:
            form.add_error(None, NO_FIT)
            return _sign_in(request, form, 401, wanted)
        safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
        answer = HttpResponseRedirect(wanted if safe else reverse("portal:start"))
        if factors.complete(request):  # else the code page does it: who knows the password alone is not the owner yet
            devices.remember(answer, user)
        return answer


class SignOutPage(Page):
    for_strangers = before_factor = True

    def post(self, request: HttpRequest) -> HttpResponse:
        sessions.end(request)
        logout(request)
        return redirect("portal:start")


class AccountPage(Page):
    """Who one is here: roles and tokens. A new token's text is shown once, in the answer to its making, and kept nowhere."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return self._show(request, NewToken())

    def post(self, request: HttpRequest) -> HttpResponse:
        form = NewToken(request.POST)
        if not form.is_valid():
            return self._show(request, form, 400)
        given = form.cleaned_data
        try:
            said = given["password"], given["code"]
            if stepup.dangerous(given["scopes"]) and not stepup.done(request) and not stepup.confirm(request, *said):
                form.add_error("password", _("This is not your password, or not a code that fits."))
                return self._show(request, form, 400)
            _token, text = actions.issue_token(stepup.signed_in(request), given["name"], given["scopes"], given["days"])
        except signing.TooManyTries:
            form.add_error("password", stepping.WAIT)
            return self._show(request, form, 429)
        except Invalid as error:
            form.add_error(None, f"{error.reason} {error.advice}")
            return self._show(request, form, 422)
        return self._show(request, NewToken(), made=text)

    def _show(self, request: HttpRequest, form: NewToken, status: int = 200, made: str = "") -> HttpResponse:
        user = stepup.signed_in(request)
        tokens = Token.objects.filter(user=user, revoked_at=None).order_by("-created_at")
        if not factors.enrolled(user):
            form.fields.pop("code", None)
        told = {"form": form, "made": made, "tokens": tokens, "roles": queries.living_roles(user), "invites": factors.required(user)}
        return render(request, "portal/account.html", told, status=status)


class RevokePage(Page):
    def post(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        user = stepup.signed_in(request)
        actions.revoke_token(user, get_object_or_404(Token, user=user, revoked_at=None, pk=pk))
        return redirect("portal:account")


class PasswordPage(Page, PasswordChangeView):
    """Another password; every other session of the account ends with it."""

    template_name = "portal/password.html"
    success_url = reverse_lazy("portal:account")

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The old password that is asked for here is a guess like any other."""
        try:
            factors.count(request, stepup.signed_in(request))
        except signing.TooManyTries as error:
            form = self.get_form_class()(request.user)  # what was typed is not even looked at
            form.cleaned_data = {}
            form.add_error(None, stepping.WAIT)
            held = self.render_to_response(self.get_context_data(form=form), status=429)
            held.headers["Retry-After"] = str(error.wait_s)
            return held
        return super().post(request, *args, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        return signing.change_password(self.request, form, super().form_valid)


def _sign_in(request: HttpRequest, form: SignIn, status: int, wanted: str) -> HttpResponse:
    answer = render(request, "portal/sign_in.html", {"form": form, "next": wanted, "provider": provider.name()}, status=status)
    answer.headers["Cache-Control"] = "no-store"
    return answer
