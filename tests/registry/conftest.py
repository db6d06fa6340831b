"""What every registry test has: databases of its own, zones and keys in a temporary folder, and a small world of people.

With `DATABASE_URL` set the same tests run on PostgreSQL. `committed` (below) is for tests whose code uses several connections, threads or processes.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings as django_settings
from django.db import connections
from django.test import TransactionTestCase

from registry.access import actions as access
from registry.access import pairs
from registry.accounts.models import Dataset, Site, User
from registry.audit import append_only
from registry.consent import actions as consent
from registry.consent.models import ConsentEvent
from registry.subjects import actions as subjects
from registry.subjects.models import Participant


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """A database name of this process's own: two people may test in one checkout at once."""
    folder = tempfile.mkdtemp(prefix="myelin-tests-")
    for alias in connections:
        connection = connections[alias]
        name = f"test_{connection.settings_dict['NAME']}_{os.getpid()}" if connection.vendor == "postgresql" else f"{folder}/{alias}.sqlite3"
        connection.settings_dict["TEST"]["NAME"] = name


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """PostgreSQL drops no database that somebody still speaks to: what a killed process or a thread of a live server left is ended first."""
    yield
    with django_db_blocker.unblock():
        for connection in connections.all():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")


def _triggers(lines: Any) -> None:
    for app, model in append_only.MODELS:
        append_only.run(connections["default"], lines(connections["default"].vendor, apps.get_model(app, model)._meta.db_table))


_flush = TransactionTestCase._fixture_teardown


def _flush_append_only_too(case: TransactionTestCase) -> None:
    """After a test that committed, its rows must go, those of append-only tables too."""
    _triggers(append_only.removal)
    _flush(case)
    _triggers(append_only.statements)


TransactionTestCase._fixture_teardown = _flush_append_only_too  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, settings: Any) -> Path:
    """Zones, keys, anchor and mails of this test alone."""
    settings.MYELIN_HOME = tmp_path / "home"
    settings.MYELIN_KEYS = settings.MYELIN_HOME / "keys"
    settings.MYELIN_ANCHOR = settings.MYELIN_HOME / "anchor"
    settings.MYELIN_ZONES = {name: settings.MYELIN_HOME / name for name in django_settings.MYELIN_ZONES}
    for path in settings.MYELIN_ZONES.values():
        path.mkdir(mode=0o700, parents=True)
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    return Path(settings.MYELIN_HOME)


@pytest.fixture
def committed(transactional_db: None) -> None:
    """Rows are really committed, so that threads and other processes see them. Costs a flush."""


@dataclass
class World:
    """Makes people, places and things that make sense, under names of this test's own."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def user(self, name: str = "someone", **fields: Any) -> User:
        fields = {"institution": "An institute", "country": "DK", **fields}
        return access.open_account("system:test", f"{name}-{next(self.numbers)}@example.org", **fields)

    def site(self, code: str = "aarhus", country: str = "DK") -> Site:
        return access.open_site("system:test", code, f"Hospital {code}", country)

    def dataset(self, *sites: Site, slug: str | None = None, agreement: str = "You keep the data to yourself.", **fields: Any) -> Dataset:
        slug = slug or f"set-{next(self.numbers)}"
        return access.open_dataset("system:test", slug, f"Dataset {slug}", sites, agreement, **{"k": 1, **fields})

    def contributor(self, dataset: Dataset, site: Site) -> User:
        user = self.user("contributor")
        access.give_role("system:test", user, dataset, "contributor", site)
        return user

    def steward(self, dataset: Dataset) -> User:
        user = self.user("steward")
        access.give_role("system:test", user, dataset, "steward")
        return user

    def participant(self, dataset: Dataset, site: Site, patient_id: str | None = None, **fields: Any) -> Participant:
        return subjects.register(dataset, site, patient_id or f"MRN-77{next(self.numbers)}31", **fields)

    def consent(self, participant: Participant, permission: str = "GRU", **fields: Any) -> ConsentEvent:
        evidence = hashlib.sha256(str(next(self.numbers)).encode()).hexdigest()
        return consent.record(participant, fields.pop("kind", "given"), permission, **{"evidence_sha256": evidence, **fields})

    def request(self, dataset: Dataset, requester: User | None = None, **fields: Any) -> Any:
        """A submitted request."""
        requester = requester or self.user("researcher")
        fields = {"title": "A study", "abstract": "What we want to find out.", "purpose": "HMB", "recipient_key": "age1" + "q" * 58, **fields}
        return access.submit_request(requester, access.draft_request(requester, dataset, **fields))

    def entitled(self, dataset: Dataset, steward: User, **fields: Any) -> Any:
        """An entitlement: asked, approved, signed."""
        request = self.request(dataset, **fields)
        if request.level in ("restricted", "remote_only"):
            pairs.second(self.steward(dataset), pairs.propose(steward, dataset, "restricted_approval", request, "Sound."))
        access.approve_request(steward, request)
        return access.sign_agreement(request.requester, request, dataset.agreements.latest("version").version)


@pytest.fixture
def world() -> World:
    return World()
