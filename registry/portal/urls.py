"""Addresses of the pages."""

from __future__ import annotations

from django.urls import path

from registry.portal import pages

app_name = "portal"
urlpatterns = [
    path("", pages.StartPage.as_view(), name="start"),
    path("sign-in", pages.SignInPage.as_view(), name="sign_in"),
    path("sign-out", pages.SignOutPage.as_view(), name="sign_out"),
    path("account", pages.AccountPage.as_view(), name="account"),
    path("account/password", pages.PasswordPage.as_view(), name="password"),
    path("account/tokens/<uuid:pk>/revoke", pages.RevokePage.as_view(), name="revoke"),
]
