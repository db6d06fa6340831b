"""Which model lives in which database: source identifiers in the vault, counters and cache entries in the cache's, everything else in the registry's.

No foreign key crosses these lines.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

HOMES = {("subjects", "sourceidentifier"): "vault", ("accounts", "counter"): "cache", ("django_cache", "cacheentry"): "cache"}


def home(app_label: str, model_name: str | None) -> str:
    """The alias of the database in which a model lives. Without a database of its own the cache lives in the registry's."""
    alias = HOMES.get((app_label, (model_name or "").lower()), "default")
    return alias if alias in settings.DATABASES else "default"


def apps(alias: str) -> list[tuple[str, ...]]:
    """What `migrate` is asked for in one database: everything, `()`; where only a few models live, their apps, with what those need."""
    if alias == "default":
        return [()]
    return [(app,) for app in sorted({app for (app, _), home in HOMES.items() if home == alias and app != "django_cache"})]


class Router:
    """Django's router protocol over `HOMES`."""

    def db_for_read(self, model: type[models.Model], **_: Any) -> str:
        return home(model._meta.app_label, model._meta.model_name)

    db_for_write = db_for_read

    def allow_relation(self, one: models.Model, other: models.Model, **_: Any) -> bool:
        return self.db_for_read(type(one)) == self.db_for_read(type(other))

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **_: Any) -> bool:
        return home(app_label, model_name) == db
