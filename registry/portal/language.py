"""In which language a reader is spoken to: the one they chose, else the one their browser asks for. Programs are spoken to in English."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.locale import LocaleMiddleware
from django.utils import translation
from django.views.i18n import set_language

from registry.portal.pages import Page


class PagesLanguage(LocaleMiddleware):
    """Django's own, but for the API: a reason that a program reads does not depend on its headers."""

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith("/api/"):
            translation.activate(settings.LANGUAGE_CODE)
            request.LANGUAGE_CODE = settings.LANGUAGE_CODE  # type: ignore[attr-defined]
            return
        super().process_request(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        return response if request.path_info.startswith("/api/") else super().process_response(request, response)


class LanguagePage(Page):
    """The choice of a language, kept in a cookie; leads back to where it was made."""

    for_strangers = before_factor = True

    def post(self, request: HttpRequest) -> HttpResponse:
        return set_language(request)
