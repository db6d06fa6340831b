"""`manage.py worker`: does the registry's work on this machine, and keeps its carriers alive."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from registry.runs.working import Working


class Command(BaseCommand):
    help = "Work: take runs from the ledger, keep carriers alive, and do what is due. Ends cleanly on SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--threads", type=int, default=2, help="runs at once (default 2)")
        parser.add_argument("--carriers", type=int, default=1, help="carrier processes to keep alive; 0 when they run elsewhere on the same spool (default 1)")
        parser.add_argument("--jobs", type=int, default=settings.MYELIN_JOBS, help="processes per carrier (MYELIN_JOBS)")
        parser.add_argument("--device", default=settings.MYELIN_DEVICE, choices=["cpu", "cuda"], help="where voxels are worked on (MYELIN_DEVICE)")
        parser.add_argument("--queues", default="default,gpu", help="queues to hear, separated by commas")
        parser.add_argument("--until-idle", action="store_true", help="end when nothing is ready or running")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = tuple(options["queues"].split(","))
        working = Working(threads=options["threads"], carriers=options["carriers"], jobs=options["jobs"], device=options["device"], queues=queues)
        working.run(until_idle=options["until_idle"])
