"""What is written in these tables stays. SQLite makes a table anew when its columns change, and its triggers go with the old one."""

from django.db import migrations

from registry.audit import append_only

MODELS = [append_only.operation("consent", name) for name in ("consentevent", "consenttemplate")]


class Migration(migrations.Migration):
    dependencies = [("consent", "0003_forms_and_grounds")]
    operations = [migrations.RunPython(forward, backward) for forward, backward in MODELS]
