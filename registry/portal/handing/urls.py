"""Addresses of these pages."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.portal.handing import grouping, pages, people, tables

urlpatterns: list[URLPattern] = [
    path("hand-in", pages.OverviewPage.as_view(), name="handing"),
    path("hand-in/new", pages.SendPage.as_view(), name="hand_in_new"),
    path("uploads/<uuid:pk>", grouping.UploadPage.as_view(), name="handed_in"),
    path("uploads/<uuid:pk>/send", pages.SendPage.as_view(), name="hand_in_more"),
    path("uploads/<uuid:pk>/drop", pages.DropPage.as_view(), name="hand_in_drop"),
    path("uploads/<uuid:pk>/receipt", pages.ReceiptPage.as_view(), name="receipt"),
    path("uploads/<uuid:pk>/merge", grouping.MergePage.as_view(), name="merge"),
    path("studies/<uuid:pk>", grouping.StudyPage.as_view(), name="study"),
    path("studies/<uuid:pk>/bind", grouping.BindPage.as_view(), name="bind"),
    path("studies/<uuid:pk>/refuse", grouping.RefusePage.as_view(), name="refuse_study"),
    path("studies/<uuid:pk>/split", grouping.SplitPage.as_view(), name="split"),
    path("studies/<uuid:pk>/move", grouping.MovePage.as_view(), name="move"),
    path("images/<uuid:pk>/contrast", grouping.CorrectPage.as_view(), name="correct"),
    path("participants/<uuid:pk>", people.PersonPage.as_view(), name="person"),
    path("participants/<uuid:pk>/visits", people.VisitPage.as_view(), name="add_visit"),
    path("participants/<uuid:pk>/consents", people.ConsentPage.as_view(), name="add_consent"),
    path("participants/<uuid:pk>/report", people.ReportPage.as_view(), name="person_report"),
    path("participants/<uuid:pk>/withdraw", people.WithdrawPage.as_view(), name="withdraw"),
    path("withdrawals/<uuid:pk>", people.RemovalPage.as_view(kind="withdrawal"), name="withdrawal"),
    path("recalls/<uuid:pk>", people.RemovalPage.as_view(kind="recall"), name="recall"),
    path("hand-in/<slug:slug>/<slug:site>/people", people.PeoplePage.as_view(), name="people"),
    path("hand-in/<slug:slug>/<slug:site>/people/find", people.FindPage.as_view(), name="find_person"),
    path("hand-in/<slug:slug>/<slug:site>/paste/<slug:kind>", people.PastePage.as_view(), name="paste"),
    path("hand-in/<slug:slug>/<slug:site>/tables", tables.TablesPage.as_view(), name="tables"),
    path("hand-in/<slug:slug>/<slug:site>/tables/mapping", tables.MappingPage.as_view(), name="save_mapping"),
    path("hand-in/<slug:slug>/<slug:site>/tables/table", tables.TablePage.as_view(), name="table"),
]
