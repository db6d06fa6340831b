"""What a link in a mail leads to: its secret goes into the session, and a page behind it acts on that.

So neither the address that is shown, nor a referrer, nor a log of the page has the secret.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from registry.portal.pages import Page


class MailedLink(Page):
    """The link of the mail. `kept_as`: the secret's name in the session; `leads_to`: the page that uses it."""

    for_strangers = before_factor = True
    kept_as: ClassVar[str]
    leads_to: ClassVar[str]

    def get(self, request: HttpRequest, secret: str) -> HttpResponse:
        request.session[self.kept_as] = secret[:200]
        return redirect(self.leads_to)


class Mailed(Page):
    """The page behind it: looked at, and sent. `data`: what was typed, of a page that was sent."""

    for_strangers = before_factor = True

    def get(self, request: HttpRequest) -> HttpResponse:
        return self.answer(request)

    def post(self, request: HttpRequest) -> HttpResponse:
        return self.answer(request, request.POST)

    def answer(self, request: HttpRequest, data: Any = None) -> HttpResponse:
        raise NotImplementedError
