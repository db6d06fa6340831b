"""The app's name for Django."""

from django.apps import AppConfig


class CountsConfig(AppConfig):
    name = "registry.counts"
    label = "counts"
    default_auto_field = "django.db.models.BigAutoField"
