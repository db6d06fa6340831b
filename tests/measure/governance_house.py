"""A registry of our own for the rows of `make show-governance`: throw-away databases (SQLite, or PostgreSQL where DATABASE_URL is set), zones and keys."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

WITHOUT_THE_WAY = (
    "accounts", "runs", "audit", "subjects", "consent", "access", "imaging", "clinical", "counts", "intake", "releases",
    "admin", "auth", "sessions", "contenttypes", "django_tasks_database",
)  # fmt: skip


@cache
def opened() -> Any:
    """The empty registry, once per process; returns the tests' `World`, which makes people and places. Gone when the process ends."""
    import atexit

    folder = Path(tempfile.mkdtemp(prefix="myelin-governance-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ.update(DJANGO_SETTINGS_MODULE="registry.settings", MYELIN_HOME=str(folder), MYELIN_LOG="ERROR")
    import django
    from django.conf import settings

    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # Tables as the models have them, without the way there: what a trigger adds is added below.
    settings.MIGRATION_MODULES = dict.fromkeys(WITHOUT_THE_WAY)
    django.setup()
    _tables(folder)
    from tests.registry.conftest import World

    return World()


def _tables(folder: Path) -> None:
    from django.apps import apps
    from django.db import connections

    from registry.audit import append_only

    for alias in connections:
        connection = connections[alias]
        name = f"governance_{alias}_{os.getpid()}"
        connection.settings_dict["TEST"]["NAME"] = name if connection.vendor == "postgresql" else str(folder / f"{alias}.sqlite3")
        connection.creation.create_test_db(verbosity=0, serialize=False)
        if connection.vendor == "sqlite":
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA synchronous = OFF")  # nothing here must survive a power cut
    for app, model in append_only.MODELS:
        append_only.run(connections["default"], append_only.statements(connections["default"].vendor, apps.get_model(app, model)._meta.db_table))


def engine() -> str:
    """Which database the figures are of."""
    from django.db import connection

    return "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
