"""Addresses of the pages."""

from __future__ import annotations

from django.urls import path

from registry.portal import language, pages
from registry.portal.account.urls import urlpatterns as account
from registry.portal.deciding.urls import urlpatterns as deciding
from registry.portal.finding.urls import urlpatterns as finding
from registry.portal.handing.urls import urlpatterns as handing
from registry.portal.looking.urls import urlpatterns as looking
from registry.portal.receiving.urls import urlpatterns as receiving

app_name = "portal"
urlpatterns = [
    path("", pages.StartPage.as_view(), name="start"),
    path("sign-in", pages.SignInPage.as_view(), name="sign_in"),
    path("sign-out", pages.SignOutPage.as_view(), name="sign_out"),
    path("language", language.LanguagePage.as_view(), name="language"),
    path("account", pages.AccountPage.as_view(), name="account"),
    path("account/password", pages.PasswordPage.as_view(), name="password"),
    path("account/tokens/<uuid:pk>/revoke", pages.RevokePage.as_view(), name="revoke"),
    *account,
    *handing,
    *looking,
    *deciding,
    *finding,
    *receiving,
]
