"""Which door leads where: the API under `api/`, Django's own administration under `admin/`, the portal at the root."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [path("admin/", admin.site.urls)]
if find_spec("registry.api") and find_spec("registry.api.urls"):
    urlpatterns.append(path("api/", include("registry.api.urls")))
if find_spec("registry.portal") and find_spec("registry.portal.urls"):
    urlpatterns.append(path("", include("registry.portal.urls")))
