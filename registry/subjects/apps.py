"""The app's name for Django."""

from django.apps import AppConfig


class SubjectsConfig(AppConfig):
    name = "registry.subjects"
    label = "subjects"
    default_auto_field = "django.db.models.BigAutoField"
