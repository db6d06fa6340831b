"""The app's name for Django."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    name = "registry.api"
    label = "api"
    default_auto_field = "django.db.models.BigAutoField"
