"""What a request of the old life (draft, submitted, approved, rejected, closed) is in the new one.

Nobody attested deletion before: what was given and is over now waits for that. What was granted was granted at the level that the dataset has.
"""

from django.db import migrations
from django.db.models import Exists, OuterRef, Subquery


def onward(apps, schema_editor):
    Request, Entitlement, Dataset = (apps.get_model(*name) for name in [("access", "Request"), ("access", "Entitlement"), ("accounts", "Dataset")])
    given = Entitlement.objects.filter(request=OuterRef("pk"))
    living = given.filter(revoked_at__isnull=True)
    level = Dataset.objects.filter(pk=OuterRef("dataset_id")).values("purpose_level")[:1]
    Request.objects.filter(state__in=["approved", "closed"]).update(decided_level=Subquery(level))
    Request.objects.filter(decided_level="closed").update(decided_level="controlled")  # it was not granted at `closed`: nothing is; opened again, it is no more
    Request.objects.filter(state="submitted").update(state="in_review")
    old = Request.objects.filter(state="approved")
    old.filter(~Exists(given)).update(state="approved_pending_signatures")
    old.filter(Exists(given), ~Exists(living)).update(state="revoked")
    old.update(state="active")
    over = Request.objects.filter(state="closed")
    over.filter(Exists(given)).update(state="closing")
    over.update(state="withdrawn")


def back(apps, schema_editor):
    """The nearest state of the old life, with its constraints not yet in force."""
    Request = apps.get_model("access", "Request")
    old = {
        "draft": ["returned"],
        "submitted": ["screening", "in_review"],
        "approved": ["approved_pending_signatures", "active", "renewal_due"],
        "closed": ["withdrawn", "suspended", "expired", "revoked", "closing"],
    }
    for state, states in old.items():
        Request.objects.filter(state__in=states).update(state=state)


class Migration(migrations.Migration):

    dependencies = [
        ('access', '0004_machine'),
    ]

    operations = [migrations.RunPython(onward, back)]
