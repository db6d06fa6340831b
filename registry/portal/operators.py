"""Django's administration, for operators: closed unless the setting MYELIN_ADMIN opens it. Then it shows how the registry runs, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect


class ClosedByDefault:
    """The middleware: its addresses lead nowhere where it is closed, its sign-in too."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        match = request.resolver_match
        if match is not None and match.app_name == "admin" and not settings.MYELIN_ADMIN:
            raise Http404
        if match is not None and match.app_name == "admin" and match.url_name == "password_change":
            return redirect("portal:password")  # where guesses are counted and the change leaves its line
        return None
