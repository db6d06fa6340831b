"""The row of `make show-governance` about freezing: fifty people read while a thousand are frozen.

The readers ask a real gunicorn over sockets, over the same databases that the freeze writes to; the freeze is carried out here by the runner.
"""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from governance_house import engine, opened
from table import Result

PEOPLE = {"quick": 40, "usual": 300, "full": 1000}
READERS = {"quick": 10, "usual": 50, "full": 50}
PAUSE = 2.0  # seconds between two questions of one reader
LEAST = 2  # questions that each asks, however soon the freeze is done


def readers_during_freeze(depth: str) -> Result:
    """A dataset is frozen while people look at it: how long they wait, what fails, and whether the record holds afterwards."""
    world = opened()
    from django.conf import settings

    from registry.audit import queries as audit
    from registry.audit.models import Line
    from tests.registry.upper.test_download_live import served

    house = filled(world, PEOPLE[depth])
    readers = [Reader(house, number) for number in range(READERS[depth])]
    with tempfile.TemporaryDirectory() as folder, served(Path(settings.MYELIN_HOME), Path(folder)) as url:
        took, release = frozen(house, readers, url)
    times = sorted(one for reader in readers for one in reader.times)
    errors = Counter(error for reader in readers for error in reader.errors)
    said = ", ".join(f"{count} x {name}" for name, count in sorted(errors.items()))
    signs = sum(1 for _ in audit.verify())
    figure = f"{len(readers)} readers, {len(times)} answers while {PEOPLE[depth]:,} people were frozen in {took:.1f} s: median {at(times, 0.5)}, p95 "
    figure += f"{at(times, 0.95)}, longest {at(times, 1)}; {said or 'no'} errors; {Line.objects.count():,} lines, {signs} signs of tampering ({engine()})"
    whole = release.state == "frozen" and release.people.count() == PEOPLE[depth]
    return Result(figure, met=whole and not errors and not signs, sample=PEOPLE[depth] < PEOPLE["full"])


def at(times: list[float], share: float) -> str:
    return f"{times[min(int(len(times) * share), len(times) - 1)] * 1000:.0f} ms"


def filled(world: Any, people: int) -> Any:
    """A dataset of people with an image and a clinical record each."""
    from registry.clinical import actions as clinical
    from registry.subjects import actions as subjects
    from tests.registry.upper.conftest import House

    site = world.site("site-read")
    dataset = world.dataset(site, slug="read", min_count=2)
    house = House(world, site, dataset, world.contributor(dataset, site), world.steward(dataset))
    for sealed in subjects.seal_all(dataset, site, [{"patient_id": f"READ-{n:06d}"} for n in range(people)]):
        person = subjects.enter(sealed)
        world.consent(person)
        visit = house.visit(person)
        house.image(person, visit)
        clinical.record(house.contributor, [clinical.Row(visit, "edss", {"edss_total": 3.0})])
    return house


def frozen(house: Any, readers: list[Reader], url: str) -> tuple[float, Any]:
    """Freeze the dataset while everybody reads; seconds, and the release."""
    from registry.releases import actions
    from registry.runs import runner

    done = threading.Event()
    for reader in readers:
        reader.start_at(url, done)
    try:
        start = time.perf_counter()
        release = actions.freeze(house.steward, house.dataset, "first")
        runner.carry(str(release.run_id))
        took = time.perf_counter() - start
    finally:
        done.set()
    for reader in readers:
        reader.join(120)
    release.refresh_from_db()
    return took, release


class Reader(threading.Thread):
    """A steward (every other one) or a researcher who asks for one list after another; keeps how long each answer took."""

    def __init__(self, house: Any, number: int) -> None:
        super().__init__(daemon=True)
        from registry.access import actions as access

        slug = house.dataset.slug
        user = house.world.steward(house.dataset) if number % 2 else house.world.user("reader")
        self.head = {"Authorization": f"Bearer {access.issue_token(user, 'desk', ['read'], 5)[1]}"}
        self.paths = [f"/datasets/{slug}", f"/releases?dataset={slug}", "/datasets", f"/images?dataset={slug}", f"/participants?dataset={slug}"]
        self.times: list[float] = []
        self.errors: list[str] = []
        self.rng = random.Random(number)

    def start_at(self, url: str, done: threading.Event) -> None:
        """Begin to read."""
        self.url, self.done = url, done
        self.start()

    def run(self) -> None:
        import requests

        with requests.Session() as session:
            time.sleep(self.rng.random() * PAUSE)
            while not self.done.is_set() or len(self.times) < LEAST:
                start = time.perf_counter()
                try:
                    answer = session.get(f"{self.url}/api/v1{self.rng.choice(self.paths)}", headers=self.head, timeout=60)
                    self.errors += [] if answer.ok else [str(answer.status_code)]
                except requests.RequestException as error:
                    self.errors.append(type(error).__name__)
                self.times.append(time.perf_counter() - start)
                self.done.wait(PAUSE * self.rng.random() * 2) or time.sleep(0.05)
