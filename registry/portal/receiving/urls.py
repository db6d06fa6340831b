"""Addresses of these pages. Mails link to the first of them."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.portal.receiving import agreement, doing, notices, packages, requests

urlpatterns: list[URLPattern] = [
    path("requests", requests.RequestsPage.as_view(), name="requests"),
    path("requests/new", requests.NewRequestPage.as_view(), name="new_request"),
    path("datasets/<slug:slug>/request", requests.AskDatasetPage.as_view(), name="ask"),
    path("requests/<uuid:pk>", requests.RequestPage.as_view(), name="request"),
    path("requests/<uuid:pk>/change", requests.ChangePage.as_view(), name="change_request"),
    path("requests/<uuid:pk>/submit", doing.SubmitPage.as_view(), name="submit_request"),
    path("requests/<uuid:pk>/withdraw", doing.TakeBackPage.as_view(), name="take_back"),
    path("requests/<uuid:pk>/members", doing.MembersPage.as_view(), name="name_member"),
    path("members/<uuid:pk>/drop", doing.DropPage.as_view(), name="drop_member"),
    path("namings/<uuid:pk>", doing.NamingPage.as_view(), name="naming"),
    path("requests/<uuid:pk>/key", doing.KeyPage.as_view(), name="give_key"),
    path("requests/<uuid:pk>/ethics", doing.PaperPage.as_view(), name="attach_paper"),
    path("papers/<uuid:pk>", doing.PaperBytesPage.as_view(), name="paper"),
    path("requests/<uuid:pk>/agreement", agreement.AgreementPage.as_view(), name="agreement"),
    path("requests/<uuid:pk>/report", doing.ReportPage.as_view(), name="report"),
    path("requests/<uuid:pk>/close", doing.ClosePage.as_view(), name="close_request"),
    path("requests/<uuid:pk>/attest", doing.AttestPage.as_view(), name="attest"),
    path("entitlements/<uuid:pk>/package", packages.BuildPage.as_view(), name="build_package"),
    path("packages", packages.PackagesPage.as_view(), name="packages"),
    path("packages/<uuid:pk>", packages.PackagePage.as_view(), name="package"),
    path("packages/<uuid:pk>/progress", packages.ProgressPage.as_view(), name="package_progress"),
    path("packages/<uuid:pk>/manifest", packages.ManifestPage.as_view(), name="package_manifest"),
    path("packages/<uuid:pk>/download", packages.DownloadPage.as_view(), name="download_package"),
    path("notices", notices.NoticesPage.as_view(), name="notices"),
    path("notices/<uuid:pk>", notices.AcknowledgePage.as_view(), name="acknowledge"),
]
