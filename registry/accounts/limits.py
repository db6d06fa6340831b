"""Limits that are true with many workers: one statement counts and answers, wherever the counter lives.

Django's database cache reads, adds and writes in three steps, so two workers lose counts. Here the counter is one row per key and window, added to by
`INSERT … ON CONFLICT DO UPDATE … RETURNING` (SQLite 3.35, PostgreSQL), or Redis' own INCR when `CACHE_URL` names one.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache
from django.db import connections, router

from registry.accounts.models import Counter


@dataclass(frozen=True)
class Count:
    """`allowed`: this hit is within the limit. `left`: how many more are. `wait_s`: seconds until the window ends."""

    allowed: bool
    left: int
    wait_s: int


def hit(name: str, who: str, limit: int, seconds: int, now: float | None = None) -> Count:
    """Counts one hit of `who` on `name` in the current window of `seconds`, and says whether it is within `limit`.

    `who` is hashed: neither addresses nor user ids lie in the cache.
    """
    now = time.time() if now is None else now
    window = int(now // seconds)
    key = f"{name}:{hashlib.sha256(f'{settings.SECRET_KEY}|{who}'.encode()).hexdigest()[:32]}:{seconds}:{window}"
    hits = _redis(key, seconds) if "redis" in settings.CACHES["default"]["BACKEND"] else _database(key, int(now))
    return Count(hits <= limit, max(0, limit - hits), int((window + 1) * seconds - now) + 1)


def _redis(key: str, seconds: int) -> int:
    cache.add(key, 0, timeout=seconds * 2)
    return int(cache.incr(key))


def _database(key: str, now: int) -> int:
    statement = (
        'INSERT INTO accounts_counter ("key", "window", hits) VALUES (%s, %s, 1) '
        'ON CONFLICT ("key") DO UPDATE SET hits = accounts_counter.hits + 1, "window" = excluded."window" RETURNING hits'
    )
    with connections[router.db_for_write(Counter)].cursor() as cursor:
        cursor.execute(statement, [key, now])
        return int(cursor.fetchone()[0])


def forget_old(older_than_s: int = 2 * 86_400) -> int:
    """Removes counters last hit before that; returns how many."""
    return Counter.objects.filter(window__lt=int(time.time()) - older_than_s).delete()[0]
