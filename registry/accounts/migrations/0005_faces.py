from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_k_and_citation")]
    operations = [
        migrations.AddField(
            model_name="dataset",
            name="faces",
            field=models.JSONField(blank=True, default=dict, help_text="the policy about faces (deid.facepolicy); empty: nothing is exempt, orbits are withheld"),
        ),
    ]
