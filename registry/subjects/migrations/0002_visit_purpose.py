from __future__ import annotations

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("subjects", "0001_initial")]
    operations = [
        migrations.AddField(
            model_name="visit",
            name="purpose",
            field=models.CharField(
                blank=True,
                default="",
                max_length=32,
                validators=[django.core.validators.RegexValidator("^[a-z][a-z0-9_]{0,31}$", "Small letters, digits and underlines.")],
            ),
            preserve_default=False,
        ),
    ]
