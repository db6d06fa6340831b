"""What the first dictionary kept in `course` about the beginning of the disease goes to `history`. A typed duration becomes the day of onset."""

from django.db import migrations

MOVED = ('criteria', 'onset_age_band')


def to_history(apps, schema_editor):
    Record = apps.get_model('clinical', 'ClinicalRecord')
    for course in Record.objects.filter(instrument='course').select_related('visit').iterator():
        values = dict(course.values)
        told = {name: values.pop(name) for name in MOVED if values.get(name) is not None}
        duration = values.pop('disease_duration', None)
        if isinstance(duration, (int, float)) and course.visit.day is not None:
            # How precisely the duration was known, nobody wrote down.
            told |= {'onset_day': course.visit.day - int(duration), 'onset_precision': 'year'}
        for name in MOVED:
            values.pop(name, None)
        if told:
            fields = {'values': told, 'dictionary': 'myelin-clinical-2', 'recorded_by': course.recorded_by}
            Record.objects.get_or_create(visit=course.visit, instrument='history', number=1, defaults=fields)
        if values != course.values:
            course.values = values
            course.dictionary = 'myelin-clinical-2'
            course.save()


class Migration(migrations.Migration):

    dependencies = [
        ('clinical', '0002_mappings'),
        ('subjects', '0001_initial'),
    ]

    operations = [
        migrations.RunPython(to_history, migrations.RunPython.noop),
    ]
