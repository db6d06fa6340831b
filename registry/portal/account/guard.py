"""The gate between signing in and everything else: who needs a second factor gives it, or sets one up, before any page of theirs answers.

Every view is behind it unless its class says `before_factor = True`. Doors of the API ask for themselves (`registry.api.doors.InScope`), and answer 403.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from registry.accounts import factors

ADMIN_OPEN = frozenset({"login", "logout"})
PAGES = {"code": "portal:code", "set_up": "portal:factor"}


class SecondFactor:
    """The middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponseBase | None:
        if not request.user.is_authenticated or _open(request, view):
            return None
        need = factors.needed(request)
        return led(request, reverse(PAGES[need])) if need else None


def _open(request: HttpRequest, view: Any) -> bool:
    """Whether this view may answer before the second factor."""
    match = request.resolver_match
    if request.path.startswith("/api/"):
        return True
    if match is not None and match.app_name == "admin":
        return match.url_name in ADMIN_OPEN
    return bool(getattr(getattr(view, "view_class", None), "before_factor", False))


def led(request: HttpRequest, page: str) -> HttpResponse:
    """Leads the browser to a page and, where it was reading, back afterwards. A part of a page (htmx) leads the whole page."""
    part = request.headers.get("HX-Request") == "true"
    here = urlsplit(request.headers.get("HX-Current-URL", "")).path
    wanted = here if part else request.get_full_path() if request.method in ("GET", "HEAD") else ""
    to = f"{page}?{urlencode({'next': wanted})}" if wanted else page
    if part:
        return HttpResponse(status=403, headers={"HX-Redirect": to, "Cache-Control": "no-store"})
    return HttpResponseRedirect(to, headers={"Cache-Control": "no-store"})
