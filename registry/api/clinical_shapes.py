"""Clinical tables as they go over the wire: mappings, a table that is tried or taken, what is wrong with it, tables that go out."""

from __future__ import annotations

from rest_framework import serializers as s

from registry.api.shapes import Shape, Strict


class NewMapping(Strict):
    dataset = s.SlugField()
    site = s.SlugField()
    name = s.RegexField(r"^[a-z0-9][a-z0-9_-]{0,39}$")
    spec = s.DictField(help_text="how the site's table reads: docs/how-to/import-clinical-tables.md")


class MappingShape(Shape):
    id = s.UUIDField()
    dataset = s.CharField(source="dataset.slug")
    site = s.CharField(source="site.code")
    name = s.CharField()
    number = s.IntegerField(help_text="grows each time the mapping is saved differently; the last one holds")
    spec = s.DictField()
    created_at = s.DateTimeField()


class NewTable(Strict):
    dataset = s.SlugField()
    site = s.SlugField()
    mapping = s.CharField(max_length=40, help_text="name of a saved mapping of this site")
    table = s.CharField(trim_whitespace=False, help_text="the whole CSV as text")
    apply = s.BooleanField(default=False, help_text="false: a dry run, nothing is written")


class TableFault(Shape):
    row = s.IntegerField(help_text="as a spreadsheet counts: the header is row 1")
    column = s.CharField(allow_blank=True)
    rule = s.CharField()
    reason = s.CharField()
    advice = s.CharField()


class Changes(Shape):
    new = s.IntegerField()
    changed = s.IntegerField()
    same = s.IntegerField()


class AllChanges(Shape):
    participants = Changes()
    visits = Changes()
    records = Changes()


class TableReport(Shape):
    rows = s.IntegerField()
    applied = s.BooleanField()
    faulty = s.IntegerField(help_text="how many faults there are; the first thousand are listed")
    faults = TableFault(many=True)
    changes = AllChanges()


class FormField(Shape):
    name = s.CharField()
    label = s.CharField()
    help = s.CharField()
    input = s.ChoiceField(["number", "select", "text"])
    required = s.BooleanField()
    choices = s.ListField(child=s.ListField(child=s.CharField()), help_text="code and words; codes of what is missing last")
    minimum = s.FloatField(required=False)
    maximum = s.FloatField(required=False)
    step = s.JSONField(required=False, help_text="a number, or any")
    unit = s.CharField(required=False, allow_null=True, help_text="UCUM")
    date = s.CharField(required=False, help_text="the name under which a date may be given instead of a day")


class FormShape(Shape):
    instrument = s.CharField()
    title = s.CharField()
    description = s.CharField()
    repeats = s.BooleanField()
    fields = FormField(many=True)  # type: ignore[assignment]


class TableFile(Shape):
    path = s.CharField()
    text = s.CharField()


class TableFiles(Shape):
    files = TableFile(many=True)
