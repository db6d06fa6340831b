from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="dataset",
            name="protocol",
            field=models.JSONField(blank=True, default=dict, help_text="a protocol profile of its own, as qa/profiles/*.toml; empty: magnims-2024"),
        ),
        migrations.AddField(
            model_name="dataset",
            name="inclusion",
            field=models.JSONField(blank=True, default=list, help_text="ids of the profile's rules that a scan must not break"),
        ),
    ]
