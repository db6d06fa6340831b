"""Addresses of these pages."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.portal.deciding import acts, bulk, pages, releases, requests

urlpatterns: list[URLPattern] = [
    path("queue", pages.QueuePage.as_view(), name="queue"),
    path("queue/mails/<uuid:pk>", pages.MailPage.as_view(), name="mail"),
    path("images/accept", bulk.BulkPage.as_view(), name="bulk"),
    path("images/<uuid:pk>/decide", pages.DecideImagePage.as_view(), name="decide_image"),
    path("images/<uuid:pk>/answer", pages.AnswerImagePage.as_view(), name="answer_image"),
    path("requests/<uuid:pk>/decide", requests.RequestPage.as_view(), name="decide_request"),
    path("releases", releases.ReleasesPage.as_view(), name="releases"),
    path("releases/<slug:slug>", releases.DatasetReleasesPage.as_view(), name="dataset_releases"),
    path("releases/<uuid:pk>/validate", pages.ReleasePage.as_view(), name="validate_release"),
    path("dangerous-acts", acts.ActsPage.as_view(), name="acts"),
    path("dangerous-acts/<uuid:pk>/second", acts.SecondPage.as_view(), name="second"),
]
