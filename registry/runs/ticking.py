"""What is due from time to time, each item under a lease of its own, so that however many workers call, one does it.

`manage.py worker` calls it every second or so; a cron job calling `manage.py tick` each minute is as good.
"""

from __future__ import annotations

import logging
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F

from registry.rules import Refusal
from registry.runs import kinds, ledger
from registry.runs.models import Lease

log = logging.getLogger(__name__)
HOLD = timedelta(minutes=15)


def take(name: str, owner: str, every_s: float) -> bool:
    """Whether this owner may do `name` now: nobody else is at it, and it was last begun at least `every_s` ago."""
    with transaction.atomic():
        at = ledger.now()
        Lease.objects.get_or_create(name=name, defaults={"until": at})
        lease = Lease.objects.select_for_update().get(name=name)
        if lease.until > at or (lease.ran_at is not None and lease.ran_at + timedelta(seconds=every_s) > at):
            return False
        lease.owner, lease.until, lease.ran_at = owner, at + HOLD, at
        lease.save()
        return True


def let_go(name: str, owner: str) -> None:
    Lease.objects.filter(name=name, owner=owner).update(until=F("ran_at"))


def tick(owner: str | None = None, *, force: bool = False) -> dict[str, Any]:
    """Does everything that is due; with `force`, everything that nobody else is doing. Returns what each item told, or its error's code or class."""
    owner = owner or ledger.new_owner()
    told: dict[str, Any] = {}
    for name, path, every_s in settings.MYELIN_TICK:
        if not _due(name, every_s, force) or not take(name, owner, 0 if force else every_s):
            continue
        try:
            told[name] = kinds.function(path)()
        except Exception as error:  # noqa: BLE001 - one item that fails must not keep the others from being done
            last = traceback.extract_tb(error.__traceback__)[-1]
            what = error.code if isinstance(error, Refusal) else type(error).__name__
            told[name] = {"error": f"{what} at {Path(last.filename).name}:{last.lineno}"}
            log.error("tick %s: %s", name, told[name]["error"])
        finally:
            let_go(name, owner)
    return told


def _due(name: str, every_s: float, force: bool) -> bool:
    """A look without a lock, so that an idle worker writes nothing."""
    lease = Lease.objects.filter(name=name).first()
    if lease is None or force:
        return True
    at = ledger.now()
    return lease.until <= at and (lease.ran_at is None or lease.ran_at + timedelta(seconds=every_s) <= at)
