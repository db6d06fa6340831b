"""Every request that is denied, and every one that gives data of somebody, leaves exactly one line in the log.

An act writes its own line, last in its own transaction. What is left is decided here, where the answer is known and every transaction is over: a denial
that no act could record (its line would have been rolled back with it), and a look at data. If a look cannot be recorded, the data are not given.
Denials are limited by account or address: above the limit the answer is 429, without a line, so that nobody fills what cannot be emptied.
It stands outside REST framework, so that the administration's pages, a failed CSRF check and whatever door comes later are recorded too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.db import DatabaseError, OperationalError
from django.http import HttpRequest, HttpResponseBase, JsonResponse

from registry import rules
from registry.accounts import limits, throttles
from registry.api import about
from registry.api.errors import PROBLEM, document, waits_for_a_lock
from registry.audit import actions as audit

log = logging.getLogger(__name__)
REFUSED = frozenset({401, 403, 404, 410})
SAFE = ("GET", "HEAD")
RETRY_S = "2"
# Pages of the administration that show nothing of anybody.
PLAIN = frozenset({"login", "logout", "jsi18n", "password_change", "password_change_done"})


class OneLine:
    """The middleware. Also turns a lock that was not had in time into 503 with Retry-After wherever it comes from."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with audit.noting() as lines:
            answer = self.get_response(request)
            what = denied(request, answer) or given(request, answer)
            if what is None:
                return answer
            try:
                if not audit.stand(lines):
                    if what[0] and not (count := throttles.denial(request)).allowed:
                        return too_many(count)
                    record(request, answer, *what)
            except (DatabaseError, rules.Refusal) as error:
                log.error("a request could not be recorded: %s", type(error).__name__)
                return answer if what[0] else busy()
        return answer

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        """Guessing passwords at the administration's sign-in is limited as at the API's."""
        match = request.resolver_match
        if match is None or match.app_name != "admin" or match.url_name != "login" or request.method != "POST":
            return None
        count = throttles.guess(request, request.POST.get("username", ""))
        return None if count.allowed else too_many(count)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        return busy() if isinstance(exception, OperationalError) and waits_for_a_lock(exception) else None


def busy() -> JsonResponse:
    """503: ask again in a moment."""
    answer = JsonResponse(document("busy", 503, "The registry is busy with another change."), status=503, content_type=PROBLEM)
    answer["Retry-After"], answer["Cache-Control"] = RETRY_S, "no-store"
    return answer


def too_many(count: limits.Count) -> JsonResponse:
    """429: wait. It leaves no line, so that nobody can fill the log."""
    answer = JsonResponse(document("throttled", 429, "Too many requests in too short a time."), status=429, content_type=PROBLEM)
    answer["Retry-After"], answer["Cache-Control"] = str(count.wait_s), "no-store"
    return answer


def door(request: HttpRequest) -> Any:
    """The class of the view that answered, or None where no address fits."""
    return getattr(getattr(request.resolver_match, "func", None), "view_class", None)


def denied(request: HttpRequest, answer: HttpResponseBase) -> tuple[str] | None:
    """(code,) of a denial. A thing that may not be seen answers 404, and one that is no longer given 410: both are denials of that thing."""
    match = request.resolver_match
    if match is not None and match.app_name == "admin":
        return _denied_by_admin(request, answer)
    if answer.status_code not in REFUSED:
        return None
    about_a_thing = door(request) is not None and match is not None and bool(match.kwargs)
    if answer.status_code in (404, 410) and not about_a_thing:
        return None  # an address that leads nowhere: nothing was there to be denied
    return (str((getattr(answer, "data", None) or {}).get("code") or f"http_{answer.status_code}"),)


def _denied_by_admin(request: HttpRequest, answer: HttpResponseBase) -> tuple[str] | None:
    """The administration sends a stranger to its sign-in, and shows that again when address and password do not fit."""
    name = getattr(request.resolver_match, "url_name", "")
    if name == "login" and request.method == "POST" and answer.status_code == 200:
        return ("wrong_credentials",)
    if name != "login" and answer.status_code == 302 and "/login/" in answer.headers.get("Location", ""):
        return ("not_signed_in",)
    return (f"http_{answer.status_code}",) if answer.status_code in REFUSED else None


def given(request: HttpRequest, answer: HttpResponseBase) -> tuple[str] | None:
    """("",) where data of somebody are given: by a door that does not say it gives none, by a page of the administration, or by a page that shows itself
    again with a form that is wrong, and says so (`answer.shows`)."""
    match = request.resolver_match
    if request.method not in SAFE and getattr(answer, "shows", False):
        return ("",)
    if match is None or request.method not in SAFE or not 200 <= answer.status_code < 300:
        return None
    if match.app_name == "admin":
        return None if match.url_name in PLAIN else ("",)
    return ("",) if getattr(door(request), "gives", False) else None


def record(request: HttpRequest, answer: HttpResponseBase, code: str) -> None:
    """The line: who, which door, which thing, of which dataset; of a list how many rows and which things it was asked for. Nothing else that was sent."""
    match, view = request.resolver_match, door(request)
    kwargs = match.kwargs if match else {}
    name = view.__name__ if view else (match.view_name if match else "nowhere")
    thing = f"{name}:{about.identifier(kwargs.get('pk') or kwargs.get('object_id'))}"
    asked, rows, datasets = about.asked(request.GET), about.rows_of(answer), about.datasets(request, answer)
    detail = {**({"asked": asked} if asked else {}), **({"rows": len(rows)} if rows is not None else {})}
    detail |= {"datasets": datasets} if len(datasets) > 1 else {}
    act, dataset = f"http.{(request.method or '').lower()}", datasets[0] if len(datasets) == 1 else ""
    if code:
        audit.denied(request.user, act, thing, code, dataset, **detail)
    else:
        audit.write(request.user, act, thing, dataset, **detail)
