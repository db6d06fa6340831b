"""How long the pages of finding take on this machine with 10,000 participants: `PYTHONPATH=. python tests/measure/finding_speed.py` in a scratch home.

Puts the people straight into the tables of a throw-away SQLite database: four visits' images each, records and consents; then asks each page three times as a
stranger, a researcher and a steward, and prints the slowest in milliseconds. Not a test: putting them in takes a minute.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
import uuid
from typing import Any

PEOPLE, IMAGES = 10_000, 4


def opened() -> Any:
    """Django with databases and zones of its own, and the tables made."""
    home = tempfile.mkdtemp(prefix="myelin-finding-")
    os.environ |= {"MYELIN_HOME": home, "DJANGO_SETTINGS_MODULE": "registry.settings", "MYELIN_DEBUG": "0"}
    import django
    from django.conf import settings
    from django.db import connections

    for alias in settings.DATABASES:
        settings.DATABASES[alias]["NAME"] = f"{home}/{alias}.sqlite3"
    django.setup()
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.WHITENOISE_AUTOREFRESH = settings.WHITENOISE_USE_FINDERS = True
    settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
    from django.core.management import call_command

    for alias in connections:
        call_command("migrate", database=alias, verbosity=0)
    from tests.registry.conftest import World

    return World()


def filled(world: Any) -> tuple[Any, Any]:
    """The dataset with its people and images, and its steward."""
    from django.utils import timezone

    from registry.imaging.models import Image
    from registry.subjects.models import Visit
    from tests.registry.upper import cohorts
    from tests.registry.upper.invented import drawn

    sites = [world.site(f"site-{n}") for n in range(8)]
    dataset = world.dataset(*sites, slug="large")
    steward, facts, rng = world.steward(dataset), cohorts.facts_of(world, dataset, sites[0]), random.Random(1)
    for n, site in enumerate(sites):
        cohorts.put(dataset, site, drawn(random.Random(n), PEOPLE // len(sites)), facts)
    visits = list(Visit.objects.filter(participant__dataset=dataset).values_list("pk", flat=True))
    images = [
        Image(
            visit_id=visit, study_id=uuid.uuid4(), run_id=uuid.uuid4(), bids_path=f"{n}", suffix=suffix, datatype="anat",
            grade=rng.choice(("pass", "pass", "review")), deface_verdict="defaced", conversion_verdict="agreed", state="accepted", decided_at=timezone.now(),
            decided_by=steward,            maker=rng.choice(("siemens", "philips", "ge")), tesla=rng.choice(("1.5T", "3T")),
        )
        for visit in visits
        for n, suffix in enumerate(("T1w", "FLAIR", "T2w", "dwi")[:IMAGES])
    ]  # fmt: skip
    Image.objects.bulk_create(images, batch_size=2000)
    return dataset, steward


def main() -> None:
    world = opened()
    _dataset, steward = filled(world)
    from django.test import Client

    from registry.counts import publishing

    began = time.process_time()
    publishing.tick()
    print(f"published once, by the tick: {1000 * (time.process_time() - began):.0f} ms of CPU")
    pages = [
        "/datasets", "/datasets/large", "/datasets/large/build", "/datasets/large/count?where=sex:F",
        "/datasets/large/count?where=scanner:ge&where=quality:review",
        "/datasets/large/pictures", "/storage",
        *(f"/datasets/large/pictures/{kind}" for kind in ("age", "site", "contrast", "treatment", "quality-site", "accrual")),
    ]  # fmt: skip
    for name, user in (("stranger", None), ("researcher", world.user("r", institution="An institute")), ("steward", steward)):
        client = Client(raise_request_exception=True)
        if user:
            client.force_login(user)
        for page in pages:
            took, work, status = [], [], 0
            for _ in range(3):
                began, busy = time.perf_counter(), time.process_time()
                status = client.get(page).status_code
                took.append(1000 * (time.perf_counter() - began))
                work.append(1000 * (time.process_time() - busy))
            print(f"{name:10} {status} {max(took):5.0f} ms slowest (CPU {max(work):4.0f}), {min(took):5.0f} fastest (CPU {min(work):4.0f})  {page}")


if __name__ == "__main__":
    sys.exit(main())
