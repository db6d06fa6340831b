"""What a browser may do with our pages: load scripts, styles and pictures from here, and nothing from elsewhere or written into a page."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "worker-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# The API's own page (Swagger) writes styles into its page; its scripts keep to the rule.
STYLED = frozenset({"docs"})


class ContentSecurityPolicy:
    """The middleware. A view that says a stricter policy of its own keeps it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        name = getattr(request.resolver_match, "url_name", None)
        told = POLICY | ({"style-src": "'self' 'unsafe-inline'"} if name in STYLED else {})
        answer.headers.setdefault("Content-Security-Policy", "; ".join(f"{key} {value}" for key, value in told.items()))
        return answer
