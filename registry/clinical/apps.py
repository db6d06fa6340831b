"""The app's name for Django."""

from django.apps import AppConfig


class ClinicalConfig(AppConfig):
    name = "registry.clinical"
    label = "clinical"
    default_auto_field = "django.db.models.BigAutoField"
