"""The app's name for Django."""

from django.apps import AppConfig


class ReleasesConfig(AppConfig):
    name = "registry.releases"
    label = "releases"
    default_auto_field = "django.db.models.BigAutoField"
