"""Addresses of these pages."""

from __future__ import annotations

from django.urls import URLPattern, path

from registry.portal.looking import pages

urlpatterns: list[URLPattern] = [
    path("images", pages.ImagesPage.as_view(), name="images"),
    path("images/<uuid:pk>", pages.ImagePage.as_view(), name="image"),
    path("images/<uuid:pk>/volumes/<uuid:other>", pages.VolumePage.as_view(), name="volume"),
    path("images/<uuid:pk>/faces", pages.FacesPage.as_view(), name="faces"),
    path("images/<uuid:pk>/faces/<int:number>.png", pages.FacePage.as_view(), name="face"),
]
