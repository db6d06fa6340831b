# The constraints of the new life of a request; apart, because PostgreSQL alters no table whose rows were changed in the same transaction.

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('access', '0005_states_of_old'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['active', 'approved_pending_signatures', 'closed', 'closing', 'draft', 'expired', 'in_review', 'rejected', 'renewal_due', 'returned', 'revoked', 'screening', 'submitted', 'suspended', 'withdrawn'])), name='request_state_known'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['active', 'approved_pending_signatures', 'closed', 'closing', 'expired', 'rejected', 'renewal_due', 'revoked', 'suspended']), _negated=True), models.Q(('decided_at__isnull', False), ('decided_by__isnull', False)), models.Q(('decided_at__isnull', False), ('decided_level__in', ['open', 'registered']), models.Q(('state', 'rejected'), _negated=True)), _connector='OR'), name='a_decision_has_a_decider'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'closed'), _negated=True), ('attested_at__isnull', False), _connector='OR'), name='closed_is_attested'),
        ),
    ]
