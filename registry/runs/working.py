"""One worker of one machine: carriers, threads that hear the queue's messages, and the tick.

main thread    keeps the carriers alive (they die with it) and waits for SIGTERM
tick thread    what is due, and announcing what lies ready
work threads   django-tasks-db's own worker loop; each message is one `runs.tasks.carry`
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from types import FrameType

from django.conf import settings
from django.db import close_old_connections, connections
from django_tasks_db.management.commands.db_worker import Worker as QueueWorker

from registry.runs import ledger, queries, runner, spool, ticking
from registry.runs.supervisor import Carriers

log = logging.getLogger(__name__)


class Working:
    """`threads`: how many runs at once; `carriers`: how many carrier processes (0: they run elsewhere); `queues`: which queues are heard."""

    def __init__(self, *, threads: int = 2, carriers: int = 1, jobs: int = 1, device: str = "cpu", queues: tuple[str, ...] = ("default", "gpu")) -> None:
        self.carriers = Carriers(spool.folder(), carriers, jobs, device)
        self.queues = queues
        self._loops = [self._loop(n) for n in range(threads)]

    def _loop(self, n: int) -> QueueWorker:
        return QueueWorker(
            queue_names=list(self.queues), interval=0.5, batch=False, backend_name="default", startup_delay=False, max_tasks=None,
            worker_id=f"{ledger.new_owner()[:58]}.{n}", excluded_queue_names=[],
        )  # fmt: skip

    def run(self, *, until_idle: bool = False) -> None:
        """Works until asked to stop (SIGTERM, SIGINT), or, with `until_idle`, until nothing is ready or running."""
        runner.stopping.clear()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _stop)
        threads = [threading.Thread(target=self._hear, args=(loop,), name=f"work-{n}") for n, loop in enumerate(self._loops)]
        threads.append(threading.Thread(target=self._tick, name="tick"))
        try:
            self.carriers.watch()
            for thread in threads:
                thread.start()
            self._supervise(threads, until_idle)
        finally:
            runner.stopping.set()
            for loop in self._loops:
                loop.running = False
            for thread in threads:
                if thread.is_alive():
                    thread.join()
            self.carriers.stop()

    def _supervise(self, threads: list[threading.Thread], until_idle: bool) -> None:
        quiet = 0
        while not runner.stopping.wait(0.5):
            self.carriers.watch()
            if not all(thread.is_alive() for thread in threads):
                log.error("a thread of the worker ended; the worker ends too")
                return
            quiet = quiet + 1 if until_idle and queries.idle() else 0
            if quiet >= 3:
                return

    def _hear(self, loop: QueueWorker) -> None:
        """The queue's loop, begun again when the database was away for a moment."""
        while loop.running:
            try:
                loop.run()
            except Exception as error:  # noqa: BLE001 - a database that restarts must not end the worker
                log.warning("the queue could not be heard: %s", type(error).__name__)
                connections.close_all()
                runner.stopping.wait(2.0)
        connections.close_all()

    def _tick(self) -> None:
        owner = ledger.new_owner()
        while not runner.stopping.is_set():
            try:
                close_old_connections()
                ticking.tick(owner)
            except Exception as error:  # noqa: BLE001 - as above
                log.warning("the tick could not be done: %s", type(error).__name__)
                connections.close_all()
            runner.stopping.wait(min(1.0, settings.MYELIN_LEASE_S / 3))
        connections.close_all()


def _stop(number: int, frame: FrameType | None) -> None:
    runner.stopping.set()


def wait_for_carrier(seconds: float = 30.0) -> bool:
    """Waits until a carrier gives a sign of life."""
    until = time.monotonic() + seconds
    while not spool.carrier_alive():
        if time.monotonic() > until:
            return False
        time.sleep(0.2)
    return True
