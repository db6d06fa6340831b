"""The registry that the rows of `make show-portal` look at: a few people with everything the portal shows, made by the real acts; and behind them a crowd.

The crowd (1,000 or 10,000 participants, each with a visit, records, a consent and an image, 4 of 10 undecided) is put straight into the tables.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

PEOPLE = {"quick": 1_000, "usual": 10_000, "full": 10_000}
WAITING = 300  # studies that wait for a person
SEED = 8


@dataclass
class Portal:
    """The house, and who looks at it: name -> account (None: a stranger). `beside`: pages that only a form or a mail leads to."""

    house: Any
    people: dict[str, Any]
    crowd: int
    beside: dict[str, list[str]]

    def client(self, name: str, **sent: str) -> Any:
        from django.test import Client

        from tests.registry.browsers import shown

        client = Client(raise_request_exception=False, **sent)
        return client if self.people[name] is None else shown(client, self.people[name])


@cache
def opened(depth: str) -> Portal:
    """Made once per process."""
    os.environ.update(MYELIN_DEBUG="0", DJANGO_ALLOW_ASYNC_UNSAFE="true")
    import governance_house

    world = governance_house.opened()
    from django.conf import settings

    settings.MYELIN_LIMITS = dict.fromkeys(settings.MYELIN_LIMITS, (10_000_000, 60))
    settings.ALLOWED_HOSTS = ["*"]
    for path in (*settings.MYELIN_ZONES.values(), settings.STATIC_ROOT):
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    house, researcher = few(world)
    crowd(house, PEOPLE[depth])
    people = {"stranger": None, "contributor": house.contributor, "steward": house.steward, "researcher": researcher}
    return Portal(house, people, PEOPLE[depth], beside(house, researcher))


def few(world: Any) -> tuple[Any, Any]:
    """Four people in a release; a recipient of two packages, one dead since one of the four left; what is asked, decided, handed in and waiting."""
    import pyrage

    from registry.access import actions as access
    from registry.access import teams
    from registry.intake import actions as intake
    from registry.releases import actions as releases
    from tests.registry.upper.conftest import Carried, House

    site = world.site("aarhus")
    dataset = world.dataset(site, min_count=2)
    house = House(world, site, dataset, world.contributor(dataset, site), world.steward(dataset))
    carried = Carried(Path(tempfile.mkdtemp(prefix="portal-", dir=os.environ["MYELIN_HOME"])))
    people = [house.person() for _ in range(4)]
    for person in people:
        house.image(person)
    house.release()
    right = world.entitled(dataset, house.steward, recipient_key=str(pyrage.x25519.Identity.generate().to_public()))
    first = releases.build_package(right.user, right)
    carried.work()
    first.refresh_from_db()
    releases.start_download(right.user, first, (0, 1))
    releases.withdraw(house.contributor, people[0])
    carried.work()
    releases.build_package(right.user, right)
    carried.work()
    access.give_role("system:show", right.user, dataset, "researcher")
    for _ in range(3):
        world.request(dataset)
    asker = world.user("asker")
    draft = access.draft_request(asker, dataset, title="With a team", abstract="What several want to find out.", purpose="HMB")
    teams.invite_member(asker, draft, right.user.email, "DK")
    world.request(dataset, right.user)
    access.draft_request(right.user, dataset, title="A second study", abstract="What we want to find out next.", purpose="HMB")
    access.approve_request(house.steward, world.request(dataset, right.user, title="A third study"))
    intake.begin_upload(house.contributor, dataset, site)
    return house, right.user


def beside(house: Any, researcher: Any) -> dict[str, list[str]]:
    """Two cohorts and what they share, and the addresses that no link of a page has."""
    from registry.counts import cohorts as saved

    kept = [saved.save(researcher, house.dataset, f"Cohort {word}", [f"sex:{word}"]) for word in ("F", "M")]
    place = f"{house.dataset.slug}/{house.site.code}"
    return {
        "stranger": ["/account/forgotten"],
        "contributor": [f"/hand-in/new?where={place}", "/account/confirm"],
        "steward": ["/account/second-factor/another", "/account/confirm"],
        "researcher": [f"/cohorts/{kept[0].pk}/with/{kept[1].pk}", f"/cohorts/{kept[0].pk}", f"/cohorts/link/{saved.make_link(researcher, kept[0])}"],
    }


def crowd(house: Any, people: int) -> None:
    """So many people put into the tables, an image each, and studies that wait."""
    from django.utils import timezone

    from registry.imaging.models import Image, StoredFile
    from registry.intake.models import Study, Upload
    from registry.subjects.models import Visit
    from tests.registry.upper import cohorts, invented
    from tests.registry.upper.conftest import PAPER

    put = cohorts.put(house.dataset, house.site, invented.drawn(random.Random(SEED), people), cohorts.facts_of(house.world, house.dataset, house.site))
    visits = (
        Visit.objects.filter(participant__in=[one.pk for one in put[:0]]) if not put else Visit.objects.filter(participant__dataset=house.dataset, label="m00")
    )
    known, images, files = {one.pk: one for one in put}, [], []
    for n, visit in enumerate(visit for visit in visits.iterator() if visit.participant_id in known):
        label = known[visit.participant_id].label
        path = f"sub-{label}/ses-m00/anat/sub-{label}_ses-m00_T1w.nii.gz"
        done = n % 10 >= 4
        images.append(
            Image(
                visit=visit, study_id=uuid.uuid4(), run_id=uuid.uuid4(), bids_path=path, suffix="T1w", datatype="anat", grade=("pass", "review")[n % 7 == 0],
                deface_verdict="defaced", conversion_verdict="agreed", provenance=PAPER, state="accepted" if done else "proposed",
                decided_by=house.steward if done else None, decided_at=timezone.now() if done else None,
            )
        )  # fmt: skip
        files.append(StoredFile(image=images[-1], path=path, sha256=f"{n:064x}", bytes=9_000_000, kind="image"))
    Image.objects.bulk_create(images, batch_size=1000)
    StoredFile.objects.bulk_create(files, batch_size=1000)
    upload = Upload.objects.create(dataset=house.dataset, site=house.site, contributor=house.contributor, state="sorted")
    Study.objects.bulk_create(
        Study(
            upload=upload,
            study_code=f"{n:026d}",
            participant_code="a" * 26,
            code="unknown_participant",
            reason="Nobody has this code.",
            advice="Bind it by hand.",
        )
        for n in range(WAITING)
    )


@contextmanager
def served() -> Iterator[str]:
    """The portal over a socket, in this process: its static files through WhiteNoise and its headers as in production."""
    from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
    from django.core.wsgi import get_wsgi_application

    class Quiet(WSGIRequestHandler):
        def log_message(self, *_: Any) -> None:
            """Nothing is said of each request."""

    server = ThreadedWSGIServer(("127.0.0.1", 0), Quiet)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
