"""What a browser may do with our pages: load scripts, styles and pictures from here, and nothing from elsewhere or written into a page.

A view may say in `csp` what it needs beyond that, as {directive: value}. Scripts from elsewhere, written into a page or evaluated are nobody's to allow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "worker-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
# The API's own page (Swagger) writes styles into its page; its scripts keep to the rule.
STYLED = frozenset({"docs"})
SCRIPTS = frozenset({"default-src", "script-src", "script-src-elem", "script-src-attr", "worker-src", "base-uri", "object-src"})
# What a view may add: our own host, data and blobs of the page itself, and WebAssembly (which evaluates no text).
LAWFUL = re.compile(r"('self'|'none'|data:|blob:|'wasm-unsafe-eval')")
OTHERS = {
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",  # static files too
}


class ContentSecurityPolicy:
    """The middleware. A view that says a policy of its own in its answer keeps it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        answer = self.get_response(request)
        match = request.resolver_match
        told = POLICY | ({"style-src": "'self' 'unsafe-inline'"} if getattr(match, "url_name", None) in STYLED else {}) | wider(getattr(match, "func", None))
        answer.headers.setdefault("Content-Security-Policy", "; ".join(f"{key} {value}" for key, value in told.items()))
        for name, value in OTHERS.items():
            answer.headers.setdefault(name, value)
        return answer


def wider(view: Any) -> Mapping[str, str]:
    """What a view asks for beyond the policy. A script source that is not lawful is not given: the page breaks, and its tests with it."""
    asked: Mapping[str, str] = getattr(getattr(view, "view_class", view), "csp", {})
    return {name: value for name, value in asked.items() if name not in SCRIPTS or all(LAWFUL.fullmatch(word) for word in value.split())}
