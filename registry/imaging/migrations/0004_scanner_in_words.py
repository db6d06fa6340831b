"""Which scanner made an image, in closed words beside its report: told of the images that are here already, too."""

from typing import Any

from django.db import migrations, models

MAKERS = ("siemens", "philips", "ge", "canon", "fujifilm", "united_imaging", "other")
WRITTEN = {"toshiba": "canon", "hitachi": "fujifilm", "uih": "united_imaging", "united": "united_imaging"}
TESLAS = ("1.5T", "3T", "7T", "other")


def fill(apps: Any, schema_editor: Any) -> None:
    image = apps.get_model("imaging", "Image")
    keys = image.objects.using(schema_editor.connection.alias).values_list("pk", "provenance__quality__norm_key")
    for pk, key in list(keys.iterator()):
        if not isinstance(key, list) or len(key) < 4:
            continue
        tesla, maker = str(key[2]).upper(), WRITTEN.get(str(key[3]).casefold(), str(key[3]).casefold())
        told = {
            "maker": "" if maker == "?" else maker if maker in MAKERS else "other",
            "tesla": "" if tesla == "?" else tesla if tesla in TESLAS else "other",
        }
        image.objects.using(schema_editor.connection.alias).filter(pk=pk).update(**told)


class Migration(migrations.Migration):
    dependencies = [("imaging", "0003_orbits_by_two")]

    operations = [
        migrations.AddField(
            model_name="image",
            name="maker",
            field=models.CharField(blank=True, help_text="of the scanner, a word of MAKERS; empty: not known", max_length=20),
        ),
        migrations.AddField(
            model_name="image",
            name="tesla",
            field=models.CharField(blank=True, help_text="strength of its field, a word of TESLAS; empty: not known", max_length=8),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=True),
    ]
