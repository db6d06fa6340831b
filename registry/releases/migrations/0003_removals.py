"""A departure becomes one kind of removal, beside the recall of an image; a notice knows who attested, and which reminders were sent."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("releases", "0002_pending_validation"), ("subjects", "0003_leaving")]

    operations = [
        migrations.RemoveConstraint("withdrawal", "withdrawal_state_known"),
        migrations.RemoveConstraint("withdrawal", "withdrawal_done_is_certified"),
        migrations.RemoveConstraint("notice", "notice_once_per_package"),
        migrations.RenameModel("Withdrawal", "Removal"),
        migrations.RenameField("notice", "withdrawal", "removal"),
        migrations.AddField(
            model_name='notice',
            name='acknowledged_by',
            field=models.CharField(blank=True, help_text='who attested, as text that outlives the account', max_length=320),
        ),
        migrations.AddField(
            model_name='notice',
            name='reminded_days',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='notice',
            name='statement',
            field=models.TextField(blank=True, help_text="what was attested, in the recipient's words"),
        ),
        migrations.AddField(
            model_name='notice',
            name='suspended_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='removal',
            name='cause',
            field=models.CharField(blank=True, choices=[('face', 'a face can be seen'), ('text', 'it holds text that names somebody'), ('mask', 'the mask is wrong'), ('quality', 'it is too bad to be used'), ('wrong_person', 'it is of another person or visit')], max_length=12),
        ),
        migrations.AddField(
            model_name='removal',
            name='files',
            field=models.JSONField(default=list, help_text='of a recall: path and hash of what is called back'),
        ),
        migrations.AddField(
            model_name='removal',
            name='image_id',
            field=models.UUIDField(help_text='of a recall: the image', null=True),
        ),
        migrations.AddField(
            model_name='removal',
            name='kind',
            field=models.CharField(choices=[('withdrawal', 'a person has left'), ('recall', 'an image or file turned out wrong')], default='withdrawal', max_length=10),
        ),
        migrations.AddField(
            model_name='removal',
            name='reason',
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name='removal',
            name='sealed',
            field=models.TextField(blank=True),
        ),
        migrations.AlterField(
            model_name='removal',
            name='participant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='removals', to='subjects.participant'),
        ),
        migrations.AddConstraint(
            model_name='notice',
            constraint=models.UniqueConstraint(fields=('user', 'removal', 'package'), name='notice_once_per_package'),
        ),
        migrations.AddConstraint(
            model_name='removal',
            constraint=models.UniqueConstraint(condition=models.Q(('kind', 'withdrawal')), fields=('participant',), name='one_withdrawal_per_participant'),
        ),
        migrations.AddConstraint(
            model_name='removal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('cause', ''), ('kind', 'withdrawal')), models.Q(('image_id__isnull', False), ('kind', 'recall')), _connector='OR'), name='removal_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='removal',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['running', 'done'])), name='removal_state_known'),
        ),
        migrations.AddConstraint(
            model_name='removal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'done'), _negated=True), ('certificate__isnull', False), _connector='OR'), name='removal_done_is_certified'),
        ),
    ]
