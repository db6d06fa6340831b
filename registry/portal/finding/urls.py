"""Addresses of these pages."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.portal.finding import building, catalogue, cohorts, figures

urlpatterns: list[URLPattern] = [
    path("datasets", catalogue.CataloguePage.as_view(), name="catalogue"),
    path("datasets/<slug:slug>", catalogue.DatasetPage.as_view(), name="dataset"),
    path("datasets/<slug:slug>/build", building.BuildPage.as_view(), name="build"),
    path("datasets/<slug:slug>/count", building.CountPage.as_view(), name="count"),
    path("datasets/<slug:slug>/cohorts", cohorts.SavePage.as_view(), name="save_cohort"),
    path("datasets/<slug:slug>/pictures", figures.PicturesPage.as_view(), name="pictures"),
    path("datasets/<slug:slug>/pictures/<slug:kind>", figures.FigurePage.as_view(), name="figure"),
    path("dictionary", catalogue.DictionaryPage.as_view(), name="dictionary"),
    path("why", catalogue.WhyPage.as_view(), name="why"),
    path("storage", figures.StoragePage.as_view(), name="storage"),
    path("cohorts", cohorts.CohortsPage.as_view(), name="cohorts"),
    path("cohorts/link/<str:link>", cohorts.LinkedCohortPage.as_view(), name="linked_cohort"),
    path("cohorts/<uuid:pk>", cohorts.CohortPage.as_view(), name="cohort"),
    path("cohorts/<uuid:pk>/share", cohorts.SharePage.as_view(), name="share_cohort"),
    path("cohorts/<uuid:pk>/link", cohorts.LinkPage.as_view(), name="link_cohort"),
    path("cohorts/<uuid:pk>/unshare", cohorts.UnsharePage.as_view(), name="unshare_cohort"),
    path("cohorts/<uuid:pk>/delete", cohorts.DeletePage.as_view(), name="delete_cohort"),
    path("cohorts/<uuid:pk>/ask", cohorts.AskPage.as_view(), name="ask_for_cohort"),
    path("cohorts/<uuid:pk>/with/<uuid:other>", cohorts.OverlapPage.as_view(), name="overlap"),
]
