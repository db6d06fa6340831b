"""The app's name for Django."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "registry.portal"
    label = "portal"
    default_auto_field = "django.db.models.BigAutoField"
