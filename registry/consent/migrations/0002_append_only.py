"""What is written in this table stays."""

from django.db import migrations

from registry.audit import append_only

forward, backward = append_only.operation("consent", "consentevent")


class Migration(migrations.Migration):
    dependencies = [("consent", "0001_initial")]
    operations = [migrations.RunPython(forward, backward)]
