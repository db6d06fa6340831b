"""Addresses of these pages."""

from __future__ import annotations

from django.urls import URLPattern, path

# The pages stand on `registry.portal.pages`, which knows the gate and the stepping-up of this room, and nothing else of it.
from registry.portal.account import forgetting, inviting, pages, providers

urlpatterns: list[URLPattern] = [
    path("sign-in/code", pages.CodePage.as_view(), name="code"),
    path("sign-in/provider", providers.ProviderPage.as_view(), name="provider"),
    path("sign-in/provider/back", providers.BackPage.as_view(), name="provider_back"),
    path("account/confirm", pages.ConfirmPage.as_view(), name="confirm"),
    path("account/second-factor", pages.FactorPage.as_view(), name="factor"),
    path("account/second-factor/another", pages.AnotherFactorPage.as_view(), name="factor_another"),
    path("account/second-factor/codes", pages.CodesPage.as_view(), name="factor_codes"),
    path("account/second-factor/remove", pages.RemoveFactorPage.as_view(), name="factor_remove"),
    path("account/sessions", pages.SessionsPage.as_view(), name="sessions"),
    path("account/provider/link", providers.LinkPage.as_view(), name="provider_link"),
    path("account/provider/unlink", providers.UnlinkPage.as_view(), name="provider_unlink"),
    path("account/forgotten", forgetting.ForgottenPage.as_view(), name="forgotten"),
    path("account/reset", forgetting.ResetPage.as_view(), name="reset"),
    path("account/reset/<str:secret>", forgetting.ResetLinkPage.as_view(), name="reset_link"),
    path("invitations", inviting.InvitationsPage.as_view(), name="invitations"),
    path("invitations/accept", inviting.AcceptPage.as_view(), name="accept_invitation"),
    path("invitations/accept/provider", providers.AcceptByProviderPage.as_view(), name="accept_by_provider"),
    path("invitations/open/<str:secret>", inviting.InvitationLinkPage.as_view(), name="invitation_link"),
    path("invitations/<uuid:pk>/revoke", inviting.RevokeInvitationPage.as_view(), name="revoke_invitation"),
]
