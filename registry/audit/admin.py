"""The chain to look at. Whether it is whole, `manage.py audit verify` says."""

from django.contrib import admin

from registry.audit.models import Line
from registry.readonly import ReadOnly


@admin.register(Line)
class LineAdmin(ReadOnly):
    list_display = ("seq", "at", "actor", "act", "object", "dataset")
    search_fields = ("object", "actor", "act")
