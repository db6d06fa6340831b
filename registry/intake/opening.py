"""Bundles are opened in children of their own (`pipeline.isolate`): whatever a tar does to its reader, the web process goes on.

Children are kept from one bundle to the next, for starting one costs more than opening a bundle. The kernel ends a child with the thread that started
it, so the threads that start them live as long as the process: two, whatever the number of requests, and with them memory is bounded.
"""

from __future__ import annotations

import atexit
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.isolate import Limits, Pool
from registry.intake.quarantine import Refused

LIMITS = Limits(memory_mb=256, cpu_s=30, wall_s=60, file_mb=32)
OPENERS = 2
# What is the bundle's own fault, and told as such; any other end of a child is `bundle_unreadable`.
FAULTS = frozenset({"bundle_damaged", "bundle_order", "bundle_count", "digest_mismatch"})


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(OPENERS, thread_name_prefix="opener")


class _Own(threading.local):
    def __init__(self) -> None:
        self.pool = Pool(1)
        atexit.register(self.pool.close)


_own = _Own()


def opened(path: Path, out: Path, sha256: str, number: int, count: int) -> list[dict[str, Any]]:
    """The files of a bundle, written into `out` under their numbers, and their rows. Raises Refused: a code of `pipeline.bundle`, or `bundle_unreadable`."""
    item = {"path": str(path.resolve()), "out": str(out.resolve()), "sha256": sha256, "number": number, "count": count}
    answer = _threads().submit(lambda: _own.pool.one("pipeline.bundle:unbundle", item, limits=LIMITS)).result()
    if answer.death is None:
        return list(answer.value)
    if answer.death.code in FAULTS:
        raise Refused(answer.death.code, answer.death.reason)
    raise Refused("bundle_unreadable", "The bundle could not be opened.")
