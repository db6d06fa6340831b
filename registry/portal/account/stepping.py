"""Stepping up in the place of the page that needs it: the page is asked for again once the password was said, with all that was typed."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from registry.accounts import factors, stepup
from registry.accounts.throttles import TooManyTries
from registry.portal.account import guard
from registry.portal.account.forms import StepUp

OURS = ("csrfmiddlewaretoken", "step_up-")
NO_FIT = _("This does not fit. Look at the password, and wait for the next code.")
WAIT = _("There were too many tries. Wait some minutes, then try again.")


def asks(request: HttpRequest) -> HttpResponseBase | None:
    """What a page that needs stepping up answers instead of itself; None where it may go on."""
    if stepup.done(request):
        return None
    if request.headers.get("HX-Request") == "true":
        return guard.led(request, reverse("portal:confirm"))
    if request.method != "POST" or "step_up-then" not in request.POST:
        return page(request, StepUp(prefix="step_up"))
    form = StepUp(request.POST, prefix="step_up")
    refused = tried(request, form)
    if refused is not None:
        return page(request, form, refused)
    if request.POST["step_up-then"] == "post":
        return None
    return HttpResponseRedirect(request.get_full_path())


def tried(request: HttpRequest, form: StepUp) -> int | None:
    """Tries what was typed. None where it fits; otherwise the status to answer with, and the form says why."""
    if not form.is_valid():
        return 400
    try:
        if stepup.confirm(request, form.cleaned_data["password"], form.cleaned_data["code"]):
            return None
        form.add_error(None, NO_FIT)
        return 403
    except TooManyTries:
        form.add_error(None, WAIT)
        return 429


def page(request: HttpRequest, form: StepUp, status: int = 403, then: str = "", to: str = "") -> HttpResponse:
    """The page that asks. `then`: what to do with the address afterwards; what was typed into a form goes with it, but for passwords and files."""
    user = stepup.signed_in(request)
    then = then or request.POST.get("step_up-then", "post" if request.method == "POST" and not request.FILES else "get")
    kept = [(name, value) for name, values in request.POST.lists() for value in values if not name.startswith(OURS) and "password" not in name]
    form.fit(user.has_usable_password(), factors.enrolled(user))
    told = {"form": form, "then": then, "kept": kept if then == "post" else [], "to": to, "can": stepup.can(user)}
    answer = render(request, "portal/account/step_up.html", told, status=status)
    answer.headers["Cache-Control"] = "no-store"
    return answer
